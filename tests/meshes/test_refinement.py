"""Uniform refinement: volumes, tags, shape of bent cells, prolongation, and quality of tetrahedra."""

import numpy as np
import pytest

from gemel.meshes import CellBlock, Mesh, MeshError, box, coordinate_element, entities, rectangle, refine

CELLS = ["interval", "triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"]


def _bent(cell_type, degree):
    """One cell, bent by a polynomial of its degree that keeps volumes."""
    points = np.array(coordinate_element(cell_type, degree).points)
    if points.shape[1] > 1:
        points[:, -1] += 0.2 * points[:, 0] ** degree
    return Mesh.of(points, np.arange(len(points))[None], cell_type, degree=degree)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("cell_type", CELLS)
def test_children_fill_their_parent_and_follow_its_shape(cell_type, degree):
    mesh = _bent(cell_type, degree)
    fine, prolongation, parents = refine(mesh, 2)
    assert fine.n_cells == 4**mesh.cell_dim
    assert float(fine.volume()) == pytest.approx(float(mesh.volume()), rel=1e-12)
    np.testing.assert_array_equal(parents, 0)
    np.testing.assert_array_equal(np.asarray(fine.points)[: mesh.n_points], mesh.points)
    np.testing.assert_allclose(prolongation @ mesh.points, fine.points, atol=1e-15)
    counts = [len(entities(cell_type, np.asarray(fine.cells), dim)[0]) for dim in (0, 1)]
    if degree == 1:
        assert counts[0] == fine.n_points
    if cell_type in ("triangle", "tetrahedron"):
        n = 4  # edges are divided in four: the lattice of a simplex has these many vertices
        assert counts[0] == np.prod([n + 1 + i for i in range(mesh.dim)]) // (
            1 if mesh.dim == 1 else [2, 6][mesh.dim - 2]
        )
    if mesh.dim > 1:
        assert float(fine.area()) == pytest.approx(float(mesh.area()), rel=1e-6)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("cell_type", CELLS)
def test_the_prolongation_reproduces_polynomials(cell_type, degree):
    points = np.array(coordinate_element(cell_type, degree).points)
    fine, prolongation, _ = refine(Mesh.of(points, np.arange(len(points))[None], cell_type, degree=degree))

    def polynomial(x):
        return 1.0 + (x @ np.arange(1, x.shape[1] + 1)) ** degree

    np.testing.assert_allclose(prolongation @ polynomial(points), polynomial(np.asarray(fine.points)), atol=1e-12)


@pytest.mark.parametrize("cell", ["triangle", "quadrilateral", "tetrahedron", "hexahedron"])
def test_tags_name_the_children(cell):
    flat = cell in ("triangle", "quadrilateral")
    mesh = rectangle(3, 2, size=(3.0, 1.0), cell=cell) if flat else box(2, 2, 1, size=(2.0, 1.0, 1.0), cell=cell)
    mesh = mesh.tag_cells("half", lambda x: x[:, 1] < 0.5).with_node_tag("corner", np.array([0, mesh.n_points - 1]))
    mesh = mesh.tag_facets("middle", lambda x: np.abs(x[:, 1] - 0.5) < 1e-9, interior=True)
    fine = mesh.refined(2)
    assert float(fine.volume("half")) == pytest.approx(float(mesh.volume("half")), rel=1e-13)
    for name in mesh.facet_tags:
        assert float(fine.area(name)) == pytest.approx(float(mesh.area(name)), rel=1e-13)
        if name != "middle":
            expected = fine.boundary_facets()
            rows = {tuple(row) for row in np.asarray(fine.facets(name)).tolist()}
            assert rows <= {tuple(row) for row in expected.tolist()}
    np.testing.assert_allclose(
        np.asarray(fine.points)[fine.nodes_of("corner")], np.asarray(mesh.points)[mesh.nodes_of("corner")]
    )
    covered = np.concatenate([np.asarray(rows) for name, rows in fine.facet_tags.items() if name != "middle"])
    assert len(np.unique(covered, axis=0)) == len(fine.boundary_facets())


def test_a_structured_lattice_stays_one():
    coarse = box(2, 1, 3, size=(1.0, 2.0, 3.0)).tag_cells("low", lambda x: x[:, 2] < 1)
    fine = coarse.refined()
    same = box(4, 2, 6, size=(1.0, 2.0, 3.0))
    assert fine.shape == same.shape
    np.testing.assert_allclose(fine.points, same.points, atol=1e-15)
    np.testing.assert_array_equal(fine.cells, same.cells)
    for name, rows in same.facet_tags.items():
        np.testing.assert_array_equal(np.unique(np.asarray(fine.facet_tags[name]), axis=0), rows)
    np.testing.assert_array_equal(fine.cells_of("low"), np.arange(16))


def test_shared_points_of_several_types_are_one():
    points = rectangle(3, 1, size=(3.0, 1.0)).points
    blocks = (
        CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
        CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
    )
    fine = Mesh(points, blocks).refined(2)
    assert [block.n_cells for block in fine.blocks] == [32, 32]
    assert fine.n_points == 13 * 5
    assert float(fine.area()) == pytest.approx(8.0)


def test_tetrahedra_do_not_degenerate():
    points = np.array([[0.0, 0, 0], [1, 0.2, 0], [0.1, 0.9, 0.1], [0.3, 0.2, 1.1]])
    mesh = Mesh.of(points, np.arange(4)[None], "tetrahedron")

    def worst(mesh):
        x = np.asarray(mesh.points)[np.asarray(mesh.cells)]
        edges = [np.linalg.norm(x[:, i] - x[:, j], axis=-1) for i in range(4) for j in range(i)]
        return (np.abs(np.linalg.det(x[:, 1:] - x[:, :1])) / np.max(edges, axis=0) ** 3).min()

    # Repeated refinement makes finitely many shapes: the worst of two levels is the worst of all.
    assert worst(mesh.refined(4)) == pytest.approx(worst(mesh.refined(2)), rel=1e-9)


def test_refinement_that_is_refused():
    with pytest.raises(MeshError, match="refined -1 times"):
        rectangle(1, 1).refined(-1)
    mesh = rectangle(1, 1)
    assert mesh.refined(0).n_cells == 1
