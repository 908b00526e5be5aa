"""Meshes in another order: the same geometry and tags, neighbours near in memory."""

import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.meshes import CellBlock, Mesh, box, renumber


def shuffled(mesh: Mesh, seed: int) -> Mesh:
    """The mesh with points and, in each block, cells numbered at random; its tags are found again by place."""
    rng = np.random.default_rng(seed)
    new = rng.permutation(mesh.n_points)
    points = np.empty_like(np.asarray(mesh.points))
    points[new] = mesh.points
    blocks = tuple(
        CellBlock(b.cell_type, new[rng.permutation(np.asarray(b.cells))].astype(np.int32)) for b in mesh.blocks
    )
    mixed = Mesh(points, blocks, mesh.degree).tag_cells("part", lambda x: x[:, 0] < 0.5)
    mixed = mixed.tag_facets("right", lambda x: np.abs(x[:, 0] - 1) < 1e-9)
    return mixed.with_node_tag("corner", np.array([new[0]]))


@pytest.mark.parametrize(("cell", "degree"), [("hexahedron", 1), ("tetrahedron", 1), ("hexahedron", 2)])
def test_geometry_and_tags_stay(cell: str, degree: int):
    mesh = shuffled(gm.elevate(box(4, 3, 2, cell=cell), degree) if degree > 1 else box(4, 3, 2, cell=cell), 0)
    moved, points, cells = renumber(mesh)
    np.testing.assert_array_equal(moved.points, np.asarray(mesh.points)[points])
    np.testing.assert_array_equal(points[np.asarray(moved.cells)], np.asarray(mesh.cells)[cells])
    np.testing.assert_array_equal(np.sort(cells[moved.cells_of("part")]), np.sort(mesh.cells_of("part")))
    assert float(moved.volume("part")) == pytest.approx(float(mesh.volume("part")))
    assert float(moved.area("right")) == pytest.approx(1.0)
    np.testing.assert_array_equal(points[moved.nodes_of("corner")], mesh.nodes_of("corner"))
    Mesh(moved.points, moved.blocks, moved.degree, moved.cell_tags, moved.facet_tags, moved.node_tags)  # checks all
    again = renumber(moved)
    np.testing.assert_array_equal(again.points, np.arange(mesh.n_points))


def test_blocks_of_several_types_keep_their_order():
    quads, triangles = np.array([[0, 1, 3, 4], [1, 2, 4, 5]]), np.array([[3, 4, 6], [4, 7, 6], [4, 5, 7]])
    points = np.array([[x, y] for y in range(2) for x in range(3)] + [[0.5, 2.0], [1.5, 2.0]], float)
    blocks = (CellBlock("quadrilateral", quads.astype(np.int32)), CellBlock("triangle", triangles.astype(np.int32)))
    mesh = Mesh(points, blocks).tag_cells("top", lambda x: x[:, 1] > 1)
    moved, places, cells = renumber(mesh)
    assert [b.cell_type for b in moved.blocks] == ["quadrilateral", "triangle"]
    assert sorted(cells[:2]) == [0, 1]
    assert sorted(cells[2:]) == [2, 3, 4]
    assert sorted(np.asarray(moved.cells_of("top"))) == [2, 3, 4]
    np.testing.assert_array_equal(moved.points, points[places])


@pytest.mark.slow
def test_neighbours_come_near_and_fields_are_the_same():
    mesh = shuffled(box(12, 12, 12), 1)
    moved, points, _ = renumber(mesh)
    reach = [np.ptp(np.asarray(m.cells), axis=1).mean() for m in (mesh, moved)]
    assert reach[1] < reach[0] / 4

    def temperature(mesh: Mesh) -> np.ndarray:
        space = gm.FunctionSpace(mesh, "Q1")
        heat = gm.Heat(space, 2.0, conditions=[gm.Dirichlet("boundary", 0.0), gm.HeatSource("part", 3.0)])
        steady = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-8))
        return np.asarray(steady.solve(steady.prepare()).checked())

    np.testing.assert_allclose(temperature(moved), temperature(mesh)[points], atol=1e-9)


def test_a_lattice_stays_one():
    mesh = box(3, 2, 2)
    moved, points, cells = renumber(mesh)
    assert moved.shape == mesh.shape
    np.testing.assert_array_equal(points, np.arange(mesh.n_points))
    np.testing.assert_array_equal(cells, np.arange(mesh.n_cells))


def test_points_at_one_place_and_in_one_line():
    mesh = gm.line(5)
    backwards = Mesh.of(np.asarray(mesh.points)[::-1], (5 - np.asarray(mesh.cells)).astype(np.int32), "interval")
    moved = renumber(backwards).mesh
    np.testing.assert_allclose(jnp.diff(jnp.asarray(moved.points)[:, 0]), 0.2)
