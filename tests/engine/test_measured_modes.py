"""Measured modes find their computed mode by its shape, also where modes change places."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.twinfile import TwinFile, TwinFileError

E, RHO, LENGTH, AREA = 70e9, 2700.0, 1.0, 4e-4
ROOTS = (1.875104068711961, 4.694091132974175, 7.854757438237613)
X = np.array([0.25, 0.5, 0.75, 1.0])
POINTS, DIRECTIONS = [[x, 0.0, 0.0] for x in (*X, *X)], [*"yyyy", *"zzzz"]
MIDDLE = 1.3e-8
"""Second moment of area of the prior, about both axes."""


def clamped(root: float, x: np.ndarray) -> np.ndarray:
    """A bending shape of the clamped-free Euler-Bernoulli beam; Blevins, Formulas for Natural Frequency, 1979."""
    ratio = (np.sinh(root) - np.sin(root)) / (np.cosh(root) + np.cos(root))
    return np.cosh(root * x) - np.cos(root * x) - ratio * (np.sinh(root * x) - np.sin(root * x))


def frequency(root: float, inertia: float) -> float:
    return root**2 / (2 * np.pi) * np.sqrt(E * inertia / (RHO * AREA)) / LENGTH**2


def measured(number: int, axis: str) -> gm.MeasuredShape:
    """What eight channels, along y and z at four points, see of a bending mode."""
    shape, still = clamped(ROOTS[number - 1], X / LENGTH), np.zeros(4)
    values = np.concatenate([shape, still] if axis == "y" else [still, shape])
    return gm.MeasuredShape(POINTS, DIRECTIONS, values)


def beam(about_y, about_z, tip=None, turned=0.0, cells=16) -> gm.Frame:
    """A cantilever along x whose section is turned about its axis."""
    joints = [[LENGTH * i / cells, 0.0, 0.0] for i in range(cells + 1)]
    mesh = gm.frame(joints, [(i, i + 1) for i in range(cells)], joint_tags={"root": [0], "tip": [cells]})
    return gm.Frame(
        mesh,
        gm.Section.general(AREA, about_y, about_z, 2e-8),
        E,
        density=RHO,
        conditions=[gm.Support("root")],
        masses=[] if tip is None else [gm.PointMass("tip", tip)],
        theory="Euler-Bernoulli",
        orientation=(0.0, -np.sin(turned), np.cos(turned)),
    )


def inertia(name: str) -> gm.Parameter:
    return gm.Parameter(name, gm.LogNormal(MIDDLE, 1.5), "m^4")


def swapping(sensors) -> gm.Twin:
    """A beam whose bending modes about y and z come in either order within the prior."""
    return gm.Twin("beam", gm.Modal(beam(inertia("Iy"), inertia("Iz")), 6), sensors)


# The criterion.


def test_assurance_of_a_beams_shapes():
    """One of each shape with itself, about nothing across; the same for any factor, and for turned complex shapes."""
    x = np.linspace(0.05, 1.0, 20)
    shapes = np.stack([clamped(root, x) for root in ROOTS], axis=1)
    table = np.asarray(gm.modal_assurance(shapes, shapes * np.array([3.0, -0.2, 1e6])))
    np.testing.assert_allclose(np.diag(table), 1.0, rtol=1e-14)
    assert np.all(table[~np.eye(3, dtype=bool)] < 0.03)
    np.testing.assert_allclose(gm.modal_assurance(shapes * np.exp(0.7j), shapes), table, atol=1e-14)
    two = gm.modal_assurance(np.array([[1.0], [1j]]), np.array([[1.0], [1.0]]))
    np.testing.assert_allclose(two, [[0.5]])  # |1 + (-i)|^2 / (2 * 2)


@pytest.mark.slow
def test_computed_modes_have_the_shapes_and_frequencies_of_theory():
    sensors = [gm.ModeSensor(name=f"{a}{k}", shape=measured(k, a), noise=0.1) for a in "zy" for k in (2, 1)]
    twin = swapping(sensors)
    run = gm.simulate(twin, parameters={"Iy": 1.0e-8, "Iz": 1.6e-8}).checked()
    for number, root in enumerate(ROOTS[:2], 1):
        assert float(run.readings[f"z{number}"]) == pytest.approx(frequency(root, 1.0e-8), rel=1e-3)
        assert float(run.readings[f"y{number}"]) == pytest.approx(frequency(root, 1.6e-8), rel=1e-3)
    pairs = {pair.sensor: pair for pair in gm.mode_pairs(twin, run)}
    assert {name: pair.mode for name, pair in pairs.items()} == {"z1": 1, "y1": 2, "z2": 3, "y2": 4}
    assert all(pair.mac == pytest.approx(1.0, abs=1e-6) and pair.paired for pair in pairs.values())
    assert pairs["z1"].words() == "z1: its shape is that of mode 1, with a MAC of 1.000."


def test_shape_readings_have_the_measured_sign_and_scale_and_miss_by_the_assurance():
    """The misfit over all points is 1 - MAC of the squared length; a wrong shape is not fitted exactly."""
    rough = measured(1, "z")
    wrong = rough.parts[:, 0] * -40.0
    wrong[4:] += np.array([3.0, -2.0, 1.0, 4.0])
    shape = gm.MeasuredShape(POINTS, DIRECTIONS, wrong)
    twin = swapping(shape.sensors("s", 0.1))
    run = gm.simulate(twin, parameters={"Iy": 1.0e-8})
    assert list(run.readings) == list(shape.readings("s")) == [f"s.{i}" for i in range(1, 9)]
    read = np.array([float(value) for value in run.readings.values()])
    assert read[-1] < -50
    mac = gm.mode_pairs(twin, run)[0].mac
    assert 0.9 < mac < 0.9999
    assert np.sum((read - wrong) ** 2) == pytest.approx((1 - mac) * np.sum(wrong**2), rel=1e-6)


def test_a_complex_shape_is_turned_to_be_real():
    real = measured(2, "y")
    values = real.parts[:, 0]
    turned = gm.MeasuredShape(POINTS, DIRECTIONS, (values + 1e-2j * np.arange(8)) * np.exp(1.1j))
    twin = swapping([gm.ModeSensor(name="f", shape=turned, noise=0.1), *turned.sensors("f", 0.1)])
    run = gm.simulate(twin, parameters={"Iy": 1.0e-8})
    expected = gm.modal_assurance(np.asarray(turned.values)[:, None], values[:, None])
    assert gm.mode_pairs(twin, run)[0].mac == pytest.approx(float(expected[0, 0]), abs=1e-5)
    read = np.array([float(run.readings[name]) for name in turned.readings("f")])
    np.testing.assert_allclose(read, np.array(list(turned.readings("f").values())), atol=0.02)
    assert abs(np.corrcoef(read, values)[0, 1]) > 0.9999


# What is not paired.


@pytest.mark.slow
def test_a_shape_that_no_mode_has_is_not_read():
    """Twisting is not among what the channels at the axis see: neither a frequency nor a shape is read."""
    strange = gm.MeasuredShape(POINTS, DIRECTIONS, [1, -1, 1, -1, 1, -1, 1, -1])
    sensors = [gm.ModeSensor(name="f", shape=strange, noise=0.1), *strange.sensors("s", 0.1)]
    twin = swapping([*sensors, gm.ModeSensor(name="z1", shape=measured(1, "z"), noise=0.1)])
    run = gm.simulate(twin)
    assert all(np.isnan(float(run.readings[sensor.name])) for sensor in sensors)
    assert np.isfinite(float(run.readings["z1"]))
    pair, other = gm.mode_pairs(twin, run)
    assert not pair.paired
    assert other.paired
    assert "no computed mode has its shape" in pair.words()
    with pytest.raises(gm.CalibrationError, match=r"is not finite \(the readings of f are not\)"):
        gm.calibrate(twin, gm.Record(None, {"f": 20.0, "z1": 16.0}))
    held_out = gm.Record(None, {"f": 20.0, "z1": frequency(ROOTS[0], MIDDLE)})
    fit = gm.calibrate(twin, held_out, sensors=["z1"])
    verdict = gm.judge(fit, gm.forecast(fit.twin), held_out, held_out, ["z1"])
    assert verdict.verdict == "not usable"
    assert "The twin gives no reading of f where it was measured." in verdict.reasons


def test_two_measured_shapes_do_not_share_a_mode():
    """The shape that is nearer to the mode takes it; the other finds none."""
    first = measured(1, "z")
    rough = first.parts[:, 0] + np.array([0, 0, 0, 0, 0.3, 0.3, -0.3, 0.2])
    sensors = [
        gm.ModeSensor(name="rough", shape=gm.MeasuredShape(POINTS, DIRECTIONS, rough), noise=0.1),
        gm.ModeSensor(name="z1", shape=first, noise=0.1),
    ]
    run = gm.simulate(swapping(sensors), parameters={"Iy": 1.0e-8})
    assert int(run.statistics["mode.z1"]) == 1
    assert int(run.statistics["mode.rough"]) != 1
    assert np.isnan(float(run.readings["rough"]))


# Close and repeated frequencies.


@pytest.mark.slow
@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_modes_of_one_frequency_are_told_apart_by_the_measured_shape(turn):
    """At a square section the solver's vectors are arbitrary; the readings and their rates are those of v and w."""
    along = np.array([[0.0, np.cos(turn), np.sin(turn)], [0.0, -np.sin(turn), np.cos(turn)]])
    values = clamped(ROOTS[0], X)
    sensors = []
    for name, direction in zip("vw", along, strict=True):
        seen = np.concatenate([values * direction[1], values * direction[2]])
        shape = gm.MeasuredShape(POINTS, DIRECTIONS, seen)
        sensors += [gm.ModeSensor(name=name, shape=shape, noise=0.1), *shape.sensors(name, 0.1)]
    model = beam(inertia("Iy"), inertia("Iz"), turned=turn)
    twin = gm.Twin("square", gm.Modal(model, 4), sensors)
    readings = lambda at: gm.simulate(twin, parameters={"Iy": at[0], "Iz": at[1]}).readings  # noqa: E731
    at = jnp.full(2, MIDDLE)
    run = readings(at)
    expected = frequency(ROOTS[0], MIDDLE)
    for name, direction in zip("vw", along, strict=True):
        assert float(run[name]) == pytest.approx(expected, rel=2e-4)
        seen = np.concatenate([values * direction[1], values * direction[2]])
        np.testing.assert_allclose([float(run[f"{name}.{i}"]) for i in range(1, 9)], seen, atol=1e-3)
    slopes = jax.jacfwd(lambda x: jnp.stack([readings(x)["v"], readings(x)["w"]]))(at)
    rate = expected / (2 * MIDDLE)  # f goes with the root of the second moment that resists
    np.testing.assert_allclose(slopes, [[0.0, rate], [rate, 0.0]], rtol=2e-4, atol=1e-4 * rate)


# Derivatives.


@pytest.mark.slow
def test_remainders_of_a_shape_and_a_frequency_are_of_second_order():
    shape = measured(2, "z")
    sensors = [gm.ModeSensor(name="f", shape=shape, noise=0.1), *shape.sensors("s", 0.1)]
    tip = gm.Parameter("tip", gm.LogNormal(0.2, 3.0), "kg")
    twin = gm.Twin("beam", gm.Modal(beam(inertia("Iy"), 2e-8, tip), 6), sensors)

    def number(at):
        run = gm.simulate(twin, parameters={"tip": 0.2 * (1 + at[0]), "Iy": MIDDLE * (1 + at[1])})
        return jnp.stack([run.readings["f"], *(run.readings[f"s.{i}"] for i in range(5, 9))])

    start, direction = jnp.zeros(2), jnp.array([1.0, 0.5])
    value, slope = jax.jvp(number, (start,), (direction,))
    steps = 0.08 * 0.5 ** np.arange(3)
    moved = np.stack([number(start + step * direction) for step in steps])
    rests = np.abs(moved - value - steps[:, None] * slope)
    assert np.all(np.abs(np.asarray(slope)) > 1e-3)
    assert np.all(np.log2(rests[:-1] / rests[1:]) > 1.85)
    reverse = jax.grad(lambda at: number(at)[2])(start)
    assert float(reverse @ direction) == pytest.approx(float(slope[2]), rel=1e-7)


# A calibration in which modes change places.


@pytest.mark.slow
def test_pairing_by_shape_finds_the_stiffnesses_and_by_order_does_not():
    """The prior says that y bends more stiffly; the device is the other way round. By order the fit is perfect and
    exchanges the two stiffnesses; by shape it finds them, from frequencies alone and from frequencies and shapes.
    """
    truth = {"Iy": 1.5e-8, "Iz": 1.0e-8}
    shapes = {f"{a}{k}": measured(k, a) for a in "yz" for k in (1, 2)}
    found = {f"{a}{k}": frequency(ROOTS[k - 1], truth["Iz" if a == "y" else "Iy"]) for a in "yz" for k in (1, 2)}

    def fitted(sensors, readings):
        prior = {"Iy": gm.LogNormal(1.2e-8, 1.6), "Iz": gm.LogNormal(1.4e-8, 1.6)}
        unknown = [gm.Parameter(name, law, "m^4") for name, law in prior.items()]
        twin = gm.Twin("beam", gm.Modal(beam(unknown[0], unknown[1]), 6), sensors)
        fit = gm.calibrate(twin, gm.Record(None, readings))
        return {row.name: row.value for row in fit.table()}, float(fit.costs[-1])

    noise = {name: 2e-3 * value for name, value in found.items()}
    by_shape = [gm.ModeSensor(name=name, shape=shape, noise=noise[name]) for name, shape in shapes.items()]
    values, _ = fitted(by_shape, found)
    assert values == pytest.approx(truth, rel=2e-3)
    both = [*by_shape, *(s for name, shape in shapes.items() for s in shape.sensors(name, 0.02))]
    everything = found | {key: value for name, shape in shapes.items() for key, value in shape.readings(name).items()}
    values, _ = fitted(both, everything)
    assert values == pytest.approx(truth, rel=2e-3)

    # By order, as the prior's model has them: z bends at modes 1 and 3, y at modes 2 and 4.
    place = {"z1": 1, "y1": 2, "z2": 3, "y2": 4}
    by_order = [gm.FrequencySensor(name=name, mode=mode, noise=noise[name]) for name, mode in place.items()]
    values, cost = fitted(by_order, found)
    assert cost > 1000  # of two frequencies the lower one cannot be above
    assert abs(values["Iy"] / truth["Iy"] - 1) > 0.1
    ascending = dict(zip(sorted(place, key=lambda name: place[name]), sorted(found.values()), strict=True))
    values, cost = fitted(by_order, ascending)
    assert cost < 10  # all is well, it seems
    assert values == pytest.approx({"Iy": truth["Iz"], "Iz": truth["Iy"]}, rel=2e-2)


# Mistakes.


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([[0.0, 0, 0]], "z", [1.0]), "two points or more"),
        (([[0.0, 0], [1, 0]], "z", [1.0, 1]), "'z' of a measured shape is not one of x, y"),
        (([[0.0, 0], [1, 0]], ["x"], [1.0, 1]), "one direction for all points or 2, not 1"),
        (([[0.0, 0], [1, 0]], [0.0, 0.0], [1.0, 1]), "no vector of 2 numbers with a length"),
        (([[0.0, 0], [1, 0]], "x", [1.0, 1, 2]), r"not arrays of shape \(2, 2\) and \(3,\)"),
        (([[0.0, 0], [1, 0]], "x", [0.0, 0]), "not all zero"),
        (([[0.0, 0], [1, 0]], "x", [1.0, np.nan]), "must be finite"),
        (([[0.0, 0], [1, 0]], "x", [1.0, 1], 1.5), r"'least_mac' of a measured shape must be in \[0, 1\), not 1.5"),
    ],
)
def test_wrong_shapes_are_told(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        gm.MeasuredShape(*arguments)


def test_sensors_that_do_not_fit_are_told():
    shape = measured(1, "z")
    with pytest.raises(ValueError, match="the points 1 to 8, not 9"):
        gm.ShapeSensor(name="s", shape=shape, point=9, noise=0.1)
    outside = gm.MeasuredShape([[0.5, 0, 0], [2.0, 0, 0]], "z", [1, 2])
    with pytest.raises(ValueError, match="Sensor 'far': a measured point lies outside the mesh"):
        swapping([gm.ModeSensor(name="far", shape=outside, noise=0.1)])
    flat = gm.MeasuredShape([[0.5, 0], [1.0, 0]], "y", [1, 2])
    with pytest.raises(ValueError, match="Sensor 'flat' has a shape at points of 2 coordinates"):
        swapping([gm.ModeSensor(name="flat", shape=flat, noise=0.1)])
    many = [gm.ModeSensor(name=f"{a}{k}", shape=measured(k, a), noise=0.1) for a in "yz" for k in (1, 2)]
    with pytest.raises(ValueError, match="4 shapes are measured, and only 3 modes are computed"):
        gm.Twin("beam", gm.Modal(beam(1e-8, 2e-8), 3), many)
    with pytest.raises(ValueError, match="cannot read a modal analysis: use a frequency, mode or shape sensor"):
        swapping([gm.PointSensor(name="p", position=(0.5, 0.0, 0.0), noise=0.1)])


# The twin file.

DOCUMENT = """
name = "mast"

[mesh.box]
size = ["600 mm", "40 mm", "42 mm"]
cells = [6, 2, 2]

[model]
physics = "elasticity"
element = "Q2"
analysis = "modal"

[materials.all]
youngs_modulus = "$E"
poisson_ratio = 0.3
density = "2700 kg/m^3"

[[conditions]]
kind = "clamp"
on = "left"

[parameters.E]
median = "60 GPa"
factor = 1.3

[sensors.sway]
kind = "mode"
points = [["300 mm", "20 mm", "21 mm"], ["600 mm", "20 mm", "21 mm"], ["600 mm", "20 mm", "21 mm"]]
directions = ["z", "z", [0, 1, 0]]
shape = [0.339, 1.0, 0.0]
imaginary = [0.001, 0.0, 0.02]
shape_noise = 0.01
least_mac = 0.8
unit = "Hz"
noise = "0.3 Hz"

[sensors.side]
kind = "mode"
points = [["300 mm", "20 mm", "21 mm"], ["600 mm", "20 mm", "21 mm"]]
directions = "y"
shape = [-0.34, -1.01]
unit = "Hz"
noise = "0.3 Hz"

[data.values]
sway = "95.5 Hz"
side = "91.0 Hz"
"""


@pytest.mark.slow
def test_a_twin_file_has_measured_modes():
    """The shape is calibrated against where there is noise for it; the same twin as in Python, whole or as a fit."""
    file = TwinFile.parse(DOCUMENT, Path())
    twin, record = file.build(), file.record()
    assert [sensor.name for sensor in twin.sensors] == ["sway", "sway.1", "sway.2", "sway.3", "side"]
    sway = twin.sensor("sway")
    assert isinstance(sway, gm.ModeSensor)
    at = [[0.3, 0.02, 0.021], [0.6, 0.02, 0.021], [0.6, 0.02, 0.021]]
    assert sway.shape == gm.MeasuredShape(at, ["z", "z", "y"], [0.339 + 0.001j, 1.0, 0.02j], least_mac=0.8)
    assert sway.noise.std == 0.3
    assert record.readings == {"sway": 95.5, "side": 91.0, **sway.shape.readings("sway")}
    assert twin.sensor("sway.2").noise.std == 0.01
    assert isinstance(twin.analysis, gm.Modal)
    assert twin.analysis.count == 6
    run = gm.simulate(twin)
    assert {pair.sensor: pair.mode for pair in gm.mode_pairs(twin, run)} == {"sway": 2, "side": 1}
    assert float(run.readings["sway.1"]) == pytest.approx(0.339, abs=0.01)
    euler = frequency(ROOTS[0], 0.04 * 0.042**3 / 12) * np.sqrt(60 / 70 * AREA / (0.04 * 0.042)) / 0.6**2
    assert float(run.readings["sway"]) == pytest.approx(euler, rel=0.02)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'directions = "y"',
            'directions = "q"',
            r"sensors\.side: The direction 'q' of a measured shape is not one of x, y, z",
        ),
        ('directions = "y"', 'directions = ["y", [0, 0, 0]]', r"sensors\.side: .*no vector of 3 numbers with a length"),
        ("shape = [-0.34, -1.01]", "shape = [1.0]", r"sensors\.side\.shape: 2 numbers are needed.*, not 1\."),
        ("shape = [-0.34, -1.01]", "shape = [0, 0]", r"sensors\.side: The values of a measured shape.*not all zero"),
        ("least_mac = 0.8", "least_mac = 1.8", r"sensors\.sway\.least_mac: it must be less than 1, not 1"),
        ("least_mac = 0.8", "mac = 0.8", r"unknown key 'mac': allowed are close, correlation_time, directions"),
        ("shape_noise = 0.01", "shape_noise = 0", r"sensors\.sway\.shape_noise: it must be greater than 0, not 0"),
        ('"21 mm"]]\ndirections = "y"', '"9 m"]]\ndirections = "y"', "'side': a measured point lies outside the mesh"),
        ('"21 mm"]]\ndirections = "y"', ']]\ndirections = "y"', "a point of this mesh has 3 coordinates, not 2"),
        ('"21 mm"]]\ndirections = "y"', '"9 s"]]\ndirections = "y"', r"sensors\.side\.points\.1\.2: '9 s'"),
        ('analysis = "modal"', 'analysis = "static"', r"sensors\.sway\.kind: only a modal analysis has modes"),
    ],
)
def test_mistakes_in_a_twin_file_are_told(old, new, sentence):
    assert old in DOCUMENT
    with pytest.raises(TwinFileError, match=sentence):
        TwinFile.parse(DOCUMENT.replace(old, new), Path()).build()
