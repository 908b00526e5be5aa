"""Boxes: volumes, sides, orientation, grading, and what is refused."""

import numpy as np
import pytest

from gemel.meshes import MeshError, box, grid, rectangle

SIDES_2D = {"left": (0, 0), "right": (0, 1), "bottom": (1, 0), "top": (1, 1)}
SIDES_3D = {"left": (0, 0), "right": (0, 1), "front": (1, 0), "back": (1, 1), "bottom": (2, 0), "top": (2, 1)}


@pytest.mark.parametrize("cell", ["quadrilateral", "triangle"])
def test_rectangle(cell):
    mesh = rectangle(4, 3, size=(2.0, 0.5), origin=(-1.0, 3.0), cell=cell)
    assert mesh.n_cells == 12 * (2 if cell == "triangle" else 1)
    assert mesh.n_points == 20
    assert float(mesh.volume()) == pytest.approx(1.0, rel=1e-14)
    assert float(mesh.area()) == pytest.approx(5.0, rel=1e-14)
    np.testing.assert_allclose(mesh.bounding_box, [[-1.0, 3.0], [1.0, 3.5]])
    _check_sides(mesh, SIDES_2D, {"left": 0.5, "right": 0.5, "bottom": 2.0, "top": 2.0})


@pytest.mark.parametrize("cell", ["hexahedron", "tetrahedron"])
def test_box(cell):
    mesh = box(2, 3, 4, size=(1.0, 2.0, 3.0), origin=(5.0, -1.0, 0.0), cell=cell)
    assert mesh.n_cells == 24 * (6 if cell == "tetrahedron" else 1)
    assert float(mesh.volume()) == pytest.approx(6.0, rel=1e-14)
    areas = {"left": 6.0, "right": 6.0, "front": 3.0, "back": 3.0, "bottom": 2.0, "top": 2.0}
    assert float(mesh.area()) == pytest.approx(sum(areas.values()), rel=1e-14)
    _check_sides(mesh, SIDES_3D, areas)


def _check_sides(mesh, sides, areas):
    assert set(mesh.facet_tags) == set(sides)
    for name, (axis, end) in sides.items():
        assert float(mesh.area(name)) == pytest.approx(areas[name], rel=1e-14)
        nodes = mesh.nodes_of_facets(name)
        at = np.isclose(mesh.points[:, axis], mesh.bounding_box[end, axis])
        np.testing.assert_array_equal(nodes, np.flatnonzero(at))


def test_structured_cells_are_numbered_with_x_fastest():
    mesh = box(3, 2, 2)
    assert mesh.shape == (3, 2, 2)
    np.testing.assert_allclose(mesh.points[1] - mesh.points[0], [1 / 3, 0, 0])
    corners = mesh.points[mesh.cells[:, 0]]
    lattice = np.rint(corners * [3, 2, 2]).astype(int)
    np.testing.assert_array_equal(lattice @ [1, 3, 6], np.arange(12))
    assert rectangle(2, 2, cell="triangle").shape is None


def test_graded_grid():
    x = np.array([0.0, 0.1, 0.4, 1.0])
    mesh = grid(x, [0.0, 2.0], cell="triangle")
    np.testing.assert_allclose(np.unique(mesh.points[:, 0]), x)
    assert float(mesh.volume()) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: rectangle(0, 3), "cells along x is 0"),
        (lambda: box(1, 1, 1, size=(1.0, -2.0, 1.0)), "size along y is -2.0"),
        (lambda: rectangle(1, 1, cell="hexahedron"), "'quadrilateral' or 'triangle', not 'hexahedron'"),
        (lambda: grid([0.0, 1.0], [0.0, 0.0]), "along y must be two or more strictly increasing"),
        (lambda: grid([0.0, np.inf], [0.0, 1.0]), "along x must be two or more strictly increasing"),
    ],
)
def test_errors(make, sentence):
    with pytest.raises(MeshError, match=sentence):
        make()
