"""Direct solvers: dense LU in JAX for small systems, sparse LU on the host or by cuDSS for larger ones."""

import abc
import collections
import concurrent.futures
import hashlib
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Array, Float

from gemel.solvers import cudss
from gemel.solvers.linear_solver import LinearSolver, inverse_size, reached
from gemel.solvers.operators import LinearOperator, dense_matrix, transposed
from gemel.solvers.solution import Code, Solution, Status


def _judge(x: Array, b: Array, operator: LinearOperator, rtol: float | Array) -> Solution[Array]:
    scale = inverse_size(b)
    r, b = scale * (b - operator.mv(x)), scale * b
    residual = jnp.linalg.norm(r)
    code = jnp.where(reached(operator, scale * x, b, r, rtol * jnp.linalg.norm(b)), Code.SUCCESS, Code.STAGNATION)
    code = jnp.where(jnp.isfinite(residual), code, Code.NOT_FINITE)
    steps = jnp.ones((), jnp.int32)
    return Solution(x, Status(code.astype(jnp.int32)), {"steps": steps, "residual": residual / scale})


class DenseDirect(LinearSolver):
    """LU with partial pivoting of the dense matrix, and one step of iterative refinement.

    For up to about 1500 unknowns: n² storage, n³ work. It works under jit, vmap and on a GPU. ``rtol`` is
    the relative residual ‖b − A x‖/‖b‖ that counts as success; a larger one, as from a nearly singular
    matrix, is ``STAGNATION``, unless it is that of rounding.
    """

    rtol: float

    def init(self, operator: LinearOperator) -> Any:
        """Factorise."""
        return jax.scipy.linalg.lu_factor(dense_matrix(operator))

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Factorise again."""
        return self.init(operator)

    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve with the factors in ``state``."""
        operator = transposed(operator) if transpose else operator
        trans = 1 if transpose else 0
        x = jax.scipy.linalg.lu_solve(state, b, trans=trans)
        x = x + jax.scipy.linalg.lu_solve(state, b - operator.mv(x), trans=trans)
        return _judge(x, b, operator, self.rtol)


class HostDirect(LinearSolver):
    """A direct solver on the host, by a callback from jitted code; under vmap one member after the other.

    ``rtol`` as in `DenseDirect`; NaN for an exactly singular matrix, and the status ``NOT_FINITE``.
    """

    rtol: float

    @abc.abstractmethod
    def solve_on_host(self, operator: Any, b: Float[np.ndarray, " n"], transpose: bool) -> Float[np.ndarray, " n"]:
        """Solve A x = b or Aᵀ x = b, all arrays those of numpy."""

    def init(self, operator: LinearOperator) -> Any:
        """Return nothing: factorisations live on the host."""
        return None

    def update(self, state: Any, operator: LinearOperator) -> Any:
        """Return nothing."""
        return None

    def compute(
        self,
        state: Any,
        operator: LinearOperator,
        b: Float[Array, " n"],
        x0: Float[Array, " n"] | None = None,
        transpose: bool = False,
    ) -> Solution[Array]:
        """Solve A x = b or Aᵀ x = b on the host."""
        arrays, rest = eqx.partition(operator, eqx.is_array)

        def host(leaves, rhs):
            parts = eqx.combine(jax.tree.map(np.asarray, leaves), rest)
            return self.solve_on_host(parts, np.asarray(rhs), transpose).astype(rhs.dtype)

        shape = jax.ShapeDtypeStruct(b.shape, b.dtype)
        x = jax.pure_callback(host, shape, arrays, b, vmap_method="sequential")
        return _judge(x, b, transposed(operator) if transpose else operator, self.rtol)


class SparseDirect(HostDirect):
    """Sparse LU: SuperLU (through scipy) on the host, or cuDSS (through nvmath) on a GPU.

    For one- and two-dimensional problems and small three-dimensional ones. The last few factorisations are
    kept, keyed by the matrix itself, so that repeated solves with one matrix (a time loop, an adjoint) factorise
    once. Operators must provide `to_scipy` without JAX computation, so not `FunctionOperator`.

    - ``library``: ``"superlu"``, ``"cudss"``, or ``"auto"``, which is cuDSS where JAX computes on a GPU and
      ``nvmath`` is installed (``pip install 'gemel[cudss]'``). SuperLU says that a matrix is exactly singular
      (``NOT_FINITE``); cuDSS goes on with a small pivot, and the residual says it (``STAGNATION``).
    """

    library: str = eqx.field(static=True, default="auto")

    def __check_init__(self):
        if self.library not in ("auto", "superlu", "cudss"):
            raise ValueError(f"SparseDirect library {self.library!r}: use 'auto', 'superlu' or 'cudss'.")
        if self.library == "cudss" and not cudss.available():
            raise ValueError(
                "SparseDirect library 'cudss': it needs a GPU that JAX computes on, and nvmath-python with cuDSS; "
                "install them with pip install 'gemel[cuda,cudss]', or use 'superlu'."
            )

    def solve_on_host(self, operator: Any, b: Float[np.ndarray, " n"], transpose: bool) -> Float[np.ndarray, " n"]:
        """Solve by LU and one step of refinement."""
        return solve_on_host(operator.to_scipy(), b, transpose, self.library)


_FACTORS: collections.OrderedDict[bytes, Any] = collections.OrderedDict()
_KEPT_FACTORS = 4
_WORKER = concurrent.futures.ThreadPoolExecutor(1, "direct")
"""Factors live and die in one thread: scipy gives their memory back in no other, and XLA calls from many."""


class _SuperLU:
    """LU of a matrix on the host."""

    def __init__(self, matrix: scipy.sparse.csr_array) -> None:
        self._factors = scipy.sparse.linalg.splu(scipy.sparse.csc_array(matrix))

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return A⁻¹ b."""
        return self._factors.solve(b)

    def solve_transposed(self, b: np.ndarray) -> np.ndarray:
        """Return A⁻ᵀ b."""
        return self._factors.solve(b, trans="T")


class _CuDSS:
    """LU of a matrix on the device, and of its transpose once that is asked for, as cuDSS solves with A alone."""

    def __init__(self, matrix: scipy.sparse.csr_array) -> None:
        self._matrix, self._factors = matrix, cudss.Factors(matrix)
        self._transposed: cudss.Factors | None = None

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return A⁻¹ b."""
        return self._factors.solve(b)

    def solve_transposed(self, b: np.ndarray) -> np.ndarray:
        """Return A⁻ᵀ b."""
        if self._transposed is None:
            self._transposed = cudss.Factors(scipy.sparse.csr_array(self._matrix.T))
        return self._transposed.solve(b)


def _factorise(matrix: scipy.sparse.csr_array, kind: type[_SuperLU | _CuDSS]) -> _SuperLU | _CuDSS | None:
    """Return LU factors (None where the matrix is singular), from the last few if it is among them."""
    digest = hashlib.blake2b(kind.__name__.encode(), digest_size=16)
    for part in (matrix.data, matrix.indices, matrix.indptr):
        digest.update(np.ascontiguousarray(part).tobytes())
    key = digest.digest()
    if key in _FACTORS:
        _FACTORS.move_to_end(key)
        return _FACTORS[key]
    try:
        factors = kind(matrix)
    except RuntimeError:  # SuperLU's way to say that a pivot is exactly zero
        if kind is not _SuperLU:
            raise
        factors = None
    _FACTORS[key] = factors
    while len(_FACTORS) > _KEPT_FACTORS:
        _FACTORS.popitem(last=False)
    return factors


def solve_on_host(matrix: scipy.sparse.csr_array, b: np.ndarray, transpose: bool, library: str = "auto") -> np.ndarray:
    """Solve by LU and one step of refinement; NaN where the matrix is singular or not finite."""
    if not (np.all(np.isfinite(matrix.data)) and np.all(np.isfinite(b))):
        return np.full_like(b, np.nan)
    return _WORKER.submit(_solve, matrix, b, transpose, library).result()


def _solve(matrix: scipy.sparse.csr_array, b: np.ndarray, transpose: bool, library: str) -> np.ndarray:
    on_gpu = cudss.available() if library == "auto" else library == "cudss"
    factors = _factorise(matrix, _CuDSS if on_gpu else _SuperLU)
    if factors is None:
        return np.full_like(b, np.nan)
    solve, product = (factors.solve_transposed, matrix.T) if transpose else (factors.solve, matrix)
    x = solve(b)
    return (x + solve(b - product @ x)).astype(b.dtype)
