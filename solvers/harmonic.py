"""Complex symmetric systems (A + iB)(x + iy) = f + ig of harmonic response, as real ones of twice the size."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float

from gemel.solvers.direct import solve_on_host
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.operators import LinearOperator, transposed
from gemel.solvers.solution import Code, Solution, Status


class HarmonicOperator(LinearOperator):
    """The real matrix [[A, −B], [−B, −A]], symmetric where A and B are; it maps (x, y) to (f, −g)."""

    real: LinearOperator
    imaginary: LinearOperator

    def __check_init__(self):
        if self.real.n != self.imaginary.n:
            raise ValueError(
                f"HarmonicOperator joins operators of {self.real.n} and {self.imaginary.n} unknowns; "
                "both must have the same number."
            )

    @property
    def symmetric(self) -> bool:
        """True where both parts are symmetric."""
        return self.real.symmetric and self.imaginary.symmetric

    @property
    def n(self) -> int:
        """Twice the number of complex unknowns."""
        return 2 * self.real.n

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the product."""
        top, bottom = jnp.split(x, 2)
        first = self.real.mv(top) - self.imaginary.mv(bottom)
        return jnp.concatenate([first, -self.imaginary.mv(top) - self.real.mv(bottom)])

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the transposed product."""
        return self.transpose().mv(x)

    def transpose(self) -> LinearOperator:
        """Return the operator of Aᵀ and Bᵀ."""
        return HarmonicOperator(transposed(self.real), transposed(self.imaginary))

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return jnp.concatenate([self.real.diagonal(), -self.real.diagonal()])

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the real matrix on the host."""
        a, b = self.real.to_scipy(), self.imaginary.to_scipy()
        return scipy.sparse.csr_array(scipy.sparse.block_array([[a, -b], [-b, -a]]))


class HarmonicDirect(LinearSolver):
    """Sparse LU of the complex matrix A + iB on the host, for a `HarmonicOperator`.

    It works under vmap one member after the other, and costs about a third of a factorisation of the real matrix
    of twice the size. ``rtol`` as in `SparseDirect`; an exactly singular matrix (an undamped resonance) gives
    ``NOT_FINITE``.
    """

    rtol: float

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
        """Solve on the host. Raises `ValueError` for another operator."""
        if not isinstance(operator, HarmonicOperator):
            raise ValueError(f"HarmonicDirect solves with a HarmonicOperator, not a {type(operator).__name__}.")
        arrays, rest = eqx.partition(operator, eqx.is_array)

        def host(leaves, rhs):
            parts = eqx.combine(jax.tree.map(np.asarray, leaves), rest)
            matrix = scipy.sparse.csr_array(parts.real.to_scipy() + 1j * parts.imaginary.to_scipy())
            f, g = np.split(np.asarray(rhs), 2)
            z: Any = solve_on_host(matrix, f - 1j * g, transpose)
            return np.concatenate([z.real, z.imag]).astype(rhs.dtype)

        shape = jax.ShapeDtypeStruct(b.shape, b.dtype)
        x = jax.pure_callback(host, shape, arrays, b, vmap_method="sequential")
        whole = transposed(operator) if transpose else operator
        residual = jnp.linalg.norm(b - whole.mv(x))
        code = jnp.where(residual <= self.rtol * jnp.linalg.norm(b), Code.SUCCESS, Code.STAGNATION)
        code = jnp.where(jnp.isfinite(residual), code, Code.NOT_FINITE)
        statistics = {"steps": jnp.ones((), jnp.int32), "residual": residual}
        return Solution(x, Status(code.astype(jnp.int32)), statistics)
