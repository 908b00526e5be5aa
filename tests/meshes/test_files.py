"""Mesh files: what is read from elsewhere, and the sentences for what cannot be."""

import contextlib
from typing import Any

import meshio
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from gemel.meshes import Mesh, MeshError, box, coordinate_element, read_mesh, rectangle, write_mesh
from gemel.meshes.orders import FILE_CELLS

TETRA = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


def _file(folder, name, points, cells, **fields):
    path = folder / name
    kind = "gmsh22" if name.endswith(".msh") else None
    arrays: list[Any] = [(cell, np.asarray(rows)) for cell, rows in cells]
    meshio.write(path, meshio.Mesh(points, arrays, **fields), file_format=kind)
    return path


def test_beams(mesh_folder):
    mesh = read_mesh(mesh_folder / "skfem_beams.msh")
    assert (mesh.cell_type, mesh.degree, mesh.n_cells, mesh.n_points) == ("tetrahedron", 1, 851, 289)
    assert set(mesh.facet_tags) == {"fixed"}
    assert float(mesh.volume()) == pytest.approx(0.12)
    assert len(mesh.cells_of("all")) == 851


def test_box_with_named_sides(mesh_folder):
    mesh = read_mesh(mesh_folder / "skfem_box.msh")
    assert set(mesh.facet_tags) == {"front", "back", "top"}
    assert float(mesh.volume()) == pytest.approx(1.0)
    for name in mesh.facet_tags:
        assert float(mesh.area(name)) == pytest.approx(1.0)
        nodes = np.asarray(mesh.points)[mesh.nodes_of_facets(name)]
        assert np.ptp(nodes, axis=0).min() == pytest.approx(0.0, abs=1e-12)


def test_boundaries_of_scikit_fem_cover_the_boundary(mesh_folder):
    mesh = read_mesh(mesh_folder / "skfem_cylinder_stokes.msh")
    assert (mesh.cell_type, mesh.dim) == ("triangle", 2)
    assert set(mesh.facet_tags) == {"left", "bottom", "right", "top", "ball"}
    tagged = np.concatenate(list(mesh.facet_tags.values()))
    np.testing.assert_array_equal(np.unique(tagged, axis=0), mesh.boundary_facets())
    ball = np.asarray(mesh.points)[mesh.nodes_of_facets("ball")]
    # A circle |x|² = 2 c·x + (r² - |c|²) goes through all nodes of the half disc cut out of the left side.
    system = np.column_stack([2 * ball, np.ones(len(ball))])
    centre = np.linalg.lstsq(system, (ball**2).sum(axis=1))[0][:2]
    np.testing.assert_allclose(np.linalg.norm(ball - centre, axis=1), 1.0, rtol=1e-6)


def test_boundaries_of_scikit_fem_on_a_hexahedron(tmp_path):
    # scikit-fem 10, refdom.py: the facets of its hexahedron lie at x=0, z=0, y=0, y=1, z=1, x=1.
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
    data = {f"skfem:b:{bit}": [np.array([1 << bit])] for bit in range(6)}
    path = _file(tmp_path, "h.vtu", corners.astype(float), [("hexahedron", [range(8)])], cell_data=data)
    mesh = read_mesh(path)
    for bit, (axis, end) in enumerate([(0, 0), (2, 0), (1, 0), (1, 1), (2, 1), (0, 1)]):
        assert (np.asarray(mesh.points)[mesh.nodes_of_facets(str(bit)), axis] == end).all()


def test_quadratic_sphere_has_the_volume_and_area_of_a_sphere(mesh_folder):
    mesh = read_mesh(mesh_folder / "skfem_quadratic_sphere_tet.msh")
    assert (mesh.cell_type, mesh.degree, mesh.n_cells) == ("tetrahedron", 2, 722)
    surface = np.asarray(mesh.points)[mesh.nodes_of_facets("boundary")]
    radius = 0.5
    np.testing.assert_allclose(np.linalg.norm(surface, axis=1), radius, rtol=1e-6)
    # Straight edges would miss 4 % of the volume, quadratic ones miss 0.02 %.
    assert float(mesh.volume()) == pytest.approx(4 / 3 * np.pi * radius**3, rel=5e-4)
    assert float(mesh.area()) == pytest.approx(4 * np.pi * radius**2, rel=5e-4)


def test_hexahedra_of_vtk(mesh_folder):
    mesh = read_mesh(mesh_folder / "vtk_hexa.vtk")
    assert (mesh.cell_type, mesh.n_cells, mesh.facet_tags) == ("hexahedron", 10648, {})
    assert len(mesh.boundary_facets()) == 6 * 22**2


@pytest.mark.parametrize("name", ["vtk_turbineblade.ply", "vtk_42400-IDGH.stl"])
def test_a_surface_is_refused(mesh_folder, name, capfd):
    with pytest.raises(MeshError, match="only a surface in 3-D space, where a volume mesh"):
        read_mesh(mesh_folder / name)
    assert capfd.readouterr() == ("", "")


def test_missing_empty_unknown_and_damaged_files(tmp_path, capfd):
    with pytest.raises(MeshError, match=r"none\.msh' does not exist"):
        read_mesh(tmp_path / "none.msh")
    (tmp_path / "empty.vtu").touch()
    with pytest.raises(MeshError, match=r"empty\.vtu' is empty"):
        read_mesh(tmp_path / "empty.vtu")
    (tmp_path / "mesh.step").write_text("solid")
    with pytest.raises(MeshError, match=r"unknown extension '\.step': known are .*\.msh"):
        read_mesh(tmp_path / "mesh.step")
    for extension in (".msh", ".vtu", ".vtk", ".inp", ".stl", ".e", ".xdmf", ".med", ".cgns"):
        path = tmp_path / f"damaged{extension}"
        path.write_bytes(b"no mesh at all\n\x00\xff 1 2 3\n")
        with pytest.raises(MeshError, match=rf"damaged\{extension}'"):
            read_mesh(path)
    assert capfd.readouterr() == ("", "")


def test_a_truncated_file_is_refused(mesh_folder, tmp_path):
    whole = (mesh_folder / "skfem_box.msh").read_bytes()
    path = tmp_path / "half.msh"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MeshError, match=r"half\.msh'"):
        read_mesh(path)


@pytest.mark.parametrize(
    ("points", "cells", "sentence"),
    [
        (np.eye(5, 3), [("pyramid", [[0, 1, 2, 3, 4]])], "'pyramid' are not supported: supported are line"),
        (TETRA, [("vertex", [[0]])], "no cells of dimension 1, 2 or 3"),
        (
            np.concatenate([TETRA, 3 + np.eye(10, 3)]),
            [("tetra", [[0, 1, 2, 3]]), ("tetra10", [range(4, 14)])],
            r"mixes linear cells \(tetra\) with quadratic ones \(tetra10\)",
        ),
        (
            np.eye(47, 3),
            [("hexahedron20", [range(20)]), ("hexahedron27", [range(20, 47)])],
            r"mixes cells with nodes inside of faces \(hexahedron27\) with cells without",
        ),
        (TETRA, [("tetra", [[0, 1, 2, 9]])], "points outside 0 to 3"),
        (TETRA * [1, 1, 0], [("tetra", [[0, 1, 2, 3]])], "1 of 1 cells are inverted or degenerate"),
        (TETRA * [1, 1, np.nan], [("tetra", [[0, 1, 2, 3]])], "not finite"),
        (SQUARE[[0, 1, 3, 2]], [("quad", [[0, 1, 2, 3]])], "inverted or degenerate"),
    ],
)
def test_contents_that_are_refused(tmp_path, points, cells, sentence):
    path = _file(tmp_path, "bad.vtu", points, cells)
    with pytest.raises(MeshError, match=sentence):
        read_mesh(path)


def test_mirrored_cells_are_turned_round(tmp_path):
    mesh = read_mesh(_file(tmp_path, "m.vtu", TETRA, [("tetra", [[0, 2, 1, 3]])]))
    assert float(mesh.volume()) == pytest.approx(1 / 6)
    mesh = read_mesh(_file(tmp_path, "q.vtu", SQUARE, [("quad", [[0, 3, 2, 1]])]))
    assert float(mesh.volume()) == pytest.approx(1.0)


def test_unused_points_are_dropped_and_numbers_follow(tmp_path):
    points = np.concatenate([[[9.0, 9, 9]], TETRA])
    cells = [("tetra", [[1, 2, 3, 4]]), ("vertex", [[2]]), ("triangle", [[1, 3, 4]])]
    groups = [np.array([7]), np.array([3]), np.array([5])]
    names = {"tip": np.array([3, 0]), "wall": np.array([5, 2])}
    data = {"gmsh:physical": groups, "gmsh:geometrical": groups}
    mesh = read_mesh(_file(tmp_path, "p.msh", points, cells, cell_data=data, field_data=names))
    assert mesh.n_points == 4
    np.testing.assert_array_equal(mesh.points[mesh.nodes_of("tip")], [[1, 0, 0]])
    np.testing.assert_array_equal(np.asarray(mesh.points)[mesh.nodes_of_facets("wall"), 0], 0)
    np.testing.assert_array_equal(mesh.cells_of("3:7"), [0])


def _grouped(tmp_path, name, cells, facet_cell=(1, 2, 3)):
    groups = [np.array(numbers) for numbers in cells]
    blocks = [("tetra", [[0, 1, 2, 3]]), ("triangle", [facet_cell])]
    points = np.concatenate([TETRA, [[2.0, 2, 2]]])
    data = {"gmsh:physical": groups, "gmsh:geometrical": groups}
    return _file(tmp_path, "g.msh", points, blocks, cell_data=data, field_data={name: np.array([1, 2])})


def test_a_group_off_the_cells_is_refused(tmp_path):
    with pytest.raises(MeshError, match="1 of 1 facets of its group 'wall' are not facets of any cell"):
        read_mesh(_grouped(tmp_path, "wall", [[0], [1]], facet_cell=(1, 2, 4)))


def test_a_reserved_name_for_something_else_is_refused(tmp_path):
    with pytest.raises(MeshError, match="facet group 'boundary' is not what that reserved name means"):
        read_mesh(_grouped(tmp_path, "boundary", [[0], [1]]))


def test_sets_of_abaqus(tmp_path):
    path = tmp_path / "part.inp"
    path.write_text(
        "*NODE\n1, 0, 0, 0\n2, 1, 0, 0\n3, 0, 1, 0\n4, 0, 0, 1\n5, 1, 1, 1\n"
        "*ELEMENT, TYPE=C3D4\n1, 1, 2, 3, 4\n2, 2, 3, 4, 5\n"
        "*NSET, NSET=ground\n1, 2, 3\n*ELSET, ELSET=core\n2\n"
    )
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.nodes_of("ground"), [0, 1, 2])
    np.testing.assert_array_equal(mesh.cells_of("core"), [1])


def _tagged(mesh):
    mesh = mesh.tag_cells("low", lambda x: x[:, 0] < 0.5).tag_cells("high half", lambda x: x[:, 0] >= 0.5)
    return type(mesh).of(
        points=mesh.points,
        cells=mesh.cells,
        cell_type=mesh.cell_type,
        cell_tags=mesh.cell_tags,
        facet_tags=mesh.facet_tags,
        node_tags={"probe": np.array([0, 5])},
    )


@pytest.mark.parametrize("extension", [".msh", ".vtu", ".vtk", ".xdmf"])
@pytest.mark.parametrize("cell", ["triangle", "quadrilateral", "tetrahedron", "hexahedron"])
def test_tags_and_points_survive_a_round_trip(tmp_path, cell, extension):
    flat = cell in ("triangle", "quadrilateral")
    mesh = _tagged(rectangle(4, 2, cell=cell) if flat else box(4, 2, 1, cell=cell))
    path = tmp_path / f"mesh{extension}"
    temperature = np.asarray(mesh.points)[:, 0] ** 2
    cell_data = None if extension == ".msh" else {"q": np.arange(mesh.n_cells)}
    write_mesh(path, mesh, point_data={"T": temperature}, cell_data=cell_data)
    again = read_mesh(path)
    np.testing.assert_array_equal(again.points, mesh.points)
    np.testing.assert_array_equal(again.cells, mesh.cells)
    for name, numbers in mesh.cell_tags.items():
        np.testing.assert_array_equal(again.cell_tags[name], numbers)
    for name, facets in mesh.facet_tags.items():
        np.testing.assert_array_equal(again.facet_tags[name], facets)
    np.testing.assert_array_equal(again.node_tags["probe"], [0, 5])
    np.testing.assert_array_equal(meshio.read(path).point_data["T"].ravel(), temperature)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".write")]


@pytest.mark.parametrize("extension", [".msh", ".vtu", ".vtk"])
@pytest.mark.parametrize("name", [name for name, cell in FILE_CELLS.items() if cell.degree == 2])
def test_quadratic_cells_survive_a_round_trip(tmp_path, name, extension):
    cell_type, degree, _ = FILE_CELLS[name]
    points = np.array(coordinate_element(cell_type, degree).points)
    if cell_type == "interval":
        points = np.column_stack([points, points])
    points[:, 1] += 0.3 * points[:, 0] * (1 - points[:, 0])
    mesh = Mesh.of(points=points, cells=np.arange(len(points))[None], cell_type=cell_type, degree=2)
    mesh = mesh.tag_facets("back", lambda x: x[:, 0] < 1e-9)
    path = tmp_path / f"mesh{extension}"
    write_mesh(path, mesh)
    again = read_mesh(path, dim=2 if cell_type == "interval" else None)
    np.testing.assert_array_equal(again.points, mesh.points)
    np.testing.assert_array_equal(again.cells, mesh.cells)
    np.testing.assert_array_equal(again.facet_tags["back"], mesh.facet_tags["back"])


def test_writing_that_is_refused_leaves_what_was_there(tmp_path):
    mesh = rectangle(2, 2)
    path = tmp_path / "mesh.msh"
    write_mesh(path, mesh)
    before = path.read_bytes()
    twice = mesh.tag_cells("a", lambda x: x[:, 0] < 2).tag_cells("b", lambda x: x[:, 0] < 0.5)
    with pytest.raises(MeshError, match="cell tag 'b' overlaps another"):
        write_mesh(path, twice)
    assert path.read_bytes() == before
    with pytest.raises(MeshError, match=r"extension must be one of \.msh"):
        write_mesh(tmp_path / "mesh.stl", mesh)
    with pytest.raises(MeshError, match=r"folder .* does not exist"):
        write_mesh(tmp_path / "no" / "mesh.vtu", mesh)
    with pytest.raises(MeshError, match=r"point data 'T' have shape \(3,\), but must have 9 rows"):
        write_mesh(path, mesh, point_data={"T": np.zeros(3)})
    with pytest.raises(MeshError, match=r"cannot hold the cell data 'q'"):
        write_mesh(path, mesh, cell_data={"q": np.zeros(4)})
    with pytest.raises(MeshError, match="prefix 'gemel:'"):
        write_mesh(path, mesh, cell_data={"gemel:x": np.zeros(4)})
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def small_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    contents = {}
    for extension in (".msh", ".vtk", ".vtu"):
        path = folder / f"mesh{extension}"
        write_mesh(path, _tagged(rectangle(2, 1, cell="triangle")))
        contents[extension] = path.read_bytes()
    mesh = box(1, 1, 1, cell="tetrahedron")
    tetra = FILE_CELLS["tetra"]
    text = meshio.Mesh(mesh.points, [("tetra", mesh.cells[:, tetra.order])])
    meshio.write(folder / "mesh.inp", text)
    contents[".inp"] = (folder / "mesh.inp").read_bytes()
    meshio.write(folder / "ascii.msh", text, file_format="gmsh22", binary=False)
    physical: dict[str, Any] = {"gmsh:physical": [np.full(6, 4)], "gmsh:geometrical": [np.full(6, 1)]}
    four = meshio.Mesh(mesh.points, text.cells, {"gmsh:dim_tags": np.tile([3, 1], (8, 1))}, physical)
    for name, binary in (("four.msh", True), ("ascii4.msh", False)):
        meshio.write(folder / name, four, file_format="gmsh", binary=binary)
        contents[name] = (folder / name).read_bytes()
    contents["ascii.msh"] = (folder / "ascii.msh").read_bytes()
    return folder, contents


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    extension=st.sampled_from([".msh", ".vtk", ".vtu", ".inp", "ascii.msh", "four.msh", "ascii4.msh"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    keep=st.floats(0, 1) | st.just(1.0),
)
@example(extension="ascii.msh", edits=[], keep=0.5)
@example(extension=".msh", edits=[], keep=0.5)
def test_a_damaged_file_is_read_or_refused_in_a_sentence(small_files, extension, edits, keep):
    folder, contents = small_files
    data = bytearray(contents[extension])
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    path = folder / f"damaged{extension}"
    path.write_bytes(bytes(data[: round(keep * len(data))]))
    with contextlib.suppress(MeshError):
        assert float(read_mesh(path).volume()) > 0
