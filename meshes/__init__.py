"""Meshes: points, blocks of cells, named tags; boxes, files, topology and the isoparametric map."""

from gemel.meshes.blocks import CellBlock
from gemel.meshes.boxes import box, grid, line, rectangle
from gemel.meshes.elevation import elevate
from gemel.meshes.errors import MeshError
from gemel.meshes.extrusion import extrude
from gemel.meshes.files import read_mesh
from gemel.meshes.frames import frame, polyline
from gemel.meshes.geometry import (
    CellType,
    cell_volumes,
    coordinate_element,
    determinants,
    facet_frames,
    facet_groups,
    facet_measures,
    facet_quadrature,
    jacobians,
    quadrature,
    tabulate,
)
from gemel.meshes.joining import join
from gemel.meshes.lagrange import vtk_lagrange_order
from gemel.meshes.mesh import FacetPart, Mesh
from gemel.meshes.parts import Submesh, submesh
from gemel.meshes.periodicity import match_points, periodic_pairs
from gemel.meshes.quality import MeshQuality, quality
from gemel.meshes.refinement import Refinement, refine
from gemel.meshes.renumbering import Renumbering, renumber
from gemel.meshes.topology import (
    block_entities,
    boundary_facets,
    cell_entities,
    entities,
    facet_vertices,
    interior_facets,
    match_facets,
    unique_rows,
)
from gemel.meshes.vtkhdf import write_vtkhdf
from gemel.meshes.writing import write_mesh

__all__ = [
    "CellBlock",
    "CellType",
    "FacetPart",
    "Mesh",
    "MeshError",
    "MeshQuality",
    "Refinement",
    "Renumbering",
    "Submesh",
    "block_entities",
    "boundary_facets",
    "box",
    "cell_entities",
    "cell_volumes",
    "coordinate_element",
    "determinants",
    "elevate",
    "entities",
    "extrude",
    "facet_frames",
    "facet_groups",
    "facet_measures",
    "facet_quadrature",
    "facet_vertices",
    "frame",
    "grid",
    "interior_facets",
    "jacobians",
    "join",
    "line",
    "match_facets",
    "match_points",
    "periodic_pairs",
    "polyline",
    "quadrature",
    "quality",
    "read_mesh",
    "rectangle",
    "refine",
    "renumber",
    "submesh",
    "tabulate",
    "unique_rows",
    "vtk_lagrange_order",
    "write_mesh",
    "write_vtkhdf",
]
