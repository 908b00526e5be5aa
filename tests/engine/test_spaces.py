"""Spaces on every cell, in every degree: continuity, exactness, discontinuous, tensor-valued and mixed ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.meshes import CellBlock, Mesh


def intervals(n):
    x = np.linspace(0.0, 1.0, n + 1)[:, None] ** 1.2
    return Mesh(points=x, blocks=(CellBlock("interval", np.stack([np.arange(n), np.arange(1, n + 1)], axis=1)),))


def prisms(n):
    flat = gm.rectangle(n, n, cell="triangle")
    count = flat.n_points
    points = np.concatenate([np.c_[flat.points, np.full(count, k / n)] for k in range(n + 1)])
    cells = [np.c_[np.asarray(flat.cells) + k * count, np.asarray(flat.cells) + (k + 1) * count] for k in range(n)]
    return Mesh(points=points, blocks=(CellBlock("prism", np.concatenate(cells)),))


def several(n):
    """Quadrilaterals on the left, triangles on the right, joined along x = 1."""
    left, right = gm.rectangle(n, n), gm.rectangle(n, n, cell="triangle", origin=(1.0, 0.0))
    points = np.concatenate([left.points, right.points])
    _, first, same = np.unique(np.rint(points * 1e6), axis=0, return_index=True, return_inverse=True)
    blocks = (
        CellBlock("quadrilateral", same.ravel()[np.asarray(left.cells)]),
        CellBlock("triangle", same.ravel()[left.n_points + np.asarray(right.cells)]),
    )
    return Mesh(points=points[first], blocks=blocks)


MESHES = {
    "interval": lambda: intervals(3),
    "triangle": lambda: gm.rectangle(3, 3, cell="triangle"),
    "quadrilateral": lambda: gm.rectangle(3, 3),
    "tetrahedron": lambda: gm.box(2, 2, 2, cell="tetrahedron"),
    "hexahedron": lambda: gm.box(2, 2, 2),
    "prism": lambda: prisms(2),
    "several": lambda: several(3),
}
EVERY_CELL = pytest.mark.parametrize(
    "cell", [c if c == "triangle" else pytest.param(c, marks=pytest.mark.slow) for c in MESHES]
)


def solved(physics):
    return gm.solve(gm.Steady(physics, linear_solver=gm.SparseDirect(rtol=1e-8))).checked()


def jumbled(mesh, seed=0):
    """The same mesh with its points numbered in another order, so that cells see shared edges from both sides."""
    order = np.random.default_rng(seed).permutation(mesh.n_points)
    place = np.argsort(order)
    blocks = tuple(CellBlock(block.cell_type, place[np.asarray(block.cells)]) for block in mesh.blocks)
    return Mesh(points=np.asarray(mesh.points)[order], blocks=blocks)


def element(mesh, degree, prefix=""):
    letter = "Q" if mesh.blocks[0].cell_type in ("quadrilateral", "hexahedron") and len(mesh.blocks) == 1 else "P"
    return f"{prefix}{letter}{degree}"


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("cell", MESHES)
def test_polynomials_are_continuous_and_found_again_at_any_place(cell, degree):
    """Nodes of neighbours coincide: a polynomial given at the nodes is itself in every cell."""
    mesh = jumbled(MESHES[cell]())
    space = gm.FunctionSpace(mesh, element(mesh, degree))
    nodes = np.asarray(space.nodes())
    assert len(np.unique(np.rint(nodes * 1e9), axis=0)) == space.n_nodes
    values = np.sum(nodes**degree, axis=1) - np.prod(nodes, axis=1) * (degree >= mesh.dim)
    low, high = np.asarray(mesh.bounding_box)
    places = low + (high - low) * np.random.default_rng(1).uniform(0.02, 0.98, (40, mesh.dim))
    rows, weights = space.interpolation(places)
    expected = np.sum(places**degree, axis=1) - np.prod(places, axis=1) * (degree >= mesh.dim)
    np.testing.assert_allclose(np.sum(values[rows] * weights, axis=1), expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["interval", "prism", "several", "tetrahedron"])
def test_a_cubic_temperature_is_reproduced_by_cubic_elements(cell):
    mesh = jumbled(MESHES[cell]())
    space = gm.FunctionSpace(mesh, element(mesh, 3))

    def exact(x):
        return jnp.sum(x**3) + jnp.prod(x)

    source = gm.Profile(lambda x: -jnp.trace(jax.hessian(exact)(x)))
    conditions = [gm.Dirichlet("boundary", gm.Profile(exact)), gm.HeatSource("all", source)]
    u = solved(gm.Heat(space, 1.0, conditions=conditions))
    np.testing.assert_allclose(u, space.interpolate(exact), atol=1e-8)


@EVERY_CELL
def test_the_divergence_theorem_holds_on_every_cell(cell):
    """∫ div F = ∮ F·n for a field of degree 2 ties cell rules, facet rules and normals together."""
    mesh = MESHES[cell]()
    space = gm.FunctionSpace(mesh, element(mesh, 2), (mesh.dim,))
    field = space.interpolate(lambda x: x**2 + jnp.arange(1.0, mesh.dim + 1) * x[0])
    inside = gm.integrate(space, lambda u, p: gm.div(u), field)
    outside = gm.integrate(space, lambda u, p: u.value @ p.normal, field, "boundary", facets=True)
    assert float(inside) == pytest.approx(float(outside), rel=1e-12)


@EVERY_CELL
@pytest.mark.parametrize("degree", [0, 1])
def test_discontinuous_functions_are_projected_cell_by_cell(cell, degree):
    mesh = MESHES[cell]()
    space = gm.FunctionSpace(mesh, element(mesh, degree, "D"))
    assert space.n_nodes == sum(len(b.cells) * e.n_nodes for b, e in zip(mesh.blocks, space.elements, strict=True))

    def misfit(u, v, point):
        return (u.value - point.x[0]) * v.value

    term = gm.Term(gm.WeakForm(misfit, affine=True, symmetric=True), degree=4)
    u = solved(gm.Formulation(space, [term]))
    np.testing.assert_allclose(u, space.nodes()[:, 0], atol=1e-12)  # at degree 0 the node is the centroid


def test_tensor_fields_keep_their_shape():
    space = gm.FunctionSpace(gm.rectangle(2, 2), "Q1", (2, 2))
    target = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    term = gm.Term(gm.WeakForm(lambda s, t, p: gm.inner(s.value - target * p.x[1], t.value), affine=True))
    u = solved(gm.Formulation(space, [term]))
    np.testing.assert_allclose(u, target * space.nodes()[:, 1, None, None], atol=1e-10)


@pytest.mark.slow
def test_taylor_hood_with_a_multiplier_gives_poiseuilles_flow():
    """Stokes flow driven through a channel: u_x = y (1 − y) / 2 · dp/dx, the mean pressure held by a real number."""
    mesh = gm.rectangle(4, 4, size=(2.0, 1.0))
    velocity, pressure = gm.FunctionSpace(mesh, "Q2", (2,)), gm.FunctionSpace(mesh, "Q1")
    space = gm.MixedSpace({"u": velocity, "p": pressure, "mean": gm.RealSpace(1)})

    def stokes(w, v, point):
        viscous = gm.inner(gm.grad(w["u"]), gm.grad(v["u"]))
        return viscous - w["p"].value * gm.div(v["u"]) - v["p"].value * gm.div(w["u"])

    def zero_mean(w, v, point):
        return w["mean"].value[0] * v["p"].value + v["mean"].value[0] * w["p"].value

    def profile(x):
        return jnp.array([x[1] * (1 - x[1]), 0.0])

    terms = [
        gm.Term(gm.WeakForm(stokes, affine=True, symmetric=True), fields=("u", "p")),
        gm.Term(gm.WeakForm(zero_mean, affine=True, symmetric=True), fields=("p", "mean")),
    ]
    flow = gm.Formulation(space, terms, [gm.Dirichlet("boundary", gm.Profile(profile), field="u")])
    w = solved(flow)
    np.testing.assert_allclose(w["u"], jax.vmap(profile)(velocity.nodes()), atol=1e-10)
    np.testing.assert_allclose(w["p"], 2.0 * (1.0 - pressure.nodes()[:, 0]), atol=1e-8)


def test_a_form_for_one_field_serves_one_field_of_several():
    """Two temperatures side by side, each with the forms of a single one."""
    mesh = gm.rectangle(3, 3)
    fine, coarse = gm.FunctionSpace(mesh, "Q2"), gm.FunctionSpace(mesh, "Q1")
    space = gm.MixedSpace({"a": fine, "b": coarse})
    laplace = gm.WeakForm(lambda u, v, p: gm.inner(gm.grad(u), gm.grad(v)), affine=True, symmetric=True)
    terms = [gm.Term(laplace, fields="a"), gm.Term(laplace, fields="b")]
    ends = [
        gm.Dirichlet("left", 1.0, field="a"),
        gm.Dirichlet("right", 3.0, field="a"),
        gm.Dirichlet("top", 5.0, field="b"),
    ]
    w = solved(gm.Formulation(space, terms, ends))
    np.testing.assert_allclose(w["a"], 1.0 + 2.0 * fine.nodes()[:, 0], atol=1e-10)
    np.testing.assert_allclose(w["b"], 5.0, atol=1e-10)


@pytest.mark.slow
def test_a_function_serves_as_a_coefficient():
    """Conductivity 1 + x as a function of its own space: u = ln(1 + x) / ln 2."""
    mesh = gm.rectangle(8, 1)
    space, own = gm.FunctionSpace(mesh, "Q2"), gm.FunctionSpace(mesh, "Q1")
    k = gm.FieldCoefficient(own, own.interpolate(lambda x: 1.0 + x[0]))
    heat = gm.Heat(space, k, conditions=[gm.Dirichlet("left", 0.0), gm.Dirichlet("right", 1.0)])
    u = solved(heat)
    np.testing.assert_allclose(u, jnp.log1p(space.nodes()[:, 0]) / jnp.log(2.0), atol=2e-5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("P2", "'P2' does not exist on a mesh of quadrilateral cells: allowed are Q1, Q2"),
        ("Q0", "'Q0' does not exist"),
        ("Quad", "'Quad' does not exist"),
        ("Q10", "'Q10' does not exist"),
    ],
)
def test_unknown_elements_are_named_with_those_allowed(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        gm.FunctionSpace(gm.rectangle(1, 1), name)


def test_mistakes_with_fields_are_named():
    mesh = gm.rectangle(1, 1)
    space = gm.MixedSpace({"u": gm.FunctionSpace(mesh, "Q1"), "c": gm.RealSpace(2)})
    form = gm.WeakForm(lambda u, v, p: u.value * v.value, affine=True)
    with pytest.raises(ValueError, match="no field 'v': the fields are u, c"):
        gm.Formulation(space, [gm.Term(form, fields="v")])
    with pytest.raises(ValueError, match="Say which field is meant: the fields are u, c"):
        gm.Formulation(space, [gm.Term(form, fields="u")], [gm.Dirichlet("left")])
    with pytest.raises(ValueError, match="have no places"):
        gm.Formulation(space, [gm.Term(form, fields="u")], [gm.Dirichlet("left", field="c")])
    with pytest.raises(ValueError, match="share one mesh"):
        gm.MixedSpace({"u": gm.FunctionSpace(mesh, "Q1"), "p": gm.FunctionSpace(gm.rectangle(1, 1), "Q1")})
