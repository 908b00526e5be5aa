"""Inputs that drive a model: conserved however short, also where they change its operator."""

import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


def cube(conditions, step, initial=0.0):
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 1e6, 100.0, conditions)
    return gm.Twin("cube", gm.Transient(heat, initial, step), [gm.AverageSensor(name="T", on="all", noise=1.0)])


def test_a_record_is_followed_by_times_without_readings_and_by_other_inputs():
    kinds = {"held": True, "linear": False, "kept": True}
    inputs = {name: gm.Series([0.0, 2.0, 3.0], [1.0, 3.0, 9.0], hold) for name, hold in kinds.items()}
    record = gm.Record(np.arange(3.0), {"T": np.array([5.0, 6.0, 7.0])}, inputs)
    longer = record.followed([3.0, 4.0], {"held": 20.0, "linear": 20.0})
    np.testing.assert_array_equal(longer.times, [0.0, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(longer.readings["T"], [5.0, 6.0, 7.0, np.nan, np.nan])
    at = np.array([0.0, 1.0, 1.999999, 2.0, 3.0, 9.0])
    for name, expected in {
        "held": [1.0, 1.0, 1.0, 20.0, 20.0, 20.0],
        "linear": [1.0, 2.0, 2.999999, 20.0, 20.0, 20.0],
        "kept": [1.0, 1.0, 1.0, 3.0, 9.0, 9.0],
    }.items():
        np.testing.assert_allclose([float(longer.inputs[name].at(t)) for t in at], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="no input 'fan' to go on from: it has held, linear, kept"):
        record.followed([3.0], {"fan": 1.0})
    with pytest.raises(ValueError, match="without times has no end"):
        gm.Record(None, {"T": 1.0}).followed([3.0])


@pytest.mark.slow
@pytest.mark.parametrize(("start", "end"), [(1.0, 2.0), (0.0, 10.0), (10.0, 20.0), (7.3, 16.1)])
def test_a_pulse_of_power_brings_its_energy(start, end):
    twin = cube([gm.Power("all", gm.Input("power"))], 10.0)
    pulse = gm.Series([-1.0, start, end], [0.0, 1000.0, 0.0])
    run = gm.simulate(twin, {"power": pulse}, [0.0, 10.0, 30.0])
    assert float(run.readings["T"][-1]) == pytest.approx(1000.0 * (end - start) / 100.0, rel=1e-9)
    assert float(run.readings["T"][1]) == pytest.approx(1000.0 * max(0.0, min(end, 10.0) - start) / 100.0, abs=1e-6)


@pytest.mark.slow
def test_a_coefficient_that_follows_an_input_changes_the_operator():
    twin = cube([gm.Convection("boundary", gm.Input("fan"), 20.0)], 0.05, initial=100.0)
    fan = gm.Series([0.0, 5.0], [0.0, 10.0])
    run = gm.simulate(twin, {"fan": fan}, [0.0, 5.0, 10.0])
    assert bool(run.status.ok)
    np.testing.assert_allclose(run.readings["T"], [100.0, 100.0, 20 + 80 * np.exp(-0.6 * 5)], rtol=2e-3)


@pytest.mark.slow
def test_a_radiating_body_at_rest_costs_next_to_nothing():
    space = gm.FunctionSpace(gm.box(2, 2, 2, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 10.0, 1e4, [gm.Radiation("boundary", 0.8, 300.0)])
    twin = gm.Twin("body", gm.Transient(heat, 300.0, 10.0), [gm.AverageSensor(name="T", on="all", noise=1.0)])
    run = gm.simulate(twin, {}, [0.0, 100.0])
    assert bool(run.status.ok)
    np.testing.assert_allclose(run.readings["T"], 300.0, rtol=1e-9)


@pytest.mark.slow
def test_a_fit_to_runs_that_failed_is_no_fit():
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    emissivity = gm.Parameter("emissivity", gm.LogNormal(0.5, 3.0))
    heat = gm.Heat(space, 1e4, 100.0, [gm.Radiation("boundary", emissivity, 300.0), gm.Power("all", 5000.0)])
    steady = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-6), initial=300.0, newton_steps=1)
    twin = gm.Twin("body", steady, [gm.AverageSensor(name="T", on="all", noise=1.0)])
    assert not bool(gm.simulate(twin).status.ok)
    fit = gm.calibrate(twin, gm.Record(None, {"T": 400.0}))
    assert fit.status.worst() is gm.Code.NOT_FINITE


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: gm.Series([0.0, 2.0, 1.0], [1.0, 2.0, 3.0]), "must increase: sample 2 is at 1.0 s"),
        (lambda: gm.Series([0.0, 1.0], [1.0]), "as many values as times"),
        (lambda: gm.Noise(gm.Parameter("s", gm.Normal(1.0, 2.0))), "must be positive, which the prior of 's' does not"),
        (lambda: gm.Noise(-1.0), "must be a positive number"),
        (lambda: gm.Series([0.0, 1.0], [1.0, np.nan]), "must be finite: sample 1 is nan"),
        (lambda: gm.solve(driven()), "No signal is given for input 'q'"),
        (lambda: gm.solve(driven(gm.Parameter("k", gm.LogNormal(1.0, 2.0)))), "Parameter 'k' has no value: bind"),
        (lambda: driven(-1.0), "conductivity must be positive, not -1"),
        (lambda: driven("1 W"), "conductivity must be a number, not the text '1 W'"),
        (lambda: gm.solve(driven(conditions=[])), "Nothing fixes the level of the field"),
        (lambda: gm.Convection("left", -1.0, 300.0), "convection on 'left' must be zero or positive"),
        (lambda: gm.Radiation("left", 1.5, 300.0), "emissivity on 'left' must be between 0 and 1"),
        (lambda: gm.Flux("left", "1e5"), "A load must be a number, not the text '1e5'"),
        (lambda: gm.Flux("left", np.nan), "A load must be finite"),
        (lambda: gm.Flux("left", None), "A load must be a number, .* not nothing"),
        (lambda: gm.HeatSource("all", {"all": 1.0}), "give each region a load of its own"),
        (lambda: gm.Pressure("left", np.inf), "A load must be finite"),
        (lambda: gm.Series([0.0, np.nan, 2.0], [1.0, 2.0, 3.0]), "must be finite: sample 1 is at nan s"),
        (lambda: gm.Dirichlet("left", np.nan), "The value of the condition on 'left' is not finite"),
        (lambda: gm.Dirichlet("left", "cold"), "must be numbers, not the text 'cold'"),
        (lambda: gm.Dirichlet("left", None), "must be numbers, not nothing"),
        (lambda: gm.Dirichlet("left", ["a", "b"]), "must be numbers, not the text 'a'"),
        (lambda: gm.Dirichlet("left", [gm.Input("a"), 0.0]), "is a list, which must hold numbers, not Input"),
        (lambda: gm.Dirichlet("left", [np.nan, 1.0]), "not finite in 1 of 2 rows, the first of them number 0"),
        (lambda: bar([gm.Dirichlet("left", [])]), "needs one number or 2, not an array of shape"),
        (lambda: bar([gm.Dirichlet("left", [0.0, 0.0, 0.0])]), "needs one number or 2, not an array of shape"),
        (lambda: gm.solve(bar([gm.Traction("right", 1e5)])), "needs 2 entries, not one number"),
        (lambda: gm.solve(bar([gm.Gravity(1.0, -9.81)])), "needs 2 entries, not one number"),
        (lambda: gm.solve(bar([gm.Convection("right", 1.0, 300.0)])), "acts on a temperature, not on a field with 2"),
        (lambda: bar([gm.Dirichlet("left", np.zeros(3))]), "needs one number or 2, not an array of shape"),
        (lambda: gm.modes(gm.Modal(bar([], fixed=()).physics, 2)), "or set shift_frequency to about its first"),
        (lambda: bar([], masses=[gm.AddedMass("right", 1.0)]), "Added masses need the density"),
    ],
)
def test_mistakes_are_named(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


def driven(conductivity: Any = 1.0, conditions: Any = None):
    """A sheet whose heating follows the input q."""
    space = gm.FunctionSpace(gm.rectangle(2, 2, size=(1.0, 1.0)), "Q1")
    heating = gm.Flux("right", gm.Input("q"))
    fixed = gm.Dirichlet("left")
    return gm.Steady(gm.Heat(space, conductivity, conditions=[fixed, heating] if conditions is None else conditions))


def vectors():
    """Displacements of a sheet."""
    return gm.FunctionSpace(gm.rectangle(2, 2, size=(1.0, 1.0)), "Q1", (2,))


HELD = (gm.Dirichlet("left"),)


def bar(conditions, fixed=HELD, masses=()):
    """A sheet in plane stress, of known density where no masses are added."""
    density = None if masses else 1.0
    body = gm.Elasticity(vectors(), 1.0, 0.3, density, [*fixed, *conditions], masses, "plane stress")
    return gm.Steady(body)


@pytest.mark.slow
def test_values_in_lists_may_be_traced():
    def tip(x):
        return gm.solve(bar([gm.Dirichlet("right", [x, 0.0])])).value[-1, 0]

    assert float(jax.grad(tip)(0.1)) == pytest.approx(1.0)


@pytest.mark.slow
def test_a_load_that_becomes_a_law_of_the_field():
    """A parameter that is bound to a law keeps its tangent; a number that is replaced by one is refused."""

    def total(a, bound):
        law = gm.Law(lambda u, x, a: 1.0 - a * u, (a,))
        source = gm.Parameter("q", gm.LogNormal(1.0, 2.0)) if bound else law
        steady = driven(1.0, [gm.Dirichlet("left"), gm.HeatSource("all", source)])
        return jnp.sum(gm.solve(gm.bind(steady, {"q": law}) if bound else steady).value)

    assert float(jax.grad(total)(0.7, True)) == pytest.approx(float(jax.grad(total)(0.7, False)), rel=1e-6)
    steady = driven(1.0, [gm.Dirichlet("left"), gm.HeatSource("all", 1.0)])
    where = lambda s: s.physics.problem.contributions[-1].form.density  # noqa: E731
    with pytest.raises(ValueError, match="planned without a tangent now depends on the field"):
        gm.solve(eqx.tree_at(where, steady, gm.Law(lambda u, x: 1.0 - u)))


def test_a_physics_may_be_planned_inside_jit():
    def energy(k):
        steady = driven(k, [gm.Dirichlet("left"), gm.HeatSource("all", 1.0)])
        krylov = gm.solvers.CG(gm.solvers.Jacobi(), 1e-12, 0.0, 100)
        return jnp.sum(gm.solve(gm.Steady(steady.physics, linear_solver=krylov)).value ** 2)

    assert float(jax.jit(energy)(2.0)) == pytest.approx(float(energy(2.0)), rel=1e-12)
    assert float(jax.jit(jax.grad(energy))(2.0)) == pytest.approx(-float(energy(2.0)), rel=1e-10)


@pytest.mark.slow
def test_a_run_that_failed_can_be_refused():
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 1e4, 100.0, [gm.Radiation("boundary", 0.5, 300.0), gm.Power("all", 5000.0)])
    steady = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-6), initial=300.0, newton_steps=1)
    run = gm.simulate(gm.Twin("body", steady, [gm.AverageSensor(name="T", on="all", noise=1.0)]))
    with pytest.raises(gm.SolveError):
        run.checked()


KINDS = """
import jax
import gemel as gm

jax.config.update("jax_enable_x64", True)
mesh = gm.rectangle(1, 1, size=(1.0, 1.0))
space, vectors = gm.FunctionSpace(mesh, "Q1"), gm.FunctionSpace(mesh, "Q1", (2,))
heat = gm.Steady(gm.Heat(space, 1.0, conditions=[gm.Dirichlet("left"), gm.Flux("right", gm.Input("q"))]))
for call in (
    lambda: gm.solve(heat, {"q": 3.0}),
    lambda: gm.solve(heat.physics),
    lambda: gm.modes(heat),
    lambda: gm.modes(gm.Modal(gm.Elasticity(vectors, 1.0, 0.3, 1.0, kinematics="plane strain"), 2, shift_frequency=0)),
    lambda: gm.march(gm.Transient, (0.0, 1.0)),
    lambda: gm.march(gm.Transient(gm.Heat(space, 1.0, 1.0), 300.0, 1.0), (0.0, 1.0), lambda t, u: u),
    lambda: gm.Heat(space, 1.0, conditions=gm.Dirichlet("left")),
    lambda: gm.Heat(space, 1.0, conditions=None),
    lambda: gm.Heat(space, 1.0, conditions=[gm.Dirichlet]),
    lambda: gm.Heat(space, 1.0, conditions=[gm.SelfWeight((0.0, 1.0))]),
    lambda: gm.Solid(vectors, gm.NeoHookean(1.0, 0.3), kinematics="plane strain"),
    lambda: gm.Hyperelasticity(vectors, gm.Isotropic(1.0, 0.3), kinematics="plane strain"),
):
    try:
        print(call())
    except ValueError as error:
        print(error)
"""

KINDS_TOLD = [
    "Input 'q' must be a Series, not float: a constant is gm.Series([0], [value]).",
    "gm.solve takes an analysis of kind Steady, not Heat.",
    "gm.modes takes an analysis of kind Modal, not Steady.",
    "Nothing holds the body against translation along x, translation along y and rotation about z: prescribe "
    "displacements, add springs, or set shift_frequency to about its first elastic frequency.",
    "gm.march takes an analysis of kind Transient or Dynamic, not the class Transient itself.",
    "The inputs of gm.march must be a mapping from names to Series, not function.",
    "The conditions of Heat must be a list, not one Dirichlet.",
    "The conditions of Heat must be a list, not None.",
    "Heat cannot take the class Dirichlet itself as a condition: it takes conditions on the field, such as Dirichlet, "
    "and loads that act on its cells, facets or points.",
    "Heat cannot take one SelfWeight as a condition: it takes conditions on the field, such as Dirichlet, and loads "
    "that act on its cells, facets or points.",
    "A body under small strains needs a material such as Isotropic or J2Plasticity, not NeoHookean.",
    "A body under large strains needs a material such as NeoHookean or MooneyRivlin, not Isotropic.",
]


def test_things_of_a_wrong_kind_are_named():
    """In a process of its own: the tests' type checker would stop these calls before the library sees them."""
    done = subprocess.run([sys.executable, "-c", KINDS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == KINDS_TOLD
