"""Sensors that drift or were moved: found by what a fit leaves of them, and told from errors that wander."""

from typing import Any

import diffrax
import numpy as np
import pytest

import gemel as gm
from gemel.engine.calibration.drifts import drift_words, unseen_words
from gemel.engine.fellows import Parting, partings
from gemel.engine.trends import candidates_over, cosines_over, strengths

TIMES = np.arange(0.0, 36000.0, 120.0)
HEAT = {"P": gm.Series(np.arange(10) * 3600.0, np.tile([30.0, 5.0], 5))}
NOISE = 0.1


def strongest(r: np.ndarray) -> tuple[float, float]:
    """Of a trend and of any step, in units of their limits, beside an offset."""
    times = np.arange(float(len(r)))
    candidates = candidates_over(times)
    columns = np.column_stack([np.ones(len(r)), cosines_over(times), *(one.column for one in candidates)])
    gram = columns.T @ columns
    found = strengths(gram, columns.T @ r, 1, np.diagonal(gram)[9:]).over(candidates)
    return found[0], found[1:].max()


def test_errors_that_wander_are_hardly_ever_taken_for_a_drift():
    """Of the false alarms counted in 2000 records each, for 100: white noise, one that lasts a tenth of the record, a
    random walk; the hits for a drift of twice the noise and a step of 1.5 times it."""
    rng, share = np.random.default_rng(0), np.linspace(0.0, 1.0, 200)

    def lasting(keep: float) -> np.ndarray:
        kicks, path = rng.standard_normal(200), np.zeros(200)
        for i in range(200):
            path[i] = keep * path[i - 1] + kicks[i]
        return path

    def alarms(make: Any) -> np.ndarray:
        return np.sum([np.asarray(strongest(make())) > 1.0 for _ in range(100)], axis=0)

    assert alarms(lambda: rng.standard_normal(200)).tolist() == [0, 0]
    assert alarms(lambda: lasting(np.exp(-1 / 20))).max() <= 2
    assert alarms(lambda: lasting(1.0)).max() <= 11
    assert alarms(lambda: rng.standard_normal(200) + 2 * share)[0] >= 55
    assert alarms(lambda: rng.standard_normal(200) + 1.5 * (share > 0.3))[1] >= 75


def cup(drift: Any = None, model: gm.ModelError | None = None, sensors: str = "ABC") -> gm.Twin:
    capacity, loss = (gm.Parameter(name, gm.LogNormal(median, 3.0)) for name, median in (("C", 800.0), ("K", 1.0)))
    network = gm.ThermalNetwork(
        {"cup": gm.ThermalNode(capacity, 293.0)},
        [gm.ThermalLink("cup", "room", loss)],
        {"room": 293.0},
        [gm.HeatFlow("cup", gm.Input("P"))],
    )
    noise = gm.Noise(NOISE, error=model)
    made = [
        gm.OutputSensor(name=one, output="cup", noise=noise, unit="degC", drift=drift if one == "A" else None)
        for one in sensors
    ]
    return gm.Twin("cup", gm.Ode(network, 120.0, diffrax.Tsit5(scan_kind="bounded")), made)


def readings(seed: int, heat: gm.Series = HEAT["P"], times: np.ndarray = TIMES) -> dict[str, np.ndarray]:
    """Those of three sensors in the cup, which keeps (T - 293 - P/K) exp(-K t/C) over each sample."""
    clean, C, K = [293.0], 1000.0, 0.6
    for power in np.asarray(heat.at(times[:-1])):
        end = 293.0 + power / K
        clean.append(end + (clean[-1] - end) * np.exp(-120.0 * K / C))
    rng = np.random.default_rng(seed)
    return {name: np.asarray(clean) + NOISE * rng.standard_normal(len(times)) for name in "ABC"}


@pytest.mark.slow
def test_a_sensor_that_drifts_is_named_until_its_drift_is_fitted():
    """Four times its noise over ten hours; the two others at the same place are healthy, though the fit bends to it."""
    values = readings(0)
    assert gm.calibrate(cup(), gm.Record(TIMES, values, HEAT)).drifts == ()
    values["A"] = values["A"] + 4 * NOISE * TIMES / TIMES[-1]
    record = gm.Record(TIMES, values, HEAT)
    fit = gm.calibrate(cup(), record)
    (found,) = fit.drifts
    assert (found.sensor, found.step, found.alone) == ("A", None, True)
    assert found.change == pytest.approx(4 * NOISE, abs=0.06)
    (told,) = drift_words([found])
    assert told.startswith("What is left of A trends by +0.")
    rate = 3600 * found.change / found.span
    assert f" K over the fitted 9.97 h (+{rate:.3g} K/h): a sensor that drifts would explain it" in told
    rate = gm.Parameter("drift", gm.Normal(0.0, 1e-4), "K/s")
    mended = gm.calibrate(cup(rate), record)
    assert mended.drifts == ()
    (row,) = (row for row in mended.table() if row.name == "drift")
    assert row.interval[0] < 4 * NOISE / TIMES[-1] < row.interval[1]
    assert row.interval[1] - row.interval[0] < NOISE / TIMES[-1]


@pytest.mark.slow
def test_a_sensor_that_was_moved_is_named_and_what_is_of_all_is_not_blamed_on_one():
    values = readings(1)
    values["B"] = values["B"] + np.where(TIMES > 15000.0, -3 * NOISE, 0.0)
    record = gm.Record(TIMES, values, HEAT)
    for loss in (gm.Gaussian(), gm.Huber()):
        fit = gm.calibrate(cup(), record, loss=loss)
        (moved,) = fit.drifts
        assert (moved.sensor, moved.alone) == ("B", True)
        assert moved.step == pytest.approx(15000.0, abs=0.04 * TIMES[-1])
        assert moved.change == pytest.approx(-3 * NOISE, abs=0.05)
    (told,) = drift_words([moved])
    assert told.startswith("What is left of B steps by -0.")
    assert " K at 4." in told
    judged = gm.judge(fit, gm.forecast(fit.twin, HEAT, TIMES), record, record)
    assert judged.against[:2] == (told, "Mend that first: what follows may come from it.")
    assert judged.verdict == "usable with care"
    values = {name: value + 6 * NOISE * TIMES / TIMES[-1] for name, value in readings(2).items() if name != "C"}
    of_both = gm.calibrate(cup(sensors="AB"), gm.Record(TIMES, values, HEAT)).drifts
    assert {one.sensor for one in of_both} == {"A", "B"}
    (told,) = drift_words(of_both)
    assert told.endswith("more of them, or one held against a reference, would.")
    lasting = cup(model=gm.ModelError(6 * NOISE, 9000.0), sensors="AB")
    assert gm.calibrate(lasting, gm.Record(TIMES, values, HEAT)).drifts == ()


@pytest.mark.slow
def test_a_trend_that_goes_along_with_an_input_is_said_to_be_unclear():
    """Five times the noise while the power rises all the time: a drift, or a model that errs with the power."""
    times, power = TIMES[:120], gm.Series(TIMES[[0, 119]], np.array([5.0, 30.0]), hold=False)
    values = readings(10, power, times)
    assert gm.calibrate(cup(), gm.Record(times, values, {"P": power})).drifts == ()
    values["A"] = values["A"] + 5 * NOISE * times / times[-1]
    (found,) = gm.calibrate(cup(), gm.Record(times, values, {"P": power})).drifts
    assert (found.sensor, found.step, found.alone, found.follows) == ("A", None, False, "the input 'P'")
    assert found.change == pytest.approx(5 * NOISE, abs=0.1)
    (told,) = drift_words([found])
    assert "K/h), along with the input 'P': this sensor or another drifts, or the model errs with it" in told
    values = readings(8)  # power that comes and goes: a weak drift goes along with nothing
    values["A"] = values["A"] + 1.3 * NOISE * TIMES / TIMES[-1]
    assert gm.calibrate(cup(), gm.Record(TIMES, values, HEAT)).drifts == ()


def test_a_drift_that_the_parameters_take_up_is_said_to_pass_unseen_and_how_far_it_moves_them():
    """One sensor, and power that rises all the time: a drift is as well a loss that is smaller."""
    times, power = TIMES[:120], gm.Series(TIMES[[0, 119]], np.array([5.0, 30.0]), hold=False)
    values = {"A": readings(10, power, times)["A"]}
    fit = gm.calibrate(cup(sensors="A"), gm.Record(times, values, {"P": power}))
    (unseen,) = fit.unseen
    assert (unseen.sensor, unseen.parameter, fit.drifts) == ("A", "K", ())
    assert unseen.change == pytest.approx(10 * NOISE)
    (told,) = unseen_words(fit.unseen)
    assert told.startswith(
        "A drift of A by 1 K over the fitted record would pass unseen, and move K by up to 28 of its"
    )
    record = gm.Record(times, values, {"P": power})
    judged = gm.judge(fit, gm.forecast(fit.twin, {"P": power}, times), record, record)
    assert judged.open == (told,)
    assert judged.marked[-1] == f"? {told}"
    values["A"] = values["A"] + unseen.change * times / times[-1]
    moved = gm.calibrate(cup(sensors="A"), gm.Record(times, values, {"P": power}))
    assert moved.drifts == ()
    place = fit.belief.names.index("K")
    shift = (moved.belief.mean - fit.belief.mean)[place] / np.sqrt(fit.belief.covariance[place, place])
    assert abs(shift) == pytest.approx(unseen.shift, rel=0.05)
    values = {name: readings(0)[name] for name in "A"}  # power that comes and goes leaves a drift in what is left
    assert gm.calibrate(cup(sensors="A"), gm.Record(TIMES, values, HEAT)).unseen == ()


def test_before_a_fit_a_sensor_is_suspected_only_against_fellows():
    """Three thermometers of one cup, one of them with a lag and a gain of its own: a drift of eight times the noise."""
    values = {name: each - 273.15 for name, each in readings(3).items()}
    late = values["C"].copy()
    for i in range(1, len(late)):
        late[i] = late[i - 1] + 0.5 * (values["C"][i] - late[i - 1])
    values["C"] = 1.02 * late + NOISE * np.random.default_rng(4).standard_normal(len(late))
    power = [np.asarray(HEAT["P"].at(TIMES))]
    assert partings(TIMES, values, power) == ([], [])
    drifting = {**values, "A": values["A"] + 8 * NOISE * TIMES / TIMES[-1]}
    (found,), _ = partings(TIMES, drifting, power)
    assert found == Parting(("A",), found.fellows, found.change, None)
    assert set(found.fellows) == {"B", "C"}
    assert found.change == pytest.approx(8 * NOISE, abs=1.5 * NOISE)
    (two,), _ = partings(TIMES, {name: drifting[name] for name in "AB"}, power)
    assert set(two.sensors) == {"A", "B"}
    assert two.fellows == ()
    assert partings(TIMES, {"A": drifting["A"]}, power) == ([], ["A"])
    moved = {**values, "B": values["B"] + np.where(TIMES > 15000.0, 8 * NOISE, 0.0)}
    (found,), _ = partings(TIMES, moved, power)
    assert found.sensors == ("B",)
    assert found.step == pytest.approx(15000.0, abs=0.04 * TIMES[-1])
    # Two places of a rod that is warmed once go together, and part in a curve.
    curve = 20.0 + 30.0 * (1.0 - np.exp(-TIMES / 9000.0))
    apart = {"A": curve, "B": 20.0 + 25.0 * (1.0 - np.exp(-np.maximum(TIMES - 900.0, 0.0) / 9500.0))}
    rng = np.random.default_rng(5)
    noisy = {name: each + NOISE * rng.standard_normal(len(TIMES)) for name, each in apart.items()}
    assert partings(TIMES, noisy) == ([], [])


@pytest.mark.slow
def test_a_drift_is_found_under_a_loss_that_bends_down_and_is_as_large_as_it_is():
    """Four times the noise; each tenth sample is wrong, which least squares would take for noise."""
    values = readings(6)
    rng = np.random.default_rng(6)
    for name in "ABC":
        values[name] = values[name] + np.where(rng.random(len(TIMES)) < 0.1, 20 * NOISE, 0.0)
    values["A"] = values["A"] + 4 * NOISE * TIMES / TIMES[-1]
    for loss in (gm.StudentT(), gm.Huber()):
        (found,) = gm.calibrate(cup(), gm.Record(TIMES, values, HEAT), loss=loss).drifts
        assert (found.sensor, found.step, found.alone) == ("A", None, True)
        assert found.change == pytest.approx(4 * NOISE, abs=0.08)


@pytest.mark.slow
def test_beside_a_model_error_the_jump_itself_tells_a_step_and_one_wrong_sample_is_none():
    """Errors that last half an hour, twice the noise; a sensor that is moved by eight times their spread."""
    rng, spread, keep = np.random.default_rng(7), 2 * NOISE, np.exp(-120 / 1800)
    values = readings(7)
    for name in "ABC":
        kicks, path = rng.standard_normal(len(TIMES)), [0.0]
        for kick in kicks[1:]:
            path.append(keep * path[-1] + np.sqrt(1 - keep**2) * kick)
        values[name] = values[name] + spread * np.asarray(path)
    twin = cup(model=gm.ModelError(spread, 1800.0))
    wrong = {**values, "B": values["B"] + np.where(TIMES == 15000.0, 10 * NOISE, 0.0)}
    assert gm.calibrate(twin, gm.Record(TIMES, wrong, HEAT)).drifts == ()
    moved = {**values, "B": values["B"] + np.where(TIMES >= 15000.0, 8 * spread, 0.0)}
    (found,) = gm.calibrate(twin, gm.Record(TIMES, moved, HEAT)).drifts
    assert (found.sensor, found.step, found.alone) == ("B", 15000.0, True)
    assert found.change == pytest.approx(8 * spread, abs=0.3)
