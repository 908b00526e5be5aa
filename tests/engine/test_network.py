"""Thermal networks: closed solutions, steady states, energy, gradients, and their twin file."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import gemel as gm
from gemel.engine.analyses.linear import phi_functions
from gemel.engine.twinfile import TwinFile, TwinFileError

DAY = 86_400.0


def twin_of(network: gm.ThermalNetwork, step: float | None = None) -> gm.Twin:
    sensors = [gm.OutputSensor(name=name, output=name, noise=gm.Noise(0.1)) for name in network.output_names]
    return gm.Twin("network", gm.LinearOde(network, step), sensors)


def house(**changes) -> gm.ThermalNetwork:
    """Two nodes, the outdoor air and a heater; the fabric starts steady."""
    numbers = {"capacity": 2e6, "loss": 80.0, "fabric": None} | changes
    return gm.ThermalNetwork(
        {"air": gm.ThermalNode(numbers["capacity"], 290.0), "fabric": gm.ThermalNode(3e7, numbers["fabric"])},
        [
            gm.ThermalLink("air", "fabric", conductance=400.0),
            gm.ThermalLink("air", "outdoor", conductance=numbers["loss"]),
            gm.ThermalLink("fabric", "outdoor", resistance=1 / 60.0),
        ],
        {"outdoor": gm.Input("outdoor")},
        [gm.HeatFlow("air", gm.Input(("heater", "valve"), 2000.0)), gm.HeatFlow("air", 150.0)],
    )


def weather(times: np.ndarray, hold: bool) -> dict[str, gm.Series]:
    rng = np.random.default_rng(4)
    return {
        "outdoor": gm.Series(times, 275.0 + 5.0 * rng.standard_normal(len(times)), hold),
        "heater": gm.Series(times, rng.uniform(0.0, 1.0, len(times)), True),
        "valve": gm.Series(times, rng.integers(0, 2, len(times)), True),
    }


def test_one_node_decays_exponentially_in_a_single_step():
    network = gm.ThermalNetwork(
        {"body": gm.ThermalNode(500.0, 350.0)}, [gm.ThermalLink("air", "body", conductance=2.0)], {"air": 300.0}
    )
    times = np.array([0.0, 1.0, 250.0, 1e4, 1e6])
    run = gm.simulate(twin_of(network), {}, times).checked()
    np.testing.assert_allclose(run.readings["body"], 300.0 + 50.0 * np.exp(-times / 250.0), rtol=1e-13)


@pytest.mark.slow
def test_a_sensor_of_an_output_lags_and_drifts_and_a_fit_finds_both(tmp_path: Path):
    """Behind its lag a decay is the sum of two; the drift of 3.6 K/h is read from a twin file."""
    twin = TwinFile.parse(DRIFTING, tmp_path).build()
    times = np.arange(0.0, 1200.0, 4.0)
    truth = {"lag": 40.0, "offset": 0.5, "drift": 1e-3}
    shown = np.asarray(gm.simulate(twin, {}, times, truth).readings["T"])
    size = 50.0 / (1 - 40.0 / 250.0)
    lagging = 300.0 + size * np.exp(-times / 250.0) + (50.0 - size) * np.exp(-times / 40.0)
    np.testing.assert_allclose(shown, lagging + 0.5 + 1e-3 * times, atol=2e-3)
    assert float(twin.belief.values()["drift"]) == pytest.approx(0.0, abs=1e-12)
    noisy = shown + 0.05 * np.random.default_rng(1).standard_normal(len(times))
    for row in gm.calibrate(twin, gm.Record(times, {"T": noisy})).table():
        assert abs(row.value - truth[row.name]) < row.interval[1] - row.interval[0]
        assert row.determined > 0.99


DRIFTING = """
name = "body"
[model]
physics = "thermal-network"
[nodes.body]
capacity = "500 J/K"
initial = "76.85 degC"
[boundaries.air]
value = "26.85 degC"
[[links]]
between = ["air", "body"]
conductance = "2 W/K"
[parameters.lag]
median = "20 s"
factor = 4
[parameters.offset]
mean = "0 K"
std = "1 K"
[parameters.drift]
mean = "0 K/h"
std = "10 K/h"
[sensors.T]
kind = "output"
output = "body"
unit = "degC"
noise = "0.05 K"
lag = "$lag"
offset = "$offset"
drift = "$drift"
"""


def test_a_step_of_ten_million_time_constants_ends_at_rest():
    network = gm.ThermalNetwork(
        {"body": gm.ThermalNode(0.2, 350.0)}, [gm.ThermalLink("air", "body", conductance=2.0)], {"air": 300.0}
    )
    run = gm.simulate(twin_of(network), {}, [0.0, 1e6]).checked()
    assert run.readings["body"][-1] == pytest.approx(300.0, rel=1e-8)


def test_two_isolated_nodes_meet_at_their_common_mean():
    # Their difference decays at the rate G (1 / C1 + 1 / C2); the energy stays.
    network = gm.ThermalNetwork(
        {"hot": gm.ThermalNode(100.0, 400.0), "cold": gm.ThermalNode(300.0, 300.0)},
        [gm.ThermalLink("hot", "cold", resistance=0.5)],
    )
    times = np.array([0.0, 7.0, 30.0, 100.0, 1e5])
    run = gm.simulate(twin_of(network), {}, times).checked()
    hot, cold = run.readings["hot"], run.readings["cold"]
    np.testing.assert_allclose(hot - cold, 100.0 * np.exp(-2.0 * (1 / 100 + 1 / 300) * times), atol=1e-10)
    np.testing.assert_allclose(100.0 * hot + 300.0 * cold, 130_000.0, rtol=1e-11)


def test_a_node_without_a_loss_takes_in_all_heat():
    network = gm.ThermalNetwork({"body": gm.ThermalNode(50.0, 300.0)}, heats=[gm.HeatFlow("body", gm.Input("power"))])
    times = np.linspace(0.0, 40.0, 9)
    ramp = {"power": gm.Series([0.0, 40.0], [0.0, 80.0], hold=False)}
    run = gm.simulate(twin_of(network), ramp, times).checked()
    np.testing.assert_allclose(run.readings["body"], 300.0 + times**2 / 50.0, rtol=1e-13)


def test_a_ramp_of_a_boundary_is_exact():
    # C T' = G (r t - T), T(0) = 0 above 300 K: T = r (t - tau (1 - exp(-t / tau))).
    network = gm.ThermalNetwork(
        {"body": gm.ThermalNode(500.0, 300.0)},
        [gm.ThermalLink("body", "air", conductance=2.0)],
        {"air": gm.Input("air")},
    )
    ramp = {"air": gm.Series([0.0, 1000.0], [300.0, 320.0], hold=False)}
    times = np.array([0.0, 400.0, 1000.0])
    run = gm.simulate(twin_of(network), ramp, times).checked()
    rise = 0.02 * (times - 250.0 * (1 - np.exp(-times / 250.0)))
    np.testing.assert_allclose(run.readings["body"], 300.0 + rise, rtol=1e-13)


def test_a_steady_start_balances_the_heat_and_stays():
    times = np.linspace(0.0, 10 * DAY, 5)
    calm = {"outdoor": gm.Series([0.0], [270.0]), "heater": gm.Series([0.0], [1.0]), "valve": gm.Series([0.0], [1.0])}
    nodes = {"air": gm.ThermalNode(2e6), "fabric": gm.ThermalNode(3e7)}
    given = house()
    steady = gm.ThermalNetwork(nodes, given.links, {"outdoor": given.boundaries[0]}, given.heats)
    run = gm.simulate(twin_of(steady), calm, times).checked()
    conductance = 80.0 + 1 / (1 / 400.0 + 1 / 60.0)
    np.testing.assert_allclose(run.readings["air"], 270.0 + 2150.0 / conductance, rtol=1e-12)
    # A node that is given stays as it is given; the other is steady beside it.
    start = house().start({"outdoor": 270.0, "heater": 1.0, "valve": 1.0})
    np.testing.assert_allclose(start, [290.0, (400.0 * 290.0 + 60.0 * 270.0) / 460.0], rtol=1e-13)


@pytest.mark.parametrize("hold", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_it_agrees_with_the_implicit_method_in_small_steps(hold):
    times = np.arange(0.0, DAY, 3600.0)
    network = house(fabric=285.0)
    inputs = weather(times, hold)
    sensors = twin_of(network).sensors
    exact = gm.simulate(twin_of(network), inputs, times).checked()
    fine = gm.simulate(gm.Twin("fine", gm.Ode(network, 60.0), sensors), inputs, times).checked()
    np.testing.assert_allclose(exact.readings["air"], fine.readings["air"], atol=3e-4)


def test_conductances_may_follow_an_input():
    network = gm.ThermalNetwork(
        {"body": gm.ThermalNode(500.0, 350.0)},
        [gm.ThermalLink("body", "air", conductance=gm.Input("fan", 2.0))],
        {"air": 300.0},
    )
    fan = {"fan": gm.Series([0.0, 100.0, 200.0], [1.0, 0.0, 3.0])}
    run = gm.simulate(twin_of(network), fan, [0.0, 100.0, 200.0, 300.0]).checked()
    decay = np.exp(-np.array([0.0, 100.0, 100.0, 400.0]) / 250.0)
    np.testing.assert_allclose(run.readings["body"], 300.0 + 50.0 * decay, rtol=1e-13)


@pytest.mark.slow
def test_steps_of_unequal_length_and_a_longest_step_change_nothing():
    times = np.array([0.0, 10.0, 500.0, 900.0, 4000.0, 4001.0])
    network = house(fabric=285.0)
    inputs = weather(np.array([0.0]), True)
    whole = gm.simulate(twin_of(network), inputs, times).readings["air"]
    np.testing.assert_allclose(gm.simulate(twin_of(network, 37.0), inputs, times).readings["air"], whole, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e4])
def test_the_phi_functions_agree_with_their_series_and_their_recursion(scale):
    matrix = scale * np.array([[-2.0, 1.0], [1.0, -1.5]])
    found = np.asarray(phi_functions(jnp.asarray(matrix)))
    np.testing.assert_allclose(found[0], expm(matrix), atol=1e-12)
    np.testing.assert_allclose(matrix @ found[1], found[0] - np.eye(2), atol=1e-9)
    np.testing.assert_allclose(matrix @ found[2], found[1] - np.eye(2), atol=1e-9)
    if scale <= 1e-9:
        np.testing.assert_allclose(found[1:], [np.eye(2), np.eye(2) / 2], atol=1e-8)


@pytest.mark.slow
def test_gradients_pass_the_taylor_test_in_both_modes():
    network = house(
        capacity=gm.Parameter("capacity", gm.LogNormal(2e6, 2.0)), loss=gm.Parameter("loss", gm.LogNormal(80.0, 2.0))
    )
    twin = twin_of(network)
    times = np.cumsum(np.random.default_rng(1).choice([600.0, 900.0], 60))
    inputs = weather(times, True)

    @jax.jit
    def mean_square(values):
        run = gm.simulate(twin, inputs, times, {"capacity": values[0], "loss": values[1]})
        return jnp.mean((run.readings["air"] - 290.0) ** 2)

    at, direction = jnp.array([2e6, 80.0]), jnp.array([1e6, 30.0])
    slope = jax.grad(mean_square)(at) @ direction
    assert jax.jvp(mean_square, (at,), (direction,))[1] == pytest.approx(float(slope), rel=1e-9)
    rests = [abs(float(mean_square(at + h * direction) - mean_square(at) - h * slope)) for h in (2e-2, 1e-2)]
    assert np.log2(rests[0] / rests[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.slow
def test_calibration_finds_the_numbers_that_made_the_data():
    times = np.arange(0.0, 5 * DAY, 900.0)
    inputs = weather(times, True)
    truth = gm.simulate(twin_of(house(capacity=3e6, loss=60.0)), inputs, times)
    network = house(
        capacity=gm.Parameter("capacity", gm.LogNormal(2e6, 4.0)), loss=gm.Parameter("loss", gm.LogNormal(80.0, 4.0))
    )
    fit = gm.calibrate(twin_of(network), gm.Record(times, {"air": np.asarray(truth.readings["air"])}, inputs))
    assert bool(fit.status.ok)
    found = fit.twin.belief.values()
    assert float(found["capacity"]) == pytest.approx(3e6, rel=1e-3)
    assert float(found["loss"]) == pytest.approx(60.0, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gm.ThermalNode(0.0, 300.0), "capacity of a thermal node must be positive, not 0"),
        (lambda: gm.ThermalNode(1.0, -5.0), "initial temperature of a thermal node in K must be positive, not -5"),
        (lambda: gm.ThermalLink("a", "b"), "The link between 'a' and 'b' needs either a conductance or a resistance"),
        (lambda: gm.ThermalLink("a", "b", conductance=-1.0), "conductance of the link .* zero or positive, not -1"),
        (lambda: gm.ThermalLink("a", "b", resistance=0.0), "resistance of the link .* positive, not 0"),
        (lambda: gm.ThermalNetwork({}), "at least one node"),
        (lambda: gm.ThermalNetwork({"a": gm.ThermalNode(1.0)}, (), {"a": 300.0}), "both a node and a boundary"),
        (
            lambda: gm.ThermalNetwork({"a": gm.ThermalNode(1.0)}, [gm.ThermalLink("a", "b", conductance=1.0)]),
            "ends at 'b', which does not exist: there are a",
        ),
        (
            lambda: gm.ThermalNetwork({"a": gm.ThermalNode(1.0)}, [gm.ThermalLink("a", "a", conductance=1.0)]),
            "not 'a' and 'a'",
        ),
        (
            lambda: gm.ThermalNetwork({"a": gm.ThermalNode(1.0)}, heats=[gm.HeatFlow("b", 1.0)]),
            "Heat flows into 'b': the nodes are a",
        ),
        (lambda: gm.HeatFlow("a", float("nan")), "heat into node 'a' must be finite"),
        (lambda: gm.LinearOde(house(), 0.0), "time step must be positive, not 0.0 s"),
        (lambda: house().initial(), "Node 'fabric' starts steady, which needs the inputs"),
    ],
)
def test_mistakes_are_said_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_steady_start_that_does_not_exist_is_reported():
    network = gm.ThermalNetwork({"body": gm.ThermalNode(1.0)}, heats=[gm.HeatFlow("body", 1.0)])
    assert not bool(gm.simulate(twin_of(network), {}, [0.0, 1.0]).status.ok)


FILE = """
name = "house"
[model]
physics = "thermal-network"
step = "10 min"
[nodes.air]
capacity = "$capacity"
initial = "17 degC"
[nodes.fabric]
capacity = "8 kWh/K"
initial = "steady"
[boundaries.outdoor]
value = { input = "outdoor" }
[boundaries.ground]
value = "11 degC"
[[links]]
between = ["air", "fabric"]
conductance = "400 W/K"
[[links]]
between = ["fabric", "outdoor"]
resistance = "0.01 K/W"
[[links]]
between = ["ground", "fabric"]
conductance = { input = "fan", gain = "2 W/K" }
[[heats]]
node = "air"
value = { input = ["heater", "fan"], gain = "-$power", offset = "1 W" }
[parameters.capacity]
median = "2 kWh/K"
factor = 2
[parameters.power]
mean = "-1 kW"
std = "0.1 kW"
[inputs.outdoor]
unit = "degC"
[inputs.heater]
unit = ""
[inputs.fan]
unit = ""
[sensors.air]
kind = "output"
output = "air"
unit = "degC"
noise = "0.2 degC"
"""


def test_the_twin_file_makes_the_network(tmp_path):
    twin = TwinFile.parse(FILE, tmp_path).build()
    analysis = twin.analysis
    assert isinstance(analysis, gm.LinearOde)
    assert analysis.step == 600.0
    network = gm.bind(analysis.system, twin.belief.values())
    assert isinstance(network, gm.ThermalNetwork)
    assert (network.output_names, network.boundary_names) == (("air", "fabric"), ("outdoor", "ground"))
    signals = {"outdoor": 273.15, "heater": 0.5, "fan": 3.0}
    np.testing.assert_allclose(network.start(signals)[0], 290.15)
    heat, outdoor, ground = 1501.0, 100.0 * 273.15, 6.0 * 284.15
    np.testing.assert_allclose(network.forcing(signals), [heat / 7.2e6, (outdoor + ground) / 2.88e7])
    np.testing.assert_allclose(network.matrix(signals)[1], np.array([400.0, -506.0]) / 2.88e7)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('node = "air"', 'node = "sky"', r"heats\.0\.node: there is no node 'sky': the file has air, fabric"),
        ('["air", "fabric"]', '["air", "sky"]', r"links\.0\.between: there is no node or boundary 'sky': .* ground"),
        ('["air", "fabric"]', '["air"]', r"links\.0\.between: its length must be at least 2, not 1\."),
        ('["air", "fabric"]', '["air", "air"]', r"nodes: A link joins two nodes, or a node and a boundary"),
        ('["fabric", "outdoor"]', '["ground", "outdoor"]', r"not 'ground' and 'outdoor'"),
        ('conductance = "400 W/K"', "", r"links\.0: The link between 'air' and 'fabric' needs either"),
        ('"400 W/K"', '"400 W"', r"links\.0\.conductance: .*wrong unit"),
        ('"400 W/K"', '"-4 W/K"', r"links\.0: The conductance of the link .* zero or positive, not -4"),
        ('"8 kWh/K"', '"0 J/K"', r"nodes\.fabric: The capacity of a thermal node must be positive, not 0"),
        ('"11 degC"', '"11 W"', r"boundaries\.ground\.value: .*wrong unit"),
        ("[boundaries.ground]", "[boundaries.air]", r"'air' is both a node and a boundary"),
        ('"10 min"', '"-10 min"', r"model\.step: The time step must be positive"),
        ('output = "air"', 'output = "sky"', r"unknown output 'sky': the model has air, fabric"),
        ('noise = "0.2 degC"\n', "", r"sensors\.air\.noise: the key 'noise' is missing"),
        ('noise = "0.2 degC"', 'noise = "1 K"\nblur = "9 mm"', r"sensors\.air\.blur: unknown key 'blur': allowed are"),
        ('unit = "degC"\nnoise', 'unit = "V"\nnoise', r"sensors\.air\.unit: this sensor reads a quantity in K"),
        (
            "[parameters.power]",
            '[mesh.box]\nsize = ["1 m", "1 m"]\ncells = [1, 1]\n[parameters.power]',
            r"takes no 'mesh'",
        ),
        ('step = "10 min"', 'stride = "10 min"', r"unknown key 'stride': allowed are physics, step"),
        (
            'kind = "output"\noutput = "air"',
            'kind = "point"\nposition = []',
            r"sensors\.air\.kind: the physics 'thermal-network' has no field to read: choose 'output'\.",
        ),
        (
            'kind = "output"',
            'kind = "ouput"',
            r"air\.kind: 'ouput' is not allowed: choose 'output'\.$",
        ),
        ('initial = "17 degC"', "", r"nodes\.air\.initial: the key 'initial' is missing"),
    ],
)
def test_mistakes_have_their_place(old, new, message, tmp_path, every_mistake):
    assert FILE.count(old) == 1
    text = FILE.replace(old, new)
    if new == "[boundaries.air]":
        text = text.replace('["ground", "fabric"]', '["outdoor", "fabric"]')
    with pytest.raises(TwinFileError, match=message) as caught:
        TwinFile.parse(text, tmp_path).build()
    assert str(caught.value) in every_mistake(text, tmp_path)


def test_other_physics_refuse_the_tables_of_a_network(tmp_path):
    text = """
name = "cell"
[model]
physics = "equivalent-circuit"
step = "1 s"
current = "1 A"
capacity = "1 Ah"
open_circuit_voltage = { knots = [0, 1], values = ["3 V", "4 V"] }
series_resistance = { knots = [0, 1], values = ["1 mohm", "1 mohm"] }
[[heats]]
node = "air"
value = "1 W"
"""
    with pytest.raises(TwinFileError, match=r"heats: the physics 'equivalent-circuit' takes no 'heats'"):
        TwinFile.parse(text, tmp_path).build()
