"""Topology: counts by Euler's formula, boundaries, and matching of facets."""

import numpy as np
import pytest

from gemel.meshes import CellBlock, MeshError, boundary_facets, box, cell_entities, entities, match_facets, rectangle

MESHES = [
    rectangle(4, 3),
    rectangle(4, 3, cell="triangle"),
    box(3, 2, 4),
    box(3, 2, 4, cell="tetrahedron"),
]


@pytest.mark.parametrize("mesh", MESHES, ids=lambda mesh: mesh.cell_type)
def test_euler_characteristic_of_a_ball_is_one(mesh):
    counts = [len(entities(mesh.cell_type, mesh.cells, dim)[0]) for dim in range(mesh.dim + 1)]
    assert counts[0] == mesh.n_points
    assert counts[-1] == mesh.n_cells
    assert sum((-1) ** dim * count for dim, count in enumerate(counts)) == 1


@pytest.mark.parametrize("mesh", MESHES, ids=lambda mesh: mesh.cell_type)
def test_entities_of_cells_hold_the_local_vertices(mesh):
    for dim in range(mesh.dim + 1):
        vertices, cell_to_entity = entities(mesh.cell_type, mesh.cells, dim)
        local = cell_entities(mesh.cell_type, dim)
        assert (np.diff(vertices, axis=1) > 0).all()
        assert len(np.unique(vertices, axis=0)) == len(vertices)
        expected = np.sort(mesh.cells[:, local], axis=-1)
        np.testing.assert_array_equal(vertices[cell_to_entity], expected)


def test_counts_of_a_lattice():
    nx, ny, nz = 3, 2, 4
    cells = np.asarray(MESHES[2].cells)
    n_edges = nx * (ny + 1) * (nz + 1) + (nx + 1) * ny * (nz + 1) + (nx + 1) * (ny + 1) * nz
    n_faces = nx * ny * (nz + 1) + nx * (ny + 1) * nz + (nx + 1) * ny * nz
    assert len(entities("hexahedron", cells, 1)[0]) == n_edges
    assert len(entities("hexahedron", cells, 2)[0]) == n_faces
    assert len(boundary_facets([CellBlock("hexahedron", cells)])) == 2 * (nx * ny + ny * nz + nx * nz)


@pytest.mark.parametrize("mesh", MESHES, ids=lambda mesh: mesh.cell_type)
def test_facets_are_found_by_their_vertices_in_any_order(mesh):
    facets = mesh.boundary_facets()
    local = cell_entities(mesh.cell_type, mesh.dim - 1)
    vertices = mesh.cells[facets[:, :1], local[facets[:, 1]]]
    np.testing.assert_array_equal(match_facets(mesh.blocks, vertices[:, ::-1]), facets)
    nowhere = np.full((1, vertices.shape[1]), mesh.n_points + 7)
    np.testing.assert_array_equal(match_facets(mesh.blocks, nowhere), [[-1, -1]])


def test_an_inner_facet_is_given_by_the_lower_cell():
    mesh = rectangle(2, 1)
    inner = np.intersect1d(mesh.cells[0], mesh.cells[1])[None, :]
    assert match_facets(mesh.blocks, inner)[0, 0] == 0


def test_three_cells_on_one_facet_are_refused():
    cells = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    with pytest.raises(MeshError, match=r"\[0, 1\] belongs to 3 cells"):
        boundary_facets([CellBlock("triangle", cells)])


def test_unknown_dimension_and_cell_are_refused():
    with pytest.raises(MeshError, match="dimension 3, only of 0 to 2"):
        cell_entities("triangle", 3)
    with pytest.raises(MeshError, match="'wedge' is not one of"):
        cell_entities("wedge", 1)


def test_a_fan_about_one_vertex_has_its_rim_as_boundary():
    """Thousands of facets at one vertex are compared in another way than few."""
    count = 1500
    rim = np.arange(1, count + 1)
    cells = np.stack([np.zeros(count, np.int32), rim, np.roll(rim, -1)], axis=1).astype(np.int32)
    fan = CellBlock("triangle", cells)
    np.testing.assert_array_equal(boundary_facets([fan])[:, 0], np.arange(count))
    np.testing.assert_array_equal(
        boundary_facets([CellBlock("triangle", cells[:-1])])[:, 0], [0, *range(count - 1), count - 2]
    )


def test_vertices_below_zero_are_refused():
    with pytest.raises(MeshError, match="vertex -1"):
        boundary_facets([CellBlock("triangle", np.array([[0, 1, -1]], np.int32))])
