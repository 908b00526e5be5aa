"""Paths of equilibrium with history: plasticity, viscoelasticity, cut-back, gradients through the path."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.solvers import Code, SolveError, SparseDirect

E, NU = 200e3, 0.3
DIRECT = SparseDirect(1e-8)


def series(*pairs):
    times, values = zip(*pairs, strict=True)
    return gm.Series(list(times), list(values), hold=False)


def bar(material, drive, dim=2, kinematics="plane stress"):
    """A unit square pulled to the right with a free upper side."""
    space = gm.FunctionSpace(gm.rectangle(1, 1), "Q1", (2,))
    conditions = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("bottom", 0.0, 1), drive]
    return gm.Solid(space, material, conditions=conditions, kinematics=kinematics)


def pulled(strain):
    return gm.Dirichlet("right", gm.Input("pull", strain), 0)


def forces(body):
    return lambda step, u: gm.reaction(body, u, "right", step)[0]


@pytest.mark.slow
def test_bar_yields_and_yields_again_on_the_way_back():
    """Plane stress of one direction is uniaxial: bilinear with both hardenings, and the Bauschinger effect."""
    h, c = 1e3, 500.0
    body = bar(gm.J2Plasticity(E, NU, 250.0, h, kinematic_modulus=c), pulled(0.01))
    pull = series((0.0, 0.0), (1.0, 1.0), (3.0, -1.0))
    record = lambda step, u: (forces(body)(step, u), gm.volume_average(body, gm.stress_field(body, u, step)))  # noqa: E731
    path = gm.checked_path(
        gm.follow(gm.Quasistatic(body, linear_solver=DIRECT), [0.0, 0.1, 0.5, 1.0, 2.0], {"pull": pull}, record)
    )
    force, stress = path.records
    slope = E * (h + c) / (E + h + c)
    top = 250.0 + slope * (0.01 - 250.0 / E)
    plastic = 0.01 - top / E
    lower = -(2 * (250.0 + h * plastic) - top)  # where it yields in compression
    strain = 0.01 + (lower - top) / E
    exact = [0.0, 200.0, 250.0 + slope * (0.005 - 250.0 / E), top, lower - slope * strain]
    np.testing.assert_allclose(force, exact, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(stress[:, 0, 0], exact, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(stress[:, 2, 2], 0.0, atol=1e-6)


@pytest.mark.slow
def test_limit_pressure_of_a_thick_cylinder():
    r"""Perfectly plastic, ends held: $p = \frac{2}{\sqrt3}\,\sigma_0 \ln\frac{b}{a}$ (Hill, *The Mathematical Theory of
    Plasticity*, 1950, section V.2; with ends held von Mises' value is this to a fraction of a percent)."""
    a, b, height, strength = 100.0, 200.0, 20.0, 240.0
    mesh = gm.rectangle(8, 1, size=(b - a, height), origin=(a, 0.0))
    space = gm.FunctionSpace(mesh, "Q2", (2,))
    held = [gm.Dirichlet("bottom", 0.0, 1), gm.Dirichlet("top", 0.0, 1)]
    body = gm.Solid(
        space,
        gm.J2Plasticity(210e3, 0.3, strength),
        conditions=[*held, gm.Dirichlet("left", gm.Input("push"), 0)],
        kinematics="axisymmetric",
    )
    push = series((0.0, 0.0), (1.0, 1.5))
    record = lambda step, u: gm.reaction(body, u, "left", step)[0] / (2 * np.pi * a * height)  # noqa: E731
    path = gm.follow(gm.Quasistatic(body, linear_solver=DIRECT), [0.0, 0.02, 0.2, 0.6, 1.0], {"push": push}, record)
    pressure = np.asarray(gm.checked_path(path).records)
    shear, ratio = 210e3 / 2.6, (a / b) ** 2
    elastic = 0.02 * 1.5 / a * 2 * shear * (1 - ratio) / (1 + 0.4 * ratio)
    assert pressure[1] == pytest.approx(elastic, rel=1e-3)
    limit = 2 / np.sqrt(3) * strength * np.log(b / a)
    assert pressure[-1] == pytest.approx(limit, rel=0.01)
    assert pressure[-1] - pressure[-2] < 0.01 * limit


@pytest.mark.slow
def test_relaxation_of_a_bar():
    """With one series for shear and bulk the force follows E(t), exactly, in steps of any length."""
    terms = [(0.3, 2.0), (0.25, 20.0)]
    body = bar(gm.Prony(E, NU, terms, terms), gm.Dirichlet("right", 0.01, 0))
    times = np.array([0.0, 0.5, 7.0, 100.0])
    path = gm.follow(gm.Quasistatic(body, linear_solver=DIRECT), times, record=forces(body))
    modulus = E * (1 - sum(g * (1 - np.exp(-times / tau)) for g, tau in terms))
    np.testing.assert_allclose(gm.checked_path(path).records, 0.01 * modulus, rtol=1e-9)


@pytest.mark.slow
def test_a_load_beyond_the_limit_says_how_far_it_came():
    r"""In plane strain a bar without hardening carries $2\sigma_0/\sqrt3$."""
    pull = gm.Traction("right", gm.Vector((gm.Input("pull"), 0.0)))
    body = bar(gm.J2Plasticity(E, NU, 250.0), pull, kinematics="plane strain")
    analysis = gm.Quasistatic(body, linear_solver=DIRECT, cuts=5, newton_steps=12)
    solution = gm.follow(analysis, [0.0, 0.5, 1.0], {"pull": series((0.0, 0.0), (1.0, 400.0))}, forces_left(body))
    assert solution.status.worst() != Code.SUCCESS
    path, limit = solution.value, 500.0 / np.sqrt(3) / 400.0
    assert limit - 1 / 32 < float(path.reached) < limit + 1e-9
    np.testing.assert_allclose(path.records[:2], [0.0, -200.0], rtol=1e-8, atol=1e-9)
    assert np.isnan(path.records[2])
    kept = gm.volume_average(body, gm.stress_field(body, path.state, path.problem))[0, 0]
    assert float(kept) == pytest.approx(400.0 * float(path.reached), rel=1e-7)
    with pytest.raises(SolveError, match=r"The path stopped at 0\.7\d* of 1 s, after 2 of 3 times"):
        gm.checked_path(solution)


def forces_left(body):
    return lambda step, u: gm.reaction(body, u, "left", step)[0]


@pytest.mark.slow
def test_cut_back_finds_a_way_that_one_step_misses():
    """A tall block is sheared far in one interval; cut or not, the end of an elastic path is the same."""
    space = gm.FunctionSpace(gm.rectangle(1, 2), "Q1", (2,))
    load = gm.Traction("top", gm.Vector((gm.Input("push"), 0.0)))
    body = gm.Hyperelasticity(
        space, gm.NeoHookean(1.0, 10.0), conditions=[gm.Dirichlet("bottom"), load], kinematics="plane strain"
    )
    push = {"push": series((0.0, 0.0), (1.0, 1.5))}
    few = gm.Quasistatic(body, linear_solver=DIRECT, newton_steps=4)
    cut = gm.follow(few, [0.0, 1.0], push)
    assert int(cut.statistics["steps"]) > 3
    fine = gm.follow(gm.Quasistatic(body, linear_solver=DIRECT), np.linspace(0.0, 1.0, 9), push)
    np.testing.assert_allclose(
        gm.checked_path(cut).records[-1], gm.checked_path(fine).records[-1], rtol=1e-6, atol=1e-9
    )


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
def test_a_path_starts_without_any_load(mixed):
    """Stresses of the undeformed body are rounding, and no tolerance relative to them can be met."""
    mesh = gm.rectangle(3, 3)
    mesh = mesh.with_points(np.asarray(mesh.points) @ np.array([[48.0, 44.0], [-0.3, 30.1]]))
    u = gm.FunctionSpace(mesh, "Q2", (2,))
    space = gm.MixedSpace({"u": u, "p": gm.FunctionSpace(mesh, "Q1")}) if mixed else u
    load = gm.Traction("right", gm.Vector((0.0, gm.Input("load"))))
    material = gm.MooneyRivlin(40.0969, 0.0, 400889.806 if mixed else 300.0)
    body = gm.Hyperelasticity(space, material, conditions=[gm.Dirichlet("left"), load], kinematics="plane strain")
    signal = {"load": series((0.0, 0.0), (1.0, 0.1))}
    path = gm.checked_path(gm.follow(gm.Quasistatic(body, linear_solver=DIRECT), [0.0, 1.0], signal, lambda _, u: u))
    assert float(jnp.max(jnp.abs(path.records[0]))) < 1e-8 * float(jnp.max(jnp.abs(path.records[1])))


@pytest.mark.slow
def test_a_beam_that_yielded_is_unloaded_without_cuts():
    """Points that are just at yield are a kink of the residual, where no step may be a descent. It springs back."""
    space = gm.FunctionSpace(gm.rectangle(4, 2, size=(4.0, 1.0)), "Q2", (2,))
    conditions = [gm.Dirichlet("left"), gm.Traction("right", gm.Vector((0.0, gm.Input("load"))))]
    body = gm.Solid(space, gm.J2Plasticity(E, NU, 250.0, 10e3), conditions=conditions, kinematics="plane strain")
    load = {"load": series((0.0, 0.0), (1.0, 20.0), (2.0, 0.0), (3.0, -20.0))}
    solution = gm.follow(gm.Quasistatic(body, linear_solver=DIRECT), np.linspace(0.0, 3.0, 13), load)
    u = gm.checked_path(solution).records
    assert int(solution.statistics["steps"]) == 13
    elastic = u[1] * 4  # a quarter of the load, before anything yields
    np.testing.assert_allclose(u[4] - u[8], elastic, atol=1e-8 * float(jnp.max(jnp.abs(elastic))))
    assert float(jnp.max(jnp.abs(u[8]))) > 0.05 * float(jnp.max(jnp.abs(elastic)))


@pytest.mark.slow
def test_gradients_through_a_path_of_loading_and_unloading():
    """By material, load and node coordinates, through five steps of plastic flow."""
    names = ("strength", "hardening", "pull")
    strength, hardening, pull = (gm.Parameter(name, gm.Normal(0.0, 1.0)) for name in names)
    space = gm.FunctionSpace(gm.rectangle(2, 1), "Q1", (2,))
    conditions = [gm.Dirichlet("left"), gm.Dirichlet("right", gm.Input("time", pull), 0)]
    material = gm.J2Plasticity(E, NU, strength, 0.0, 50.0, 40.0, hardening)
    template = gm.Solid(space, material, conditions=conditions, kinematics="plane strain")
    x = jnp.asarray(space.mesh.points)
    signals = {"time": series((0.0, 0.0), (1.0, 1.0), (2.0, 0.0))}
    times = jnp.array([0.0, 0.5, 1.0, 1.5, 1.9])

    @jax.jit
    @jax.value_and_grad
    def work(numbers):
        body = gm.bind(template, dict(zip(names, numbers[:3], strict=True)))
        moved = x + numbers[3] * jnp.sin(3 * x[:, ::-1])
        body = eqx.tree_at(lambda b: b.problem.space.mesh.points, body, moved)
        analysis = gm.Quasistatic(body, linear_solver=DIRECT, rtol=1e-12, max_steps=2)
        path = analysis.follow(None, signals, times, lambda step, u: gm.reaction(body, u, "right", step)[0])
        return jnp.sum(path.value.records * jnp.array([0.0, 1.0, 2.0, -1.0, 1.0])) / E

    numbers = jnp.array([250.0, 2e3, 0.01, 0.05])
    value, gradient = work(numbers)
    for k in range(4):
        steps = np.array([0.04, 0.02, 0.01]) / 4
        values = np.array([work(numbers.at[k].multiply(1 + h))[0] for h in steps])
        remainders = np.abs(values - float(value) - steps * float(gradient[k] * numbers[k]))
        orders = np.log2(remainders[:-1] / remainders[1:])
        assert np.all(orders > 1.7), (k, remainders)


@pytest.mark.slow
def test_a_path_goes_on_from_where_another_ended(tmp_path: Path):
    body = bar(gm.J2Plasticity(E, NU, 250.0, 1e3), pulled(0.01), kinematics="plane strain")
    analysis, pull = gm.Quasistatic(body, linear_solver=DIRECT), {"pull": series((0.0, 0.0), (1.0, 1.0), (2.0, 0.0))}
    record = forces(body)
    whole = gm.checked_path(gm.follow(analysis, [0.0, 0.5, 1.0, 1.5], pull, record))
    first = gm.checked_path(gm.follow(analysis, [0.0, 0.5, 1.0], pull, record))
    second = gm.checked_path(gm.follow(analysis, [1.5], pull, record, start=first))
    np.testing.assert_allclose(second.records[-1], whole.records[-1], rtol=1e-9)
    gm.save_state(tmp_path / "bar.npz", first.end)
    stored = gm.load_state(tmp_path / "bar.npz", analysis.virgin())
    third = gm.checked_path(gm.follow(analysis, [1.5], pull, record, start=stored))
    np.testing.assert_array_equal(third.records, second.records)
    with pytest.raises(ValueError, match="reached 1 s: 1 s is not later"):
        gm.follow(analysis, [1.0, 2.0], pull, record, start=first)


@pytest.mark.slow
def test_a_twin_reads_its_sensors_along_a_path():
    body = bar(gm.J2Plasticity(E, NU, 250.0, 1e3), pulled(0.01), kinematics="plane strain")
    sensor = gm.PointSensor(name="top", position=(0.5, 1.0), noise=1e-6, component=1)
    twin = gm.Twin("bar", gm.Quasistatic(body, linear_solver=DIRECT), [sensor])
    run = gm.simulate(twin, {"pull": series((0.0, 0.0), (1.0, 1.0))}, [0.0, 0.1, 1.0])
    assert run.status.ok
    elastic = -NU / (1 - NU) * 1e-3
    np.testing.assert_allclose(run.readings["top"][:2], [0.0, elastic], rtol=1e-8, atol=1e-12)
    assert float(run.readings["top"][2]) < 10.5 * elastic  # plastic flow keeps the volume: it contracts more


def test_mistakes_are_named():
    body = bar(gm.J2Plasticity(E, NU, 250.0), pulled(0.01))
    analysis = gm.Quasistatic(body, linear_solver=DIRECT)
    with pytest.raises(ValueError, match=r"must increase: time 1 is 0 s"):
        gm.follow(analysis, [1.0, 0.0], {"pull": series((0.0, 0.0), (1.0, 1.0))})
    with pytest.raises(ValueError, match="No signal is given for input 'pull'"):
        gm.follow(analysis, [0.0, 1.0])
    with pytest.raises(ValueError, match="needs the times of its path"):
        analysis.grid(None)
