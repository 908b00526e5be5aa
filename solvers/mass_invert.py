"""The lowest eigenpairs of an indefinite K against a definite M, by Lanczos with a factorised M."""

from typing import Any

import equinox as eqx
import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float

from gemel.solvers.eigen import EigenSolver, Pairs, pairs_on_host
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code, Solution


class MassInvert(EigenSolver):
    """Lanczos on M⁻¹K in the inner product of M, factorised sparsely on the host: for M definite, K any.

    It finds the most negative eigenvalues where `ShiftInvert` would need to know a bound below them, and finds them
    fast where the spectrum gathers at zero: the buckling of structures, K the geometric and M the elastic stiffness.
    ``rtol`` is the residual that counts as success. Operators as for `SparseDirect`; under vmap one after the other.

    Lehoucq, Sorensen, Yang, *ARPACK Users' Guide*, SIAM (1998).
    """

    k: int = eqx.field(static=True)
    rtol: float
    max_steps: int = eqx.field(static=True)

    def init(self, stiffness: LinearOperator, mass: LinearOperator) -> Any:
        """Return nothing: the factorisation lives on the host."""
        return None

    def compute(self, state: Any, stiffness: LinearOperator, mass: LinearOperator) -> Solution[Pairs]:
        """Solve on the host."""
        return pairs_on_host(
            lambda stiff, inert: _lowest_on_host(stiff, inert, self.k, self.max_steps),
            stiffness,
            mass,
            self.k,
            self.rtol,
        )


def _lowest_on_host(stiff: Any, inert: Any, k: int, max_steps: int):
    """Return (eigenvalues, vectors, residual, code); NaN where the factorisation or Lanczos fails."""
    n = stiff.shape[0]
    failed = (np.full(k, np.nan), np.full((n, k), np.nan), np.float64(np.nan))
    if not (np.all(np.isfinite(stiff.data)) and np.all(np.isfinite(inert.data))):
        return *failed, np.int32(Code.NOT_FINITE)
    try:
        values, vectors = _dense(stiff, inert, k) if n <= max(4 * k, 60) else _lanczos(stiff, inert, k, max_steps)
    except scipy.sparse.linalg.ArpackNoConvergence:
        return *failed, np.int32(Code.MAX_STEPS)
    except (RuntimeError, np.linalg.LinAlgError):  # a zero pivot, or M is not definite
        return *failed, np.int32(Code.BREAKDOWN)
    weighted = inert @ vectors
    wrong = np.linalg.norm(stiff @ vectors - weighted * values, axis=0)
    largest = float(np.max(np.abs(values))) * np.linalg.norm(weighted, axis=0)
    rounding = 1e-6 * scipy.sparse.linalg.norm(stiff) * np.linalg.norm(vectors, axis=0)  # where all values are zero
    scale = np.maximum(np.maximum(largest, rounding), 1e-300)
    return values, vectors, np.float64(np.max(wrong / scale)), np.int32(Code.SUCCESS)


def _dense(stiff: Any, inert: Any, k: int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "n k"]]:
    values, vectors = scipy.linalg.eigh(stiff.toarray(), inert.toarray(), subset_by_index=[0, k - 1])
    return values, vectors


def _lanczos(stiff: Any, inert: Any, k: int, max_steps: int) -> tuple[np.ndarray, np.ndarray]:
    n = stiff.shape[0]
    factors = scipy.sparse.linalg.splu(scipy.sparse.csc_array(inert))
    solve = scipy.sparse.linalg.LinearOperator((n, n), matvec=factors.solve, dtype=float)  # pyright: ignore[reportCallIssue]
    start = factors.solve(stiff @ np.random.default_rng(0).standard_normal(n))
    basis = min(n - 1, max(2 * k + 8, 20))
    values, vectors = scipy.sparse.linalg.eigsh(
        stiff, k, inert, Minv=solve, which="SA", v0=start, ncv=basis, maxiter=max_steps
    )
    order = np.argsort(values)
    vectors = vectors[:, order]
    return values[order], vectors / np.sqrt(np.einsum("nk,nk->k", vectors, inert @ vectors))
