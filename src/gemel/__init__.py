"""Gemel: a differentiable physics engine for digital twins.

Everything a user needs stands here; see `gemel.meshes`, `gemel.engine` and `gemel.solvers` for the rest.
"""

from gemel import engine, meshes, solvers
from gemel.engine import *  # noqa: F403
from gemel.meshes import Mesh, MeshError, box, grid, read_mesh, rectangle
from gemel.solvers import (
    AMG,
    CG,
    GMRES,
    DenseDirect,
    Jacobi,
    Solution,
    SolveError,
    SparseDirect,
    Status,
    linear_solve,
)

__version__ = "0.1.0"
__all__ = [
    *engine.__all__,
    "AMG",
    "CG",
    "GMRES",
    "DenseDirect",
    "Jacobi",
    "Mesh",
    "MeshError",
    "Solution",
    "SolveError",
    "SparseDirect",
    "Status",
    "box",
    "engine",
    "grid",
    "linear_solve",
    "meshes",
    "read_mesh",
    "rectangle",
    "solvers",
]
