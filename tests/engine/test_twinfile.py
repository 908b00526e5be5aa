"""Twin files: what they build, and one sentence with its place for every mistake."""

import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import gemel as gm
from gemel.engine.twinfile import MissingDataError, TwinFile, TwinFileError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

PLATE = """
name = "plate"

[mesh.box]
size = ["40 mm", "30 mm"]
cells = [4, 3]

[mesh.cell_tags.hot]
low = ["0 mm", "0 mm"]
high = ["10 mm", "30 mm"]

[model]
physics = "heat"
element = "Q1"
analysis = "transient"
step = "10 s"
initial = "20 degC"

[materials.all]
conductivity = "$k"
capacity = "2e6 J/m^3/K"

[[conditions]]
kind = "convection"
on = "right"
coefficient = "25 W/m^2/K"
ambient = "20 degC"

[[conditions]]
kind = "power"
on = "hot"
value = { input = "heater", gain = "-2 * $p", offset = "1 W" }

[parameters.k]
median = "45 W/m/K"
factor = 2

[parameters.p]
mean = "-0.1 W"
std = "0.05 W"
unit = "mW"

[inputs.heater]
unit = "percent"

[sensors.T]
kind = "point"
position = ["20 mm", "15 mm"]
unit = "degC"
noise = "0.1 degC"
lag = "3 s"

[data]
file = "log.csv"
time = { column = "t", unit = "min" }

[data.readings.T]
column = "T"
unit = "degC"

[data.inputs.heater]
column = "u"
unit = "percent"

[calibration]
until = "2 min"
"""

LOG = "t,T,u\n0,20,0\n1,20.5,50\n2,21,50\n3,,50\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path


def test_a_file_becomes_the_twin_it_describes(folder):
    file = TwinFile.parse(PLATE, folder)
    twin = file.build()
    assert twin.name == "plate"
    assert set(twin.parameters) == {"k", "p"}
    assert twin.inputs == ("heater",)
    assert twin.parameters["p"].unit == "mW"
    assert float(twin.belief.values()["k"]) == pytest.approx(45.0)
    record = file.record()
    assert record.times is not None
    np.testing.assert_allclose(record.times, [0, 60, 120, 180])
    np.testing.assert_allclose(np.asarray(record.readings["T"]), [293.15, 293.65, 294.15, np.nan])
    np.testing.assert_allclose(record.inputs["heater"].values, [0, 0.5, 0.5, 0.5])
    training = file.training(record)
    assert training.times is not None
    assert len(training.times) == 2
    run = gm.simulate(twin, record.inputs, record.times)
    assert run.readings["T"].shape == (4,)
    assert float(run.readings["T"][-1]) > 293.15


@pytest.mark.slow
def test_energy_goes_where_the_file_says(folder):
    """The heat of the heater, 1 W + 0.2 W u, less what convection takes, warms the plate."""
    text = PLATE.replace('coefficient = "25 W/m^2/K"', 'coefficient = "1e-9 W/m^2/K"').replace(
        'kind = "point"\nposition = ["20 mm", "15 mm"]', 'kind = "average"\non = "all"'
    )
    twin = TwinFile.parse(text.replace('lag = "3 s"', ""), folder).build()
    inputs = {"heater": gm.Series(np.array([0.0]), np.array([0.5]))}
    run = gm.simulate(twin, inputs, [0.0, 100.0])
    capacity = 2e6 * 0.04 * 0.03
    rise = float(run.readings["T"][-1] - run.readings["T"][0])
    assert rise == pytest.approx((1.0 + 2 * 0.1 * 0.5) * 100.0 / capacity, rel=1e-6)


ROD = """
name = "rod"

[mesh.box]
size = ["2 m", "0.1 m"]
cells = [8, 1]

[model]
physics = "elasticity"
element = "Q2"
kinematics = "plane stress"
analysis = "dynamic"
step = "10 us"
damping_beta = "$beta"

[materials.all]
youngs_modulus = "200 GPa"
poisson_ratio = 0
density = "8000 kg/m^3"

[[conditions]]
kind = "clamp"
on = "left"

[[conditions]]
kind = "traction"
on = "right"
value = [{ input = "pull" }, "0 Pa"]

[parameters.beta]
median = "1 us"
factor = 2

[inputs.pull]
unit = "MPa"

[sensors.end]
kind = "average"
on = "right"
facets = true
component = "x"
unit = "mm"
noise = "1 um"

[sensors.speed]
kind = "point"
position = ["2 m", "0.05 m"]
reads = "velocity"
component = "x"
unit = "m/s"
noise = "1 mm/s"

[sensors.shock]
kind = "point"
position = ["1 m", "0.05 m"]
reads = "acceleration"
component = "x"
unit = "m/s^2"
noise = "1 m/s^2"
"""


@pytest.mark.slow
def test_a_dynamic_model_of_a_rod_that_is_pulled_suddenly(tmp_path):
    """Its end moves at p/ρc until the wave comes back, to twice the static displacement; the middle waits for it."""
    twin = TwinFile.parse(ROD, tmp_path).build()
    pull = {"pull": gm.Series(np.array([0.0]), np.array([10e6]))}
    times = np.array([0.0, 1e-4, 4e-4, 8e-4])  # the wave needs 0.4 ms for the 2 m
    run = gm.simulate(twin, pull, times)
    assert run.status.ok
    np.testing.assert_allclose(run.readings["end"], [0.0, 25e-6, 100e-6, 200e-6], atol=6e-6)
    assert float(run.readings["speed"][1]) == pytest.approx(10e6 / (8000 * 5000), rel=0.2)
    analysis: Any = twin.analysis
    nodes = np.asarray(analysis.physics.problem.space.nodes())
    middle = int(np.argmin(np.linalg.norm(nodes - [1.0, 0.05], axis=1)))
    assert float(run.readings["shock"][-1]) == pytest.approx(float(run.state["a"][2 * middle]), rel=1e-6)
    slope = jax.grad(lambda beta: gm.simulate(twin, pull, times, {"beta": beta}).readings["end"][-1])(1e-6)
    assert float(slope) < 0  # damping takes from the overshoot


GAUGED = """
name = "strip"
mesh.box = { size = ["2 m", "1 m"], cells = [4, 2] }
model = { physics = "elasticity", element = "Q1", analysis = "static", kinematics = "plane stress" }
materials.all = { youngs_modulus = "100 Pa", poisson_ratio = 0.25 }
conditions = [
  { kind = "displacement", on = "left", component = "x", value = "0 m" },
  { kind = "displacement", on = "bottom", component = "y", value = "0 m" },
  { kind = "pressure", on = "right", value = "-3 Pa" },
]
sensors.e = { kind = "strain", position = ["1.1 m", "30 cm"], direction = [0, 2], unit = "percent", noise = "1 ppm" }
"""


def test_a_strain_gauge(tmp_path):
    run = gm.simulate(TwinFile.parse(GAUGED, tmp_path).build())
    assert float(run.readings["e"]) == pytest.approx(-0.25 * 0.03)
    for old, new, sentence in (
        ("[0, 2]", "[0, 0]", "sensors.e: Sensor 'e': the direction (0.0, 0.0) has no length"),
        ('"percent"', '"mm"', "sensors.e.unit: this sensor reads a quantity in no unit, not in 'mm'"),
    ):
        with pytest.raises(TwinFileError) as caught:
            TwinFile.parse(GAUGED.replace(old, new), tmp_path).build()
        assert sentence in str(caught.value)


def test_a_pipe_wall_in_axial_symmetry(tmp_path):
    """The logarithm of the radius between two temperatures."""
    text = """
name = "pipe"
mesh.box = { size = ["20 mm", "5 mm"], cells = [4, 1], origin = ["20 mm", "0 mm"] }
model = { physics = "heat", element = "Q3", analysis = "steady", axisymmetric = true }
materials.all.conductivity = "15 W/m/K"
conditions = [
  { kind = "temperature", on = "left", value = "400 K" },
  { kind = "temperature", on = "right", value = "300 K" },
]
sensors.T = { kind = "point", position = ["28.284271247 mm", "2 mm"], unit = "K", noise = "1 K" }
"""
    run = gm.simulate(TwinFile.parse(text, tmp_path).build())
    assert float(run.readings["T"]) == pytest.approx(350.0, abs=1e-3)  # at the geometric mean of the radii


ROD_MISTAKES = [
    ('step = "10 us"\n', "", "model: a dynamic analysis needs the key 'step'"),
    ('step = "10 us"', 'step = "10 us"\nmodes = 3', "model.modes: a dynamic analysis takes no 'modes'"),
    ('analysis = "dynamic"', 'analysis = "static"', "model.damping_beta: a static analysis takes no 'damping_beta'"),
    ('damping_beta = "$beta"', 'damping_beta = "1 Hz"', "wrong unit"),
    ('density = "8000 kg/m^3"\n', "", "the property 'density' is missing"),
    ('reads = "velocity"', 'reads = "speed"', "choose 'field', 'velocity' or 'acceleration'"),
    ('kinematics = "plane stress"', 'kinematics = "solid"', "solid"),
    ('unit = "m/s"', 'unit = "m"', "sensors.speed.unit: this sensor reads a quantity in m/s, not in 'm'"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), ROD_MISTAKES, ids=lambda text: text[:30].replace("\n", " "))
def test_a_mistake_in_a_dynamic_model_is_one_sentence(tmp_path, old, new, sentence, every_mistake):
    assert old in ROD
    with pytest.raises(TwinFileError) as caught:
        TwinFile.parse(ROD.replace(old, new, 1), tmp_path).build()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (str(caught.value) in every_mistake(ROD.replace(old, new, 1), tmp_path)) == (sentence not in ON_THE_MESH)


ON_THE_MESH = ("solid",)
"""Mistakes that only a model on its mesh shows."""

MISTAKES = [
    ('element = "Q1"', 'elemnt = "Q1"', "line 14, model.elemnt: unknown key 'elemnt': allowed are analysis"),
    ("[inputs.heater]", "[input.heater]", "line 43, input: unknown key 'input': allowed are boundaries, "),
    ("[inputs.heater]", "[input.heater]", "validation. Did you mean 'inputs'?"),
    (
        'noise = "0.1 degC"',
        'noise = "1 K"\nmodel_error = "1 K"',
        "a table with the keys correlation_time, std is wanted",
    ),
    ("cells = [4, 3]", "cells = [4, 3.5]", "mesh.box.cells.1: a whole number is wanted, not 3.5."),
    ('element = "Q1"', 'element = "P2"', "allowed are Q1, Q2, Q3"),
    ('element = "Q1"', "", "model.element: the key 'element' is missing"),
    (
        'physics = "heat"',
        'physics = "flow"',
        "line 13, model.physics: 'flow' is not allowed: choose 'heat', 'elasticity'",
    ),
    ('analysis = "transient"', 'analysis = "modal"', "'modal' is not allowed: choose 'steady' or 'transient'"),
    ('step = "10 s"', 'step = "10 kg"', "line 16, model.step: '10 kg' has the wrong unit: a quantity in s is needed"),
    ('step = "10 s"', 'step = "10"', "'10' has no unit"),
    ('step = "10 s"', 'step = "-1 s"', "time step must be positive"),
    ('conductivity = "$k"', 'conductivity = "$kk"', "unknown parameter '$kk': the file has k, p. Did you mean 'k'?"),
    ('conductivity = "$k"', 'conductivity = "$p"', "parameter '$p' is in"),
    ('conductivity = "$k"', 'conductivity = "45 W/m/K"', "parameter 'k' is used nowhere"),
    ('capacity = "2e6 J/m^3/K"', "", "the property 'capacity' is missing"),
    ('capacity = "2e6 J/m^3/K"', 'capacity = "-2 J/m^3/K"', "materials.all.capacity: The property 'capacity' must be"),
    ('capacity = "2e6 J/m^3/K"', 'density = "2 kg/m^3"', "'density' is not a property for heat"),
    ('on = "right"', 'on = "rigth"', "'boundary'. Did you mean 'right'?"),
    ('on = "hot"', 'on = "cold"', "cold"),
    ('kind = "convection"', 'kind = "convexion"', "'convexion' is not allowed for heat: choose temperature"),
    ('ambient = "20 degC"\n', "", "needs the key 'ambient'"),
    ('ambient = "20 degC"', 'ambient = "20 degC"\nvalue = "1 W"', "does not take 'value'"),
    ('input = "heater", gain', 'input = "heaters", gain', "unknown input 'heaters': the file has heater"),
    ('median = "45 W/m/K"', "", "a prior needs exactly"),
    ('median = "45 W/m/K"', 'median = "-45 W/m/K"', "must be positive"),
    ('unit = "degC"\nnoise', 'reads = "velocity"\nunit = "degC"\nnoise', "only a dynamic analysis has a velocity"),
    ("factor = 2", "factor = 0.5", "must exceed 1"),
    (
        'step = "10 s"',
        'step = "10 sce"',
        "'10 sce' has a unit that is not known: write a number",
    ),
    ('median = "45 W/m/K"', 'median = "45 W/m2K"', "'1 W/m/K'. Powers are written as in 'm^2', and products with '*'"),
    ("cells = [4, 3]", "cells = [4, 0]", "mesh.box.cells.1: it must be at least 1, not 0."),
    ('unit = "mW"', 'unit = "mm"', "does not fit"),
    (
        'unit = "percent"\n\n[sensors',
        'unit = "percentage"\n\n[sensors',
        "'percentage' is not a known unit. Did you mean 'percent'?",
    ),
    ('noise = "0.1 degC"', 'noise = "0 K"', "noise must be positive"),
    (
        'kind = "point"',
        'kind = "pont"',
        "sensors.T.kind: 'pont' is not allowed: choose 'point', 'average', 'integral', 'image', 'flux'. Did you mean "
        "'point'?",
    ),
    ('kind = "point"\n', "", "sensors.T.kind: the key 'kind' is missing: choose 'point', 'average'"),
    (
        'kind = "point"\nposition = ["20 mm", "15 mm"]',
        'kind = "strain"\nposition = ["20 mm", "15 mm"]\ndirection = [1, 0]',
        "sensors.T.kind: only a static or dynamic analysis of elasticity has strains: choose 'point' or 'average' or",
    ),
    (
        'position = ["20 mm", "15 mm"]',
        'position = ["20 mm", "95 mm"]',
        "sensors.T.position: the point lies outside the mesh, which reaches from (0, 0) m to (0.04, 0.03) m.",
    ),
    (
        'high = ["10 mm", "30 mm"]',
        'high = ["1 mm", "30 mm"]',
        "tags.hot: no cell of the mesh lies in the region 'hot'.",
    ),
    (
        'gain = "-2 * $p"',
        'gaim = "-2 * $p"',
        "unknown key 'gaim': allowed are gain, input, offset. Did you mean 'gain'?",
    ),
    (
        'conductivity = "$k"',
        'conductivity = "-$k"',
        "The property 'conductivity' must be positive: the prior of 'k' has no such value.",
    ),
    (
        'capacity = "2e6 J/m^3/K"',
        "capacity = true",
        "materials.all.capacity: text in quotes, such as a quantity with its",
    ),
    ('conductivity = "$k"', 'conductivity = "$k + 1"', "'$k + 1' cannot stand here: write '$name', '-$name' or"),
    (
        'conductivity = "$k"',
        'conductivity = ["$k"]',
        "text in quotes, such as a quantity with its unit, is wanted, not ['",
    ),
    ('lag = "3 s"', 'lag = "-3 s"', "sensors.T.lag: The lag of a sensor must be zero or positive, not -3."),
    ('step = "10 s"', "step = 10 s", "line 16, column 11: expected newline"),
    (
        'position = ["20 mm", "15 mm"]',
        'position = ["20 mm"]',
        "sensors.T.position: a point of this mesh has 2 coordinates, not 1",
    ),
    ("cells = [4, 3]", "cells = [4, 3, 2]", "2 numbers are needed"),
    ('high = ["10 mm", "30 mm"]', 'high = ["-10 mm", "30 mm"]', "cell_tags.hot.high: along x 'high' lies below 'low'."),
    ('[mesh.box]\nsize = ["40 mm", "30 mm"]\ncells = [4, 3]', '[mesh]\nfile = "no.msh"', "no.msh"),
    ('name = "plate"', 'name = "plate', "line 2"),
    ('name = "plate"', 'name = "a plate/"', "line 2, name: it must be made of letters, digits, '_', '-' and '.', the"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), MISTAKES, ids=lambda text: text[:30].replace("\n", " "))
def test_a_mistake_is_one_sentence_with_its_place(folder, old, new, sentence, every_mistake):
    assert old in PLATE
    with pytest.raises(TwinFileError) as caught:
        TwinFile.parse(PLATE.replace(old, new, 1), folder).build()
    message = str(caught.value)
    assert sentence in message
    assert message.startswith("twin.toml")
    assert "\n" not in message
    assert (message in every_mistake(PLATE.replace(old, new, 1), folder)) == (sentence not in ON_THE_MESH)


DATA_MISTAKES = [
    ('column = "T"', 'column = "Temp"', LOG, "has no column 'Temp': it has t, T, u"),
    ("", "", LOG.replace("20.5", "warm"), "line 3 of 'log.csv' holds 'warm' in column 'T'"),
    ("", "", "t,T,u\n0,20,0\n0,21,0\n", "data: 'log.csv' has 1 different time: at least 2 must be there"),
    (
        "",
        "",
        LOG.replace("0.5,50", "0.5,"),
        "data.inputs.heater: the input has no number at 60 s: give 'fill', or 'start' and 'end'",
    ),
    ("", "", "t,T,u\n", "holds no samples"),
    ('unit = "min"', 'unit = "K"', LOG, "'K' does not fit a quantity in 's'"),
    ("[data.readings.T]", "[data.readings.T2]", LOG, "the twin has no sensor 'T2': it has T"),
    ('column = "T"\nunit = "degC"', 'column = "T"\nunit = "V"', LOG, "'V' does not fit a quantity in 'degC'"),
    ('until = "2 min"', 'until = "-1 s"', LOG, "calibration.until: no sample lies before '-1 s': the first is at 0 s"),
    ('until = "2 min"', 'until = "1 h"', LOG, "'1 h' lies beyond all samples: the last one is at 180 s"),
    ('until = "2 min"', 'until = "2024-01-31"', LOG, "'2024-01-31' is a time stamp, but the times of the data are"),
]


@pytest.mark.parametrize(("old", "new", "log", "sentence"), DATA_MISTAKES, ids=range(len(DATA_MISTAKES)))
def test_a_mistake_in_the_data_is_one_sentence(tmp_path, old, new, log, sentence):
    (tmp_path / "log.csv").write_text(log)

    def read():
        file = TwinFile.parse(PLATE.replace(old, new, 1) if old else PLATE, tmp_path)
        return file.training(file.record())

    with pytest.raises(TwinFileError, match=sentence):
        read()


def test_until_may_be_a_time_stamp_as_the_data_have_them(tmp_path):
    stamps = ["2024-03-05T06:00+01:00", "2024-03-05T06:01+01:00", "2024-03-05T06:02+01:00", "2024-03-05T06:03+01:00"]
    rows = LOG.splitlines()
    (tmp_path / "log.csv").write_text(
        "\n".join([rows[0], *(f"{s}{r[1:]}" for s, r in zip(stamps, rows[1:], strict=True))])
    )
    text = PLATE.replace('unit = "min"', 'unit = "datetime"')
    for until, count in (("2024-03-05T05:02Z", 2), ("2024-03-05T06:02:01+01:00", 3), ("2 min", 2)):
        file = TwinFile.parse(text.replace("2 min", until), tmp_path)
        part = file.training(*file.inspect())
        np.testing.assert_array_equal(part.times, 60.0 * np.arange(count))
    for until, sentence in (
        ("2024-03-05T06:02", "the stamp '2024-03-05T06:02' has no zone, but the stamps of the data have one"),
        ("2024-03-05T05:00Z", "no sample lies before '2024-03-05T05:00Z': the first is at 2024-03-05T05:00:00Z"),
        ("2025-03-05T05:00Z", "lies beyond all samples: the last one is at 2024-03-05T05:03:00Z"),
        ("noon", "'noon' is neither a time stamp such as"),
    ):
        file = TwinFile.parse(text.replace("2 min", until), tmp_path)
        with pytest.raises(TwinFileError, match=f"calibration.until: .*{sentence}"):
            file.training(*file.inspect())


def test_a_missing_data_file_is_its_own_error(tmp_path):
    with pytest.raises(MissingDataError, match=r"line \d+, data.file: the data file 'log.csv' does not exist"):
        TwinFile.parse(PLATE, tmp_path).record()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_broken_files_raise_nothing_else(data):
    """Cutting and mixing lines of a valid file either parses or is refused in one sentence."""
    lines = PLATE.splitlines()
    start = data.draw(st.integers(0, len(lines) - 1))
    stop = data.draw(st.integers(start, len(lines)))
    junk = data.draw(st.text(max_size=20))
    text = "\n".join([*lines[:start], junk, *lines[stop:]])
    try:
        TwinFile.parse(text, ".")
    except TwinFileError as error:
        assert "Traceback" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/twin.toml")))
def test_every_example_builds(name):
    twin = gm.load_twin(EXAMPLES / name / "twin.toml")
    assert twin.name == name
    assert len(twin.parameters) >= 3
    assert jax.tree.leaves(twin.analysis)
    assert os.fspath(EXAMPLES)
