r"""The isoparametric map of a cell: its basix element, tables, Jacobians and measures.

A cell with nodes :math:`x_n` is the image of the reference cell under :math:`x(X) = \sum_n N_n(X)\, x_n`,
with the Lagrange basis :math:`N_n` of degree 1 or 2 in fenics-basix's numbering.
"""

from functools import lru_cache
from types import ModuleType
from typing import Literal, get_args

import basix
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gemel.meshes.errors import MeshError

CellType = Literal["triangle", "quadrilateral", "tetrahedron", "hexahedron"]
"""Cell types of a mesh, by fenics-basix's names."""

Floats = Array | np.ndarray
"""An array of jax or numpy."""


def _numpy_or_jax(*arrays: Floats) -> ModuleType:
    """numpy where all arrays are numpy's, so that work on the host stays on the host; else jax.numpy."""
    return np if all(isinstance(array, np.ndarray) for array in arrays) else jnp


def basix_cell(cell_type: str) -> basix.CellType:
    """The basix cell of a name; raises `MeshError` for a name that is not one of `CellType`."""
    if cell_type not in get_args(CellType):
        raise MeshError(f"The cell type '{cell_type}' is not one of {', '.join(get_args(CellType))}.")
    return basix.CellType[cell_type]


def cell_dim(cell_type: str) -> int:
    """Dimension of the reference cell: 2 or 3."""
    return len(basix.topology(basix_cell(cell_type))) - 1


def coordinate_element(cell_type: str, degree: int) -> basix.finite_element.FiniteElement:
    """The Lagrange element of the isoparametric map.

    Args:
        cell_type: one of `CellType`.
        degree: 1 (straight edges) or 2 (triangle6, quad9, tetra10, hexahedron27).

    Raises:
        MeshError: for another cell type or degree.
    """
    cell = basix_cell(cell_type)
    if degree not in (1, 2):
        raise MeshError(f"The degree of the geometry is {degree}, but only 1 and 2 are supported.")
    return basix.create_element(basix.ElementFamily.P, cell, degree, basix.LagrangeVariant.gll_warped)


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


@lru_cache
def facet_quadrature(
    cell_type: str, degree: int
) -> tuple[Float[np.ndarray, "n_facets n_q dim"], Float[np.ndarray, " n_q"]]:
    """Quadrature points of every local facet in the coordinates of the cell, and the weights on the facet.

    All facets of a supported cell have one type, so one array holds them. The weights integrate over the
    reference facet; `facet_measures` supplies the factor that maps them to the physical one.
    """
    cell = basix_cell(cell_type)
    facets = basix.topology(cell)[-2]
    facet = basix.cell.subentity_types(cell)[-2][0]
    points, weights = (np.asarray(array) for array in basix.make_quadrature(facet, degree))
    vertices = np.asarray(basix.geometry(cell))
    frames = _facet_frames(cell_type)
    origins = np.stack([vertices[facet[0]] for facet in facets])
    return origins[:, None, :] + np.einsum("fab,qb->fqa", frames, points), weights


def _facet_frames(cell_type: str) -> Float[np.ndarray, "n_facets dim facet_dim"]:
    """Edge vectors of every reference facet, as columns, in the order of the reference facet's axes."""
    cell = basix_cell(cell_type)
    vertices = np.asarray(basix.geometry(cell))
    dim = vertices.shape[1]
    return np.stack([(vertices[facet[1:dim]] - vertices[facet[0]]).T for facet in basix.topology(cell)[-2]])


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
    xp = _numpy_or_jax(points, cells)
    return xp.einsum("cna,qnb->cqab", xp.asarray(points)[cells], gradients, optimize=True)


def determinants(jacobian: Float[Floats, "*batch dim dim"]) -> Float[Floats, "*batch"]:
    """Determinants of 2 × 2 or 3 × 3 matrices in closed form (LAPACK is slow for many small matrices)."""
    j = jacobian
    if j.shape[-1] == 2:
        return j[..., 0, 0] * j[..., 1, 1] - j[..., 0, 1] * j[..., 1, 0]
    return (
        j[..., 0, 0] * (j[..., 1, 1] * j[..., 2, 2] - j[..., 1, 2] * j[..., 2, 1])
        - j[..., 0, 1] * (j[..., 1, 0] * j[..., 2, 2] - j[..., 1, 2] * j[..., 2, 0])
        + j[..., 0, 2] * (j[..., 1, 0] * j[..., 2, 1] - j[..., 1, 1] * j[..., 2, 0])
    )


def cell_volumes(
    points: Float[Floats, "n_points dim"], cells: Int[Floats, "n_cells n_nodes"], cell_type: str, degree: int
) -> Float[Floats, " n_cells"]:
    r"""Volumes (areas in 2-D) :math:`\int_{\hat K} \det J\, dX`, exact for the isoparametric map."""
    nodes, weights = quadrature(cell_type, cell_dim(cell_type) * degree)
    _, gradients = tabulate(cell_type, degree, nodes)
    return determinants(jacobians(points, cells, gradients)) @ weights


def facet_measures(
    points: Float[Floats, "n_points dim"],
    cells: Int[Floats, "n_cells n_nodes"],
    facets: Int[Floats, "n_facets 2"],
    cell_type: str,
    degree: int,
    quadrature_degree: int,
) -> Float[Floats, "n_facets n_q"]:
    r"""Surface elements :math:`\sqrt{\det F^T F}`, :math:`F = J\,\partial X/\partial s`, at facet points.

    ``facet_measures(...) @ weights`` with the weights of `facet_quadrature` gives the area of every facet.
    """
    xp = _numpy_or_jax(points, cells, facets)
    samples, _ = facet_quadrature(cell_type, quadrature_degree)
    n_facets, n_q, dim = samples.shape
    _, gradients = tabulate(cell_type, degree, samples.reshape(-1, dim))
    tangents = np.einsum("fqnb,fbs->fqns", gradients.reshape(n_facets, n_q, -1, dim), _facet_frames(cell_type))
    cell, local = facets[:, 0], facets[:, 1]
    frames = xp.einsum("fna,fqns->fqas", xp.asarray(points)[xp.asarray(cells)[cell]], xp.asarray(tangents)[local])
    if dim == 2:
        return xp.sqrt(xp.sum(frames[..., 0] ** 2, axis=-1))
    return xp.sqrt(xp.sum(xp.cross(frames[..., 0], frames[..., 1]) ** 2, axis=-1))
