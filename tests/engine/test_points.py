"""Loads, springs, dashpots and masses at single points, on solids, scalar fields and mixed spaces."""

import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


def bar(n=4, shape=(), element="P1"):
    points = np.linspace(0.0, 2.0, n + 1)[:, None]
    mesh = gm.Mesh.of(points, np.stack([np.arange(n), np.arange(1, n + 1)], axis=1), "interval")
    mesh = mesh.tag_facets("left", lambda x: x[:, 0] < 1e-9).with_node_tag("tip", np.array([n]))
    return gm.FunctionSpace(mesh, element, shape)


DIFFUSION = gm.WeakForm(
    lambda u, v, point, k: k * gm.inner(gm.grad(u), gm.grad(v)), (3.0,), affine=True, symmetric=True
)


@pytest.mark.parametrize("element", ["P1", "P2"])
@pytest.mark.parametrize("at", ["tip", (2.0,), (0.7,)])
def test_a_point_source_in_a_bar(element, at):
    """k u' = P up to the source: u there is P x/k, exactly where the source is at a node."""
    space = bar(element=element)
    problem = gm.Formulation(space, [gm.Term(DIFFUSION), gm.PointLoad(at, 5.0)], [gm.Dirichlet("left")])
    u = gm.solve(gm.Steady(problem)).checked()
    x = np.asarray(space.nodes())[:, 0]
    place = 2.0 if at == "tip" else at[0]
    right = x >= np.ceil(place / 0.5) * 0.5 - 1e-9
    np.testing.assert_allclose(u[right], 5.0 * place / 3.0, rtol=1e-8)


def test_a_spring_and_a_load_in_parallel():
    """P = (k/L + c) u."""
    terms = [gm.Term(DIFFUSION), gm.PointLoad("tip", gm.Input("pull", gain=2.0)), gm.PointSpring("tip", 4.0)]
    problem = gm.Formulation(bar(), terms, [gm.Dirichlet("left")])
    inputs = {"pull": gm.Series(np.array([0.0, 1.0]), np.array([3.0, 3.0]))}
    u = gm.solve(gm.Steady(problem), inputs).checked()
    assert float(u[-1]) == pytest.approx(6.0 / (1.5 + 4.0), rel=1e-9)


@pytest.mark.slow
def test_a_nonlinear_spring():
    """P = (k/L) u + a u³ at the tip, with a spring whose stiffness is a law."""
    spring = gm.PointSpring("tip", gm.Law(lambda u, x, a: a * u**2, (2.0,)))
    problem = gm.Formulation(bar(), [gm.Term(DIFFUSION), gm.PointLoad("tip", 7.0), spring], [gm.Dirichlet("left")])
    tip = float(gm.solve(gm.Steady(problem)).checked()[-1])
    assert 1.5 * tip + 2.0 * tip**3 == pytest.approx(7.0, rel=1e-8)


def test_reactions_balance_a_load_inside_a_solid():
    space = gm.FunctionSpace(gm.box(1, 1, 1), "Q1", (3,))
    load = gm.PointLoad((0.3, 0.6, 0.9), (10.0, gm.Parameter("p", gm.Normal(20.0, 1.0)), -5.0))
    body = gm.Elasticity(space, 1e4, 0.3, conditions=[gm.Dirichlet("bottom"), load])
    bound = gm.bind(body, {"p": 20.0})
    u = gm.solve(gm.Steady(bound, linear_solver=gm.SparseDirect(1e-9))).checked()
    reaction = bound.problem.unconstrained(u.reshape(-1)).reshape(-1, 3).sum(axis=0)
    np.testing.assert_allclose(reaction, [-10.0, -20.0, 5.0], atol=1e-6)


def test_a_mass_and_a_dashpot_are_read_by_the_dynamic_matrices():
    """Moved as a whole, a block with a point mass weighs both; a dashpot resists along its directions."""
    mesh = gm.box(1, 1, 1).with_node_tag("corner", np.array([7]))
    space = gm.FunctionSpace(mesh, "Q1", (3,))
    body = gm.Elasticity(
        space,
        1e4,
        0.3,
        2.0,
        masses=[gm.PointMass("corner", 3.0)],
        dampings=[gm.PointDashpot("corner", (1.0, 2.0, 0.0))],
    )
    for problem, expected in ((body.inertia, [5.0, 5.0, 5.0]), (body.damping, [1.0, 2.0, 0.0])):
        assert problem is not None
        matrix = problem.layout.operator(problem.matrix_values(jnp.zeros(space.n_dofs)), symmetric=True)
        for axis in range(3):
            push = jnp.zeros((8, 3)).at[:, axis].set(1.0).reshape(-1)
            assert float(push @ matrix.mv(push)) == pytest.approx(expected[axis])


@pytest.mark.slow
def test_a_load_on_one_field_of_several():
    mesh = bar().mesh
    space = gm.MixedSpace({"a": gm.FunctionSpace(mesh, "P1"), "b": gm.FunctionSpace(mesh, "P2")})
    terms = [
        gm.Term(DIFFUSION, fields="a"),
        gm.Term(DIFFUSION, fields="b"),
        gm.PointLoad("tip", 5.0, field="b"),
    ]
    problem = gm.Formulation(space, terms, [gm.Dirichlet("left", field="a"), gm.Dirichlet("left", field="b")])
    u = gm.solve(gm.Steady(problem)).checked()
    np.testing.assert_allclose(u["a"], 0.0, atol=1e-12)
    assert float(jnp.max(u["b"])) == pytest.approx(10.0 / 3.0, rel=1e-8)


@pytest.mark.parametrize(
    ("element", "sentence"),
    [
        (gm.PointLoad((3.0,), 1.0), r"at \(3.0,\) m lies outside the mesh"),
        (gm.PointLoad((0.0, 1.0), 1.0), "has 2 coordinates on a 1-D mesh"),
        (gm.PointLoad("tipp", 1.0), "tipp"),
        (gm.PointLoad("tip", (1.0, 2.0)), "at 'tip' needs 1 numbers, not 2"),
        (gm.PointLoad("tip", 1.0, 2.0), "has a rotational part, but the field no rotations"),
        (gm.PointLoad("tip", 1.0, field="b"), "no field 'b'"),
    ],
)
def test_mistakes_are_named(element, sentence):
    with pytest.raises(ValueError, match=sentence):
        gm.Formulation(bar(), [gm.Term(DIFFUSION), element])
