"""Linear operators: what a Krylov method, a preconditioner and a direct factorisation need of a matrix."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Bool, Float


class LinearOperator(eqx.Module):
    """A square linear map x ↦ A x on flat vectors of length ``n``.

    Implementations are pytrees: everything that may be differentiated is a leaf. ``symmetric`` is a promise
    about the values (A = Aᵀ), made by whoever builds the operator and relied upon by adjoint solves.
    """

    if TYPE_CHECKING:
        # For type checkers a property: an abstract variable would take the first place in every constructor.
        @property
        def symmetric(self) -> bool:
            """True where A = Aᵀ."""
            ...
    else:
        symmetric: eqx.AbstractVar[bool]

    @property
    @abc.abstractmethod
    def n(self) -> int:
        """Number of unknowns."""

    @abc.abstractmethod
    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return A x."""

    @abc.abstractmethod
    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return Aᵀ x."""

    @abc.abstractmethod
    def transpose(self) -> "LinearOperator":
        """Return Aᵀ as an operator."""

    @abc.abstractmethod
    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal of A."""

    @abc.abstractmethod
    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return A as a scipy matrix on the host. Needs concrete leaves."""


def dense_matrix(operator: LinearOperator) -> Float[Array, "n n"]:
    """Return the dense matrix of an operator by applying it to every unit vector: n products, n² storage."""
    dtype = jax.eval_shape(operator.diagonal).dtype
    columns = jax.vmap(operator.mv)(jnp.eye(operator.n, dtype=dtype))
    return columns.T


class TransposedOperator(LinearOperator):
    """The transpose Aᵀ of another operator A."""

    operator: LinearOperator
    symmetric: bool = eqx.field(static=True, default=False)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.operator.n

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return Aᵀ x."""
        return self.operator.rmv(x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return A x."""
        return self.operator.mv(x)

    def transpose(self) -> LinearOperator:
        """Return A."""
        return self.operator

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal, which A and Aᵀ share."""
        return self.operator.diagonal()

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return Aᵀ as a scipy matrix on the host."""
        return scipy.sparse.csr_array(self.operator.to_scipy().T)


def transposed(operator: LinearOperator) -> LinearOperator:
    """Return the operator itself where it is symmetric, its transpose otherwise."""
    return operator if operator.symmetric else operator.transpose()


class FunctionOperator(LinearOperator):
    """A matrix-free operator x ↦ ``fn(args, x)``, linear in x.

    ``args`` (and the leaves of ``fn`` where it is a pytree) carry all that is differentiated. The
    transpose comes from `jax.linear_transpose`. The diagonal and the matrix need n products, so they are
    for small n.
    """

    fn: Callable[[Any, Array], Array]
    size: int = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    args: Any = None
    dtype: np.dtype = eqx.field(static=True, default=np.dtype(np.float64), converter=np.dtype)

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.size

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return fn(args, x)."""
        return self.fn(self.args, x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the transposed map applied to x."""
        if self.symmetric:
            return self.mv(x)
        (result,) = jax.linear_transpose(self.mv, x)(x)
        return result

    def transpose(self) -> LinearOperator:
        """Return Aᵀ as an operator."""
        return self if self.symmetric else TransposedOperator(self)

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal, from n products."""
        unit = jnp.eye(self.size, dtype=self.dtype)
        return jax.vmap(lambda e: jnp.vdot(e, self.mv(e)))(unit)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return A as a scipy matrix on the host, from n products."""
        return scipy.sparse.csr_array(np.asarray(dense_matrix(self)))


class DenseOperator(LinearOperator):
    """A dense matrix as an operator."""

    matrix: Float[Array, "n n"]
    symmetric: bool = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.matrix.shape[-1]

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return A x."""
        return self.matrix @ x

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return Aᵀ x."""
        return self.matrix.T @ x

    def transpose(self) -> LinearOperator:
        """Return Aᵀ as an operator."""
        return self if self.symmetric else DenseOperator(self.matrix.T, False)

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return jnp.diagonal(self.matrix)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return A as a scipy matrix on the host."""
        return scipy.sparse.csr_array(np.asarray(self.matrix))


class DiagonalOperator(LinearOperator):
    """The diagonal matrix diag(d), for example a lumped mass matrix."""

    values: Float[Array, " n"]
    symmetric: bool = eqx.field(static=True, default=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.values.shape[-1]

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return d x."""
        return self.values * x

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return d x."""
        return self.values * x

    def transpose(self) -> LinearOperator:
        """Return the operator itself."""
        return self

    def diagonal(self) -> Float[Array, " n"]:
        """Return d."""
        return self.values

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return diag(d) as a scipy matrix on the host."""
        return scipy.sparse.csr_array(scipy.sparse.diags_array(np.asarray(self.values)))


class SumOperator(LinearOperator):
    """The combination a A + b B, for example M + γΔt K.

    For two `SparseOperator` on one pattern `gemel.solvers.linear_combination` adds the values once instead.
    """

    a: Float[Array, ""] | float
    first: LinearOperator
    b: Float[Array, ""] | float
    second: LinearOperator

    def __check_init__(self):
        if self.first.n != self.second.n:
            raise ValueError(
                f"SumOperator adds operators of {self.first.n} and {self.second.n} unknowns; "
                "both must have the same number."
            )

    @property
    def symmetric(self) -> bool:
        """True where both parts are symmetric."""
        return self.first.symmetric and self.second.symmetric

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.first.n

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return a A x + b B x."""
        return self.a * self.first.mv(x) + self.b * self.second.mv(x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return a Aᵀ x + b Bᵀ x."""
        return self.a * self.first.rmv(x) + self.b * self.second.rmv(x)

    def transpose(self) -> LinearOperator:
        """Return a Aᵀ + b Bᵀ."""
        return SumOperator(self.a, transposed(self.first), self.b, transposed(self.second))

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return self.a * self.first.diagonal() + self.b * self.second.diagonal()

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the sum as a scipy matrix on the host."""
        first, second = self.first.to_scipy(), self.second.to_scipy()
        return scipy.sparse.csr_array(np.asarray(self.a) * first + np.asarray(self.b) * second)


class ConstrainedOperator(LinearOperator):
    """Dirichlet conditions by lifting, on full-size vectors: P A P + s (I − P), P the projection on free
    unknowns.

    The size and the symmetry of A are kept. ``scale`` s is 1 for a stiffness matrix (the fixed unknowns
    decouple) and 0 for the mass matrix of an eigenvalue or a time-dependent problem (they carry no inertia).
    """

    operator: LinearOperator
    free: Bool[Array, " n"]
    scale: Float[Array, ""] | float = 1.0

    @property
    def symmetric(self) -> bool:
        """True where A is symmetric."""
        return self.operator.symmetric

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.operator.n

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return P A P x + s (x − P x)."""
        return jnp.where(self.free, self.operator.mv(jnp.where(self.free, x, 0.0)), self.scale * x)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return P Aᵀ P x + s (x − P x)."""
        return jnp.where(self.free, self.operator.rmv(jnp.where(self.free, x, 0.0)), self.scale * x)

    def transpose(self) -> LinearOperator:
        """Return P Aᵀ P + s (I − P)."""
        return ConstrainedOperator(transposed(self.operator), self.free, self.scale)

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return jnp.where(self.free, self.operator.diagonal(), self.scale)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the constrained matrix on the host, without the eliminated entries."""
        free = np.asarray(self.free)
        keep = scipy.sparse.diags_array(free.astype(float))
        fixed = scipy.sparse.diags_array(np.where(free, 0.0, np.asarray(self.scale)))
        matrix = scipy.sparse.csr_array(keep @ self.operator.to_scipy() @ keep + fixed)
        matrix.eliminate_zeros()
        return matrix
