"""Neural terms of twin files: what they build, what they may depend on, one sentence for every mistake."""

from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

import gemel as gm
from gemel.bindings.laws import law_band, plot_laws
from gemel.engine.calibration.judgement import _of_laws
from gemel.engine.coefficients import drive
from gemel.engine.extrapolation import terms_of, with_warnings
from gemel.engine.results import load_belief, load_beliefs, run_data, run_of, save_belief
from gemel.engine.twinfile import TwinFileError
from gemel.solvers.solution import Code, Status

NETWORK = """
name = "heater"
model = { physics = "thermal-network", step = "40 s" }
boundaries.room = { value = "20 degC" }
links = [{ between = ["heater", "room"], conductance = "$loss" }]
heats = [{ node = "heater", value = { input = "power" } }]
inputs.power = { unit = "W" }
inputs.wind = { unit = "km/h" }
parameters.level = { median = "0.5 W/K", factor = 3 }
sensors.T = { kind = "output", output = "heater", unit = "degC", noise = "0.1 K" }

[nodes.heater]
capacity = "400 J/K"
initial = "20 degC"

[neural.loss]
description = "what the air takes"
inputs = { heater = ["20 degC", "120 degC"], wind = ["0 km/h", "36 km/h"] }
median = "$level"
factor = 2
width = 3
"""

WALL = """
name = "wall"
mesh.box = { size = ["1 m", "1 m"], cells = [8, 1] }
model = { physics = "heat", element = "Q2", analysis = "steady" }
materials.all = { conductivity = "$k" }
sensors.middle = { kind = "point", position = ["0.5 m", "0.5 m"], unit = "degC", noise = "0.1 K" }
neural.k = { inputs = { temperature = ["0 degC", "200 degC"] }, mean = "9 W/m/K", std = "1 W/m/K", width = 4 }
conditions = [
    { kind = "temperature", on = "left", value = "0 degC" },
    { kind = "temperature", on = "right", value = "200 degC" },
]
"""


CELL = """
name = "cell"
inputs.current = { unit = "A" }
parameters.R = { median = "20 mohm", factor = 3 }
parameters.tau = { median = "30 s", factor = 3 }
sensors.U = { kind = "output", output = "voltage", unit = "V", noise = "1 mV" }

[model]
physics = "equivalent-circuit"
step = "1 s"
current = { input = "current" }
capacity = "1 Ah"
initial_charge = 0.5
open_circuit_voltage = { knots = [0, 1], values = ["3 V", "4 V"] }
series_resistance = "$R * $f"
pairs = [{ resistance = { knots = [0, 1], values = ["10 mohm", "-0.5 * $r"] }, time_constant = "$tau" }]
heat = { capacity = "40 J/K", loss = "$K", activation = "0 K", ambient = "20 degC" }

[neural]
f = { inputs = { state_of_charge = [0, 1], current = ["-5 A", "5 A"] }, median = 1, factor = 2, width = 3 }
r = { inputs = { temperature = ["0 degC", "60 degC"] }, mean = "-60 mohm", std = "4 mohm", width = 2 }
K = { inputs = { temperature = ["0 degC", "60 degC"] }, median = "0.2 W/K", factor = 2, width = 2 }
"""

LAYERS = """
name = "layers"
mesh.box = { size = ["2 m", "1 m"], cells = [8, 1] }
mesh.cell_tags.soft = { low = ["0 m", "0 m"], high = ["1 m", "1 m"] }
mesh.cell_tags.hard = { low = ["1 m", "0 m"], high = ["2 m", "1 m"] }
model = { physics = "elasticity", element = "Q3", analysis = "static", kinematics = "plane stress" }
materials.soft = { youngs_modulus = "0.5 * $E * $f", poisson_ratio = 0 }
materials.hard = { youngs_modulus = "7 Pa", poisson_ratio = 0 }
conditions = [
    { kind = "clamp", on = "left" },
    { kind = "force", on = "right", value = [{ input = "T", gain = "$g" }, "0 N"] },
]
inputs.T = { unit = "degC" }
parameters.E = { median = "4 Pa", factor = 2 }
sensors.end = { kind = "average", on = "right", facets = true, component = "x", unit = "m", noise = "1 mm" }

[neural]
f = { inputs = { x = ["0 m", "1 m"], T = ["0 degC", "50 degC"] }, median = 1, factor = 2, width = 4 }
g = { inputs = { T = ["0 degC", "50 degC"] }, mean = "0.01 N/K", std = "0.01 N/K", width = 2 }
"""


def tanh_network(weights: np.ndarray, inputs: list[Any], width: int) -> Any:
    """A network of one layer by numpy, of inputs mapped to -1 … 1, for a scale of one."""
    n = len(inputs)
    hidden = np.tanh(
        sum(w * x for w, x in zip(weights[: width * n].reshape(width, n).T[..., None], inputs, strict=True))
        + weights[width * n : width * (n + 1), None]
    )
    return weights[width * (n + 1) : width * (n + 2)] @ hidden + weights[-1]


def some_values(twin: gm.Twin, seed: int) -> dict[str, Any]:
    z = np.random.default_rng(seed).standard_normal(len(twin.belief.mean))
    return twin.belief.values(jnp.asarray(z))


def built(text: str) -> gm.Twin:
    return gm.TwinFile.parse(text, ".").build()


def test_a_network_with_a_law_is_the_equation_that_the_file_writes():
    """C T' = P - level·exp(n(T, wind)) (T - room), with n by numpy; n is zero before data, 2^±1 are 95 %."""
    twin = built(NETWORK)
    assert twin.inputs == ("power", "wind")
    assert {name: p.size for name, p in twin.parameters.items()} == {"level": 1, "loss": 3 * 4 + 1}
    weights = np.random.default_rng(0).standard_normal(13)
    now = {"power": jnp.asarray(30.0), "wind": jnp.asarray(5.0)}  # W, m/s

    def rate(w: np.ndarray) -> float:
        bound: Any = gm.bind(twin.analysis, {"level": 0.4, "loss": jnp.asarray(w)})
        return float(bound.system.rate(0.0, jnp.array([293.15 + 60.0]), now)[0])

    x = np.array([(60.0 - 50.0) / 50.0, (5.0 - 5.0) / 5.0])
    hidden = np.tanh(weights[:6].reshape(3, 2) @ x + weights[6:9])
    n = np.log(2.0) / 1.959964 * (weights[9:12] @ hidden + weights[12])
    assert rate(weights) == pytest.approx((30.0 - 0.4 * np.exp(n) * 60.0) / 400.0, rel=1e-6)
    assert rate(np.zeros(13)) == pytest.approx((30.0 - 0.4 * 60.0) / 400.0, rel=1e-12)


def test_a_circuit_follows_laws_of_charge_current_and_temperature():
    """Its equations by numpy: laws in place of curves, at a knot, in its heat, and one times a parameter."""
    twin = built(CELL)
    assert set(twin.parameters) == {"R", "tau", "f", "r", "K"}
    values = some_values(twin, 1)
    w = {name: np.asarray(value) for name, value in values.items()}
    z, v, rise, current = 0.3, 0.02, 15.0, -2.0
    warm = [np.array([(20.0 + rise - 30.0) / 30.0])]
    charge = [np.array([2 * z - 1.0]), np.array([current / 5.0])]
    per_sigma = 1 / 1.959964
    series = w["R"] * np.exp(np.log(2) * per_sigma * tanh_network(w["f"], charge, 3)[0])
    knot = -0.5 * (-0.06 + 0.004 * tanh_network(w["r"], warm, 2)[0])
    loss = 0.2 * np.exp(np.log(2) * per_sigma * tanh_network(w["K"], warm, 2)[0])
    pair = np.exp((1 - z) * np.log(0.01) + z * np.log(knot))
    over = series * current + v
    expected = [current / 3600, (pair * current - v) / w["tau"], (current * over - loss * rise) / 40]
    bound: Any = gm.bind(twin.analysis, values)
    state, signals = jnp.array([z, v, rise]), {"current": jnp.asarray(current)}
    np.testing.assert_allclose(bound.system.rate(0.0, state, signals), expected, rtol=1e-6)
    assert float(bound.system.outputs(0.0, state, signals)["voltage"]) == pytest.approx(3.3 + over, rel=1e-6)


def test_one_region_and_a_force_follow_laws_of_place_and_inputs():
    """The work of a strain e and of a force, by quadrature; the problem stays linear."""
    twin = built(LAYERS)
    analysis: Any = twin.analysis
    assert analysis.physics.problem.linear
    assert twin.inputs == ("T",)
    values = some_values(twin, 2)
    w = {name: np.asarray(value) for name, value in values.items()}
    room = np.array([(30.0 - 25.0) / 25.0])
    points, weights = leggauss(60)
    n = tanh_network(w["f"], [points, room[0] * np.ones(60)], 4)
    modulus = 0.5 * w["E"] * np.exp(np.log(2) / 1.959964 * n)
    force = (0.01 + 0.01 * tanh_network(w["g"], [room], 2)[0]) * 303.15
    problem = drive(gm.bind(analysis.physics.problem, values), {"T": jnp.asarray(303.15)})
    x = np.asarray(problem.space.nodes())[:, 0]
    stretched = np.stack([x, 0 * x], axis=1).ravel()
    work = stretched @ np.asarray(problem.unconstrained(jnp.asarray(0.1 * stretched)))
    assert work == pytest.approx(0.1 * (np.sum(weights * modulus) / 2 + 7.0) - 2.0 * force, rel=1e-6)


def test_laws_of_temperature_hold_in_their_regions():
    """The power of the flux of heat in a field that rises linearly, by quadrature; and a gain that is a law."""
    text = WALL.replace(
        'materials.all = { conductivity = "$k" }',
        """
materials.core = { conductivity = "-2 * $k" }
materials.rest = { conductivity = "$k" }
mesh.cell_tags.core = { low = ["0 m", "0 m"], high = ["0.5 m", "1 m"] }
mesh.cell_tags.rest = { low = ["0.5 m", "0 m"], high = ["1 m", "1 m"] }
""",
    )
    analysis: Any = built(text).analysis
    problem = analysis.physics.problem
    values = some_values(built(text), 3)
    x = np.asarray(problem.space.nodes())[:, 0]
    residual = gm.bind(problem, values).unconstrained(jnp.asarray(273.15 + 200.0 * x))
    points, weights = leggauss(60)
    k = 9.0 + tanh_network(np.asarray(values["k"]), [points], 4)  # points from -1 to 1 are 0 to 200 °C
    expected = 200.0 * np.sum(weights / 2 * k * np.where(points < 0, -2.0, 1.0))
    assert float(x @ np.asarray(residual)) == pytest.approx(expected, rel=2e-3)
    network = NETWORK.replace('conductance = "$loss"', 'conductance = "$level"').replace("heater = [", "heater = [", 1)
    network = network.replace('{ input = "power" }', '{ input = "power", gain = "$loss" }')
    network = network.replace('median = "$level"', "median = 0.8")
    heated = built(network)
    values = some_values(heated, 4)
    inside = [np.array([(60.0 - 50.0) / 50.0]), np.array([(5.0 - 5.0) / 5.0])]
    gain = 0.8 * np.exp(np.log(2) / 1.959964 * tanh_network(np.asarray(values["loss"]), inside, 3)[0])
    bound: Any = gm.bind(heated.analysis, values)
    rate = bound.system.rate(0.0, jnp.array([293.15 + 60.0]), {"power": jnp.asarray(30.0), "wind": jnp.asarray(5.0)})
    assert float(rate[0]) == pytest.approx((30.0 * gain - float(values["level"]) * 60.0) / 400.0, rel=1e-6)


def test_a_run_tells_where_it_takes_a_law_beyond_its_range():
    """Ends by the sensor that reads the node, and by the signal; against those declared, and those of a fit's data."""
    file = built(NETWORK)
    analysis: Any = file.analysis
    twin = gm.Twin("heater", gm.Ode(analysis.system, 40.0, diffrax.Tsit5(scan_kind="bounded")), file.sensors)
    signals = {"power": gm.Series([0.0], [40.0]), "wind": gm.Series([0.0, 1000.0], [5.0, 12.0])}
    run = gm.simulate(twin, signals, np.arange(0.0, 4000.0, 40.0), {"level": 0.3})
    T = np.asarray(run.readings["T"])
    ends = {"heater": (pytest.approx(T.min()), pytest.approx(T.max())), "wind": (5.0, 12.0)}
    assert gm.neural_ranges(twin, [run]) == {"loss": ends}
    heater, wind = gm.extrapolations(twin, run)
    assert (heater.input, wind.distance, heater.distance) == ("heater", 2.0, pytest.approx(T.max() - 393.15))
    assert wind.words() == (
        "The input wind of the neural term 'loss' goes from 18 to 43.2 km/h, 7.2 km/h beyond the 0 to 36 km/h that it "
        "was made for: no data have shaped the term there."
    )
    known = {"loss": {"heater": (283.15, T.max() - 10.0), "wind": (0.0, 11.9)}}
    told = with_warnings(twin, run, known)  # wind is beyond by less than a fiftieth of its range
    assert told.warnings == (
        f"The input heater of the neural term 'loss' goes from 20 to {T.max() - 273.15:.4g} °C, 10 K beyond the 10 to "
        f"{T.max() - 283.15:.4g} °C of the data that it was fitted to: no data have shaped the term there.",
    )
    assert run_of(run_data(told)).warnings == told.warnings
    assert gm.extrapolations(twin, run, {"loss": {"heater": (293.15, 500.0), "wind": (5.0, 12.0)}}) == []


@pytest.mark.slow
def test_laws_of_a_circuit_are_watched_and_drawn(tmp_path: Path):
    """Ends of the charge, the temperature and the current by what sensors read; a term times a number or a parameter is
    itself watched."""
    sensor = 'sensors.{0} = {{ kind = "output", output = "{1}", unit = "{2}", noise = "{3}" }}\n'
    sensors = sensor.format("z", "state_of_charge", "", "0.1") + sensor.format("T", "temperature", "K", "1 K")
    twin = built(CELL.replace("\n[model]", f"{sensors}\n[model]"))
    times, current = np.arange(0.0, 300.0, 20.0), {"current": gm.Series([0.0, 160.0], [-4.0, 6.0])}
    run = gm.simulate(twin, current, times)
    z, T = (np.asarray(run.readings[name]) for name in "zT")
    warm = {"temperature": pytest.approx((T.min(), T.max()))}
    ranges = gm.neural_ranges(twin, [run])
    assert ranges == {
        "f": {"state_of_charge": pytest.approx((z.min(), z.max())), "current": (-4.0, 6.0)},
        "r": warm,
        "K": warm,
    }
    (beyond,) = gm.extrapolations(twin, run)
    assert (beyond.term, beyond.input, beyond.distance) == ("f", "current", 1.0)
    status = Status(jnp.asarray(Code.SUCCESS, jnp.int32))
    fit = gm.Fit(
        twin, twin.belief, twin.belief, {"": tuple(range(len(twin.belief.mean)))}, status, jnp.ones(1), 0, 0.0, ranges
    )
    assert _of_laws(fit, [gm.Forecast(run, {}, {}, {}, {})]) == []
    fewer = {**ranges, "r": {"temperature": (T.min() + 0.5, T.max())}}
    (told,) = _of_laws(eqx.tree_at(lambda one: one.ranges, fit, fewer), [gm.Forecast(run, {}, {}, {}, {})])
    assert told.startswith(
        "On data that were not fitted, the neural term 'r' is asked with temperature up to 0.5 K beyond"
    )
    told = plot_laws(tmp_path / "laws.png", fit, {"": gm.Record(times, {"z": z}, current)})
    assert [sentence.split(":")[0] for sentence in told] == ["f", "r", "K"]
    assert (tmp_path / "laws.png").read_bytes()[:4] == b"\x89PNG"


def test_the_band_of_a_law_before_data_is_that_of_its_prior(tmp_path: Path):
    """log(level·exp(n)) has the variance of log level and of n = s(v·tanh + b), with v and b of spread 1/√3 and 0.6."""
    twin = built(NETWORK)
    law: Any = next(iter(terms_of(twin).values()))
    heater = np.linspace(293.15, 393.15, 5)
    weights = np.asarray(twin.belief.values()["loss"])
    x = np.stack([(heater - 343.15) / 50.0, np.full(5, (2.0 - 5.0) / 5.0)])
    hidden = np.tanh(weights[:6].reshape(3, 2) @ x + weights[6:9, None])
    scale = np.log(2.0) / 1.959964
    spread = np.sqrt((np.log(3.0) / 1.959964) ** 2 + scale**2 * (np.sum(hidden**2, axis=0) / 3.0 + 0.36))
    value, low, high = law_band(twin, law, {"heater": heater, "wind": 2.0}, {})
    np.testing.assert_allclose(value, 0.5, rtol=1e-9)
    np.testing.assert_allclose(np.log([0.5 / low, high / 0.5]), np.tile(1.959964 * spread, (2, 1)), rtol=1e-6)
    ranges = {"loss": {"heater": (300.0, 350.0), "wind": (1.0, 10.0)}}
    save_belief(tmp_path / "belief.json", twin.belief, ranges=ranges)
    assert load_beliefs(tmp_path / "belief.json", twin.belief)[1] == ranges


@pytest.mark.slow
def test_a_conductivity_that_depends_on_temperature_bends_the_field():
    """Kirchhoff: the integral of k from one end's temperature is linear through a wall."""
    twin = built(WALL)
    values = {"k": twin.belief.values(2.0 * jnp.asarray(np.random.default_rng(1).standard_normal(13)))["k"]}
    law: Any = gm.NeuralTerm.between("k", 273.15, 473.15, 1.0, width=4)
    k = gm.bind(law, values)
    points, weights = leggauss(40)

    def stored(top: float) -> float:
        span = (top - 273.15) / 2
        return span * sum(w * (9.0 + float(k(273.15 + span * (1 + x)))) for x, w in zip(points, weights, strict=True))

    middle = float(gm.simulate(twin, parameters=values).checked().readings["middle"])
    assert stored(middle) == pytest.approx(stored(473.15) / 2, rel=1e-5)
    assert abs(middle - 373.15) > 1.0
    plain = built(WALL.replace('"200 degC"] }', '"150 degC"] }'))  # linear before data, read at Gauss points of 8 cells
    (hot,) = gm.extrapolations(plain, gm.simulate(plain))
    first = 200.0 * (1.0 + leggauss(4)[0][0]) / 2 / 8
    np.testing.assert_allclose(np.asarray(hot.asked) - 273.15, [first, 200.0 - first], rtol=1e-7)


def test_a_belief_is_of_the_network_that_it_was_found_with(tmp_path: Path):
    """Its weights say something else of other inputs, another range or another scale."""
    belief = built(NETWORK).belief
    save_belief(tmp_path / "belief.json", belief)
    np.testing.assert_array_equal(load_belief(tmp_path / "belief.json", built(NETWORK).belief).mean, belief.mean)
    for old, new in (('"120 degC"', '"90 degC"'), ("factor = 2", "factor = 3"), ("wind", "breeze")):
        with pytest.raises(
            ValueError, match=r"another network of loss, heater, wind in 293\.15 … 393\.15, 0 … 10 with"
        ):
            load_belief(tmp_path / "belief.json", built(NETWORK.replace(old, new)).belief)


MISTAKES = [
    (NETWORK, "width = 3", "widht = 3", "unknown key 'widht': allowed are depth, description, factor, inputs, mean"),
    (NETWORK, "width = 3", "width = 0", "neural.loss.width"),
    (NETWORK, "factor = 2", "std = 2", "needs exactly 'median' and 'factor', or 'mean' and 'std', not median, std"),
    (NETWORK, "factor = 2", "factor = 0.5", "neural.loss.factor"),
    (NETWORK, 'median = "$level"', 'median = "5 W/m"', "neural.loss.median: '5 W/m' has the wrong unit"),
    (NETWORK, 'median = "$level"', 'median = "-5 W/K"', "must be positive, not -5 W/K"),
    (NETWORK, "{ heater = [", "{ wall = [", "'wall' is no input of a neural term: there are power, wind, heater"),
    (NETWORK, '["0 km/h", "36 km/h"]', '["0 km/h"]', "the least and the greatest value are needed, not 1"),
    (NETWORK, '["0 km/h", "36 km/h"]', '["0 K", "36 K"]', "neural.loss.inputs.wind: '0 K' has the wrong unit"),
    (NETWORK, '["0 km/h", "36 km/h"]', '["9 km/h", "9 km/h"]', "the least value must be below the greatest"),
    (NETWORK, "inputs.wind", "inputs.heater", "'heater' is of the model and of [inputs.heater]"),
    (NETWORK, "[neural.loss]", "[neural.level]", "'level' is also a parameter"),
    (NETWORK, 'conductance = "$loss"', 'conductance = "$level"', "neural term 'loss' is used nowhere: write '$loss'"),
    (NETWORK, 'noise = "0.1 K"', 'noise = "$loss"', "the neural term '$loss' cannot stand here: it may"),
    (
        NETWORK,
        'conductance = "$loss"',
        'conductance = "$loss * $loss"',
        "a product has one neural term and at most one",
    ),
    (NETWORK, 'conductance = "$loss"', 'conductance = "$loss * $lo"', "unknown parameter '$lo': the file has level"),
    (NETWORK, '{ input = "power" }', '{ input = "power", gain = "$loss", offset = "1 W" }', "takes no offset"),
    (
        NETWORK,
        '{ input = "power" }',
        '{ input = "pow", gain = "$loss" }',
        "unknown input 'pow': the file has power, wind",
    ),
    (
        NETWORK,
        'conductance = "$loss"',
        'conductance = "$level * $loss"',
        "neural.loss.median: parameter '$level' is in",
    ),
    (CELL, "initial_charge = 0.5", 'initial_charge = "$f"', "initial_charge: the neural term '$f' cannot stand"),
    (CELL, '"$R * $f"', '"-2 mohm"', "model.series_resistance: The series resistance must be positive, not -0.002"),
    (CELL, '"$R * $f"', "{ knot = [0, 1] }", "series_resistance.knot: unknown key 'knot': allowed are factor, knots"),
    (CELL, '"$R * $f"', '"2 V"', "model.series_resistance: '2 V' has the wrong unit: a quantity in ohm is needed"),
    (
        CELL,
        "state_of_charge = [",
        "soc = [",
        "'soc' is no input of a neural term: there are current, state_of_charge, temp",
    ),
    (
        LAYERS,
        "poisson_ratio = 0",
        'poisson_ratio = "$f"',
        "'$f' cannot stand here: it may stand in material properties but",
    ),
    (LAYERS, "x = [", "temperature = [", "'temperature' is no input of a neural term: there are T, x, y"),
    (
        LAYERS,
        'kind = "clamp"',
        'value = "$f", kind = "displacement"',
        "conditions.0.value: the neural term '$f' cannot",
    ),
    (
        WALL,
        'conductivity = "$k" }',
        'conductivity = "$k", capacity = "$c * $k" }\nparameters.c = { median = "1 s/m^2", factor = 2 }',
        "materials.all.capacity: a capacity may depend on places and inputs, but not on the temperature",
    ),
    (NETWORK, ', step = "40 s"', "", "a network with a neural term needs the key 'step'"),
    (NETWORK, 'initial = "20 degC"', 'initial = "steady"', "Node 'heater' needs an initial temperature"),
    (NETWORK, 'initial = "20 degC"', 'initial = "$loss"', "nodes.heater.initial: the neural term '$loss' cannot stand"),
    (WALL, 'value = "0 degC"', 'value = "$k"', "conditions.0.value: the neural term '$k' cannot stand here"),
    (WALL, 'std = "1 W/m/K"', 'std = "0 W/m/K"', "the standard deviation must be positive"),
    (WALL, "temperature = [", "z = [", "'z' is no input of a neural term: there are temperature, x, y"),
]


@pytest.mark.parametrize(("text", "old", "new", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_sentence_with_its_place(text, old, new, sentence, every_mistake):
    assert old in text
    with pytest.raises(TwinFileError) as caught:
        built(text.replace(old, new, 1))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value) in every_mistake(text.replace(old, new, 1), ".")


def test_laws_that_cannot_be_used_are_named():
    term = gm.NeuralTerm.between("law", 0.0, 1.0, 1.0, width=2)
    with pytest.raises(ValueError, match="needs either a mean or a median"):
        term.law("T")
    with pytest.raises(ValueError, match="depends on places and signals alone, not on 'T'"):
        term.profile("T", median=1.0)
    nodes, links = {"T": gm.ThermalNode(1.0, 293.0)}, [gm.ThermalLink("T", "room", term.law("T", median=1.0))]
    network = gm.ThermalNetwork(nodes, links, {"room": 293.0})
    with pytest.raises(ValueError, match="is not linear: march it with Ode"):
        gm.LinearOde(network)
