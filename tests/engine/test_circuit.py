"""The equivalent circuit: curves against scipy, closed solutions, heat, and its twin file."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import gemel as gm
from gemel.engine.twinfile import TwinFile, TwinFileError
from gemel.engine.twinfile.data import thinned

KNOTS = (0.0, 0.1, 0.35, 0.7, 1.0)
VALUES = (3.0, 3.6, 3.75, 3.9, 4.2)


def constant(value: float) -> gm.Curve:
    return gm.Curve((0.0, 1.0), (value, value), "log-linear")


def circuit(heat: gm.LumpedHeat | None = None) -> gm.EquivalentCircuit:
    return gm.EquivalentCircuit(
        gm.Input("current"),
        capacity=3600.0 * 10,
        initial_charge=0.9,
        open_circuit_voltage=gm.Curve((0.0, 1.0), (3.0, 4.0), "linear"),
        series_resistance=constant(2e-3),
        pairs=[(constant(1e-3), constant(20.0)), (constant(3e-3), constant(900.0))],
        heat=heat,
    )


def test_the_cubic_curve_is_the_natural_spline():
    x = np.linspace(0.0, 1.0, 41)
    found = np.asarray([gm.Curve(KNOTS, VALUES, "cubic").at(value) for value in x])
    np.testing.assert_allclose(found, CubicSpline(KNOTS, VALUES, bc_type="natural")(x), atol=1e-12)


def test_the_cubic_curve_goes_on_straight_outside_its_knots():
    curve = gm.Curve(KNOTS, VALUES, "cubic")
    slope = CubicSpline(KNOTS, VALUES, bc_type="natural")(1.0, 1)
    assert curve.at(1.2) == pytest.approx(4.2 + 0.2 * slope)


def test_log_linear_curves_interpolate_the_logarithm():
    curve = gm.Curve((0.0, 1.0), (1.0, 100.0), "log-linear")
    np.testing.assert_allclose([curve.at(x) for x in (-1.0, 0.0, 0.5, 2.0)], [1.0, 1.0, 10.0, 100.0])


def test_a_current_step_follows_the_closed_solution():
    twin = gm.Twin(
        "cell",
        gm.Ode(circuit(), 2.0),
        [gm.OutputSensor(name=name, output=name, noise=gm.Noise(1.0)) for name in ("voltage", "state_of_charge")],
    )
    times = np.array([0.0, 60.0, 600.0, 1200.0])
    run = gm.simulate(twin, {"current": gm.Series(times[:1], np.array([-10.0]))}, times)
    charge = 0.9 - times / 3600
    pairs = -0.01 * (1 - np.exp(-times / 20)) - 0.03 * (1 - np.exp(-times / 900))
    np.testing.assert_allclose(run.readings["state_of_charge"], charge, atol=1e-12)
    np.testing.assert_allclose(run.readings["voltage"], 3.0 + charge - 0.02 + pairs, atol=2e-6)


@pytest.mark.slow
def test_the_cell_warms_to_where_loss_balances_heat():
    # 10 A over 6 mohm is 0.6 W; with 0.1 W/K the cell ends 6 K above its surroundings.
    heat = gm.LumpedHeat(50.0, 0.1, 0.0, 298.15)
    twin = gm.Twin(
        "cell", gm.Ode(circuit(heat), 30.0), [gm.OutputSensor(name="T", output="temperature", noise=gm.Noise(0.1))]
    )
    inputs = {"current": gm.Series(np.array([0.0]), np.array([10.0]))}
    run = gm.simulate(twin, inputs, [0.0, 20_000.0])
    assert run.readings["T"][-1] == pytest.approx(304.15, abs=1e-3)


def test_arrhenius_scales_resistances():
    heat = gm.LumpedHeat(50.0, 0.1, 2400.0, 308.15, 298.15)
    expected = np.exp(2400.0 * (1 / 308.15 - 1 / 298.15))
    assert float(heat.factor(0.0)) == pytest.approx(expected)
    assert expected < 1


@pytest.mark.parametrize(
    ("knots", "values", "kind", "message"),
    [
        ((0.0, 0.0), (1.0, 2.0), "linear", "must increase"),
        ((0.0, 1.0), (1.0,), "linear", "a value at each of 2 knots, not 1"),
        ((0.0, 1.0), (1.0, 2.0), "square", "not 'square'"),
    ],
)
def test_curves_refuse_what_they_cannot_draw(knots, values, kind, message):
    with pytest.raises(ValueError, match=message):
        gm.Curve(knots, values, kind)


FILE = """
name = "cell"
[model]
physics = "equivalent-circuit"
step = "10 s"
current = { input = "current" }
capacity = "10 Ah"
open_circuit_voltage = { knots = [0, 1], mean = ["3 V", "4 V"], std = "0.1 V" }
series_resistance = { knots = [0, 0.5, 1], median = "2 mohm", factor = 2 }
[[model.pairs]]
resistance = { knots = [0, 1], values = ["1 mohm", "1 mohm"] }
time_constant = { knots = [0, 1], values = ["20 s", "20 s"] }
[inputs.current]
unit = "A"
[sensors.voltage]
kind = "output"
output = "voltage"
unit = "V"
noise = "1 mV"
[data]
file = "log.csv"
start = "1 s"
time = { column = "t", unit = "s" }
readings = { voltage = { column = "U", unit = "V" } }
inputs = { current = { column = "I", unit = "A", hold = "next" } }
[validation]
file = "log.csv"
time = { column = "t", unit = "s" }
readings = { voltage = { column = "U", unit = "V" } }
inputs = { current = { column = "I", unit = "A", hold = "linear" } }
"""
LOG = "t,I,U\n0,0,4.0\n1,0,4.0\n2,5,3.9\n4,5,3.8\n5,0,3.9\n"


def test_the_twin_file_makes_one_parameter_a_knot(tmp_path):
    twin = TwinFile.parse(FILE, tmp_path).build()
    assert set(twin.parameters) == {"U_1", "U_2", "R0_1", "R0_2", "R0_3"}
    middle = twin.belief.values()
    assert float(middle["R0_2"]) == pytest.approx(2e-3)
    assert float(middle["U_2"]) == pytest.approx(4.0)
    assert twin.parameters["U_2"].description == "open-circuit voltage at charge 1"
    assert isinstance(twin.analysis, gm.Ode)
    assert isinstance(twin.analysis.system, gm.EquivalentCircuit)
    assert twin.analysis.system.capacity == pytest.approx(36_000.0)


def test_next_means_that_a_value_held_until_its_sample(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    file = TwinFile.parse(FILE, tmp_path)
    current = file.record().inputs["current"]
    np.testing.assert_allclose([float(current.at(t)) for t in (0.5, 1.5, 3.0, 4.5)], [0.0, 5.0, 5.0, 0.0])
    validation = file.validation()
    assert validation is not None
    assert validation.times is not None
    assert float(validation.inputs["current"].at(1.5)) == pytest.approx(2.5)
    assert len(validation.times) == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("factor = 2 }", 'std = "1 mohm" }', r"series_resistance: a prior needs exactly"),
        ('["3 V", "4 V"]', '["3 V"]', r"open_circuit_voltage\.mean: 2 numbers are needed"),
        ('"2 mohm"', '"2 s"', r"series_resistance: the prior is in 's'"),
        (', median = "2 mohm", factor = 2', "", r"series_resistance: give either 'values', or a prior"),
        ('["20 s", "20 s"]', '["20 s", "20 A"]', r"pairs\.0\.time_constant\.values\.1: .*wrong unit"),
        ('output = "voltage"', 'output = "power"', r"unknown output 'power': the model has voltage"),
        ('hold = "next"', 'hold = "late"', r"inputs\.current\.hold: 'late' is not allowed"),
        (
            "[validation]",
            "[calibration]\nwindows = 1\n[validation]",
            r"calibration\.windows: it must be at least 2, not 1\.",
        ),
        (
            "[validation]",
            "[calibration]\nwindows = 3\nstarts = 2\n[validation]",
            r"calibration\.windows: a fit begins from 'windows' or from several 'starts', not from both",
        ),
        ('["20 s", "20 s"]', '["20 s", "-20 s"]', r"values\.1: The time constant of pair 1 must be positive, not -20"),
        ("[0, 0.5, 1]", "[0, 1, 0.5]", r"series_resistance: The knots of a curve must increase"),
    ],
)
def test_mistakes_have_their_place(old, new, message, tmp_path, every_mistake):
    assert FILE.count(old) == 1
    with pytest.raises(TwinFileError, match=message) as caught:
        TwinFile.parse(FILE.replace(old, new), tmp_path).build()
    assert str(caught.value) in every_mistake(FILE.replace(old, new), tmp_path)


def test_a_curve_may_not_redefine_a_parameter(tmp_path):
    text = FILE + '[parameters.R0_1]\nmedian = "1 mohm"\nfactor = 2\n'
    with pytest.raises(TwinFileError, match=r"makes a parameter 'R0_1', which \[parameters.R0_1\] defines"):
        TwinFile.parse(text, tmp_path).build()


def test_thinning_keeps_jumps_and_spaces_the_rest_geometrically():
    times = np.arange(0.0, 1000.0)
    current = gm.Series(times, np.where(times < 500, 0.0, 5.0))
    kept = thinned(times, [current], 0.2)
    assert {0, 499, 500, 501, 999} <= set(kept.tolist())
    after = times[kept[kept >= 520]]
    ratio = np.diff(after)[:-1] / (after[1:-1] - 500)
    assert np.all(ratio > 0.19)
    assert np.all(ratio < 0.25)
    assert len(kept) < 110
