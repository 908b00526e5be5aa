"""Location of points: round trips, boundaries, and points outside."""

import numpy as np
import pytest

from gemel.meshes import Mesh, MeshError, box, coordinate_element, read_mesh, rectangle, tabulate

MAKERS = {
    "quadrilateral": lambda: rectangle(5, 4, size=(2.0, 1.0)),
    "triangle": lambda: rectangle(5, 4, size=(2.0, 1.0), cell="triangle"),
    "hexahedron": lambda: box(3, 4, 3),
    "tetrahedron": lambda: box(3, 4, 3, cell="tetrahedron"),
}


def _image(mesh, cells, reference):
    values = np.stack([tabulate(mesh.cell_type, mesh.degree, x[None])[0][0] for x in reference])
    return np.einsum("pn,pna->pa", values, np.asarray(mesh.points)[np.asarray(mesh.cells)[cells]])


def _distorted(mesh, amount=0.08):
    x = np.asarray(mesh.points)
    return mesh.with_points(x + amount * np.sin(3 * x[:, ::-1]))


@pytest.mark.parametrize("name", MAKERS)
def test_round_trip_on_distorted_cells(name):
    mesh = _distorted(MAKERS[name]())
    rng = np.random.default_rng(2)
    cells = rng.integers(mesh.n_cells, size=60)
    reference = rng.dirichlet(np.ones(mesh.dim + 1), size=60)[:, : mesh.dim]
    targets = _image(mesh, cells, reference)
    found, where = mesh.locate(targets)
    np.testing.assert_allclose(_image(mesh, found, where), targets, atol=1e-12)
    np.testing.assert_array_equal(found, cells)
    np.testing.assert_allclose(where, reference, atol=1e-9)


@pytest.mark.parametrize("name", MAKERS)
def test_every_vertex_is_found(name):
    mesh = _distorted(MAKERS[name]())
    found, where = mesh.locate(mesh.points)
    np.testing.assert_allclose(_image(mesh, found, where), mesh.points, atol=1e-12)


def test_points_just_outside_are_moved_onto_the_boundary():
    mesh = box(2, 2, 2)
    found, where = mesh.locate(np.array([[1.0 + 1e-9, 0.5, -1e-9]]))
    np.testing.assert_allclose(_image(mesh, found, where), [[1.0, 0.5, 0.0]], atol=1e-14)
    assert where.min() >= 0
    assert where.max() <= 1


def test_a_point_outside_is_named():
    mesh = rectangle(3, 3)
    with pytest.raises(MeshError, match=r"Point 1 at \[1.5, 0.5\] lies outside"):
        mesh.locate(np.array([[0.5, 0.5], [1.5, 0.5]]))
    with pytest.raises(MeshError, match="lies outside"):
        mesh.locate(np.array([[1.0 + 1e-6, 0.5]]))
    assert len(mesh.locate(np.array([[1.0 + 1e-6, 0.5]]), tolerance=1e-5)[0]) == 1


def test_a_point_in_a_hole_is_outside():
    mesh = rectangle(4, 4)
    keep = np.delete(np.arange(16), [5, 6, 9, 10])
    used, cells = np.unique(mesh.cells[keep], return_inverse=True)
    ring = Mesh.of(points=mesh.points[used], cells=cells.reshape(-1, 4), cell_type="quadrilateral")
    with pytest.raises(MeshError, match="lies outside"):
        ring.locate(np.array([[0.5, 0.5]]))


def test_long_cells_whose_centroids_are_far():
    x = np.array([0.0, 100.0])
    y = np.concatenate([[0.0], np.linspace(0.9, 1.0, 40)])
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    lower = 2 * np.arange(40)[:, None]
    mesh = Mesh.of(points=points, cells=lower + np.arange(4), cell_type="quadrilateral")
    found, _ = mesh.locate(np.array([[99.0, 0.89]]))
    assert found[0] == 0


def test_questions_that_are_refused():
    mesh = rectangle(2, 2)
    with pytest.raises(MeshError, match=r"shape \(n, 2\), not \(1, 3\)"):
        mesh.locate(np.zeros((1, 3)))
    with pytest.raises(MeshError, match=r"Point 0 to locate .* not finite"):
        mesh.locate(np.array([[np.nan, 0.0]]))


def test_no_points_give_no_cells():
    found, where = rectangle(2, 2).locate(np.zeros((0, 2)))
    assert found.shape == (0,)
    assert where.shape == (0, 2)


@pytest.mark.parametrize("cell_type", MAKERS)
def test_round_trip_in_a_bent_quadratic_cell(cell_type):
    points = np.array(coordinate_element(cell_type, 2).points)
    points[:, 1] += 0.4 * points[:, 0] * (1 - points[:, 0])
    mesh = Mesh.of(points=points, cells=np.arange(len(points))[None], cell_type=cell_type, degree=2)
    reference = np.random.default_rng(3).dirichlet(np.ones(mesh.dim + 1), size=20)[:, : mesh.dim]
    _, where = mesh.locate(_image(mesh, np.zeros(20, dtype=int), reference))
    np.testing.assert_allclose(where, reference, atol=1e-10)


def test_round_trip_on_the_quadratic_sphere(mesh_folder):
    mesh = read_mesh(mesh_folder / "skfem_quadratic_sphere_tet.msh")
    rng = np.random.default_rng(4)
    directions = rng.normal(size=(50, 3))
    centre = mesh.bounding_box.mean(axis=0)
    targets = centre + 0.49 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    found, where = mesh.locate(targets)
    np.testing.assert_allclose(_image(mesh, found, where), targets, atol=1e-12)
