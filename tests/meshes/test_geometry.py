"""The isoparametric map: node orders, quadratic cells, facet quadrature."""

import numpy as np
import pytest

from gemel.meshes import (
    Mesh,
    box,
    cell_volumes,
    coordinate_element,
    determinants,
    facet_quadrature,
    jacobians,
    rectangle,
    tabulate,
)
from gemel.meshes.orders import FILE_CELLS, mirrored

CELLS = ["triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"]

VTK_CORNERS = {
    "line": [(0,), (1,)],
    "wedge": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)],
    "triangle": [(0, 0), (1, 0), (0, 1)],
    "quad": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "tetra": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "hexahedron": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)],
}
# Corners between which the further nodes lie, from the documentation of VTK's classes (vtkQuadraticTriangle,
# vtkBiQuadraticQuad, vtkQuadraticTetra, vtkTriQuadraticHexahedron,
# vtkBiQuadraticQuadraticWedge).
VTK_BETWEEN = {
    "line3": [(0, 1)],
    "wedge18": [
        *[(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)],
        *[(0, 1, 3, 4), (1, 2, 4, 5), (2, 0, 3, 5)],
    ],
    "triangle6": [(0, 1), (1, 2), (2, 0)],
    "quad9": [(0, 1), (1, 2), (2, 3), (3, 0), (0, 1, 2, 3)],
    "tetra10": [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)],
    "hexahedron27": [
        *[(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)],
        *[(0, 3, 4, 7), (1, 2, 5, 6), (0, 1, 4, 5), (2, 3, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)],
        (0, 1, 2, 3, 4, 5, 6, 7),
    ],
}


@pytest.mark.parametrize("name", [name for name in FILE_CELLS if not name.startswith("VTK_LAGRANGE_")])
def test_nodes_of_a_file_land_on_the_nodes_of_basix(name):
    cell_type, degree, order = FILE_CELLS[name]
    corners = np.array(VTK_CORNERS[name.rstrip("0123456789")], dtype=float)
    middle = [corners[list(between)].mean(axis=0) for between in VTK_BETWEEN.get(name, [])]
    vtk = np.concatenate([corners, np.reshape(middle, (-1, corners.shape[1]))])
    np.testing.assert_allclose(vtk[list(order)], np.asarray(coordinate_element(cell_type, degree).points), atol=1e-15)


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("cell_type", CELLS)
def test_mirroring_changes_the_sign_of_the_determinant_only(cell_type, degree):
    points = np.array(coordinate_element(cell_type, degree).points)
    cells = np.arange(len(points))[None, mirrored(cell_type, degree)]
    volume = cell_volumes(points, np.arange(len(points))[None], cell_type, degree)
    np.testing.assert_allclose(cell_volumes(points, cells, cell_type, degree), -volume)


@pytest.mark.parametrize("cell_type", CELLS)
def test_a_bent_quadratic_cell_has_its_exact_volume(cell_type):
    # x -> x + (0, c x (1 - x)) is a shear: it keeps all volumes, and quadratic cells follow it exactly.
    points = np.array(coordinate_element(cell_type, 2).points)
    bent = points.copy()
    bent[:, 1] += 0.3 * points[:, 0] * (1 - points[:, 0])
    mesh = Mesh.of(points=bent, cells=np.arange(len(points))[None], cell_type=cell_type, degree=2)
    reference = Mesh.of(points=points, cells=mesh.cells, cell_type=cell_type, degree=2)
    assert float(mesh.volume()) == pytest.approx(float(reference.volume()), rel=1e-13)
    assert len(mesh.nodes_of_facets("boundary")) == len(points) - (cell_type in ("quadrilateral", "hexahedron"))


def test_the_edge_of_a_parabola_has_its_exact_length():
    points = np.array(coordinate_element("quadrilateral", 2).points)
    points[:, 1] += 0.3 * points[:, 0] * (1 - points[:, 0])
    mesh = Mesh.of(points=points, cells=np.arange(9)[None], cell_type="quadrilateral", degree=2)
    mesh = mesh.tag_facets("lower", lambda x: x[:, 1] < 0.4)
    s = 0.3
    exact = (s * np.sqrt(1 + s**2) + np.arcsinh(s)) / (2 * s)
    assert float(mesh.area("lower")) == pytest.approx(exact, rel=1e-8)


def test_jacobians_of_numpy_and_determinants_agree_with_lapack():
    rng = np.random.default_rng(1)
    for mesh in (rectangle(3, 2), box(2, 2, 2)):
        points = mesh.points + 0.05 * rng.uniform(size=mesh.points.shape)
        _, gradients = tabulate(mesh.cell_type, 1, rng.uniform(size=(4, mesh.dim)))
        jacobian = jacobians(points, mesh.cells, gradients)
        assert isinstance(jacobian, np.ndarray)
        np.testing.assert_allclose(determinants(jacobian), np.linalg.det(jacobian), rtol=1e-12)


@pytest.mark.parametrize("mesh", [rectangle(2, 1), rectangle(2, 1, cell="triangle"), box(1, 1, 1)], ids=repr)
def test_facet_quadrature_points_lie_on_their_facets(mesh):
    points, weights = facet_quadrature(mesh.cell_type, 3)
    assert weights.sum() == pytest.approx(1.0)
    values, _ = tabulate(mesh.cell_type, 1, points.reshape(-1, mesh.dim))
    values = values.reshape(*points.shape[:2], -1)
    facets = mesh.facets("left")
    x = np.einsum("fqn,fna->fqa", values[facets[:, 1]], mesh.points[mesh.cells[facets[:, 0]]])
    np.testing.assert_allclose(x[..., 0], 0.0, atol=1e-15)
