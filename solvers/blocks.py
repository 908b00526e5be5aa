"""The blocks of a sparse matrix whose unknowns are several fields, one after the other."""

import itertools
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Array, Int

from gemel.solvers.bilinear import product
from gemel.solvers.padded_product import Structure
from gemel.solvers.padded_rows import PaddedRows, build_rows, filled, join_slots, split_slots
from gemel.solvers.placing import on_device
from gemel.solvers.sparse import SparseOperator, SparsityPattern


class Coupling(eqx.Module):
    """A rectangular block in padded rows."""

    rows: PaddedRows
    values: tuple[Array, ...]

    def mv(self, x: Array) -> Array:
        """Return the product."""
        return product(Structure(self.rows), self.values, x)


class _Diagonal(eqx.Module):
    """Where the entries of a block on the diagonal stand in the stored values of the whole, and its own pattern."""

    entries: Int[Array | np.ndarray, " nnz"]
    pattern: SparsityPattern


class _Off(eqx.Module):
    """The same for another block; padding points one past the end."""

    entries: Int[Array | np.ndarray, " stored"]
    rows: PaddedRows


class Blocks(eqx.Module):
    """Where the blocks A_ij of a `SparseOperator` are: found once on the host, gathered from new values anywhere.

    ``sizes`` are the numbers of unknowns of the fields, in the order in which they follow one another. Couplings are
    kept where one is stored.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)
    diagonals: tuple[_Diagonal | None, ...]
    couplings: dict[tuple[int, int], _Off]

    @staticmethod
    def of(pattern: SparsityPattern, sizes: tuple[int, ...]) -> "Blocks":
        """Find the blocks, on the host. Raises `ValueError` where the sizes do not add up to the unknowns."""
        if sum(sizes) != pattern.n or min(sizes) < 1:
            raise ValueError(f"Fields of {', '.join(map(str, sizes))} unknowns do not make up {pattern.n} unknowns.")
        rows, columns, place = pattern.entries()
        # Numbers from one: scipy must not take the first entry for a zero.
        numbers = np.arange(1, len(place) + 1)
        whole = scipy.sparse.csr_array((numbers, (rows, columns)), shape=(pattern.n, pattern.n))
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        diagonals, couplings = [], {}
        for i, rows in enumerate(itertools.pairwise(bounds)):
            for j, columns in enumerate(itertools.pairwise(bounds)):
                part = scipy.sparse.csr_array(whole[slice(*rows)][:, slice(*columns)])
                part.sort_indices()
                entries = place[np.asarray(part.data, np.int64) - 1]
                if i == j:
                    own = SparsityPattern.build(part.indptr, part.indices) if part.nnz else None
                    diagonals.append(None if own is None else _Diagonal(on_device(entries.astype(np.int32)), own))
                elif part.nnz:
                    layout = build_rows(part.indptr, part.indices)
                    found = filled(layout, part.indptr, entries.astype(np.int32), np.int32, math.prod(pattern.stored))
                    couplings[i, j] = _Off(on_device(np.concatenate([f.ravel() for f in found])), layout.rows)
        return Blocks(tuple(sizes), tuple(diagonals), couplings)

    def split(self, x: Array) -> list[Array]:
        """A vector by field."""
        return jnp.split(x, np.cumsum(self.sizes)[:-1].tolist())

    def diagonal(self, operator: SparseOperator, i: int) -> SparseOperator:
        """Return A_ii. Raises `ValueError` where nothing of it is stored."""
        found = self.diagonals[i]
        if found is None:
            raise ValueError(f"Field {i} has no entries of its own: say what stands for it.")
        flat = join_slots(operator.values).reshape(-1)
        return found.pattern.operator(flat[jnp.asarray(found.entries)], operator.symmetric)

    def coupling(self, operator: SparseOperator, i: int, j: int) -> Coupling | None:
        """Return A_ij; None where the fields do not couple there."""
        found = self.couplings.get((i, j))
        if found is None:
            return None
        flat = join_slots(operator.values).reshape(-1)
        flat = jnp.concatenate([flat, jnp.zeros(1, flat.dtype)])
        return Coupling(found.rows, split_slots(flat[jnp.asarray(found.entries)][None, None], found.rows))
