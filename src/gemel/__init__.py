"""Gemel: a differentiable physics engine for digital twins.

What a user needs stands here; `gemel.meshes`, `gemel.engine` and `gemel.solvers` hold the rest. Importing gemel
changes no global state: turn double precision on with ``jax.config.update("jax_enable_x64", True)``.
"""

from typing import TYPE_CHECKING, Any

from gemel import engine, meshes, solvers
from gemel.engine import *  # noqa: F403
from gemel.meshes import (
    CellBlock,
    Mesh,
    MeshError,
    box,
    elevate,
    extrude,
    frame,
    grid,
    join,
    line,
    periodic_pairs,
    polyline,
    quality,
    read_mesh,
    rectangle,
    refine,
    renumber,
    submesh,
    write_mesh,
    write_vtkhdf,
)
from gemel.solvers import (
    AMG,
    BDF2,
    CG,
    GMRES,
    LBFGS,
    SDIRK2,
    SDIRK4,
    CentralDifference,
    Code,
    CrankNicolson,
    DenseDirect,
    EarlyStopping,
    ErrorControl,
    GeneralizedAlpha,
    GradientDescent,
    ImplicitEuler,
    Jacobi,
    LevenbergMarquardt,
    Multigrid,
    Newmark,
    Newton,
    Solution,
    SolveError,
    SparseDirect,
    Status,
    step_grid,
)

if TYPE_CHECKING:
    from gemel.bindings.client import Client

__version__ = "0.1.0"
__all__ = [
    "AMG",
    "BDF2",
    "CG",
    "GMRES",
    "LBFGS",
    "SDIRK2",
    "SDIRK4",
    "CellBlock",
    "CentralDifference",
    "Client",
    "Code",
    "CrankNicolson",
    "DenseDirect",
    "EarlyStopping",
    "ErrorControl",
    "GeneralizedAlpha",
    "GradientDescent",
    "ImplicitEuler",
    "Jacobi",
    "LevenbergMarquardt",
    "Mesh",
    "MeshError",
    "Multigrid",
    "Newmark",
    "Newton",
    "Solution",
    "SolveError",
    "SparseDirect",
    "Status",
    "box",
    "elevate",
    "engine",
    "extrude",
    "frame",
    "grid",
    "join",
    "line",
    "meshes",
    "periodic_pairs",
    "polyline",
    "quality",
    "read_mesh",
    "rectangle",
    "refine",
    "renumber",
    "solvers",
    "step_grid",
    "submesh",
    "write_mesh",
    "write_vtkhdf",
]
__all__ += engine.__all__


def __getattr__(name: str) -> Any:
    """Import the gRPC client when it is first asked for."""
    if name == "Client":
        from gemel.bindings.client import Client

        return Client
    raise AttributeError(f"module 'gemel' has no attribute '{name}'")
