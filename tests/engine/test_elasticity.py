"""Linear elasticity against published values and exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


def mapped(mesh, function):
    return mesh.with_points(np.asarray([function(*x) for x in np.asarray(mesh.points)]))


def test_a_linear_displacement_is_reproduced_exactly():
    """The patch test: with u = A x on the boundary of a distorted mesh, u = A x inside."""
    mesh = gm.box(2, 2, 2, size=(1.0, 1.0, 1.0))
    x = np.asarray(mesh.points).copy()
    x += 0.1 * np.prod(np.sin(np.pi * x), axis=1, keepdims=True)
    space = gm.FunctionSpace(mesh.with_points(x), "Q1", (3,))
    gradient = jnp.array([[1.0, 0.2, 0.0], [0.1, -0.5, 0.3], [0.0, 0.4, 0.7]])
    fixed = gm.Dirichlet("boundary", gm.Profile(lambda x: gradient @ x))
    u = gm.solve(gm.Steady(gm.Elasticity(space, 2e11, 0.3, conditions=[fixed]))).checked()
    np.testing.assert_allclose(u, space.nodes() @ gradient.T, atol=1e-9)


@pytest.mark.slow
def test_cooks_membrane():
    """Corners (0,0) (48,44) (48,60) (0,44), plane stress, E = 1, ν = 1/3, shear 1 in all: u_y(48,52) = 23.96."""
    unit = gm.rectangle(16, 16, size=(1.0, 1.0))
    mesh = mapped(unit, lambda s, t: (48 * s, 44 * s + t * (44 + s * (16 - 44))))
    space = gm.FunctionSpace(mesh, "Q2", (2,))
    conditions = [gm.Dirichlet("left"), gm.Traction("right", jnp.array([0.0, 1.0 / 16.0]))]
    body = gm.Elasticity(space, 1.0, 1 / 3, conditions=conditions, kinematics="plane stress")
    u = gm.solve(gm.Steady(body)).checked()
    nodes, weights = space.interpolation(np.array([[48.0, 52.0]]))
    assert float(jnp.sum(u[nodes[0], 1] * weights[0])) == pytest.approx(23.96, rel=1e-3)


@pytest.mark.slow
def test_nafems_le1_elliptic_membrane():
    """NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, LE1: σ_yy at D(2, 0) = 92.7 MPa."""
    unit = gm.rectangle(12, 64, size=(1.0, 1.0))  # straight edges: the ellipse needs many

    def ellipse(s, t):
        a, b = 2.0 + 1.25 * s, 1.0 + 1.75 * s
        return a * np.cos(np.pi / 2 * t), b * np.sin(np.pi / 2 * t)

    space = gm.FunctionSpace(mapped(unit, ellipse), "Q2", (2,))
    conditions = [
        gm.Dirichlet("bottom", 0.0, component=1),
        gm.Dirichlet("top", 0.0, component=0),
        gm.Pressure("right", -10e6),
    ]
    body = gm.Elasticity(space, 210e9, 0.3, conditions=conditions, kinematics="plane stress")
    u = gm.solve(gm.Steady(body)).checked()
    stress = gm.nodal_stress(body, u)
    corner = int(np.argmin(np.linalg.norm(np.asarray(space.nodes()) - [2.0, 0.0], axis=1)))
    assert float(stress[corner, 1, 1]) == pytest.approx(92.7e6, rel=0.01)


@pytest.mark.slow
def test_nafems_fv32_tapered_membrane():
    """NAFEMS FV32: cantilevered tapered membrane, the first six frequencies."""
    unit = gm.rectangle(16, 8, size=(1.0, 1.0))
    mesh = mapped(unit, lambda s, t: (10 * s, (t - 0.5) * (5 - 4 * s)))
    space = gm.FunctionSpace(mesh, "Q2", (2,))
    body = gm.Elasticity(space, 200e9, 0.3, 8000.0, [gm.Dirichlet("left")], kinematics="plane stress")
    frequencies, _ = gm.modes(gm.Modal(body, 6)).checked()
    np.testing.assert_allclose(frequencies, [44.623, 130.03, 162.70, 246.05, 379.90, 391.44], rtol=2e-3)


def test_a_free_body_has_rigid_modes_and_then_elastic_ones():
    space = gm.FunctionSpace(gm.rectangle(6, 2, size=(3.0, 1.0)), "Q2", (2,))
    body = gm.Elasticity(space, 200e9, 0.3, 8000.0, kinematics="plane stress")
    frequencies, _ = gm.modes(gm.Modal(body, 4, shift_frequency=100.0)).checked()
    assert np.all(np.asarray(frequencies[:3]) < 1e-2 * float(frequencies[3]))


@pytest.mark.slow
def test_mass_and_support_enter_as_lumped_totals():
    """A stiff block on springs: f = √(k A / m) / 2π, with m its own and an added mass."""
    space = gm.FunctionSpace(gm.box(2, 2, 2, size=(0.1, 0.2, 0.3)), "Q1", (3,))
    own, added, bed = 7850 * 0.1 * 0.2 * 0.3, 3.0, 1e8
    body = gm.Elasticity(space, 2e14, 0.3, 7850.0, [gm.ElasticSupport("bottom", bed)], [gm.AddedMass("top", added)])
    modal = gm.Modal(body, 6)
    frequencies, shapes = gm.modes(modal).checked()
    share = modal.participation(shapes.reshape(6, -1).T)
    vertical = int(jnp.argmax(share[:, 2]))
    expected = np.sqrt(bed * 0.1 * 0.2 / (own + added)) / (2 * np.pi)
    assert float(frequencies[vertical]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_reactions_of_a_slender_beam_are_exact_behind_an_iterative_solver():
    """Prescribed values that are off by the tolerance of the solver would show in the reactions, times a stiffness."""
    space = gm.FunctionSpace(gm.rectangle(40, 4, size=(1.0, 0.1)), "Q2", (2,))
    conditions = [gm.Dirichlet("left"), gm.Traction("right", jnp.array([0.0, -1e5]))]
    body = gm.Elasticity(space, 2e11, 0.3, conditions=conditions, kinematics="plane stress")
    u = gm.solve(gm.Steady(body)).checked()
    assert np.all(np.asarray(u)[space.nodes_on("left")] == 0.0)
    np.testing.assert_allclose(gm.reactions(body.problem, u, "left"), [0.0, 1e4], rtol=1e-7, atol=1e-3)


def test_a_force_is_spread_evenly_whatever_the_area():
    """Through a slanted side as a traction of that over its length, its moment that of the middle; so in cells."""
    mesh = gm.rectangle(3, 2, size=(2.0, 1.0))
    slant = np.stack([0.4 * np.prod(mesh.points, axis=1), np.zeros(len(mesh.points))], axis=1)
    space = gm.FunctionSpace(mesh.with_points(mesh.points + slant), "Q2", (2,))
    force, x = np.array([30.0, -70.0]), np.asarray(space.nodes())

    def loads(load):
        body = gm.Elasticity(space, 1e5, 0.3, conditions=[gm.Dirichlet("left"), load], kinematics="plane strain")
        return -np.asarray(body.problem.unconstrained(jnp.zeros(space.n_dofs))).reshape(-1, 2)

    found = loads(gm.Force("right", gm.Vector((30.0, -70.0))))
    np.testing.assert_allclose(found.sum(axis=0), force, rtol=1e-12)
    assert np.sum(x[:, 0] * found[:, 1] - x[:, 1] * found[:, 0]) == pytest.approx(2.4 * force[1] - 0.5 * force[0])
    np.testing.assert_allclose(found, loads(gm.Traction("right", force / np.hypot(1.0, 0.8))), atol=1e-12)
    inside = loads(gm.Force("all", force, facets=False))
    np.testing.assert_allclose(inside, loads(gm.BodyForce("all", force / 2.4)), atol=1e-12)


def test_a_force_is_spread_by_its_shape():
    """Over a side of height 1 as the parabola of a shear force, 6 y (1 - y): the mean of y is 1/2, that of y² 3/10."""
    space = gm.FunctionSpace(gm.rectangle(3, 2, size=(2.0, 1.0)), "Q2", (2,))
    parabola = gm.Profile(lambda x: x[1] * (1.0 - x[1]))
    conditions = [gm.Dirichlet("left"), gm.Force("right", (30.0, -70.0), shape=parabola)]
    body = gm.Elasticity(space, 1e5, 0.3, conditions=conditions, kinematics="plane strain")
    found = -np.asarray(body.problem.unconstrained(jnp.zeros(space.n_dofs))).reshape(-1, 2)
    np.testing.assert_allclose(found.sum(axis=0), [30.0, -70.0], rtol=1e-12)
    y = np.asarray(space.nodes())[:, 1]
    np.testing.assert_allclose(y @ found, [15.0, -35.0], rtol=1e-12)
    np.testing.assert_allclose(y**2 @ found, [9.0, -21.0], rtol=1e-12)


@pytest.mark.slow
def test_derivatives_by_the_shape_work_with_the_default_solver():
    """The tip of a rod that is pulled moves by F L / (E A): its derivative by a stretch of the mesh is known."""
    mesh = gm.rectangle(4, 1, size=(2.0, 1.0))

    def tip(stretch):
        space = gm.FunctionSpace(mesh.with_points(mesh.points * jnp.array([1.0, stretch])), "Q1", (2,))
        pull = gm.Traction("right", jnp.array([6.0, 0.0]) / stretch)
        conditions = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("bottom", 0.0, 1), pull]
        body = gm.Elasticity(space, 10.0, 0.0, conditions=conditions, kinematics="plane stress")
        u = gm.solve(gm.Steady(body)).value
        return jnp.max(u[:, 0])

    value, slope = jax.value_and_grad(tip)(1.0)
    assert float(value) == pytest.approx(1.2, rel=1e-8)
    assert float(slope) == pytest.approx(-1.2, rel=1e-6)


GAUGES = [
    gm.StrainSensor(name="axial", position=(1.1, 0.3), direction=(1.0, 0.0), noise=1e-6),
    gm.StrainSensor(name="diagonal", position=(1.1, 0.3), direction=(-2.0, 2.0), noise=1e-6),
    gm.StrainSensor(name="across", position=(0.2, 0.9), direction=(0.0, 1.0), noise=1e-6, offset=1e-3),
]


@pytest.mark.slow
def test_strain_gauges_on_a_strip_in_tension():
    """ε = σ/E along and -ν σ/E across it, on distorted cells; and derivatives by E and by the shape."""
    mesh = gm.rectangle(4, 2, size=(2.0, 1.0))
    x = np.asarray(mesh.points)
    bulge = 0.05 * np.sin(np.pi * x[:, :1]) * np.sin(np.pi * x[:, 1:])
    modulus = gm.Parameter("E", gm.LogNormal(100.0, 2.0), "Pa")

    def readings(stretch, e):
        moved = mesh.with_points((x + bulge) * jnp.stack([stretch, jnp.ones(())]))
        space = gm.FunctionSpace(moved, "Q2", (2,))
        conditions = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("bottom", 0.0, 1), gm.Traction("right", (3.0, 0.0))]
        body = gm.Elasticity(space, modulus, 0.25, conditions=conditions, kinematics="plane stress")
        run = gm.simulate(gm.Twin("strip", gm.Steady(body), GAUGES), parameters={"E": e})
        return jnp.stack([run.readings[gauge.name] for gauge in GAUGES])

    exact = np.array([1.0, 0.375, -0.25])
    found, (by_shape, by_modulus) = readings(1.0, 100.0), jax.jacrev(readings, (0, 1))(1.0, 100.0)
    np.testing.assert_allclose(found, 0.03 * exact + np.array([0.0, 0.0, 1e-3]), rtol=1e-7)
    np.testing.assert_allclose(by_modulus, -0.0003 * exact, rtol=1e-6)
    np.testing.assert_allclose(by_shape, 0.0, atol=1e-8)  # the stress is given, not the displacement


@pytest.mark.parametrize(
    ("gauge", "sentence"),
    [
        (gm.StrainSensor(name="e", position=(1.0, 1.0), direction=(1.0,), noise=1.0), "a direction of 2 components"),
        (gm.StrainSensor(name="e", position=(1.0,), direction=(1.0, 0.0), noise=1.0), "1 coordinates on a 2-D mesh"),
        (gm.StrainSensor(name="e", position=(1.0, 2.0), direction=(1.0, 0.0), noise=1.0), "lies outside the mesh"),
    ],
)
def test_gauges_that_do_not_fit_are_named(gauge, sentence):
    space = gm.FunctionSpace(gm.rectangle(1, 1, size=(1.0, 1.0)), "Q1", (2,))
    with pytest.raises(ValueError, match=sentence):
        gauge.functional(space)
    with pytest.raises(ValueError, match=r"'e': the direction .* has no length"):
        gm.StrainSensor(name="e", position=(1.0, 1.0), direction=(0.0, 0.0), noise=1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shape": ()}, "needs a function space of shape"),
        ({"kinematics": "solid"}, "does not fit a 2-D mesh"),
        ({"tag": "leftt"}, "leftt"),
        ({"component": 2}, "Component 2"),
    ],
)
def test_mistakes_are_named(change, sentence):
    mesh = gm.rectangle(1, 1, size=(1.0, 1.0))
    condition = gm.Dirichlet(change.get("tag", "left"), 0.0, change.get("component"))
    with pytest.raises(ValueError, match=sentence):
        gm.Elasticity(
            gm.FunctionSpace(mesh, "Q1", change.get("shape", (2,))),
            1.0,
            0.3,
            conditions=[condition],
            kinematics=change.get("kinematics", "plane stress"),
        )
