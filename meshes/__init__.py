"""Meshes: points, cells of one type, named tags; boxes, files, topology and the isoparametric map."""

from gemel.meshes.boxes import box, grid, rectangle
from gemel.meshes.errors import MeshError
from gemel.meshes.files import read_mesh
from gemel.meshes.geometry import (
    CellType,
    cell_volumes,
    coordinate_element,
    determinants,
    facet_measures,
    facet_quadrature,
    jacobians,
    quadrature,
    tabulate,
)
from gemel.meshes.mesh import Mesh
from gemel.meshes.topology import boundary_facets, cell_entities, entities, match_facets, unique_rows
from gemel.meshes.writing import write_mesh

__all__ = [
    "CellType",
    "Mesh",
    "MeshError",
    "boundary_facets",
    "box",
    "cell_entities",
    "cell_volumes",
    "coordinate_element",
    "determinants",
    "entities",
    "facet_measures",
    "facet_quadrature",
    "grid",
    "jacobians",
    "match_facets",
    "quadrature",
    "read_mesh",
    "rectangle",
    "tabulate",
    "unique_rows",
    "write_mesh",
]
