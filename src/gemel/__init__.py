"""Gemel: a differentiable physics engine for digital twins.

What a user needs stands here; `gemel.meshes`, `gemel.engine` and `gemel.solvers` hold the rest, and are loaded when
something of theirs is first asked for. Importing gemel changes no global state: turn double precision on with
``jax.config.update("jax_enable_x64", True)``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemel import engine as engine, meshes as meshes, solvers as solvers
    from gemel.bindings.client import Client as Client
    from gemel.engine import *  # noqa: F403
    from gemel.meshes import (
        CellBlock as CellBlock,
        Mesh as Mesh,
        MeshError as MeshError,
        box as box,
        elevate as elevate,
        extrude as extrude,
        frame as frame,
        grid as grid,
        join as join,
        line as line,
        periodic_pairs as periodic_pairs,
        polyline as polyline,
        quality as quality,
        read_mesh as read_mesh,
        rectangle as rectangle,
        refine as refine,
        renumber as renumber,
        submesh as submesh,
        write_mesh as write_mesh,
        write_vtkhdf as write_vtkhdf,
    )
    from gemel.solvers import (
        AMG as AMG,
        BDF2 as BDF2,
        CG as CG,
        GMRES as GMRES,
        LBFGS as LBFGS,
        SDIRK2 as SDIRK2,
        SDIRK4 as SDIRK4,
        CentralDifference as CentralDifference,
        Code as Code,
        CrankNicolson as CrankNicolson,
        DenseDirect as DenseDirect,
        EarlyStopping as EarlyStopping,
        ErrorControl as ErrorControl,
        GeneralizedAlpha as GeneralizedAlpha,
        GradientDescent as GradientDescent,
        ImplicitEuler as ImplicitEuler,
        Jacobi as Jacobi,
        LevenbergMarquardt as LevenbergMarquardt,
        Multigrid as Multigrid,
        Newmark as Newmark,
        Newton as Newton,
        Solution as Solution,
        SolveError as SolveError,
        SparseDirect as SparseDirect,
        Status as Status,
        step_grid as step_grid,
    )

__version__ = "0.1.0"

_TAKEN = {
    "meshes": (
        "CellBlock",
        "Mesh",
        "MeshError",
        "box",
        "elevate",
        "extrude",
        "frame",
        "grid",
        "join",
        "line",
        "periodic_pairs",
        "polyline",
        "quality",
        "read_mesh",
        "rectangle",
        "refine",
        "renumber",
        "submesh",
        "write_mesh",
        "write_vtkhdf",
    ),
    "solvers": (
        "AMG",
        "BDF2",
        "CG",
        "GMRES",
        "LBFGS",
        "SDIRK2",
        "SDIRK4",
        "CentralDifference",
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
        "Multigrid",
        "Newmark",
        "Newton",
        "Solution",
        "SolveError",
        "SparseDirect",
        "Status",
        "step_grid",
    ),
    "bindings.client": ("Client",),
}
"""What stands here of each part; of `gemel.engine` it is all that is public."""


def __getattr__(name: str) -> Any:
    """Load the part that has a name."""
    if name in ("engine", "meshes", "solvers"):
        return import_module(f"gemel.{name}")
    if name == "__all__":
        return __dir__()
    if not name.startswith("_"):
        part = next((part for part, names in _TAKEN.items() if name in names), "engine")
        home = import_module(f"gemel.{part}")
        if part != "engine" or name in home.__all__:
            return globals().setdefault(name, getattr(home, name))
    raise AttributeError(f"module 'gemel' has no attribute '{name}'")


def __dir__() -> list[str]:
    """All that is public."""
    names = [name for taken in _TAKEN.values() for name in taken]
    return sorted([*names, *import_module("gemel.engine").__all__, "engine", "meshes", "solvers"])
