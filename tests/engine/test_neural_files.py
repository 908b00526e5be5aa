"""Neural terms of twin files: what they build, what they may depend on, one sentence for every mistake."""

from pathlib import Path
from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss

import gemel as gm
from gemel.bindings.laws import law_band
from gemel.engine.extrapolation import terms_of, with_warnings
from gemel.engine.results import load_belief, load_ranges, run_data, run_of, save_belief
from gemel.engine.twinfile import TwinFileError

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
    assert load_ranges(tmp_path / "belief.json") == ranges


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
    (NETWORK, 'conductance = "$loss"', 'conductance = "-$loss"', "the neural term '$loss' cannot stand here: it may"),
    (NETWORK, ', step = "40 s"', "", "a network with a neural term needs the key 'step'"),
    (NETWORK, 'initial = "20 degC"', 'initial = "steady"', "Node 'heater' needs an initial temperature"),
    (NETWORK, 'initial = "20 degC"', 'initial = "$loss"', "nodes.heater.initial: the neural term '$loss' cannot stand"),
    (WALL, 'value = "0 degC"', 'value = "$k"', "conditions.0.value: the neural term '$k' cannot stand here"),
    (WALL, 'std = "1 W/m/K"', 'std = "0 W/m/K"', "the standard deviation must be positive"),
    (WALL, "temperature = [", "z = [", "'z' is no input of a neural term: there are temperature, x, y"),
]


@pytest.mark.parametrize(("text", "old", "new", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_sentence_with_its_place(text, old, new, sentence):
    assert old in text
    with pytest.raises(TwinFileError) as caught:
        built(text.replace(old, new, 1))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_laws_that_cannot_be_used_are_named():
    term = gm.NeuralTerm.between("law", 0.0, 1.0, 1.0, width=2)
    with pytest.raises(ValueError, match="needs either a mean or a median"):
        term.law("T")
    nodes, links = {"T": gm.ThermalNode(1.0, 293.0)}, [gm.ThermalLink("T", "room", term.law("T", median=1.0))]
    network = gm.ThermalNetwork(nodes, links, {"room": 293.0})
    with pytest.raises(ValueError, match="is not linear: march it with Ode"):
        gm.LinearOde(network)
