"""Quality of cells against closed forms."""

import basix
import numpy as np
import pytest

from gemel.meshes import CellBlock, Mesh, box, coordinate_element, quality, rectangle
from gemel.meshes.quality import _regular

CELLS = ["triangle", "quadrilateral", "tetrahedron", "hexahedron", "prism"]


def _one(cell_type, matrix, degree=1):
    points = np.array(coordinate_element(cell_type, degree).points) @ np.asarray(matrix).T
    return quality(Mesh.of(points, np.arange(len(points))[None], cell_type, degree=degree))


@pytest.mark.parametrize("degree", [1, 2])
@pytest.mark.parametrize("cell_type", CELLS)
def test_the_regular_cell_is_perfect(cell_type, degree):
    matrix = _regular(cell_type)
    found = _one(cell_type, matrix, degree)
    assert found.scaled_jacobian[0] == pytest.approx(1.0)
    assert found.aspect_ratio[0] == pytest.approx(1.0)
    reference = {"triangle": 1 / 2, "tetrahedron": 1 / 6, "prism": 1 / 2}.get(cell_type, 1.0)
    assert found.volumes[0] == pytest.approx(abs(np.linalg.det(matrix)) * reference)
    angles = {
        "triangle": (60.0, 60.0),
        "tetrahedron": (np.degrees(np.arccos(1 / 3)),) * 2,
        "prism": (60.0, 90.0),
    }.get(cell_type, (90.0, 90.0))
    assert (found.min_angle[0], found.max_angle[0]) == pytest.approx(angles)


@pytest.mark.parametrize("cell_type", CELLS)
def test_measures_do_not_change_in_a_rotated_scaled_cell(cell_type):
    dim = len(basix.topology(basix.CellType[cell_type])) - 1
    rng = np.random.default_rng(0)
    shear = np.eye(dim) + 0.5 * np.triu(rng.normal(size=(dim, dim)), 1)
    turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    turn[:, 0] *= np.linalg.det(turn)
    plain, moved = _one(cell_type, shear), _one(cell_type, 1e-3 * turn @ shear)
    for name in ("scaled_jacobian", "aspect_ratio", "min_angle", "max_angle"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name), rtol=1e-9)
    assert plain.scaled_jacobian[0] < 0.999


def test_a_sheared_square_and_a_flat_box():
    found = _one("quadrilateral", [[1.0, np.cos(np.pi / 6)], [0.0, np.sin(np.pi / 6)]])
    assert found.scaled_jacobian[0] == pytest.approx(0.5)
    assert (found.min_angle[0], found.max_angle[0]) == pytest.approx((30.0, 150.0))
    assert _one("hexahedron", np.diag([10.0, 1.0, 0.5])).aspect_ratio[0] == pytest.approx(20.0)


def test_kuhn_tetrahedra_have_dihedral_angles_of_45_to_90_degrees():
    found = quality(box(2, 2, 2, cell="tetrahedron"))
    np.testing.assert_allclose(found.min_angle, 45.0)
    np.testing.assert_allclose(found.max_angle, 90.0)


def test_the_table_names_the_worst_cell():
    points = np.array(rectangle(3, 1, size=(3.0, 1.0)).points)
    points[3, 0] = 2.2
    blocks = (
        CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
        CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
    )
    mesh = Mesh(points, blocks)
    found = mesh.quality()
    assert found.worst(1).tolist() == [2]
    text = str(found)
    assert text.startswith("4 cells\n")
    assert "cell 2 (triangle): scaled Jacobian " in text
    assert "smallest angle" in text
    line = quality(Mesh.of(np.array([[0.0], [1.0]]), np.array([[0, 1]]), "interval"))
    assert "angle" not in str(line)
    assert line.scaled_jacobian.tolist() == [1.0]
