"""The mesh: validation, tags, gradients, and use as an argument of jit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.meshes import Mesh, MeshError, box, rectangle

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]])


def _mesh(points=SQUARE, cells=TRIANGLES, **fields):
    return Mesh.of(points=points, cells=cells, cell_type="triangle", **fields)


def test_a_valid_mesh_passes():
    assert float(_mesh().volume()) == 1.0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cells": TRIANGLES[:0]}, "no cells"),
        ({"cells": TRIANGLES[:, :2]}, "triangle of degree 1 has 3 nodes, but the cells have 2"),
        ({"cells": TRIANGLES + 1}, "1 cells refer to points outside 0 to 3, the first of them number 1"),
        ({"cells": TRIANGLES[:1]}, "1 points belong to no cell, the first of them number 3"),
        ({"cells": TRIANGLES[:, ::-1]}, r"2 of 2 cells are inverted or degenerate .* number 0"),
        ({"points": SQUARE * [1.0, 0.0]}, "2 of 2 cells are inverted or degenerate"),
        (
            {"points": np.where(SQUARE == [1, 0], np.nan, SQUARE)},
            "points are not finite, the first of them number 0",
        ),
        ({"points": np.column_stack([SQUARE, SQUARE[:, 0]])}, "needs points with 2 coordinates, not 3"),
        ({"degree": 4}, "degree of the geometry is 4"),
        ({"cell_tags": {"a": np.array([2])}}, "cell tag 'a' holds numbers outside 0 to 1"),
        ({"facet_tags": {"a": np.array([[0, 3]])}}, "facet tag 'a' holds numbers outside 0 to 1 and 0 to 2"),
        ({"facet_tags": {"a": np.array([0])}}, r"facet tag 'a' must be an integer array of shape \(n, 2\)"),
        ({"node_tags": {"a": np.array([0.5])}}, r"node tag 'a' must be an integer array of shape \(n,\)"),
        ({"cell_tags": {"all": np.array([0])}}, "'all' is reserved"),
        ({"facet_tags": {"boundary": np.array([[0, 0]])}}, "'boundary' is reserved"),
    ],
)
def test_what_is_refused(fields, sentence):
    with pytest.raises(MeshError, match=sentence):
        _mesh(**fields)


def test_a_folded_quadrilateral_is_refused_and_a_thin_one_is_not():
    folded = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.2, 0.2]])
    cells = np.array([[0, 1, 2, 3]])
    with pytest.raises(MeshError, match="inverted or degenerate"):
        Mesh.of(points=folded, cells=cells, cell_type="quadrilateral")
    thin = SQUARE * [1e3, 1e-6]
    assert float(Mesh.of(points=thin, cells=cells, cell_type="quadrilateral").volume()) == pytest.approx(1e-3)


def test_unknown_tags_list_those_that_exist():
    mesh = rectangle(2, 2).tag_cells("core", lambda x: x[:, 0] < 0.5)
    with pytest.raises(
        MeshError, match="no facet tag 'lid': its facet tags are 'bottom', 'left', 'right', 'top', 'bou"
    ):
        mesh.facets("lid")
    with pytest.raises(MeshError, match="no cell tag 'lid': its cell tags are 'core', 'all'"):
        mesh.cells_of("lid")
    with pytest.raises(MeshError, match="no node tag 'lid': its node tags are 'all'"):
        mesh.nodes_of("lid")


def test_reserved_names_mean_everything():
    mesh = rectangle(2, 2)
    np.testing.assert_array_equal(mesh.cells_of("all"), np.arange(4))
    np.testing.assert_array_equal(mesh.nodes_of("all"), np.arange(9))
    assert len(mesh.facets("boundary")) == 8


def test_tagging_by_predicates():
    mesh = box(4, 2, 2).tag_facets("inlet", lambda x: (x[:, 0] < 1e-9) & (x[:, 2] <= 0.5))
    assert float(mesh.area("inlet")) == pytest.approx(0.5)
    mesh = mesh.tag_cells("front half", lambda x: x[:, 0] < 0.5)
    assert float(mesh.volume("front half")) == pytest.approx(0.5)
    assert set(mesh.facet_tags) == {"left", "right", "front", "back", "bottom", "top", "inlet"}


def test_a_facet_across_a_corner_of_the_predicate_is_not_tagged():
    one = rectangle(1, 1)
    mesh = one.tag_facets("ends", lambda x: np.abs(x[:, 0] - 0.5) > 0.4)
    assert float(mesh.area("ends")) == pytest.approx(2.0)
    assert len(mesh.facets("ends")) == 2


@pytest.mark.parametrize(
    ("predicate", "sentence"),
    [
        (lambda x: x[:, 0] > 5, "satisfies the predicate"),
        (lambda x: x > 0.5, "must give booleans of shape"),
        (lambda x: x[:, 0], "must give booleans of shape"),
    ],
)
def test_predicates_that_are_refused(predicate, sentence):
    mesh = rectangle(2, 2)
    for tag in (mesh.tag_facets, mesh.tag_cells):
        with pytest.raises(MeshError, match=sentence):
            tag("new", predicate)


def test_names_in_use_are_refused():
    mesh = rectangle(2, 2)
    with pytest.raises(MeshError, match="'left' is already in use"):
        mesh.tag_facets("left", lambda x: x[:, 0] >= 0)
    with pytest.raises(MeshError, match="'all' is already in use"):
        mesh.tag_cells("all", lambda x: x[:, 0] >= 0)


@pytest.mark.parametrize("make", [lambda: rectangle(2, 2), lambda: box(2, 1, 2, cell="tetrahedron")])
def test_jit_and_gradient_in_the_coordinates(make):
    mesh = make()
    assert float(jax.jit(lambda mesh: mesh.volume())(mesh)) == pytest.approx(1.0)
    assert float(eqx.filter_jit(lambda mesh: mesh.area("left"))(mesh)) == pytest.approx(1.0)

    # A volume scales as s^dim, hence its derivative along the points themselves is dim times the volume.
    def volume(points):
        return mesh.with_points(points).volume()

    points = jnp.asarray(mesh.points)
    _, slope = jax.jvp(volume, (points,), (points,))
    assert float(slope) == pytest.approx(mesh.dim)


@pytest.mark.slow
def test_taylor_remainder_of_the_area():
    mesh = box(2, 2, 2)
    rng = np.random.default_rng(0)
    points = jnp.asarray(mesh.points + 0.05 * rng.uniform(size=mesh.points.shape))
    direction = jnp.asarray(rng.normal(size=points.shape))

    def area(points):
        return mesh.with_points(points).area("boundary")

    value, slope = jax.jvp(area, (points,), (direction,))
    steps = [1e-2, 5e-3, 2.5e-3]
    remainders = [abs(float(area(points + h * direction) - value - h * slope)) for h in steps]
    rates = np.log2(np.array(remainders[:-1]) / remainders[1:])
    assert (rates > 1.9).all()


def test_topology_inside_jit_is_refused_in_a_sentence():
    with pytest.raises(MeshError, match="outside of jit"):
        jax.jit(lambda mesh: mesh.boundary_facets())(rectangle(1, 1))
