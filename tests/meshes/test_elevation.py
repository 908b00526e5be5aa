"""Meshes of higher geometric degree."""

import jax
import numpy as np
import pytest

from gemel.meshes import CellBlock, Mesh, MeshError, box, elevate, line, quality, rectangle, refine


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize(
    ("mesh", "n"),
    [
        (line(5), lambda p: 5 * p + 1),
        (rectangle(3, 2), lambda p: (3 * p + 1) * (2 * p + 1)),
        (rectangle(3, 2, cell="triangle"), lambda p: (3 * p + 1) * (2 * p + 1)),
        (box(2, 1, 2), lambda p: (2 * p + 1) ** 2 * (p + 1)),
        (box(2, 1, 2, cell="tetrahedron"), lambda p: (2 * p + 1) ** 2 * (p + 1)),
    ],
    ids=lambda value: value.cell_type if isinstance(value, Mesh) else "",
)
def test_nodes_are_shared_and_the_shape_is_kept(mesh, n, degree):
    # A lattice of simplices has the points of the lattice of boxes it is cut from, at every degree.
    high = mesh.elevated(degree)
    assert (high.degree, high.n_points) == (degree, n(degree))
    np.testing.assert_array_equal(np.asarray(high.points)[: mesh.n_points], mesh.points)
    assert float(high.volume()) == pytest.approx(float(mesh.volume()), rel=1e-13)
    for name in mesh.facet_tags:
        assert float(high.area(name)) == pytest.approx(float(mesh.area(name)), rel=1e-13)
    np.testing.assert_array_equal(high.cells_of("all"), mesh.cells_of("all"))


def test_cells_of_several_types_share_their_nodes():
    blocks = (
        CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
        CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
    )
    assert Mesh(rectangle(3, 1).points, blocks).elevated(3).n_points == 10 * 4


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_nodes_moved_onto_circles_give_the_area_of_a_sector(degree):
    # Chords miss a circle's sector by O(h²), parabolas and cubics by O(h⁴).
    errors = []
    for n in (2, 4, 8):
        mesh = rectangle(1, n, size=(1.0, np.pi / 2), origin=(1.0, 0.0)).elevated(degree)
        radius, angle = np.asarray(mesh.points).T
        bent = mesh.with_points(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
        errors.append(abs(float(bent.volume()) - 3 * np.pi / 4))
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (rates > (1.9 if degree == 1 else 3.9)).all()


def test_what_is_refused():
    mesh = rectangle(1, 1)
    assert elevate(mesh, 1) is mesh
    with pytest.raises(MeshError, match="not one of degree 2"):
        mesh.elevated(2).elevated(3)
    with pytest.raises(MeshError, match="degree of the geometry is 4"):
        mesh.elevated(4)


@pytest.mark.parametrize("work", [refine, quality, lambda mesh: mesh.elevated(2), lambda mesh: mesh.submesh("all")])
def test_work_inside_of_jit_is_refused_in_a_sentence(work):
    def inside(mesh):
        work(mesh)
        return mesh.points

    with pytest.raises(MeshError, match="outside of jit"):
        jax.jit(inside)(rectangle(1, 1))
