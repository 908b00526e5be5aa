"""Mesh files of any format that meshio reads, with their named groups as tags."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from meshio._mesh import topological_dimension

from gemel.meshes.abaqus import read_abaqus
from gemel.meshes.conversion import convert
from gemel.meshes.errors import MeshError
from gemel.meshes.geometry import coordinate_element
from gemel.meshes.gmsh import read_gmsh
from gemel.meshes.lagrange import vtk_lagrange_order
from gemel.meshes.mesh import Mesh
from gemel.meshes.orders import FILE_CELLS, FILE_ORDERS, LAGRANGE_CELLS, file_cell_name
from gemel.meshes.vtkhdf import read_vtkhdf
from gemel.names import listed

_READERS = {".inp": read_abaqus, ".msh": read_gmsh, ".vtkhdf": read_vtkhdf}
"""Readers of our own, where meshio has none or one that reads less."""


def read_mesh(path: str | Path, dim: int | None = None) -> Mesh:
    """Read a mesh from a file: lines, triangles, quadrilaterals, tetrahedra, hexahedra, prisms, or several of them.

    Cells are straight or quadratic, or of degree 3 (VTK's Lagrange cells); serendipity cells (quad8,
    hexahedron20, wedge15) are completed by the nodes inside of faces and cells that their own interpolation
    gives. Cells of one type make one block, in the order of the file.

    Groups become tags under their names: gmsh's physical groups, sets and surfaces of Abaqus, groups of MED,
    boundaries of scikit-fem, and what `write_mesh` wrote. A group with a number only is called
    ``"<dimension>:<number>"``. Groups of cells become cell tags, groups one dimension lower facet tags, smaller
    ones and sets of points node tags. A set of points that is just the vertices of some boundary facets, or
    lies on lines, becomes a facet tag too, so that conditions may be set there. Cells of lower dimension and
    points of no cell are dropped, and so are copies of a cell.

    Triangles and quadrilaterals in a plane of constant z make a 2-D mesh. Cells that are merely mirrored
    (det J < 0 throughout) are turned round.

    Args:
        path: a file .vtkhdf, or with an extension that meshio knows, such as .msh, .vtu, .xdmf, .inp, .med, .bdf or .e.
        dim: dimension of the space that lines lie in, when it is less than the file's number of coordinates.

    Raises:
        MeshError: when the file is missing, empty, damaged or of an unknown format; when it holds a surface
            in 3-D space, unsupported cells, linear and quadratic cells together, or cells that are inverted;
            when a group lies on no facet of the cells, or takes a reserved name for something else.
    """
    path = Path(path)
    raw = _load(path)
    try:
        return convert(raw, dim)
    except MeshError as error:
        raise MeshError(f"Cannot use the mesh file '{path}': {error}") from None


def _load(path: Path) -> Any:
    """Read with meshio, which prints, warns and exits where it fails."""
    if not path.is_file():
        raise MeshError(f"The mesh file '{path}' does not exist or is not a file.")
    known = {**meshio.extension_to_filetypes, ".vtkhdf": ["vtkhdf"]}
    names = path.name.lower()
    if not any(names.endswith(extension) for extension in known):
        raise MeshError(
            f"The mesh file '{path}' has an unknown extension '{path.suffix}': known are "
            f"{listed(path.suffix, sorted(known))}"
        )
    if path.stat().st_size == 0:
        raise MeshError(f"The mesh file '{path}' is empty.")
    with quiet():
        topological_dimension.setdefault("wedge15", 3)  # meshio knows the cell but forgot its dimension
        try:
            raw = _READERS.get(path.suffix.lower(), meshio.read)(path)
        except MeshError as error:
            raise MeshError(f"The mesh file '{path}' cannot be read: {error}") from None
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            detail = f" ({type(error).__name__}: {reason})" if reason and not isinstance(error, SystemExit) else ""
            raise MeshError(
                f"The mesh file '{path}' cannot be read: it is damaged or not what its extension says{detail}."
            ) from None
    for block in raw.cells:
        order = FILE_ORDERS.get((path.suffix.lower(), block.type), ())
        if np.shape(block.data)[1:] == (len(order),):
            block.data = np.asarray(block.data)[:, np.argsort(order)]
        if block.type.startswith("VTK_LAGRANGE_"):
            _name_plainly(block)
    return raw


def _name_plainly(block: Any) -> None:
    """A block of VTK's Lagrange cells of degree 1 or 2 in the names and order of the classical cells."""
    kind = block.type.removeprefix("VTK_LAGRANGE_")
    if kind not in LAGRANGE_CELLS:
        return
    cell_type = LAGRANGE_CELLS[kind]
    for degree in (1, 2):
        if np.shape(block.data)[1:] == (coordinate_element(cell_type, degree).dim,):
            name = file_cell_name(cell_type, degree)
            to_basix = np.argsort(vtk_lagrange_order(cell_type, degree))
            block.data = np.asarray(block.data)[:, to_basix][:, np.argsort(FILE_CELLS[name].order)]
            block.type = name


@contextlib.contextmanager
def quiet():
    """Keep meshio's prints off the console; text that numpy cannot parse to its end is an error."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="string or file could not be read to its end")
        yield
