"""What many cases share: mapped and distorted meshes, values at points, errors and observed orders."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array

from gemel.engine import Elasticity, FunctionSpace, Physics, Steady, nodal_stress
from gemel.engine.integrals import integral_over
from gemel.engine.tabulation import domains
from gemel.meshes import CellBlock, Mesh, box, extrude, line, rectangle
from gemel.solvers import SparseDirect

PLANE_CELLS = ("triangle", "quadrilateral", "quadrilateral+triangle")
"""Cells of two dimensions."""

RTOL = 1e-8
"""The relative residual of a direct solve that counts as success: a badly conditioned matrix may miss 1e-12."""


def slug(cell: str) -> str:
    """A cell of `unit_mesh` for the name of a case."""
    return cell.replace("+", "-")


def spoken(cell: str) -> str:
    """A cell of `unit_mesh` for a sentence."""
    return cell.replace("+", " beside the ")


def mapped(mesh: Mesh, function: Callable[[np.ndarray], np.ndarray]) -> Mesh:
    """The mesh with its points (n, dim) moved by a function of all of them."""
    return mesh.with_points(np.asarray(function(np.asarray(mesh.points)), dtype=float))


def curved(mesh: Mesh, function: Callable[[np.ndarray], np.ndarray]) -> Mesh:
    """A mesh of degree 2 whose points, those on edges and inside as well, are moved by a function of (n, dim)."""
    space = FunctionSpace(mesh, "Q2" if mesh.cell_type in ("quadrilateral", "hexahedron") else "P2")
    return Mesh.of(
        np.asarray(function(np.asarray(space.nodes())), dtype=float),
        np.asarray(space.cell_nodes[0]),
        mesh.cell_type,
        degree=2,
        cell_tags=mesh.cell_tags,
        facet_tags=mesh.facet_tags,
    )


def unit_mesh(cell: str, n: int, distortion: float = 0.0) -> Mesh:
    """The unit interval, square or cube of n cells along each axis, distorted; see `distort`.

    ``cell`` is a cell type, "quadrilateral+triangle" or "hexahedron+prism": the first for x < ½, the second beyond.
    Sides are called as those of `rectangle` and `box`.
    """
    if cell == "interval":
        mesh = line(n)
    elif cell == "prism":
        mesh = _prisms(n)
    elif "+" in cell:
        mesh = _mixed(rectangle(n, n) if cell in PLANE_CELLS else box(n, n, n))
    else:
        mesh = rectangle(n, n, cell=cell) if cell in PLANE_CELLS else box(n, n, n, cell=cell)
    return distort(mesh, n, distortion)


def _prisms(n: int) -> Mesh:
    tall = extrude(rectangle(n, n, cell="triangle"), n, 1.0)
    names = {"bottom": "front", "top": "back", "lower": "bottom", "upper": "top"}
    return Mesh(
        tall.points, tall.blocks, facet_tags={names.get(tag, tag): rows for tag, rows in tall.facet_tags.items()}
    )


def _mixed(mesh: Mesh) -> Mesh:
    """The cells of a structured mesh beyond x = ½ cut in two."""
    points, cells = np.asarray(mesh.points), np.asarray(mesh.cells)
    whole = points[cells].mean(axis=1)[:, 0] < 0.5
    halves = ((0, 1, 3), (0, 3, 2)) if mesh.dim == 2 else ((0, 1, 3, 4, 5, 7), (0, 3, 2, 4, 7, 6))
    cut = np.concatenate([cells[~whole][:, half] for half in halves])
    blocks = (CellBlock(mesh.cell_type, cells[whole]), CellBlock("triangle" if mesh.dim == 2 else "prism", cut))
    mixed = Mesh(points, blocks)
    names = (("left", "right"), ("bottom", "top")) if mesh.dim == 2 else _BOX_SIDES
    for axis, sides in enumerate(names):
        for side, at in zip(sides, (0.0, 1.0), strict=True):
            mixed = mixed.tag_facets(side, lambda x, axis=axis, at=at: np.abs(x[:, axis] - at) < 1e-9)
    return mixed


_BOX_SIDES = (("left", "right"), ("front", "back"), ("bottom", "top"))


def distort(mesh: Mesh, n: int, amount: float) -> Mesh:
    """Move the points of a lattice of the unit square or cube by ``amount`` of a spacing, in turns to and fro.

    The pattern repeats itself at every spacing, so that cells do not become parallelograms under refinement (as
    those of a smooth map do): trapezoids as of Arnold, Boffi and Falk, Math. Comp. 71, 2002. Sides stay flat.
    """

    def move(x: np.ndarray) -> np.ndarray:
        lattice = np.rint(x * n).astype(int)
        inside = (lattice > 0) & (lattice < n)
        turns = [(-1.0) ** (lattice[:, i] + lattice[:, (i + 1) % x.shape[1]]) for i in range(x.shape[1])]
        return x + amount / n * inside * np.stack(turns, axis=1)

    return mapped(mesh, move)


def solved(physics: Physics, initial: Any = 0.0) -> Array:
    """The steady field of a physics by a direct solver, ``(n_nodes, *shape)``, or flat where it has several fields.

    One compiled program, since compilation takes longer than these small problems. Raises `SolveError` where the
    solve fails.
    """
    analysis = Steady(physics, linear_solver=SparseDirect(rtol=RTOL), initial=initial)
    u = _steady(analysis).checked()
    space = physics.problem.space
    return space.unflatten(u) if isinstance(space, FunctionSpace) else u


@eqx.filter_jit
def _steady(analysis: Steady) -> Any:
    return analysis.solve(None)


def total(
    space: FunctionSpace,
    integrand: Callable[[Any, Any], Array],
    u: Array | None = None,
    on: str = "all",
    facets: bool = False,
    degree: int | None = None,
) -> Array:
    """`gemel.engine.integrate`, compiled as one program whose tables are no constants that XLA would fold."""
    field = space.flatten(space.zeros() if u is None else u)
    points = jnp.asarray(space.mesh.points)
    return eqx.filter_jit(integral_over)(domains(space, on, facets, degree), integrand, field, points)


def stress_at_nodes(body: Elasticity, u: Array) -> np.ndarray:
    """`gemel.engine.nodal_stress`, compiled as one program."""
    return np.asarray(jax.jit(lambda some: nodal_stress(body, some))(u))


def nodal_values(space: FunctionSpace, function: Callable[[Array], Any]) -> Array:
    """The values of a function at the nodes, compiled as one program."""
    return jax.jit(lambda: space.interpolate(function))()


def value_at(space: FunctionSpace, u: Array, point: Sequence[float]) -> np.ndarray:
    """The field ``u (n_nodes, ...)`` at a physical point."""
    nodes, weights = space.interpolation(np.asarray([point], dtype=float))
    return np.tensordot(weights[0], np.asarray(u)[nodes[0]], axes=1)


def nearest_node(space: Any, point: Sequence[float] | np.ndarray) -> int:
    """The number of the node of a `FunctionSpace` that is closest to a point."""
    return int(np.argmin(np.linalg.norm(np.asarray(space.nodes()) - np.asarray(point), axis=1)))


def errors(
    space: FunctionSpace,
    u: Array,
    exact: Callable[[Array], Array],
    slope: Callable[[Array], Array] | None = None,
    degree: int = 8,
    weight: Callable[[Array], Array] | None = None,
) -> np.ndarray:
    r"""$\|u - u_{exact}\|_{L_2}$ and $|u - u_{exact}|_{H^1}$; without ``slope`` the exact field is differentiated.

    The squares are integrated with a ``weight`` of the place, such as the radius in axial symmetry.
    """
    gradient = jax.jacfwd(exact) if slope is None else slope

    def squares(jet: Any, point: Any) -> Array:
        off, tilt = jet.value - exact(point.x), jet.grad - gradient(point.x)
        found = jnp.stack([jnp.sum(off**2), jnp.sum(tilt**2)])
        return found if weight is None else weight(point.x) * found

    return np.sqrt(np.asarray(total(space, squares, u, degree=degree)))


def zero_of(function: Callable[[Any], Any], low: Any, high: Any) -> float:
    """The zero of a function that changes sign once between two numbers, by Brent's method."""
    found: Any = scipy.optimize.brentq(function, low, high, xtol=1e-14)
    return float(found)


def observed_order(coarse: Any, fine: Any, ratio: float = 2.0) -> Any:
    """The order that the error of two resolutions shows."""
    return np.log(np.asarray(coarse) / np.asarray(fine)) / np.log(ratio)
