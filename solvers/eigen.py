"""Symmetric generalised eigenvalue problems K φ = λ M φ: lowest pairs, differentiable in K and M."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Array, Float

from gemel.solvers.direct import SparseDirect
from gemel.solvers.implicit import stop_gradient, tangent_solve
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.operators import LinearOperator
from gemel.solvers.repeated_eigenvalues import first_order, groups_of, taken_apart
from gemel.solvers.solution import Code, Solution, Status

Pairs = tuple[Float[Array, " k"], Float[Array, "n k"]]


class EigenSolver(eqx.Module):
    """Finds the lowest k eigenpairs of K φ = λ M φ, K and M symmetric, M positive (semi)definite.

    ``compute`` is the bare method; `eigen_solve` adds the derivative, the normalisation and the signs.
    """

    k: eqx.AbstractVar[int]

    def __check_init__(self):
        if self.k < 1:
            raise ValueError(f"{type(self).__name__} k = {self.k}: at least one eigenpair must be asked for.")

    @abc.abstractmethod
    def init(self, stiffness: LinearOperator, mass: LinearOperator) -> Any:
        """Return the state for a pair of operators."""

    @abc.abstractmethod
    def compute(self, state: Any, stiffness: LinearOperator, mass: LinearOperator) -> Solution[Pairs]:
        """Return ascending eigenvalues (k,) and M-orthonormal vectors (n, k), the status, and ``steps``,
        ``residual``.

        ``residual`` is the largest ‖K φ − λ M φ‖₂ relative to |λ| ‖M φ‖₂ and what the solver adds to that.
        """


class ShiftInvert(EigenSolver):
    """Lanczos on (K − σM)⁻¹M, factorised sparsely on the host: the robust choice up to some 10⁴ unknowns.

    ``shift`` σ must not be an eigenvalue: 0 for a definite K, negative (of the size of the wanted
    eigenvalues) where K has rigid-body modes. The k eigenvalues nearest to σ are found, in ascending order, so σ below
    the spectrum gives the lowest; σ may lie inside it, and K may be indefinite. ``BREAKDOWN`` is for a K − σM that is
    singular, and for an M that shows a negative diagonal entry or a vector without positive φᵀMφ: it must be positive
    (semi)definite. The pairs are then refined in extended precision (one step of inverse
    iteration and a Rayleigh-Ritz step with products in long double), so that badly conditioned matrices,
    such as those of thin beams, keep the accuracy that their entries hold. ``rtol`` is the residual that
    counts as success. Operators as for `SparseDirect`; under vmap one after the other.

    Lehoucq, Sorensen, Yang, *ARPACK Users' Guide*, SIAM (1998).
    """

    k: int = eqx.field(static=True)
    shift: Float[Array, ""] | float
    rtol: float
    max_steps: int = eqx.field(static=True)

    def init(self, stiffness: LinearOperator, mass: LinearOperator) -> Any:
        """Return nothing: the factorisation lives on the host."""
        return None

    def compute(self, state: Any, stiffness: LinearOperator, mass: LinearOperator) -> Solution[Pairs]:
        """Solve on the host."""
        return pairs_on_host(
            lambda stiff, inert, shift: _lowest_on_host(stiff, inert, self.k, float(shift), self.max_steps),
            stiffness,
            mass,
            self.k,
            self.rtol,
            self.shift,
        )


def pairs_on_host(
    function: Callable[..., tuple[Any, Any, Any, Any]],
    stiffness: LinearOperator,
    mass: LinearOperator,
    k: int,
    rtol: float,
    *numbers: Any,
) -> Solution[Pairs]:
    """Call a host solver from jitted code; under vmap one member after the other.

    ``function`` of the two matrices (scipy) and the ``numbers`` returns eigenvalues, vectors, the residual and the
    code, with NaN where it fails; a residual above ``rtol`` is ``STAGNATION``. Raises `ValueError` where there are
    not more than k unknowns.
    """
    if k >= stiffness.n:
        raise ValueError(f"k = {k} eigenpairs: a problem of {stiffness.n} unknowns allows fewer.")
    arrays, rest = eqx.partition((stiffness, mass), eqx.is_array)

    def host(leaves, numbers):
        first, second = eqx.combine(jax.tree.map(np.asarray, leaves), rest)
        return function(first.to_scipy(), second.to_scipy(), *(np.asarray(number) for number in numbers))

    dtype = jax.eval_shape(stiffness.diagonal).dtype
    shapes = (
        jax.ShapeDtypeStruct((k,), dtype),
        jax.ShapeDtypeStruct((stiffness.n, k), dtype),
        jax.ShapeDtypeStruct((), dtype),
        jax.ShapeDtypeStruct((), np.int32),
    )
    given = tuple(jnp.asarray(number, dtype) for number in numbers)
    values, vectors, residual, code = jax.pure_callback(host, shapes, arrays, given, vmap_method="sequential")
    code = jnp.where((code == 0) & ~(residual <= rtol), Code.STAGNATION, code).astype(jnp.int32)
    statistics = {"steps": jnp.ones((), jnp.int32), "residual": residual}
    return Solution((values, vectors), Status(code), statistics)


def _lowest_on_host(stiff: Any, inert: Any, k: int, shift: float, max_steps: int):
    """Return (eigenvalues, vectors, residual, code); NaN where the factorisation or Lanczos fails."""
    n = stiff.shape[0]
    failed = (np.full(k, np.nan), np.full((n, k), np.nan), np.float64(np.nan))
    if not (np.all(np.isfinite(stiff.data)) and np.all(np.isfinite(inert.data))):
        return *failed, np.int32(Code.NOT_FINITE)
    masses = inert.diagonal()
    if np.any(masses < -1e-12 * np.max(np.abs(masses))):
        # An indefinite M can have eigenvectors of positive mass: some would be found, at random.
        return *failed, np.int32(Code.BREAKDOWN)
    shifted = scipy.sparse.csc_array(stiff - shift * inert)
    try:
        factors = scipy.sparse.linalg.splu(shifted)
        vectors = _krylov_vectors(factors, shifted, inert, k, max_steps)
        values, vectors, residual = _refine(factors, stiff, inert, vectors, shift)
    except scipy.sparse.linalg.ArpackNoConvergence:
        return *failed, np.int32(Code.MAX_STEPS)
    except (RuntimeError, np.linalg.LinAlgError):  # a zero pivot, or vectors that do not span
        return *failed, np.int32(Code.BREAKDOWN)
    return values, vectors, residual, np.int32(Code.SUCCESS)


class _Inverse:
    """A factorisation in the form that scipy takes as an operator."""

    def __init__(self, factors: Any, shape: tuple[int, int]):
        self.factors, self.shape, self.dtype = factors, shape, np.dtype(float)

    def matvec(self, b: np.ndarray) -> np.ndarray:
        """Return the solution."""
        return self.factors.solve(np.ravel(b))


def _krylov_vectors(factors: Any, shifted: Any, inert: Any, k: int, max_steps: int) -> np.ndarray:
    """Return vectors that span the eigenspace nearest to the shift."""
    n = shifted.shape[0]
    if n <= max(4 * k, 60):
        return _dense_vectors(shifted.toarray(), inert.toarray(), k)
    solve: Any = scipy.sparse.linalg.aslinearoperator(_Inverse(factors, (n, n)))
    start = factors.solve(inert @ np.random.default_rng(0).standard_normal(n))
    basis = min(n - 1, max(2 * k + 8, 20))
    _, vectors = scipy.sparse.linalg.eigsh(
        shifted, k, inert, sigma=0.0, OPinv=solve, v0=start, ncv=basis, maxiter=max_steps
    )
    # What rounding put into the null space of a semidefinite M goes (Nour-Omid et al., Math. Comp. 48, 1987).
    return factors.solve(inert @ vectors)


def _dense_vectors(shifted: np.ndarray, inert: np.ndarray, k: int) -> np.ndarray:
    """The same for a small problem; with a root of M, M = B Bᵀ, where K − σM is not definite."""
    try:
        values, vectors = scipy.linalg.eigh(inert, shifted)
    except np.linalg.LinAlgError:
        sizes, frame = np.linalg.eigh(inert)
        root = frame * np.sqrt(np.maximum(sizes, 0.0))
        swept = np.linalg.solve(shifted, root)
        values, mix = np.linalg.eigh(root.T @ swept)
        vectors = swept @ mix
    return vectors[:, np.argsort(-np.abs(values))[:k]]


def _refine(factors: Any, stiff: Any, inert: Any, vectors: np.ndarray, shift: float):
    """Inverse iteration with a long-double residual, and Rayleigh-Ritz with long-double products."""
    wide = np.longdouble
    stiff_wide, inert_wide = stiff.astype(wide), inert.astype(wide)
    values = np.zeros(vectors.shape[1])
    for _ in range(2):
        x = vectors.astype(wide)
        small_k, small_m = x.T @ (stiff_wide @ x), x.T @ (inert_wide @ x)
        _check_positive(np.diag(small_m))
        scale = 1 / np.sqrt(np.diag(small_m))
        small_k, small_m = scale[:, None] * small_k * scale, scale[:, None] * small_m * scale
        values, mix = _small_eigen(small_k, small_m, shift)
        x = (x * scale) @ mix
        wrong = stiff_wide @ x - (inert_wide @ x) * values
        vectors = x - factors.solve(np.asarray(wrong, float)).astype(wide)
    x = vectors.astype(wide)
    square = np.einsum("nk,nk->k", x, inert_wide @ x)
    _check_positive(square)
    x = x / np.sqrt(square)
    exact = np.einsum("nk,nk->k", x, stiff_wide @ x)
    order = np.argsort(exact)
    wrong = np.linalg.norm(np.asarray(stiff_wide @ x - (inert_wide @ x) * exact, float), axis=0)
    scale = (np.abs(exact) + abs(shift)) * np.linalg.norm(np.asarray(inert_wide @ x, float), axis=0)
    residual = np.float64(np.max(wrong / np.asarray(np.where(scale == 0, 1, scale), float)))
    return np.asarray(exact[order], float), np.asarray(x[:, order], float), residual


def _check_positive(squares: np.ndarray) -> None:
    """Raise `LinAlgError` where φᵀMφ is not positive: M is indefinite, or a vector lies in its null space."""
    if not (np.all(squares > 0) and np.all(np.isfinite(squares))):
        raise np.linalg.LinAlgError("The mass of a vector is not positive.")


def _small_eigen(small_k: np.ndarray, small_m: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenpairs of the projected problem, by inversion so that small eigenvalues keep their digits."""
    moved, inert = np.asarray(small_k - np.longdouble(shift) * small_m, float), np.asarray(small_m, float)
    try:
        inverse, mix = scipy.linalg.eigh(inert, moved)
        distances = 1 / inverse
    except np.linalg.LinAlgError:  # eigenvalues on both sides of the shift
        distances, mix = scipy.linalg.eigh(moved, inert)
    order = np.argsort(distances)
    mix = mix[:, order]
    mix = mix / np.sqrt(np.einsum("ik,ij,jk->k", mix, inert, mix))
    return shift + distances[order], mix


# The derivative.


class BorderedOperator(LinearOperator):
    """The bordered matrix [[K − λM, −B], [−Bᵀ, I − G]] of n + k unknowns, with the columns Mφ of one eigenvalue's
    vectors in B and ones for them in the diagonal matrix G, zeros for the other vectors: regular for an eigenvalue all
    of whose vectors are among the k.
    """

    stiffness: LinearOperator
    mass: LinearOperator
    value: Float[Array, ""]
    border: Float[Array, "n k"]
    group: Float[Array, " k"]
    symmetric: bool = eqx.field(static=True, default=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def n(self) -> int:
        """Number of unknowns, k more than those of K."""
        return self.stiffness.n + self.group.shape[-1]

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the product with (φ̇, λ̇)."""
        d, rates = x[: self.stiffness.n], x[self.stiffness.n :]
        top = self.stiffness.mv(d) - self.value * self.mass.mv(d) - self.border @ rates
        return jnp.concatenate([top, (1 - self.group) * rates - self.border.T @ d])

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the product: the matrix is symmetric."""
        return self.mv(x)

    def transpose(self) -> LinearOperator:
        """Return the operator itself."""
        return self

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return jnp.concatenate([self.stiffness.diagonal() - self.value * self.mass.diagonal(), 1 - self.group])

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the bordered matrix on the host."""
        border = scipy.sparse.coo_array(-np.asarray(self.border))
        top = self.stiffness.to_scipy() - np.asarray(self.value) * self.mass.to_scipy()
        corner = scipy.sparse.diags_array(1 - np.asarray(self.group))
        return scipy.sparse.csr_array(scipy.sparse.block_array([[top, border], [border.T, corner]]))


class _Problem(eqx.Module):
    solver: EigenSolver
    linear_solver: LinearSolver
    state: Any
    stiffness: LinearOperator
    mass: LinearOperator


@eqx.filter_custom_jvp
def _pairs(problem: _Problem) -> tuple[Array, Array, Any]:
    stiffness, mass = problem.stiffness, problem.mass
    solution = problem.solver.compute(problem.state, stiffness, mass)
    values, vectors = solution.value
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0)[None], axis=0)
    return values, vectors * jnp.where(largest < 0, -1.0, 1.0), (solution.status, solution.statistics)


@_pairs.def_jvp
def _pairs_jvp(primals, tangents):
    (problem,), (change,) = primals, tangents
    values, vectors, aux = _pairs(problem)
    daux = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else None, aux)

    def products(operators):
        stiffness, mass = operators
        stiff = jax.vmap(stiffness.mv, 1, 1)(vectors)
        inert = jax.vmap(mass.mv, 1, 1)(vectors)
        return stiff, inert

    operators = (problem.stiffness, problem.mass)
    doperators = (change.stiffness, change.mass)
    if all(t is None for t in jax.tree.leaves(doperators, is_leaf=lambda t: t is None)):
        return (values, vectors, aux), (jnp.zeros_like(values), jnp.zeros_like(vectors), daux)
    (_, inert), (dstiff, dinert) = eqx.filter_jvp(products, (operators,), (doperators,))
    dstiff = jnp.zeros_like(vectors) if dstiff is None else dstiff
    dinert = jnp.zeros_like(vectors) if dinert is None else dinert
    load = dstiff - values * dinert
    dvalues = jnp.einsum("nk,nk->k", vectors, load)
    groups = groups_of(values)
    apart, turns = taken_apart(values, groups)
    mixed = vectors.T @ load

    def rate(value, group, load, dinert):
        bordered = BorderedOperator(problem.stiffness, problem.mass, value, inert * group, group)
        rhs = jnp.concatenate([-load, 0.5 * group * (vectors.T @ dinert)])
        return tangent_solve(bordered, rhs, problem.linear_solver, None)[: vectors.shape[0]]

    dvectors = jax.vmap(rate, (0, 1, 1, 1), 1)(values, groups, load, dinert)
    dvectors = dvectors + vectors @ (0.5 * turns * (mixed + mixed.T))
    repeated, mark = jnp.sum(groups, axis=1) > 1, jnp.sum(vectors, axis=0)
    return (apart, vectors, aux), (first_order(dvalues, mark, repeated), first_order(dvectors, mark, repeated), daux)


def eigen_solve(
    stiffness: LinearOperator,
    mass: LinearOperator,
    solver: EigenSolver,
    state: Any = None,
    linear_solver: LinearSolver | None = None,
) -> Solution[Pairs]:
    """Find the lowest pairs of K φ = λ M φ; differentiable in the leaves of K and M, forward and reverse,
    to any order where they are simple.

    Eigenvalues: dλ = φᵀ(dK − λ dM)φ, without a solve. Eigenvectors: the bordered system
    (K − λM) dφ − Mφ dλ = −(dK − λ dM)φ,  φᵀM dφ = −½ φᵀdM φ, one for each vector, by ``linear_solver``
    (None is `SparseDirect` with rtol 10⁻⁴; pass `DenseDirect` for operators it cannot take).

    Of a repeated eigenvalue first derivatives exist of functions that do not ask which of its vectors is which, such as
    Σ f(λᵢ), Σ (wᵀφᵢ)² or the modal flexibility Σ φᵢφᵢᵀ/λᵢ over all of them. With H = Φᵀ(dK − λ dM)Φ that of
    Σ f(λᵢ) φᵢφᵢᵀ is Φ(f′(λ) H)Φᵀ beside f(λ) times that of ΦΦᵀ, and f′(λ) is what a divided difference of f tends to:
    where they are differentiated the λᵢ are taken apart by 1.5·10⁻⁸ of themselves, the root of the precision, and the
    vectors turn among themselves by H over these distances, as those of a pencil so near. So right, to about 10⁻⁸, is
    all that has a derivative, and values are off by as much there. What has none says so by a derivative of some 10⁸
    times its size: one vector, or a component of it, wherever H is not diagonal. One eigenvalue of several has the rate
    of its φᵢ, its own only in directions where H is diagonal. Second derivatives are NaN. Vectors of eigenvalues about
    zero, as those of rigid motions, do not turn: there f(λᵢ) may not meet its vector. Derivatives of vectors whose
    eigenvalue has more of them than are among the k mean nothing. Eigenvalues count as the same within 10⁻⁷ of
    themselves, or 10⁻¹⁰ of the largest one.

    Vectors are M-orthonormal, and the entry of largest magnitude of each is positive. Returns ((k,), (n,
    k)), the status and the statistics of the solver.

    Nelson, *Simplified calculation of eigenvector derivatives*, AIAA J. 14 (1976); repeated eigenvalues: Dailey,
    *Eigenvector derivatives with repeated eigenvalues*, AIAA J. 27 (1989); sums over them: Daleckii, Krein,
    *Integration and differentiation of functions of Hermitian operators*, AMS Transl. 47 (1965).
    """
    frozen = stop_gradient((stiffness, mass))
    state = solver.init(*frozen) if state is None else stop_gradient(state)
    linear_solver = SparseDirect(1e-4) if linear_solver is None else linear_solver
    values, vectors, (status, statistics) = _pairs(_Problem(solver, linear_solver, state, stiffness, mass))
    return Solution((values, vectors), status, statistics)
