"""Meshes of several cell types, prisms and lines: measures, topology, location, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.meshes import (
    CellBlock,
    Mesh,
    MeshError,
    block_entities,
    box,
    coordinate_element,
    entities,
    facet_frames,
    facet_groups,
    facet_quadrature,
    match_facets,
    rectangle,
    tabulate,
)

PRISM = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]])


def _mixed():
    """A hexahedron, beside it two prisms, and on top of each of these a tetrahedron with a point of its own."""
    base = box(2, 1, 1, size=(2.0, 1.0, 1.0))
    corners = np.asarray(base.cells)[1]
    prisms = corners[np.array([[0, 1, 2, 4, 5, 6], [1, 3, 2, 5, 7, 6]])]
    tops = base.points[prisms[:, 3:]].mean(axis=1) + np.array([0, 0, 0.6])
    tetrahedra = np.column_stack([prisms[:, 3:], [12, 13]])
    blocks = (
        CellBlock("hexahedron", np.asarray(base.cells)[:1].astype(np.int64)),
        CellBlock("prism", prisms.astype(np.int64)),
        CellBlock("tetrahedron", tetrahedra.astype(np.int64)),
    )
    return Mesh(np.concatenate([base.points, tops]), blocks)


def _planar():
    """Two quadrilaterals and two triangles in a row."""
    points = rectangle(3, 1, size=(3.0, 1.0)).points
    blocks = (
        CellBlock("quadrilateral", np.array([[0, 1, 4, 5], [1, 2, 5, 6]])),
        CellBlock("triangle", np.array([[2, 3, 6], [3, 7, 6]])),
    )
    return Mesh(points, blocks)


def _image(mesh, cells, reference):
    out = []
    for cell, x in zip(cells, reference, strict=True):
        number = int(mesh.block_of(np.array([cell]))[0])
        block = mesh.blocks[number]
        values, _ = tabulate(block.cell_type, mesh.degree, x[None])
        out.append(values[0] @ np.asarray(mesh.points)[block.cells[cell - mesh.offsets[number]]])
    return np.stack(out)


def test_volumes_and_areas_of_a_mesh_of_three_types():
    mesh = _mixed()
    assert (mesh.n_cells, mesh.cell_dim, mesh.dim) == (5, 3, 3)
    np.testing.assert_array_equal(mesh.offsets, [0, 1, 3, 5])
    assert float(mesh.volume()) == pytest.approx(2.0 + 2 * 0.5 * 0.6 / 3, rel=1e-14)
    mesh = mesh.with_cell_tag("some", np.array([0, 2, 4]))
    assert float(mesh.volume("some")) == pytest.approx(1.5 + 0.1, rel=1e-14)
    # Hexahedron 5 faces, prisms 2 outer sides and 2 bottoms in all, tetrahedra 3 faces each.
    facets = mesh.boundary_facets()
    assert len(facets) == 5 + 5 + 6
    flat = mesh.tag_facets("bottom", lambda x: x[:, 2] == 0)
    assert float(flat.area("bottom")) == pytest.approx(2.0, rel=1e-14)
    assert len(flat.facets("bottom")) == 3
    np.testing.assert_array_equal(flat.nodes_of_facets("bottom"), np.arange(6))


def test_area_vectors_of_the_boundary_sum_to_zero():
    mesh = _mixed()
    points = mesh.points + 0.03 * np.random.default_rng(0).normal(size=mesh.points.shape)
    mesh = mesh.with_points(points)
    facets, total = mesh.boundary_facets(), np.zeros(3)
    for part in mesh.facet_parts(facets):
        block = mesh.blocks[part.block]
        x, weights = facet_quadrature(block.cell_type, 4, part.facet_type)
        tangents, _ = facet_frames(block.cell_type, part.facet_type)
        numbers = dict(facet_groups(block.cell_type))[part.facet_type]
        for cell, facet in facets[part.rows]:
            local = numbers.index(facet)
            _, gradients = tabulate(block.cell_type, 1, x[local])
            jacobian = np.einsum("na,qnb->qab", points[block.cells[cell - mesh.offsets[part.block]]], gradients)
            a, b = np.moveaxis(jacobian @ tangents[local].T, -1, 0)
            sign = np.sign(
                np.linalg.det(np.stack([*tangents[local], facet_frames(block.cell_type, part.facet_type)[1][local]]))
            )
            total += sign * weights @ np.cross(a, b)
    np.testing.assert_allclose(total, 0.0, atol=1e-13)


def test_one_numbering_of_entities_over_all_blocks():
    mesh = _mixed()
    counts = [block_entities(mesh.blocks, dim)[1] for dim in range(4)]
    assert counts[0] == mesh.n_points
    assert counts[3] == mesh.n_cells
    assert counts[0] - counts[1] + counts[2] - counts[3] == 1
    faces, _ = block_entities(mesh.blocks, 2)
    pairs = mesh.interior_facets()
    assert len(pairs) == 4
    for (cell, facet), (other, facet_of_other) in pairs:
        number = [
            faces[b][c - mesh.offsets[b], f]
            for b, c, f in zip(
                mesh.block_of(np.array([cell, other])), (cell, other), (facet, facet_of_other), strict=True
            )
        ]
        assert number[0] == number[1]
    assert len(np.unique(np.concatenate([table.ravel() for table in faces]))) == counts[2]


def test_the_numbering_of_one_block_is_that_of_entities():
    mesh = rectangle(3, 2, cell="triangle")
    for dim in range(3):
        tables, count = block_entities(mesh.blocks, dim)
        vertices, expected = entities("triangle", np.asarray(mesh.cells), dim)
        assert count == len(vertices)
        np.testing.assert_array_equal(tables[0], expected)


def test_facets_are_matched_in_their_block():
    mesh = _mixed()
    quadrilateral = np.array([[7, 1, 4, 10]])
    np.testing.assert_array_equal(match_facets(mesh.blocks, quadrilateral), [[0, 3]])
    triangle = np.sort(mesh.blocks[2].cells[1, :3])[None]
    np.testing.assert_array_equal(match_facets(mesh.blocks, triangle), [[2, 4]])
    np.testing.assert_array_equal(match_facets(_planar().blocks, quadrilateral), [[-1, -1]])


@pytest.mark.parametrize("make", [_mixed, _planar])
def test_points_are_located_in_all_blocks(make):
    mesh = make()
    mesh = mesh.with_points(mesh.points + 0.05 * np.sin(3 * mesh.points[:, ::-1]))
    cells = np.repeat(np.arange(mesh.n_cells), 5)
    reference = np.random.default_rng(1).dirichlet(np.ones(mesh.dim + 1), size=len(cells))[:, : mesh.dim]
    targets = _image(mesh, cells, reference)
    found, where = mesh.locate(targets)
    np.testing.assert_array_equal(found, cells)
    np.testing.assert_allclose(where, reference, atol=1e-10)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_prism_of_each_degree(degree):
    points = np.array(coordinate_element("prism", degree).points)
    sheared = points.copy()
    sheared[:, 2] += 0.3 * points[:, 0] ** degree
    mesh = Mesh.of(sheared, np.arange(len(points))[None], "prism", degree=degree)
    assert float(mesh.volume()) == pytest.approx(0.5, rel=1e-13)
    assert len(mesh.boundary_facets()) == 5
    back = mesh.tag_facets("back", lambda x: x[:, 0] < 1e-9)
    np.testing.assert_array_equal(back.facets("back"), [[0, 2]])
    assert float(back.area("back")) == pytest.approx(1.0)
    assert len(back.nodes_of_facets("back")) == (degree + 1) ** 2


def test_facets_of_a_prism_and_of_an_interval():
    assert facet_groups("prism") == (("triangle", (0, 4)), ("quadrilateral", (1, 2, 3)))
    assert facet_groups("interval") == (("point", (0, 1)),)
    x, weights = facet_quadrature("prism", 2, "quadrilateral")
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(x[2, :, :2].sum(axis=1), 1.0)
    _, normals = facet_frames("prism", "triangle")
    np.testing.assert_allclose(normals, [[0, 0, -1], [0, 0, 1]], atol=1e-15)
    x, weights = facet_quadrature("interval", 4)
    np.testing.assert_array_equal(x, [[[0.0]], [[1.0]]])
    np.testing.assert_array_equal(weights, [1.0])
    tangents, normals = facet_frames("interval")
    assert tangents.shape == (2, 0, 1)
    np.testing.assert_array_equal(normals, [[-1.0], [1.0]])
    with pytest.raises(MeshError, match="prism have the types 'triangle' and 'quadrilateral': name one"):
        facet_quadrature("prism", 2)
    with pytest.raises(MeshError, match="hexahedron has no facets of the type 'triangle'"):
        facet_frames("hexahedron", "triangle")


def test_a_line_in_one_dimension():
    x = np.array([0.0, 0.2, 1.0])[:, None]
    mesh = Mesh.of(x, np.array([[0, 1], [1, 2]]), "interval").tag_facets("tip", lambda x: x[:, 0] == 1.0)
    assert float(mesh.volume()) == pytest.approx(1.0)
    np.testing.assert_array_equal(mesh.facets("tip"), [[1, 1]])
    assert float(mesh.area()) == 2.0
    np.testing.assert_array_equal(mesh.interior_facets(), [[[0, 1], [1, 0]]])
    found, where = mesh.locate(np.array([[0.1], [0.6]]))
    np.testing.assert_array_equal(found, [0, 1])
    np.testing.assert_allclose(where, [[0.5], [0.5]])
    with pytest.raises(MeshError, match="inverted"):
        Mesh.of(x, np.array([[1, 0], [1, 2]]), "interval")


def test_a_frame_in_space():
    points = np.array([[0.0, 0, 0], [0, 0, 3], [4, 0, 3], [0, 5, 3]])
    mesh = Mesh.of(points, np.array([[0, 1], [2, 1], [1, 3]]), "interval")
    assert (mesh.dim, mesh.cell_dim) == (3, 1)
    assert float(mesh.volume()) == pytest.approx(12.0)
    np.testing.assert_array_equal(mesh.boundary_facets(), [[0, 0], [1, 0], [2, 1]])
    found, where = mesh.locate(np.array([[1.0, 0, 3], [0, 0, 1.5]]))
    np.testing.assert_array_equal(found, [1, 0])
    np.testing.assert_allclose(where, [[0.75], [0.5]])
    with pytest.raises(MeshError, match="lies outside"):
        mesh.locate(np.array([[1.0, 0.1, 3]]))
    with pytest.raises(MeshError, match="1 of 1 cells are inverted or degenerate"):
        Mesh.of(np.array([[1.0, 1], [1, 1]]), np.array([[0, 1]]), "interval")


def test_a_bent_line_has_the_length_of_its_parabola():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.075]])  # y = 0.3 x (1 - x)
    s = 0.3
    exact = (s * np.sqrt(1 + s**2) + np.arcsinh(s)) / (2 * s)
    mesh = Mesh.of(points, np.array([[0, 1, 2]]), "interval", degree=2)
    assert float(mesh.volume()) == pytest.approx(exact, rel=1e-8)
    with pytest.raises(MeshError, match="degenerate"):
        Mesh.of(np.array([[0.0, 0.0], [1.0, 0.0], [1.2, 0.0]]), np.array([[0, 1, 2]]), "interval", degree=2)


@pytest.mark.parametrize(
    ("blocks", "sentence"),
    [
        ((), "holds no cells"),
        (
            (CellBlock("prism", np.zeros((0, 6), int)), CellBlock("prism", np.arange(6)[None])),
            "is one of several|is empty",
        ),
        (
            (CellBlock("prism", np.arange(6)[None]), CellBlock("triangle", np.arange(3)[None])),
            "one dimension, not both prism and triangle",
        ),
        ((CellBlock("triangle", np.arange(3)[None]),), "triangle cells needs points with 2 coordinates, not 3"),
        ((CellBlock("prism", np.arange(5)[None]),), "prism of degree 1 has 6 nodes, but the cells have 5"),
        ((CellBlock("prism", np.array([[0, 2, 1, 3, 5, 4]])),), "1 of 1 cells are inverted"),
    ],
)
def test_blocks_that_are_refused(blocks, sentence):
    with pytest.raises(MeshError, match=sentence):
        Mesh(PRISM, blocks)


def test_what_only_a_mesh_of_one_type_has():
    mesh = _mixed()
    with pytest.raises(MeshError, match="no one cell type but hexahedron and prism and tetrahedron cells"):
        _ = mesh.cells
    with pytest.raises(MeshError, match="'rim' names facet 5 of cell 1, but a prism has no such facet"):
        mesh.with_facet_tag("rim", np.array([[0, 5], [1, 5]]))
    turned = CellBlock("prism", mesh.blocks[1].cells[:, [3, 4, 5, 0, 1, 2]])
    with pytest.raises(MeshError, match=r"2 of 2 prism cells are inverted .* the first of them number 1"):
        Mesh(mesh.points, (mesh.blocks[0], turned, mesh.blocks[2]))


def test_jit_and_gradients_on_several_types():
    mesh = _mixed().tag_facets("bottom", lambda x: x[:, 2] == 0).with_cell_tag("some", np.array([0, 2, 4]))
    assert float(eqx.filter_jit(lambda mesh: mesh.area("bottom"))(mesh)) == pytest.approx(2.0)
    assert float(eqx.filter_jit(lambda mesh: mesh.volume("some"))(mesh)) == pytest.approx(1.6)
    points = jnp.asarray(mesh.points)
    # Volumes and areas scale with the third and the second power of the coordinates.
    for measure, power in ((lambda mesh: mesh.volume("some"), 3), (lambda mesh: mesh.area("bottom"), 2)):
        along = jax.jit(lambda x, measure=measure: jax.jvp(lambda y: measure(mesh.with_points(y)), (x,), (x,)))
        value, slope = along(points)
        assert float(slope) == pytest.approx(power * float(value))
