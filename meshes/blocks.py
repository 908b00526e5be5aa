"""Cells of one type; a mesh is made of one or several such blocks, numbered one after the other."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Array, Int

from gemel.meshes.geometry import CellType, cell_dim, n_vertices


class CellBlock(eqx.Module):
    """Cells of one type.

    Attributes:
        cell_type: one of `CellType`.
        cells: nodes of every cell (n_cells, n_nodes) in the order of fenics-basix's Lagrange element:
            vertices first, in tensor order for quadrilaterals and hexahedra, (0,0), (1,0), (0,1), (1,1);
            the lower triangle before the upper one for prisms.
    """

    cell_type: CellType = eqx.field(static=True)
    cells: Int[Array | np.ndarray, "n_cells n_nodes"]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.cells.shape[0]

    @property
    def cell_dim(self) -> int:
        """Dimension of the cells: 1, 2 or 3."""
        return cell_dim(self.cell_type)

    @property
    def vertices(self) -> Int[Array | np.ndarray, "n_cells n_vertices"]:
        """Nodes of every cell that are its vertices: all nodes for degree 1."""
        return self.cells[:, : n_vertices(self.cell_type)]


def block_offsets(blocks: Sequence[CellBlock]) -> Int[np.ndarray, " n_blocks_plus_1"]:
    """The number of the first cell of every block, and the number of cells in all at the end."""
    return np.cumsum([0, *(block.n_cells for block in blocks)])
