"""Parts of a mesh and pairs of periodic points."""

import numpy as np
import pytest

from gemel.meshes import MeshError, box, match_points, periodic_pairs, rectangle, submesh


@pytest.mark.parametrize("cell", ["hexahedron", "tetrahedron"])
def test_a_part_keeps_tags_and_knows_its_interface(cell):
    whole = box(4, 2, 2, cell=cell).tag_cells("part", lambda x: x[:, 0] < 0.5).tag_cells("low", lambda x: x[:, 2] < 0.5)
    whole = whole.with_node_tag("corners", np.array([0, 4]))
    whole = whole.tag_facets("middle", lambda x: np.abs(x[:, 0] - 0.5) < 1e-9, interior=True)
    whole = whole.with_facet_tag("elsewhere", np.asarray(whole.facets("right")))
    part, points, cells = submesh(whole, "part")
    assert float(part.volume()) == pytest.approx(0.5)
    assert float(part.volume("low")) == pytest.approx(0.25)
    np.testing.assert_array_equal(part.points, np.asarray(whole.points)[points])
    np.testing.assert_array_equal(points[np.asarray(part.cells)], np.asarray(whole.cells)[cells])
    assert float(part.area("left")) == pytest.approx(1.0)
    assert float(part.area("top")) == pytest.approx(0.5)
    assert float(part.area("interface")) == pytest.approx(1.0)
    assert float(part.area("middle")) == pytest.approx(1.0)
    assert not {"right", "elsewhere"} & set(part.facet_tags)
    np.testing.assert_array_equal(points[part.nodes_of("corners")], [0])
    # The other part names the same facets from its own side.
    rest, _, _ = submesh(whole.tag_cells("rest", lambda x: x[:, 0] > 0.5), "rest")
    assert float(rest.area("middle")) == pytest.approx(1.0)
    np.testing.assert_array_equal(np.unique(rest.facets("middle"), axis=0), np.unique(rest.facets("interface"), axis=0))
    assert np.unique(np.asarray(rest.points)[rest.nodes_of_facets("middle"), 0]).tolist() == [0.5]


def test_parts_that_are_refused():
    mesh = rectangle(2, 2).tag_cells("a", lambda x: x[:, 0] < 0.5)
    with pytest.raises(MeshError, match="no cell tag 'b'"):
        mesh.submesh("b")
    with pytest.raises(MeshError, match="facet tag 'left' already"):
        mesh.submesh("a", interface="left")
    with pytest.raises(MeshError, match="cell tag 'none' holds no cells"):
        mesh.with_cell_tag("none", np.zeros(0, dtype=int)).submesh("none")


def test_interior_facets_may_be_tagged():
    mesh = rectangle(4, 3).tag_facets("cut", lambda x: np.abs(x[:, 0] - 0.5) < 1e-9, interior=True)
    assert float(mesh.area("cut")) == pytest.approx(1.0)
    np.testing.assert_array_equal(mesh.facets("cut")[:, 0], [1, 5, 9])
    with pytest.raises(MeshError, match="No interior facet"):
        mesh.tag_facets("rim", lambda x: x[:, 0] < 1e-9, interior=True)


@pytest.mark.parametrize("cell", ["hexahedron", "tetrahedron"])
def test_translated_sides_pair(cell):
    mesh = box(2, 3, 2, size=(2.0, 1.0, 1.0), cell=cell)
    pairs = periodic_pairs(mesh, "left", "right", np.array([2.0, 0.0, 0.0]))
    points = np.asarray(mesh.points)
    assert len(pairs) == 12
    np.testing.assert_allclose(points[pairs[:, 1]] - points[pairs[:, 0]], np.tile([2.0, 0, 0], (12, 1)), atol=1e-14)


def test_sides_pair_by_a_rotation():
    mesh = rectangle(3, 3)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    pairs = periodic_pairs(mesh, "bottom", "left", lambda x: x @ turn.T)
    np.testing.assert_array_equal(pairs, [[0, 0], [1, 4], [2, 8], [3, 12]])


def test_sides_that_do_not_match_are_named():
    mesh = rectangle(3, 3)
    with pytest.raises(MeshError, match=r"4 of 4 points of 'left' have no partner on 'right': the one at \[0.0, 0.0\]"):
        periodic_pairs(mesh, "left", "right", (0.9, 0.0))
    with pytest.raises(MeshError, match="'left' has 4 points and 'short' 3"):
        periodic_pairs(mesh.with_facet_tag("short", np.asarray(mesh.facets("right"))[:2]), "left", "short", (1.0, 0.0))
    with pytest.raises(MeshError, match=r"shape \(4, 2\), not \(4, 1\)"):
        periodic_pairs(mesh, "left", "right", lambda x: x[:, :1])
    with pytest.raises(MeshError, match="Several points of 'the first side' pair with one"):
        match_points(np.zeros((2, 1)), np.array([[0.0], [5.0]]), (0.0,), 1.0)
