"""What a problem asks of the storage of its vectors and matrices."""

import abc
import functools
import operator
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Float

from gemel.engine.chunks import Chunks
from gemel.solvers.sparse import AssembledOperator


class ElementSum(eqx.Module):
    """The planned sum of the arrays of some elements into a global one."""

    @abc.abstractmethod
    def __call__(self, local: Sequence[Float[Array, "..."]]) -> Float[Array, "..."]:
        """Sum, for each group of elements, vectors ``(n_elements, n_local)``."""


class MatrixSum(eqx.Module):
    """The planned sum of the matrices of some elements into stored values."""

    @abc.abstractmethod
    def __call__(
        self, groups: Sequence[Sequence[Chunks]], total: Array | None = None, symmetric: bool = False
    ) -> Float[Array, "..."]:
        """Sum the matrices ``(n_local, n_local, n_elements)`` of several contributions to each group of elements, and
        add them to ``total`` where it is given; of ``symmetric`` ones what their operator needs will do.
        """


def together(groups: Sequence[Sequence[Chunks]]) -> list[Float[Array, "..."]]:
    """The matrices of each group of elements, of all contributions."""
    return [functools.reduce(operator.add, [chunks.filled() for chunks in group]) for group in groups]


class MatrixLayout(eqx.Module):
    """Where the entries of a problem's matrices are stored: those of all pairs of unknowns that share an element.

    Unknowns come in blocks: the components at a node. Matrices are arrays of ``shape``, which may be added to each
    other; `operator` makes an operator of one.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of the stored values."""

    @abc.abstractmethod
    def plan_vector(self, dofs: Sequence[np.ndarray]) -> ElementSum:
        """Plan the assembly of element vectors into a flat vector, for groups of elements with these unknowns
        ``(n_elements, n_local)``.
        """

    @abc.abstractmethod
    def graph(self) -> scipy.sparse.csr_array:
        """Which blocks share an element, on the host: a sparse matrix with as many rows, of which the places count.
        On a lattice it may hold fewer pairs that connect the same blocks with each other.
        """

    @abc.abstractmethod
    def operator(
        self,
        values: Float[Array, "..."],
        free: Array | np.ndarray | None = None,
        diagonal: Any = 1.0,
        *,
        symmetric: bool,
    ) -> AssembledOperator:
        """The operator with the given values.

        ``symmetric`` promises that they are those of a symmetric matrix: products with the transpose, and so
        derivatives in reverse mode, are wrong where it does not hold.
        Where ``free`` is given, the rows and columns of the other unknowns are replaced by ``diagonal`` on
        the diagonal: the restriction to the free unknowns at full size.
        """


class MatrixPlan(eqx.Module):
    """The assembly of the element matrices of several contributions.

    ``which`` says for each contribution which of the ``sums`` is its own; None where it has no tangent.
    """

    sums: tuple[MatrixSum, ...]
    which: tuple[int | None, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, parts: Sequence[Sequence[Chunks] | None], symmetric: bool = False) -> Float[Array, "..."]:
        """The stored values: for each contribution the matrices ``(n_local, n_local, n_elements)`` of each group of
        elements, or None where it adds nothing; with ``symmetric`` only what a symmetric operator needs. Raises
        `ValueError` for one of a contribution that has no plan.
        """
        if any(part is not None and own is None for part, own in zip(parts, self.which, strict=True)):
            raise ValueError(
                "A load that was planned without a tangent now depends on the field: build the physics with it."
            )
        total = None
        for number, assemble in enumerate(self.sums):
            mine = [part for part, own in zip(parts, self.which, strict=True) if own == number and part is not None]
            if mine:
                total = assemble(list(zip(*mine, strict=True)), total, symmetric)
        return jnp.zeros(self.shape) if total is None else total


def as_blocks(dofs: np.ndarray, width: int) -> tuple[np.ndarray, bool]:
    """The blocks of each element, and whether its unknowns are whole blocks in order (then one entry a block)."""
    dofs = np.asarray(dofs, dtype=np.int64)
    if width == 1:
        return dofs, True
    if dofs.shape[1] % width == 0:
        blocks = dofs[:, ::width] // width
        expanded = (blocks[:, :, None] * width + np.arange(width)).reshape(dofs.shape)
        if np.array_equal(expanded, dofs):
            return blocks, True
    return dofs // width, False
