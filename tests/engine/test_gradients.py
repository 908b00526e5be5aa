"""Gradients of whole simulations, proved by Taylor remainders; jit, vmap and reverse mode on public calls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.observations import FieldObservation


def heated_plate(law=False):
    space = gm.FunctionSpace(gm.rectangle(4, 3, size=(0.4, 0.3)), "Q2")
    k = gm.Parameter("k", gm.LogNormal(2.0, 2.0), "W/m/K")
    h = gm.Parameter("h", gm.LogNormal(20.0, 3.0), "W/m^2/K")
    conductivity = gm.Law(lambda u, x, k: k * (1 + 0.1 * u), (k,)) if law else k
    conditions = [
        gm.Dirichlet("left", gm.Input("wall")),
        gm.Convection("right", h, 1.0),
        gm.Flux("top", 30.0),
    ]
    return gm.Heat(space, conductivity, 4000.0, conditions)


WALL = {"wall": gm.Series(np.array([0.0, 50.0]), np.array([2.0, 3.0]), hold=False)}
SENSORS = [
    gm.PointSensor(name="middle", position=(0.2, 0.15), noise=0.1, lag=gm.Parameter("lag", gm.LogNormal(5.0, 3.0), "s"))
]


def steady(law):
    return gm.Twin("plate", gm.Steady(heated_plate(law), rtol=1e-13), SENSORS), WALL, None


def transient(law):
    analysis = gm.Transient(heated_plate(law), 1.5, 5.0, rtol=1e-13)
    return gm.Twin("plate", analysis, SENSORS), WALL, np.linspace(0.0, 50.0, 6)


def modal(law):
    space = gm.FunctionSpace(gm.rectangle(6, 2, size=(3.0, 1.0)), "Q2", (2,))
    stiffness = gm.Parameter("E", gm.LogNormal(2e11, 1.5), "Pa")
    mass = gm.Parameter("m", gm.LogNormal(500.0, 3.0), "kg")
    body = gm.Elasticity(
        space, stiffness, 0.3, 8000.0, [gm.Dirichlet("left")], [gm.AddedMass("right", mass)], "plane stress"
    )
    return gm.Twin("beam", gm.Modal(body, 3), [gm.FrequencySensor(name="f2", mode=2, noise=0.1)]), {}, None


CASES = {
    "steady": (steady, False),
    "steady, nonlinear": (steady, True),
    "transient": (transient, False),
    "transient, nonlinear": (transient, True),
    "modal": (modal, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_taylor_remainders_of_a_reading(case):
    build, law = CASES[case]
    twin, inputs, times = build(law)
    names = tuple(twin.parameters)
    grid = twin.analysis.grid(times)

    @jax.jit
    def reading(z):
        run = gm.respond(twin, inputs, times, grid, twin.belief.values(z))
        return jnp.sum(run.stacked() ** 2)

    z = jnp.full(len(names), 0.2)
    direction = jnp.asarray(np.random.default_rng(3).normal(size=len(names)))
    value, gradient = jax.jit(jax.value_and_grad(reading))(z)
    forward = jax.jit(lambda z, v: jax.jvp(reading, (z,), (v,))[1])(z, direction)
    assert float(forward) == pytest.approx(float(gradient @ direction), rel=1e-7)
    steps = np.array([0.1, 0.05, 0.025])
    first = np.array([abs(float(reading(z + s * direction) - value)) for s in steps])
    second = np.array([abs(float(reading(z + s * direction) - value) - s * float(forward)) for s in steps])
    assert np.all(np.log2(first[:-1] / first[1:]) > 0.8)
    assert np.all(np.log2(second[:-1] / second[1:]) > 1.8)


def test_a_solution_of_known_values_is_that_which_is_differentiated():
    """Of known values one matrix is assembled, with derivatives two; sides are tied, or held away from zero."""
    space = gm.FunctionSpace(gm.rectangle(3, 3, size=(1.0, 1.0)), "Q1")

    def field(k):
        conditions = [gm.Periodic("left", "right"), gm.Dirichlet("bottom", 2.0), gm.Flux("top", 1.0)]
        return gm.solve(gm.Steady(gm.Heat(space, k, conditions=conditions), rtol=1e-13)).value

    within, slope = jax.jvp(field, (1.7,), (1.0,))
    np.testing.assert_allclose(field(1.7), within, rtol=1e-11)
    np.testing.assert_allclose(slope, (field(1.7 + 1e-5) - field(1.7 - 1e-5)) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_a_gradient_reaches_the_shape_of_the_mesh():
    """Through the coordinates of the nodes: what a bar that is stretched conducts."""
    mesh = gm.rectangle(4, 2, size=(1.0, 0.5))

    def conductance(stretch):
        moved = mesh.with_points(jnp.asarray(mesh.points) * jnp.array([stretch, 1.0]))
        space = gm.FunctionSpace(moved, "Q1")
        heat = gm.Heat(space, 3.0, conditions=[gm.Dirichlet("left", 0.0), gm.Convection("right", 2.0, 1.0)])
        analysis = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-10))
        u = analysis.solve(None).value
        return jnp.max(u)

    # T(right) = Bi / (1 + Bi), Bi = h L / k
    slope = jax.grad(conductance)(1.0)
    bi = 2.0 / 3.0
    assert float(slope) == pytest.approx(bi / (1 + bi) ** 2, rel=1e-6)


@pytest.mark.slow
def test_vmap_over_parameters_agrees_with_single_runs():
    twin, inputs, _ = steady(False)
    values = jnp.array([1.0, 2.0, 4.0])
    many = jax.vmap(lambda k: gm.simulate(twin, inputs, parameters={"k": k}).readings["middle"])(values)
    each = [gm.simulate(twin, inputs, parameters={"k": k}).readings["middle"] for k in values]
    np.testing.assert_allclose(many, each, rtol=1e-9)


CURVED = gm.rectangle(2, 2, size=(1.0, 1.0), cell="triangle").elevated(2)


@pytest.mark.slow
@pytest.mark.parametrize(("mesh", "element"), [(gm.box(2, 2, 1, size=(1.0, 1.2, 0.7)), "Q2"), (CURVED, "P2")])
def test_readings_of_sensors_follow_the_shape_of_the_mesh(mesh, element):
    """A sensor stays where it is while the mesh moves under it: first and second derivatives against differences."""
    random = np.random.default_rng(0)
    moves = random.normal(size=(2, *mesh.points.shape)) * 0.03
    position = tuple(np.asarray(mesh.points).mean(axis=0) + 0.07)
    facets = next(iter(mesh.facet_tags))
    sensors = [
        gm.PointSensor(name="point", position=position, noise=1.0),
        gm.AverageSensor(name="volume", on="all", noise=1.0),
        gm.AverageSensor(name="face", on=facets, noise=1.0, facets=True),
    ]

    def readings(t):
        space = gm.FunctionSpace(mesh.with_points(mesh.points + moves[0] + t * moves[1]), element)
        return FieldObservation.of(space, sensors).read(jnp.sin(jnp.arange(space.n_nodes)))

    h = 1e-4
    before, now, after = (np.asarray(readings(k * h)) for k in (-1, 0, 1))
    slope = jax.jacfwd(readings)(0.0)
    np.testing.assert_allclose(slope, (after - before) / (2 * h), atol=1e-7)
    np.testing.assert_allclose(jax.jacrev(readings)(0.0), slope, atol=1e-13)
    np.testing.assert_allclose(jax.jacfwd(jax.jacfwd(readings))(0.0), (after - 2 * now + before) / h**2, atol=1e-5)


@pytest.mark.slow
def test_a_twin_is_differentiated_by_its_shape():
    """The mean displacement of the end of a rod under its weight grows with the square of its length."""
    mesh = gm.rectangle(4, 1, size=(2.0, 1.0))

    def end(stretch):
        space = gm.FunctionSpace(mesh.with_points(mesh.points * jnp.stack([stretch, 1.0])), "Q2", (2,))
        conditions = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("bottom", 0.0, 1), gm.BodyForce("all", (3.0, 0.0))]
        body = gm.Elasticity(space, 10.0, 0.0, conditions=conditions, kinematics="plane stress")
        sensor = gm.AverageSensor(name="u", on="right", noise=1.0, facets=True)
        return gm.simulate(gm.Twin("rod", gm.Steady(body), [sensor])).readings["u"]

    value, slope = jax.value_and_grad(end)(1.0)
    assert float(value) == pytest.approx(0.6, rel=1e-6)
    assert float(slope) == pytest.approx(1.2, rel=1e-6)


@pytest.mark.slow
def test_remainders_of_the_flexibility_of_a_square_cantilever_whose_modes_come_in_pairs():
    """Sheared to a rhomb it has two frequencies for each; what its modes make together at the end has a derivative at
    the square, however little each vector of a pair has, and its plain sum is right."""
    mesh = gm.box(4, 1, 1, size=(1.0, 0.1, 0.1))
    shear = np.stack([0.0 * mesh.points[:, 0], mesh.points[:, 2], mesh.points[:, 1]], axis=1)
    push = jnp.array([0.0, 1.0, 0.4])

    @jax.jit
    def found(t):
        space = gm.FunctionSpace(mesh.with_points(jnp.asarray(mesh.points) + t * shear), "Q2", (3,))
        body = gm.Elasticity(space, 1.0, 0.3, 1.0, [gm.Dirichlet("left")])
        frequencies, modes = gm.Modal(body, 4).solve().value
        tips = jnp.mean(modes.reshape(space.n_nodes, 3, 4)[space.nodes_on("right")], axis=0)
        return jnp.sum((push @ tips) ** 2 / (2 * jnp.pi * frequencies) ** 2), frequencies, push @ tips[:, 0]

    start = jnp.zeros(())
    _, pairs, _ = found(start)
    assert pairs[1] / pairs[0] - 1 < 1e-9
    assert pairs[2] / pairs[1] - 1 > 0.1
    value, slope = jax.value_and_grad(lambda t: found(t)[0])(start)
    assert abs(slope) > 0.1 * value
    np.testing.assert_allclose(jax.jvp(lambda t: found(t)[0], (start,), (jnp.ones(()),))[1], slope, rtol=1e-6)
    rests = np.array([abs(found(start + h)[0] - found(start)[0] - h * slope) for h in (0.04, 0.02, 0.01)])
    assert np.all(np.abs(np.log2(rests[:-1] / rests[1:]) - 2) < 0.15)
    assert abs(jax.grad(lambda t: found(t)[2])(start)) > 1e5 * abs(found(start)[2])  # of one vector there is none
