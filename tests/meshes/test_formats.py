"""What other programs write: several cell types, quadratic and serendipity cells, sets, beams, in every format."""

from typing import Any

import meshio
import numpy as np
import pytest
from meshio._mesh import topological_dimension

from gemel.meshes import (
    CellBlock,
    Mesh,
    MeshError,
    box,
    coordinate_element,
    extrude,
    frame,
    read_mesh,
    rectangle,
    write_mesh,
)
from gemel.meshes.orders import FILE_CELLS
from gemel.meshes.serendipity import EDGES, FULL


@pytest.fixture(autouse=True)
def _wedge15(monkeypatch):
    """meshio 5.3.5 lists the cell without its dimension, so that it cannot write one either."""
    monkeypatch.setitem(topological_dimension, "wedge15", 3)


CUBE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])


def _mixed():
    """Hexahedra and prisms with tags of all kinds."""
    flat = Mesh(
        rectangle(3, 1, size=(3.0, 1.0)).points,
        (
            CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
            CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
        ),
        cell_tags={"some": np.array([1, 3])},
        node_tags={"corner": np.array([0])},
    )
    return extrude(flat.tag_facets("right", lambda x: x[:, 0] > 2.999), 2, 1.0)


def _same(again, mesh):
    assert [block.cell_type for block in again.blocks] == [block.cell_type for block in mesh.blocks]
    np.testing.assert_allclose(again.points, mesh.points, atol=1e-15)
    for one, other in zip(again.blocks, mesh.blocks, strict=True):
        np.testing.assert_array_equal(one.cells, other.cells)
    assert set(again.cell_tags) == set(mesh.cell_tags)
    for name, numbers in mesh.cell_tags.items():
        np.testing.assert_array_equal(again.cell_tags[name], np.sort(numbers))
    for name, rows in mesh.facet_tags.items():
        np.testing.assert_array_equal(again.facet_tags[name], np.unique(rows, axis=0))
    for name, numbers in mesh.node_tags.items():
        np.testing.assert_array_equal(again.node_tags[name], np.sort(numbers))


@pytest.mark.parametrize("extension", [".msh", ".vtu", ".vtk", ".xdmf"])
def test_several_types_survive_a_round_trip(tmp_path, extension):
    mesh, path = _mixed(), tmp_path / f"mesh{extension}"
    write_mesh(path, mesh, point_data={"T": np.arange(mesh.n_points)})
    _same(read_mesh(path), mesh)
    if extension != ".msh":
        write_mesh(path, mesh, cell_data={"q": np.arange(mesh.n_cells)})
        found = np.concatenate(meshio.read(path).cell_data["q"]).ravel()
        np.testing.assert_array_equal(found, np.arange(mesh.n_cells))


@pytest.mark.parametrize("extension", [".msh", ".vtu", ".vtk", ".xdmf"])
def test_a_frame_survives_a_round_trip(tmp_path, extension):
    joints, members = [[0.0, 0.0, 0.0], [0.0, 0.0, 3.0], [4.0, 1.0, 3.0]], [[0, 1], [1, 2]]
    mesh = frame(joints, members, 2, member_tags={"column": [0]}, joint_tags={"foot": [0], "knee": [1]})
    path = tmp_path / f"frame{extension}"
    write_mesh(path, mesh)
    _same(read_mesh(path), mesh)


def test_lines_in_a_plane_may_be_read_as_such(tmp_path):
    path = tmp_path / "line.vtu"
    points = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    meshio.write(path, meshio.Mesh(points, [("line", np.array([[0, 1], [2, 1]]))]))
    assert [read_mesh(path, dim=dim).dim for dim in (1, 2, 3)] == [1, 2, 3]
    # In 1-D a line that runs backward is turned round.
    np.testing.assert_array_equal(read_mesh(path, dim=1).cells, [[0, 1], [1, 2]])
    meshio.write(path, meshio.Mesh(points + [0, 1e-3, 0] * points, [("line", np.array([[0, 1], [1, 2]]))]))
    write_mesh(path, frame([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]], [[0, 1]]))
    assert read_mesh(path, dim=2).dim == 2
    with pytest.raises(MeshError, match="lines leave the 1-D space"):
        read_mesh(path, dim=1)
    with pytest.raises(MeshError, match="make no mesh in 4-D space"):
        read_mesh(path, dim=4)


def _serendipity(name):
    """Nodes of one serendipity cell in VTK's order, some of its middles moved."""
    full = FULL[name]
    cell = FILE_CELLS[full]
    points = np.array(coordinate_element(cell.cell_type, 2).points)[np.argsort(cell.order)]
    n = int(name[-2:]) if name[-2:].isdigit() else int(name[-1])
    corners = {"quad8": 4, "hexahedron20": 8, "wedge15": 6}[name]
    rng = np.random.default_rng(0)
    points[corners:n] += 0.04 * rng.normal(size=(n - corners, points.shape[1]))
    return points[:n], corners


def _shape_of_quad8(x, nodes):
    """The eight-node serendipity interpolation on (-1, 1)²."""
    s, t = x
    corners = [(1 + a * s) * (1 + b * t) * (a * s + b * t - 1) / 4 for a, b in [(-1, -1), (1, -1), (1, 1), (-1, 1)]]
    middles = [
        (1 - s * s) * (1 - t) / 2,
        (1 + s) * (1 - t * t) / 2,
        (1 - s * s) * (1 + t) / 2,
        (1 - s) * (1 - t * t) / 2,
    ]
    return np.array([*corners, *middles]) @ nodes


@pytest.mark.parametrize("extension", [".vtu", ".vtk"])
@pytest.mark.parametrize("name", list(FULL))
def test_serendipity_cells_are_completed(tmp_path, name, extension):
    points, _ = _serendipity(name)
    path = tmp_path / f"cell{extension}"
    space = np.column_stack([points, np.zeros((len(points), 3 - points.shape[1]))])
    meshio.write(path, meshio.Mesh(space, [(name, np.arange(len(points))[None])]))
    mesh = read_mesh(path)
    cell = FILE_CELLS[FULL[name]]
    assert (mesh.cell_type, mesh.degree) == (cell.cell_type, 2)
    nodes = np.asarray(mesh.points)[np.asarray(mesh.cells)[0]][np.argsort(cell.order)]
    np.testing.assert_allclose(nodes[: len(points)], points)
    if name == "quad8":
        np.testing.assert_allclose(nodes[8], _shape_of_quad8((0.0, 0.0), points))
    if name == "hexahedron20":
        lower = points[[0, 1, 2, 3, 8, 9, 10, 11]]
        np.testing.assert_allclose(nodes[24], _shape_of_quad8((0.0, 0.0), lower))
        np.testing.assert_allclose(nodes[26], (points[8:].sum(axis=0) - points[:8].sum(axis=0)) / 4)
    if name == "wedge15":
        np.testing.assert_allclose(nodes[15], _shape_of_quad8((0.0, 0.0), points[[0, 1, 4, 3, 6, 13, 9, 12]]))


def test_the_node_of_a_shared_face_is_one(tmp_path):
    # Two hexahedra with twenty nodes and, on top of one, two prisms with fifteen: they share faces.
    mesh = box(2, 1, 1, size=(2.0, 1.0, 1.0))
    corners = np.asarray(mesh.cells)[:, [0, 1, 3, 2, 4, 5, 7, 6]]
    points = [*np.asarray(mesh.points).tolist(), [0.0, 0, 2], [0, 1, 2]]
    low = corners[0]
    ridge = len(points)
    points.append([1.0, 0, 2])
    points.append([1.0, 1, 2])
    prisms = np.array([[low[4], 12, low[5], low[7], 13, low[6]], [12, ridge, low[5], 13, ridge + 1, low[6]]])
    points, cells = np.array(points), {"hexahedron20": corners, "wedge15": prisms}
    number: dict[tuple[int, int], int] = {}
    blocks, added = [], []
    for name, rows in cells.items():
        full = []
        for row in rows:
            middles = []
            for a, b in EDGES[name]:
                key = (min(row[a], row[b]), max(row[a], row[b]))
                if key not in number:
                    number[key] = len(points) + len(number)
                    added.append((points[row[a]] + points[row[b]]) / 2)
                middles.append(number[key])
            full.append([*row, *middles])
        blocks.append((name, np.array(full)))
    path = tmp_path / "m.vtu"
    meshio.write(path, meshio.Mesh(np.concatenate([points, added]), blocks))
    mesh = read_mesh(path)
    assert float(mesh.volume()) == pytest.approx(3.0)
    # Faces: eleven of two hexahedra, five quadrilaterals more of the prisms; two centres.
    assert mesh.n_points == len(points) + len(number) + 11 + 4 + 2
    assert len(mesh.interior_facets()) == 3


MSH2 = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
3
2 1 "hot side"
3 2 "core"
3 3 "all of it"
$EndPhysicalNames
$Nodes
5
1 0 0 0
2 1 0 0
3 0 1 0
4 0 0 1
9 1 1 1
$EndNodes
$Elements
5
1 2 2 1 1 1 2 3
2 4 2 2 1 1 2 3 4
3 4 2 3 1 1 2 3 4
4 4 2 3 1 2 3 4 9
5 15 2 7 1 9
$EndElements
"""

MSH4 = """$MeshFormat
4.1 0 8
$EndMeshFormat
$PhysicalNames
2
2 1 "hot side"
3 2 "core"
$EndPhysicalNames
$Entities
0 0 1 2
1 0 0 0 1 1 0 1 1 0
1 0 0 0 1 1 1 1 2 0
2 0 0 0 1 1 1 1 3 0
$EndEntities
$Nodes
1 5 1 5
3 1 0 5
1
2
3
4
5
0 0 0
1 0 0
0 1 0
0 0 1
1 1 1
$EndNodes
$Elements
3 3 1 3
2 1 2 1
1 1 2 3
3 1 4 1
2 1 2 3 4
3 2 4 1
3 2 3 4 5
$EndElements
"""


def test_gmsh_two(tmp_path):
    path = tmp_path / "m.msh"
    path.write_text(MSH2)
    mesh = read_mesh(path)
    assert mesh.n_cells == 2  # format 2 repeats a cell that is in two groups
    np.testing.assert_array_equal(mesh.cells_of("core"), [0])
    np.testing.assert_array_equal(mesh.cells_of("all of it"), [0, 1])
    np.testing.assert_array_equal(mesh.nodes_of("0:7"), [4])
    assert float(mesh.area("hot side")) == pytest.approx(0.5)


def test_gmsh_four(tmp_path):
    path = tmp_path / "m.msh"
    path.write_text(MSH4)
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.cells_of("core"), [0])
    np.testing.assert_array_equal(mesh.cells_of("3:3"), [1])
    assert float(mesh.area("hot side")) == pytest.approx(0.5)


def test_gmsh_four_with_entities_in_several_groups_and_in_none(tmp_path):
    path = tmp_path / "m.msh"
    text = MSH4.replace("1 0 0 0 1 1 1 1 2 0", "1 0 0 0 1 1 1 2 2 9 0").replace(
        "2 0 0 0 1 1 1 1 3 0", "2 0 0 0 1 1 1 0 0"
    )
    path.write_text(text)
    mesh = read_mesh(path)
    assert mesh.n_cells == 2
    assert {tag: cells.tolist() for tag, cells in mesh.cell_tags.items()} == {"core": [0], "3:9": [0]}


@pytest.mark.parametrize("order", ["<", ">"])
def test_gmsh_four_binary(tmp_path, order):
    def pack(kind, *numbers):
        return np.asarray(numbers, dtype=order + kind).tobytes()

    points = [(0.0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    surface = [pack("i4", 1), pack("f8", 0, 0, 0, 1, 1, 0), pack("u8", 1), pack("i4", 1), pack("u8", 0)]
    volume = [pack("i4", 1), pack("f8", 0, 0, 0, 1, 1, 1), pack("u8", 1), pack("i4", 2), pack("u8", 1), pack("i4", 1)]
    content = [
        *[b"$MeshFormat\n4.1 1 8\n", pack("i4", 1), b"\n$EndMeshFormat\n"],
        b'$PhysicalNames\n2\n2 1 "hot side"\n3 2 "core"\n$EndPhysicalNames\n',
        *[b"$Entities\n", pack("u8", 0, 0, 1, 1), *surface, *volume, b"\n$EndEntities\n"],
        *[b"$Nodes\n", pack("u8", 1, 5, 1, 9), pack("i4", 3, 1, 0), pack("u8", 5), pack("u8", 1, 2, 3, 4, 9)],
        *[pack("f8", *np.ravel(points)), b"\n$EndNodes\n$Elements\n", pack("u8", 2, 3, 1, 3)],
        *[pack("i4", 2, 1, 2), pack("u8", 1), pack("u8", 1, 1, 2, 3)],
        *[pack("i4", 3, 1, 4), pack("u8", 2), pack("u8", 2, 1, 2, 3, 4), pack("u8", 3, 2, 3, 4, 9)],
        b"\n$EndElements\n",
    ]
    path = tmp_path / "m.msh"
    path.write_bytes(b"".join(content))
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.points, points)
    np.testing.assert_array_equal(mesh.cells_of("core"), [0, 1])
    assert float(mesh.area("hot side")) == pytest.approx(0.5)
    path.write_bytes(b"".join(content)[:-60])
    with pytest.raises(MeshError, match=r"m\.msh' cannot be read: it is damaged"):
        read_mesh(path)


@pytest.mark.parametrize("binary", [False, True])
def test_gmsh_four_as_meshio_writes_it(tmp_path, binary):
    path = tmp_path / "m.msh"
    mesh = box(2, 2, 1, cell="tetrahedron")
    data: dict[str, Any] = {"gmsh:physical": [np.full(mesh.n_cells, 4)], "gmsh:geometrical": [np.full(mesh.n_cells, 1)]}
    raw = meshio.Mesh(np.asarray(mesh.points), [("tetra", np.asarray(mesh.cells))], cell_data=data)
    raw.point_data["gmsh:dim_tags"] = np.tile([3, 1], (mesh.n_points, 1))
    meshio.write(path, raw, file_format="gmsh", binary=binary)
    again = read_mesh(path)
    np.testing.assert_array_equal(again.cells, mesh.cells)
    np.testing.assert_array_equal(again.cells_of("3:4"), np.arange(mesh.n_cells))


# Corners between which gmsh's further nodes lie, from its manual (node ordering of Hexahedron20, 27, Prism15, 18).
GMSH_HEXAHEDRON = [(0, 1), (0, 3), (0, 4), (1, 2), (1, 5), (2, 3), (2, 6), (3, 7), (4, 5), (4, 7), (5, 6), (6, 7)]
GMSH_FACES = [(0, 3, 2, 1), (0, 1, 5, 4), (0, 4, 7, 3), (1, 2, 6, 5), (2, 3, 7, 6), (4, 5, 6, 7), tuple(range(8))]
GMSH_PRISM = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (3, 5), (4, 5)]
GMSH_SIDES = [(0, 1, 4, 3), (0, 3, 5, 2), (1, 2, 5, 4)]
PRISM = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("kind", "corners", "between"),
    [
        (17, CUBE, GMSH_HEXAHEDRON),
        (12, CUBE, [*GMSH_HEXAHEDRON, *GMSH_FACES]),
        (18, PRISM, GMSH_PRISM),
        (13, PRISM, [*GMSH_PRISM, *GMSH_SIDES]),
    ],
)
@pytest.mark.parametrize("version", ["2.2", "4.1"])
def test_quadratic_cells_of_gmsh_are_straight(tmp_path, version, kind, corners, between):
    points = np.concatenate([corners, [corners[list(ends)].mean(axis=0) for ends in between]])
    n, coordinates = len(points), [f"{x} {y} {z}" for x, y, z in points]
    numbers = [str(number + 1) for number in range(n)]
    cell = " ".join(numbers)
    if version == "2.2":
        nodes = [str(n), *(f"{number} {x}" for number, x in zip(numbers, coordinates, strict=True))]
        elements = ["1", f"1 {kind} 2 1 1 {cell}"]
    else:
        nodes = [f"1 {n} 1 {n}", f"3 1 0 {n}", *numbers, *coordinates]
        elements = ["1 1 1 1", f"3 1 {kind} 1", f"1 {cell}"]
    text = [
        *["$MeshFormat", f"{version} 0 8", "$EndMeshFormat", "$Nodes", *nodes, "$EndNodes"],
        *["$Elements", *elements, "$EndElements", ""],
    ]
    path = tmp_path / "cell.msh"
    path.write_text("\n".join(text))
    mesh = read_mesh(path)
    expected = np.asarray(coordinate_element(mesh.cell_type, 2).points)
    np.testing.assert_allclose(np.asarray(mesh.points)[np.asarray(mesh.cells)[0]], expected, atol=1e-15)


ABAQUS = """*Heading
 part of a clamp
** a comment
*Part, name=Clamp
*Node, nset=everything
1, 0., 0., 0.
2, 1., 0., 0.
3, 1., 1., 0.
4, 0., 1., 0.
5, 0., 0., 1.
6, 1., 0., 1.
7, 1., 1., 1.
8, 0., 1., 1.
10, 2., 0., 0.
11, 2., 0., 1.
*Element, type=C3D8R, elset=block
7, 1, 2, 3, 4,
 5, 6, 7, 8
*ELEMENT, TYPE=C3D6
8, 2, 10, 3, 6, 11, 7
*Nset, nset=Foot, generate
1, 4, 1
*Nset, nset="some points"
1, 7
*Elset, elset=both, generate
7, 8, 1
*Elset, elset=named
block, 8
*Surface, type=ELEMENT, name=top
block, S2
8, S2
*Surface, type=ELEMENT, name=rim
8, S3
*End Part
*Assembly, name=A
*Instance, name=Clamp-1, part=Clamp
*End Instance
*Nset, nset=tip, instance=Clamp-1
10, 11
*End Assembly
*Step
*Boundary
Foot, 1, 3
"""


def test_an_input_file_of_abaqus(tmp_path):
    path = tmp_path / "clamp.inp"
    path.write_text(ABAQUS)
    mesh = read_mesh(path)
    assert [block.cell_type for block in mesh.blocks] == ["hexahedron", "prism"]
    assert float(mesh.volume()) == pytest.approx(1.5)
    np.testing.assert_array_equal(mesh.cells_of("both"), [0, 1])
    np.testing.assert_array_equal(mesh.cells_of("named"), [0, 1])
    np.testing.assert_array_equal(mesh.cells_of("block"), [0])
    assert float(mesh.area("top")) == pytest.approx(1.5)
    assert float(mesh.area("rim")) == pytest.approx(1.0)
    np.testing.assert_array_equal(mesh.nodes_of("some points"), [0, 6])
    # A set of points that is one face is a facet tag as well; others are not.
    assert float(mesh.area("Foot")) == pytest.approx(1.0)
    assert set(mesh.facet_tags) == {"top", "rim", "Foot"}
    np.testing.assert_array_equal(np.asarray(mesh.points)[mesh.nodes_of("tip"), 0], [2.0, 2.0])


def test_beams_of_abaqus(tmp_path):
    path = tmp_path / "frame.inp"
    (tmp_path / "nodes.inc").write_text("*NODE\n1, 0, 0, 0\n2, 0, 0, 3\n3, 4, 0, 3\n9, 1, 0, 0\n")
    path.write_text(
        "*INCLUDE, INPUT=nodes.inc\n*ELEMENT, TYPE=B31, ELSET=column\n1, 1, 2, 9\n"
        "*ELEMENT, TYPE=B31,\n ELSET=girder\n2, 2, 3\n*NSET, NSET=foot\n1\n"
    )
    mesh = read_mesh(path)
    assert (mesh.cell_type, mesh.dim, mesh.n_points) == ("interval", 3, 3)
    assert float(mesh.volume("column")) == pytest.approx(3.0)
    assert float(mesh.volume("girder")) == pytest.approx(4.0)
    np.testing.assert_array_equal(mesh.facets("foot"), [[0, 0]])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("C3D8R", "C3D9", "element type 'C3D9' is not supported"),
        ("10, 3, 6, 11, 7", "10, 3, 6, 12, 7", "element 8 has the node 12, which is not defined"),
        ("7, 8, 1\n", "7, 9, 1\n", "set 'both' names the element 9, which is not defined"),
        ("block, S2", "block, S7", "surface 'top' names a face 'S7' that element 7 does not have"),
        ("block, S2", "blok, S2", "refers to the set 'blok', which is not defined"),
        ("*End Part", "*End Part\n*Part, name=B", "several parts"),
        ("*End Instance", "1., 0., 0.\n*End Instance", "places its part elsewhere"),
        ("6, 1., 0., 1.", "6, 1., zero, 1.", "'zero' where a coordinate should be"),
        ("5, 6, 7, 8", "5, 6, 7", "'C3D8R' do not have 8 nodes each"),
    ],
)
def test_input_files_that_are_refused(tmp_path, old, new, sentence):
    path = tmp_path / "bad.inp"
    assert old in ABAQUS
    path.write_text(ABAQUS.replace(old, new, 1))
    with pytest.raises(MeshError, match=rf"bad\.inp' cannot be read: .*{sentence}"):
        read_mesh(path)


def test_nastran(tmp_path):
    path = tmp_path / "m.bdf"
    mesh = box(1, 1, 1, cell="tetrahedron")
    groups: dict[str, Any] = {"nastran:ref": [np.array([1, 1, 1, 2, 2, 2])]}
    meshio.write(path, meshio.Mesh(mesh.points, [("tetra", mesh.cells)], cell_data=groups))
    again = read_mesh(path)
    np.testing.assert_array_equal(again.cells, mesh.cells)
    assert float(again.volume("3:2")) == pytest.approx(0.5)


def test_med(tmp_path):
    path = tmp_path / "m.med"
    mesh = box(1, 1, 1)
    rows = FILE_CELLS["hexahedron"].order
    raw: Any = meshio.Mesh(
        mesh.points,
        [("hexahedron", np.asarray(mesh.cells)[:, np.argsort(rows)]), ("quad", np.array([[0, 2, 6, 4]]))],
        point_data={"point_tags": np.array([2, 0, 0, 0, 0, 0, 0, 3])},
        cell_data={"cell_tags": [np.array([-5]), np.array([-6])]},
    )
    raw.point_tags = {2: ["corner"], 3: ["corner", "other"]}
    raw.cell_tags = {-5: ["steel"], -6: ["wall", "left"]}
    meshio.write(path, raw)
    again = read_mesh(path)
    np.testing.assert_array_equal(again.nodes_of("corner"), [0, 7])
    np.testing.assert_array_equal(again.nodes_of("other"), [7])
    np.testing.assert_array_equal(again.cells_of("steel"), [0])
    assert float(again.area("wall")) == pytest.approx(1.0)
    np.testing.assert_array_equal(again.facets("left"), mesh.facets("left"))


def test_an_inverted_cell_is_named_with_its_place(tmp_path):
    points = np.concatenate([CUBE, CUBE + np.array([2.0, 0, 0])])
    cells = np.array([np.arange(8), 8 + np.array([0, 1, 3, 2, 4, 5, 6, 7])])
    path = tmp_path / "bad.vtk"
    meshio.write(path, meshio.Mesh(points, [("hexahedron", cells)]))
    with pytest.raises(
        MeshError, match=r"1 of 2 cells are inverted .* hexahedron number 1, .* centre at \(2.5, 0.5, 0.5\)"
    ):
        read_mesh(path)


def test_a_face_that_meets_two_triangles_is_refused(tmp_path):
    points = np.concatenate([CUBE, [[2.0, 0.5, 0.5]]])
    cells = [("hexahedron", [range(8)]), ("tetra", [[1, 2, 6, 8], [1, 6, 5, 8]])]
    path = tmp_path / "bad.vtu"
    meshio.write(path, meshio.Mesh(points, [(name, np.array([list(row) for row in rows])) for name, rows in cells]))
    with pytest.raises(MeshError, match="1 quadrilateral faces, the first of cell 0, meet two triangles"):
        read_mesh(path)
