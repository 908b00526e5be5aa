"""Periodic, tied and free bodies against exact solutions."""

import contextlib
import logging

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


@contextlib.contextmanager
def count_compilations():
    """How many programs XLA compiles inside."""
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record) if "Finished XLA compilation" in record.getMessage() else None
    logger = logging.getLogger("jax._src.dispatch")
    level, spread = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield lambda: len(seen)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = spread


PERIODIC = [gm.Periodic("right", "left"), gm.Periodic("top", "bottom")]
CORNER = gm.Dirichlet((0.0, 0.0))
DIRECT = gm.SparseDirect(rtol=1e-8)


def periodic_heat(n, element, capacity=None):
    """−Δu = 8π² sin 2πx sin 2πy: u = sin 2πx sin 2πy."""

    def source(x):
        return 8 * jnp.pi**2 * jnp.prod(jnp.sin(2 * jnp.pi * x))

    space = gm.FunctionSpace(gm.rectangle(n, n, size=(1.0, 1.0)), element)
    heat = gm.Heat(space, 1.0, capacity, [*PERIODIC, CORNER, gm.HeatSource("all", gm.Profile(source))])
    return space, heat


def squared_error(u, point):
    return (u.value - jnp.prod(jnp.sin(2 * jnp.pi * point.x))) ** 2


@pytest.mark.slow
def test_heat_in_a_periodic_cell_converges_at_the_rate_of_the_element():
    errors = []
    for n in (4, 8):
        space, heat = periodic_heat(n, "Q2")
        u = gm.solve(gm.Steady(heat, linear_solver=DIRECT)).checked()
        errors.append(float(jnp.sqrt(gm.integrate(space, squared_error, u, degree=8))))
        right, left = space.nodes_on("right"), space.nodes_on("left")
        np.testing.assert_array_equal(u[right], u[left])
    assert np.log2(errors[0] / errors[1]) > 2.8


@pytest.mark.slow
def test_a_wave_decays_in_a_periodic_cell():
    """T = sin 2πx e^{−4π²t} + t/2 for a unit capacity and the source 1/2."""
    space = gm.FunctionSpace(gm.rectangle(16, 2, size=(1.0, 1.0)), "Q2")
    heat = gm.Heat(space, 1.0, 1.0, [*PERIODIC, gm.HeatSource("all", 0.5)])
    start = gm.Profile(lambda x: jnp.sin(2 * jnp.pi * x[0]))
    sensors = [gm.PointSensor(name=f"{x}", position=(x, 0.5), noise=0.1) for x in (0.0, 0.25, 0.5, 1.0)]
    times = np.array([0.0, 0.02, 0.04])
    run = gm.simulate(gm.Twin("ring", gm.Transient(heat, start, 0.0005), sensors), times=times)
    for name, readings in run.readings.items():
        exact = np.sin(2 * np.pi * float(name)) * np.exp(-4 * np.pi**2 * times) + times / 2
        np.testing.assert_allclose(readings, exact, atol=2e-5)


@pytest.mark.slow
def test_a_tie_that_moves_conserves_what_it_carries():
    """T = q(t) + x s(t) by ties to one node; no heat enters, so q' = −s'/2."""
    space = gm.FunctionSpace(gm.rectangle(1, 1, size=(1.0, 1.0)), "Q1")
    ties = [gm.MultiPoint("right", [(1.0, (0.0, 0.0))], gm.Input("s")), gm.MultiPoint("left", [(1.0, (0.0, 0.0))])]
    heat = gm.Heat(space, 2.0, 3.0, ties)
    sensors = [gm.PointSensor(name=name, position=(x, 0.5), noise=0.1) for name, x in (("cold", 0.0), ("hot", 1.0))]
    times = np.linspace(0.0, 1.0, 5)
    signal = {"s": gm.Series(times, 3.0 * times, hold=False)}
    run = gm.simulate(gm.Twin("plate", gm.Transient(heat, 0.0, 0.25), sensors), signal, times)
    np.testing.assert_allclose(run.readings["hot"], 1.5 * times, atol=1e-9)
    np.testing.assert_allclose(run.readings["cold"], -1.5 * times, atol=1e-9)


# Plane strain: M = λ + 2μ and μ of the two layers.
FRACTION, MODULI, RATIO = 0.25, (1.0, 10.0), (0.3, 0.2)


def laminate(strain, cells=4):
    """A cell of two layers across x under a mean displacement gradient."""
    mesh = gm.rectangle(cells, 2, size=(1.0, 0.5))
    mesh = mesh.tag_cells("soft", lambda x: x[:, 0] < FRACTION).tag_cells("hard", lambda x: x[:, 0] > FRACTION)
    space = gm.FunctionSpace(mesh, "Q1", (2,))
    conditions = [gm.Periodic("right", "left", jump=strain), gm.Periodic("top", "bottom", jump=strain), CORNER]
    moduli, ratios = ({"soft": pair[0], "hard": pair[1]} for pair in (MODULI, RATIO))
    return gm.Elasticity(space, moduli, ratios, conditions=conditions, kinematics="plane strain")


def energy(analysis, prepared):
    """The strain energy in a cell."""
    u, problem = analysis.solve(prepared).value, analysis.physics.problem
    return 0.5 * u @ problem.unconstrained(u)


def backus():
    """G. E. Backus, J. Geophys. Res. 67, 1962: exact moduli of a laminate, here with layers across x."""
    share = np.array([FRACTION, 1 - FRACTION])
    first, mu = (np.asarray(part) for part in gm.lame(np.array(MODULI), np.array(RATIO)))
    m = first + 2 * mu
    c11 = 1 / (share @ (1 / m))
    c12 = c11 * (share @ (first / m))
    c22 = share @ (m - first**2 / m) + (share @ (first / m)) ** 2 * c11
    return np.array([[c11, c12, 0], [c12, c22, 0], [0, 0, 1 / (share @ (1 / mu))]])


def strains():
    """The mean displacement gradient by parameters ε_xx, ε_yy and γ."""
    xx, yy, shear = (gm.Parameter(name, gm.Normal(0.0, 1.0), "") for name in ("xx", "yy", "half shear"))
    return ((xx, shear), (shear, yy))


@pytest.mark.slow
def test_a_laminate_has_the_stiffness_of_backus():
    """The second derivative of the cell's energy with respect to the mean strain (ε_xx, ε_yy, γ)."""
    analysis = gm.Steady(laminate(strains()), linear_solver=DIRECT)

    @jax.jit
    def cell(strain):
        bound = gm.bind(analysis, {"xx": strain[0], "yy": strain[1], "half shear": strain[2] / 2})
        return energy(bound, None) / 0.5

    stiffness = jax.jit(jax.hessian(cell))(jnp.array([0.1, -0.2, 0.3]))
    np.testing.assert_allclose(stiffness, backus(), atol=1e-10)


@pytest.mark.slow
def test_changing_the_jump_recompiles_nothing():
    analysis = gm.Steady(laminate(strains()))
    values = {"xx": jnp.asarray(0.1), "yy": jnp.asarray(-0.2), "half shear": jnp.asarray(0.3)}
    prepared = gm.bind(analysis, values).prepare()

    @eqx.filter_jit
    def cell(analysis, prepared):
        return energy(analysis, prepared)

    first = cell(gm.bind(analysis, values), prepared)
    doubled = {name: 2.0 * value for name, value in values.items()}
    with count_compilations() as count:
        second = cell(gm.bind(analysis, doubled), prepared)
    assert count() == 0
    assert float(second) == pytest.approx(4.0 * float(first), rel=1e-8)
