"""Lines, frames and extrusion."""

import numpy as np
import pytest

from gemel.meshes import (
    CellBlock,
    Mesh,
    MeshError,
    box,
    coordinate_element,
    extrude,
    frame,
    grid,
    line,
    polyline,
    rectangle,
)


def test_a_line_and_its_ends():
    mesh = line(4, length=2.0, origin=-1.0)
    assert (mesh.cell_type, mesh.dim, mesh.cell_dim, mesh.shape) == ("interval", 1, 1, (4,))
    np.testing.assert_allclose(mesh.points[:, 0], [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(mesh.facets("left"), [[0, 0]])
    np.testing.assert_array_equal(mesh.facets("right"), [[3, 1]])
    np.testing.assert_array_equal(mesh.refined().points, line(8, length=2.0, origin=-1.0).points)
    np.testing.assert_array_equal(mesh.refined().facets("right"), [[7, 1]])
    assert grid([0.0, 0.1, 1.0]).n_cells == 2
    with pytest.raises(MeshError, match="along z needs those along y"):
        grid([0.0, 1.0], None, [0.0, 1.0])
    with pytest.raises(MeshError, match="1-D grid has cells 'interval', not 'triangle'"):
        grid([0.0, 1.0], cell="triangle")


JOINTS = [[0.0, 0.0, 0.0], [0.0, 0.0, 3.0], [4.0, 0.0, 3.0], [4.0, 0.0, 0.0]]
MEMBERS = [[0, 1], [1, 2], [3, 2]]


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_portal_frame(degree):
    tags = {"member_tags": {"columns": [0, 2]}, "joint_tags": {"feet": [0, 3], "knee": [1]}}
    mesh = frame(JOINTS, MEMBERS, [2, 4, 3], degree=degree, **tags)
    assert (mesh.n_cells, mesh.n_points) == (9, 9 * degree + 1)
    assert float(mesh.volume()) == pytest.approx(10.0)
    assert float(mesh.volume("columns")) == pytest.approx(6.0)
    np.testing.assert_array_equal(mesh.points[:4], JOINTS)
    np.testing.assert_array_equal(mesh.cells_of("columns"), [0, 1, 6, 7, 8])
    np.testing.assert_array_equal(mesh.nodes_of("feet"), [0, 3])
    np.testing.assert_array_equal(mesh.facets("feet"), [[0, 0], [6, 0]])
    np.testing.assert_array_equal(mesh.nodes_of_facets("knee"), [1])
    np.testing.assert_array_equal(mesh.boundary_facets(), [[0, 0], [6, 0]])
    # Members point from their first joint to their second.
    ends = np.asarray(mesh.points)[np.asarray(mesh.cells)[:, :2]]
    np.testing.assert_array_equal(np.sign(ends[:, 1] - ends[:, 0])[[0, 1, 2, 5, 6, 8]], np.eye(3)[[2, 2, 0, 0, 2, 2]])
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    np.testing.assert_allclose(lengths, [1.5, 1.5, 1, 1, 1, 1, 1, 1, 1])
    fine = mesh.refined()
    assert float(fine.volume("columns")) == pytest.approx(6.0)
    np.testing.assert_array_equal(fine.nodes_of_facets("feet"), [0, 3])


def test_a_polyline_open_and_closed():
    square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    assert float(polyline(square).volume()) == pytest.approx(3.0)
    ring = polyline(square, 2, closed=True)
    assert float(ring.volume()) == pytest.approx(4.0)
    assert len(ring.boundary_facets()) == 0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: frame(JOINTS, [[0, 1], [1, 2]]), "Joint 3 belongs to no member"),
        (lambda: frame(JOINTS, [[0, 1], [1, 4]]), "Member 1 joins 1 and 4, but joints are numbered 0 to 3"),
        (lambda: frame([[0.0, 0.0], [0.0, 0.0]], [[0, 1]]), "Member 0 has no length"),
        (lambda: frame(JOINTS, MEMBERS, 0), "A member has 0 intervals"),
        (lambda: frame(JOINTS, MEMBERS, [1, 2]), "one integer or 3 of them"),
        (lambda: frame(JOINTS, MEMBERS, member_tags={"a": [3]}), "member tag 'a' must hold member numbers from 0 to 2"),
        (lambda: frame(JOINTS, MEMBERS, joint_tags={"a": [4]}), "joint tag 'a' must hold joint numbers from 0 to 3"),
        (lambda: polyline([[0.0, 0.0]]), "two or more points, not 1"),
    ],
)
def test_frames_that_are_refused(make, sentence):
    with pytest.raises(MeshError, match=sentence):
        make()


def test_an_extruded_rectangle_is_the_box():
    flat = rectangle(3, 2, size=(3.0, 1.0)).tag_cells("a", lambda x: x[:, 0] < 1)
    mesh = extrude(flat, 4, 2.0)
    same = box(3, 2, 4, size=(3.0, 1.0, 2.0))
    assert mesh.shape == same.shape
    np.testing.assert_allclose(mesh.points, same.points)
    np.testing.assert_array_equal(mesh.cells, same.cells)
    for name, other in {"left": "left", "bottom": "front", "top": "back", "lower": "bottom", "upper": "top"}.items():
        np.testing.assert_array_equal(np.unique(np.asarray(mesh.facets(name)), axis=0), same.facets(other))
    assert float(mesh.volume("a")) == pytest.approx(2.0)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("cell_type", ["interval", "triangle", "quadrilateral"])
def test_an_extruded_bent_cell(cell_type, degree):
    points = np.array(coordinate_element(cell_type, degree).points)
    if points.shape[1] == 2:
        points[:, 1] += 0.2 * points[:, 0] ** degree
    flat = Mesh.of(points, np.arange(len(points))[None], cell_type, degree=degree)
    flat = flat.tag_facets("side", lambda x: x[:, 0] < 1e-9)
    mesh = extrude(flat, 3, 2.0, grading=4.0, base=1.0)
    assert float(mesh.volume()) == pytest.approx(2.0 * float(flat.volume()), rel=1e-12)
    assert float(mesh.area("side")) == pytest.approx(2.0 * float(flat.area("side")), rel=1e-9)
    assert float(mesh.area("lower")) == pytest.approx(float(flat.volume()), rel=1e-9)
    heights = np.unique(np.round(np.asarray(mesh.points)[np.asarray(mesh.blocks[0].vertices), -1], 12))
    np.testing.assert_allclose(np.diff(heights), 2.0 * np.array([1, 2, 4]) / 7)


def test_an_extruded_mesh_of_two_types():
    flat = Mesh(
        rectangle(3, 1, size=(3.0, 1.0)).points,
        (
            CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
            CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
        ),
        cell_tags={"some": np.array([1, 3])},
        node_tags={"corner": np.array([0])},
    )
    flat = flat.tag_facets("right", lambda x: x[:, 0] > 2.999).tag_facets("left", lambda x: x[:, 0] < 1e-9)
    mesh = extrude(flat, 2, 1.0)
    assert [block.cell_type for block in mesh.blocks] == ["hexahedron", "prism"]
    assert float(mesh.volume("some")) == pytest.approx(1.5)
    for name, area in {"left": 1.0, "right": 1.0, "upper": 3.0, "lower": 3.0}.items():
        assert float(mesh.area(name)) == pytest.approx(area)
    assert float(mesh.area()) == pytest.approx(2 * (3 + 3 + 1))
    np.testing.assert_array_equal(mesh.nodes_of("corner"), [0, 8, 16])
    assert np.unique(np.asarray(mesh.points)[mesh.nodes_of_facets("right"), 0]).tolist() == [3.0]


def test_extrusions_that_are_refused():
    with pytest.raises(MeshError, match="not 3-D cells in 3-D"):
        extrude(box(1, 1, 1), 1, 1.0)
    with pytest.raises(MeshError, match="not 1-D cells in 2-D"):
        extrude(polyline([[0.0, 0.0], [1.0, 1.0]]), 1, 1.0)
    with pytest.raises(MeshError, match=r"positive layers, height and grading, not 0, 1.0 and 1.0"):
        extrude(line(2), 0, 1.0)
    with pytest.raises(MeshError, match="facet tag 'left' is in use"):
        extrude(line(2), 1, 1.0, ends=("left", "up"))
