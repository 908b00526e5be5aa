"""From element arrays to global vectors and matrices: by planned gathers, or by slices on a lattice."""

from gemel.engine.assembly.gathers import GatherSum
from gemel.engine.assembly.lattices import LatticeLayout, lattice_of
from gemel.engine.assembly.layout import ElementSum, MatrixLayout, MatrixPlan
from gemel.engine.assembly.rows import RowLayout

__all__ = [
    "ElementSum",
    "GatherSum",
    "LatticeLayout",
    "MatrixLayout",
    "MatrixPlan",
    "RowLayout",
    "lattice_of",
]
