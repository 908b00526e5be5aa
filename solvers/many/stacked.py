"""Several operators of one structure as one: their floating-point leaves have a leading axis, indices are shared."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import scipy.sparse
from jaxtyping import Array, Float

from gemel.solvers.operators import LinearOperator, transposed


def float_axis(leaf: Any) -> int | None:
    """The axis of the scenarios: floating-point leaves have one, tables of indices are shared."""
    return 0 if eqx.is_inexact_array(leaf) else None


def partition(tree: Any) -> tuple[Any, Any]:
    """What has an axis of scenarios, and what is shared."""
    return eqx.partition(tree, eqx.is_inexact_array)


def take(tree: Any, index: Any) -> Any:
    """The entries along the axis of scenarios."""
    mapped, rest = partition(tree)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[index], mapped), rest)


class StackedOperator(LinearOperator):
    """diag(A₁, ..., A_k) on k vectors one after the other: ``count`` times one operator, or an operator whose
    floating-point leaves have a leading axis of ``count`` scenarios (``varied``).
    """

    operator: LinearOperator
    count: int = eqx.field(static=True)
    varied: bool = eqx.field(static=True)

    @property
    def symmetric(self) -> bool:
        """True where the operators are."""
        return self.operator.symmetric

    @property
    def n(self) -> int:
        """Number of unknowns in all."""
        return self.count * self.size

    @property
    def size(self) -> int:
        """Number of unknowns of one system."""
        return eqx.filter_eval_shape(lambda: self.each(lambda operator: operator.diagonal())).shape[-1]

    def each(self, function: Any, *vectors: Array) -> Any:
        """``function`` of each operator and its vectors, which have a leading axis."""
        axes = (float_axis if self.varied else None, *(0 for _ in vectors))
        mapped = eqx.filter_vmap(function, in_axes=axes, out_axes=float_axis, axis_size=self.count)
        return mapped(self.operator, *vectors)

    def mv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the products."""
        return self.each(lambda a, v: a.mv(v), x.reshape(self.count, -1)).reshape(-1)

    def rmv(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Return the transposed products."""
        return self.each(lambda a, v: a.rmv(v), x.reshape(self.count, -1)).reshape(-1)

    def transpose(self) -> "StackedOperator":
        """Return diag(A₁ᵀ, ..., A_kᵀ)."""
        flipped = self.each(transposed) if self.varied else transposed(self.operator)
        return StackedOperator(flipped, self.count, self.varied)

    def diagonal(self) -> Float[Array, " n"]:
        """Return the diagonal."""
        return self.each(lambda operator: operator.diagonal()).reshape(-1)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return the block-diagonal matrix on the host."""
        parts = [self.of(i).to_scipy() if self.varied else self.operator.to_scipy() for i in range(self.count)]
        return scipy.sparse.csr_array(scipy.sparse.block_diag(parts))

    def of(self, index: int) -> LinearOperator:
        """One of the operators."""
        return take(self.operator, index) if self.varied else self.operator


def stack_operators(operators: list[Any]) -> Any:
    """One operator with a leading axis on every floating-point leaf, from several of one structure.

    Indices are those of the first. Raises `ValueError` where structures or shapes differ.
    """
    if not operators:
        raise ValueError("stack_operators needs at least one operator.")
    mapped = [partition(operator)[0] for operator in operators]
    shapes = [(jax.tree.structure(tree), [leaf.shape for leaf in jax.tree.leaves(tree)]) for tree in mapped]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("stack_operators: the operators differ in type, pattern or shape.")
    leaves = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mapped)
    return eqx.combine(leaves, partition(operators[0])[1])
