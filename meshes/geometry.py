r"""The isoparametric map of a cell: its basix element, tables, Jacobians and measures.

A cell with nodes :math:`x_n` is the image of the reference cell under :math:`x(X) = \sum_n N_n(X)\, x_n`,
with the Lagrange basis :math:`N_n` of degree 1 to 3 in fenics-basix's numbering.
"""

from functools import cache, lru_cache
from types import ModuleType
from typing import Literal, get_args

import basix
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.meshes.errors import MeshError
from gemel.names import listed

CellType = Literal["interval", "triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"]
"""Cell types of a mesh, by fenics-basix's names."""

Floats = Array | np.ndarray
"""An array of jax or numpy."""


def numpy_or_jax(*arrays: Floats) -> ModuleType:
    """numpy where all arrays are numpy's, so that work on the host stays on the host; else jax.numpy."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else jnp


def basix_cell(cell_type: str) -> basix.CellType:
    """The basix cell of a name; raises `MeshError` for a name that is not one of `CellType`."""
    if cell_type not in get_args(CellType):
        raise MeshError(f"The cell type '{cell_type}' is not one of {listed(cell_type, get_args(CellType))}")
    return basix.CellType[cell_type]


def cell_dim(cell_type: str) -> int:
    """Dimension of the reference cell: 1, 2 or 3."""
    return len(basix.topology(basix_cell(cell_type))) - 1


def n_vertices(cell_type: str) -> int:
    """Number of vertices of a cell."""
    return len(basix.topology(basix_cell(cell_type))[0])


def coordinate_element(cell_type: str, degree: int) -> basix.finite_element.FiniteElement:
    """The Lagrange element of the isoparametric map.

    Args:
        cell_type: one of `CellType`.
        degree: 1 (straight edges), 2 (triangle6, quad9, tetra10, hexahedron27, wedge18) or 3; the nodes of
            an edge are equally spaced.

    Raises:
        MeshError: for another cell type or degree.
    """
    cell = basix_cell(cell_type)
    if degree not in (1, 2, 3):
        raise MeshError(f"The degree of the geometry is {degree}, but only 1, 2 and 3 are supported.")
    return basix.create_element(basix.ElementFamily.P, cell, degree, basix.LagrangeVariant.equispaced)


def tabulate(
    cell_type: str, degree: int, points: Float[np.ndarray, "n_q dim"]
) -> tuple[Float[np.ndarray, "n_q n_nodes"], Float[np.ndarray, "n_q n_nodes dim"]]:
    r"""Values :math:`N_n(X_q)` and reference gradients :math:`\partial N_n/\partial X_b(X_q)`."""
    table = np.asarray(coordinate_element(cell_type, degree).tabulate(1, points))[..., 0]
    return table[0], np.moveaxis(table[1:], 0, -1)


@lru_cache
def quadrature(cell_type: str, degree: int) -> tuple[Float[np.ndarray, "n_q dim"], Float[np.ndarray, " n_q"]]:
    """Points and weights on the reference cell, exact for polynomials of this degree."""
    points, weights = basix.make_quadrature(basix_cell(cell_type), degree)
    return np.asarray(points), np.asarray(weights)


@cache
def facet_groups(cell_type: str) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The types of a cell's facets, each with the local numbers of its facets.

    ``(("triangle", (0, 4)), ("quadrilateral", (1, 2, 3)))`` for a prism; one type, ``"point"`` for an interval,
    for the others.
    """
    types = [kind.name for kind in basix.cell.subentity_types(basix_cell(cell_type))[-2]]
    return tuple(
        (name, tuple(number for number, kind in enumerate(types) if kind == name)) for name in dict.fromkeys(types)
    )


def _group(cell_type: str, facet_type: str | None) -> tuple[str, tuple[int, ...]]:
    """The facets of one type; of the only type for None."""
    groups = facet_groups(cell_type)
    if facet_type is None and len(groups) > 1:
        names = " and ".join(f"'{name}'" for name, _ in groups)
        raise MeshError(f"The facets of a {cell_type} have the types {names}: name one.")
    chosen = [group for group in groups if facet_type in (None, group[0])]
    if not chosen:
        raise MeshError(f"A {cell_type} has no facets of the type '{facet_type}'.")
    return chosen[0]


@lru_cache
def facet_quadrature(
    cell_type: str, degree: int, facet_type: str | None = None
) -> tuple[Float[np.ndarray, "n_facets n_q dim"], Float[np.ndarray, " n_q"]]:
    """Quadrature points of the facets of one type in the coordinates of the cell, and the weights on the facet.

    The weights integrate over the reference facet (1 for the point that ends an interval); `facet_measures`
    supplies the factor that maps them to the physical one.

    Args:
        cell_type: one of `CellType`.
        degree: polynomial degree that is integrated exactly.
        facet_type: a type of `facet_groups`; not needed where there is one.

    Raises:
        MeshError: for a prism without a type, and for a type that the cell does not have.
    """
    facet_type, numbers = _group(cell_type, facet_type)
    points, weights = (
        (np.zeros((1, 0)), np.ones(1))
        if facet_type == "point"
        else (np.asarray(array) for array in basix.make_quadrature(basix.CellType[facet_type], degree))
    )
    cell = basix_cell(cell_type)
    origins = np.asarray(basix.geometry(cell))[[basix.topology(cell)[-2][number][0] for number in numbers]]
    tangents, _ = facet_frames(cell_type, facet_type)
    return origins[:, None, :] + np.einsum("fba,qb->fqa", tangents, points), weights


@lru_cache
def facet_frames(
    cell_type: str, facet_type: str | None = None
) -> tuple[Float[np.ndarray, "n_facets facet_dim dim"], Float[np.ndarray, "n_facets dim"]]:
    """Tangents and outward unit normals of the facets of one type in the reference cell.

    The tangents are the images of the reference facet's axes, in their order; an interval's end has none.
    Arguments and errors are those of `facet_quadrature`.
    """
    facet_type, numbers = _group(cell_type, facet_type)
    cell = basix_cell(cell_type)
    vertices, facets = np.asarray(basix.geometry(cell)), basix.topology(cell)[-2]
    dim = vertices.shape[1]
    tangents = [vertices[facets[number][1:dim]] - vertices[facets[number][0]] for number in numbers]
    return np.stack(tangents), np.asarray(basix.cell.facet_outward_normals(cell))[list(numbers)]


def jacobians(
    points: Float[Floats, "n_points dim"],
    cells: Int[Floats, "n_cells n_nodes"],
    gradients: Float[Floats, "n_q n_nodes ref"],
) -> Float[Floats, "n_cells n_q dim ref"]:
    r"""Jacobians :math:`J_{ab} = \partial x_a / \partial X_b` of all cells at tabulated points.

    Args:
        points: coordinates, in metres; may be traced.
        cells: nodes of the cells to map.
        gradients: reference gradients of the basis, from `tabulate`.
    """
    xp = numpy_or_jax(points, cells)
    return xp.einsum("cna,qnb->cqab", xp.asarray(points)[cells], gradients, optimize=True)


def determinants(jacobian: Float[Floats, "*batch dim dim"]) -> Float[Floats, "*batch"]:
    """Determinants of matrices up to 3 × 3 in closed form (LAPACK is slow for many small matrices)."""
    j = jacobian
    if j.shape[-1] == 1:
        return j[..., 0, 0]
    if j.shape[-1] == 2:
        return j[..., 0, 0] * j[..., 1, 1] - j[..., 0, 1] * j[..., 1, 0]
    return (
        j[..., 0, 0] * (j[..., 1, 1] * j[..., 2, 2] - j[..., 1, 2] * j[..., 2, 1])
        - j[..., 0, 1] * (j[..., 1, 0] * j[..., 2, 2] - j[..., 1, 2] * j[..., 2, 0])
        + j[..., 0, 2] * (j[..., 1, 0] * j[..., 2, 1] - j[..., 1, 1] * j[..., 2, 0])
    )


def cell_measures(jacobian: Float[Floats, "*batch dim ref"]) -> Float[Floats, "*batch"]:
    r"""Signed :math:`\det J` of cells that fill space; the length :math:`|J|` of a line embedded in 2-D or 3-D."""
    if jacobian.shape[-2] == jacobian.shape[-1]:
        return determinants(jacobian)
    return numpy_or_jax(jacobian).sqrt((jacobian[..., 0] ** 2).sum(-1))


def cell_volumes(
    points: Float[Floats, "n_points dim"], cells: Int[Floats, "n_cells n_nodes"], cell_type: str, degree: int
) -> Float[Floats, " n_cells"]:
    r"""Volumes (areas in 2-D, lengths of lines) :math:`\int_{\hat K} \det J\, dX`.

    Exact for the isoparametric map, but for bent lines, whose length is integrated to degree 8.
    """
    dim = cell_dim(cell_type)
    exact = dim == points.shape[1] or degree == 1
    nodes, weights = quadrature(cell_type, dim * degree if exact else 8)
    _, gradients = tabulate(cell_type, degree, nodes)
    return cell_measures(jacobians(points, cells, gradients)) @ weights


def facet_measures(
    points: Float[Floats, "n_points dim"],
    cells: Int[Floats, "n_cells n_nodes"],
    facets: Int[Floats, "n_facets 2"],
    cell_type: str,
    degree: int,
    quadrature_degree: int,
    facet_type: str | None = None,
) -> Float[Floats, "n_facets n_q"]:
    r"""Surface elements :math:`\sqrt{\det F^T F}`, :math:`F = J\,\partial X/\partial s`, at facet points.

    ``facet_measures(...) @ weights`` with the weights of `facet_quadrature` gives the area of every facet:
    the length of an edge in 2-D, 1 for the end of an interval. All ``facets`` are of one type.
    """
    xp = numpy_or_jax(points, cells, facets)
    samples, weights = facet_quadrature(cell_type, quadrature_degree, facet_type)
    n_facets, n_q, dim = samples.shape
    if dim == 1:
        return xp.ones((facets.shape[0], len(weights)), dtype=points.dtype)
    _, gradients = tabulate(cell_type, degree, samples.reshape(-1, dim))
    gradients = gradients.reshape(n_facets, n_q, -1, dim)
    tangents = np.einsum("fqnb,fsb->fqns", gradients, facet_frames(cell_type, facet_type)[0])
    position = np.zeros(max(_group(cell_type, facet_type)[1]) + 1, dtype=np.int64)
    position[list(_group(cell_type, facet_type)[1])] = np.arange(n_facets)
    cell, local = facets[:, 0], xp.asarray(position)[facets[:, 1]]
    frames = xp.einsum("fna,fqns->fqas", xp.asarray(points)[xp.asarray(cells)[cell]], xp.asarray(tangents)[local])
    if dim == 2:
        return xp.sqrt(xp.sum(frames[..., 0] ** 2, axis=-1))
    return xp.sqrt(xp.sum(xp.cross(frames[..., 0], frames[..., 1]) ** 2, axis=-1))
