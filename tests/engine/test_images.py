"""Images of fields: what a pixel reads, a camera that finds a conductivity and a film, their data and their figures."""

import base64
import io
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import zarr
from rich.console import Console

import gemel as gm
from gemel.bindings.commands.calibrate import report
from gemel.bindings.page import plot_residuals
from gemel.bindings.pictures import plot_images
from gemel.bindings.plan import FitPlan, plan_fit
from gemel.bindings.report import comparison_table, plot_forecast, reading_table, value_table
from gemel.engine.observations import FieldObservation
from gemel.engine.results import comparison_figures

GRID = gm.pixel_grid((0.5, 0.5), (1.5, 0.5), (0.5, 0.9), 3, 5)


def test_a_pixel_is_a_mean_over_its_blur():
    """Gaussian means of a polynomial: x² + σ²; at a rim the half inside; a fibre reads the strain along it."""
    space = gm.FunctionSpace(gm.rectangle(4, 2, size=(2.0, 1.0)), "Q2")
    u = space.flatten(space.interpolate(lambda x: x[0] ** 2 + 3 * x[0] * x[1]))
    camera = gm.ImageSensor("camera", GRID, 0.1, blur=0.05)
    assert camera.shape == (3, 5)
    x, y = GRID[..., 0], GRID[..., 1]
    pixels = camera.sensors()
    mixed = [pixels[0], gm.PointSensor(name="p", position=(1.0, 0.5), noise=1.0), *pixels[1:]]
    found = np.asarray(FieldObservation.of(space, mixed).read(u))
    assert found[1] == pytest.approx(2.5)
    np.testing.assert_allclose(np.delete(found, 1).reshape(3, 5), x**2 + 0.05**2 + 3 * x * y, rtol=1e-12)
    rim = gm.ImageSensor("rim", gm.pixel_grid((0.0, 0.5), (1.0, 0.5), None, 1, 3), 0.1, blur=0.1)
    at = np.sqrt(3) * 0.1
    first = FieldObservation.of(space, rim.sensors()).read(u)[0]
    assert float(first) == pytest.approx((at**2 + 1.5 * at) / 5, rel=1e-9)
    solid = gm.FunctionSpace(gm.rectangle(2, 2), "Q2", (2,))
    bent = solid.flatten(solid.interpolate(lambda x: jax.numpy.stack([x[0] * x[1], 0.0 * x[0]])))
    fibre = gm.ImageSensor("fibre", np.array([[0.2, 0.3], [0.4, 0.6]]), 1e-6, direction=(2.0, 0.0))
    np.testing.assert_allclose(FieldObservation.of(solid, fibre.sensors()).read(bent), [0.3, 0.6], rtol=1e-12)


PLATE = """
name = "plate"
mesh.box = { size = ["40 mm", "30 mm"], cells = [8, 6] }
mesh.cell_tags.chip = { low = ["0 mm", "0 mm"], high = ["10 mm", "10 mm"] }
model = { physics = "heat", element = "Q1", analysis = "steady" }
materials.all = { conductivity = "$k" }
conditions = [
  { kind = "convection", on = "boundary", coefficient = "$h", ambient = "20 degC" },
  { kind = "power", on = "chip", value = "30 W" },
]
sensors.corner = { kind = "point", position = ["40 mm", "0 mm"], unit = "degC", noise = "0.1 K" }
parameters.k = { median = "3 W/m/K", factor = 3 }
parameters.h = { median = "20 W/m^2/K", factor = 3 }
data.values.corner = "35 degC"
data.values.camera = { file = "frame.csv", unit = "degC" }
calibration.sensors = ["camera"]

[sensors.camera]
kind = "image"
corners = [["2 mm", "2 mm"], ["38 mm", "2 mm"], ["2 mm", "28 mm"]]
rows = 5
columns = 8
blur = "1 mm"
unit = "degC"
noise = "0.2 degC"
"""

TRUTH = {"k": 5.0, "h": 35.0}


def printed(table) -> str:
    page = io.StringIO()
    Console(file=page, width=200).print(table)
    return page.getvalue()


@pytest.mark.slow
def test_a_camera_finds_a_conductivity_and_a_film(tmp_path):
    """From one noisy frame in a text file; verdict and tables speak of the camera, not of its 40 pixels."""
    file = gm.TwinFile.parse(PLATE, tmp_path)
    twin = file.build()
    assert list(twin.images) == ["camera"]
    assert len(twin.images["camera"]) == 40
    clean = gm.simulate(twin, parameters=TRUTH).stacked(twin.each(["camera"]))
    frame = np.asarray(clean) - 273.15 + 0.2 * np.random.default_rng(0).standard_normal(40)
    frame[17] = np.nan
    (tmp_path / "frame.csv").write_text("\n".join(",".join(map(repr, row)) for row in frame.reshape(5, 8).tolist()))
    record = file.record()
    assert np.isnan(record.readings["camera.18"])
    fit = gm.calibrate(twin, record, sensors=["camera"])
    found = {row.name: row for row in fit.table()}
    for name, truth in TRUTH.items():
        assert found[name].interval[0] < truth < found[name].interval[1]
        assert found[name].interval[1] / found[name].interval[0] < 1.2
    runs = gm.forecast(fit.twin)
    judged = gm.judge(fit, runs, record, record, ["camera"])
    assert {score.sensor: score.samples for score in judged.scores} == {"camera": 39, "corner": 1}
    camera = next(score for score in judged.scores if score.sensor == "camera")
    off = np.array([runs.run.readings[name] - record.readings[name] for name in twin.images["camera"]])
    assert camera.rmse == pytest.approx(np.sqrt(np.nanmean(off**2)))
    assert 0.15 < camera.rmse < 0.25
    assert "camera.1" not in " ".join(judged.reasons)
    table = printed(value_table(twin, gm.simulate(fit.twin_before()), runs, record, file.each(["camera"])))
    assert table.count("camera") == 1
    assert "camera (40 pixels) [°C]" in table
    assert "RMSE 0.1" in table or "RMSE 0.2" in table
    figures = comparison_figures(runs, record, record, file.each(["camera"]))
    assert printed(comparison_table(twin, figures)).count("camera (40 pixels)") == 1
    assert "camera (mean of 40 pixels)" in printed(reading_table(twin, gm.simulate(twin)))
    with pytest.raises(ValueError, match="it has corner, camera"):
        twin.sensor("camera.41")
    report(file, fit, plan_fit(file, None), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    picture = base64.b64encode((tmp_path / "out" / "image-camera.png").read_bytes()).decode()
    assert (
        f'<img alt="The image camera: measured, twin and their difference" src="data:image/png;base64,{picture}' in page
    )


@pytest.fixture(scope="module")
def plate() -> tuple[gm.ImageSensor, gm.ImageSensor, gm.Twin]:
    """A camera of 2 by 3 pixels, a fibre of 3, and a twin that has both."""
    grid = gm.pixel_grid((0.0, 0.0), (0.4, 0.0), (0.0, 0.2), 2, 3)
    camera = gm.ImageSensor("ca/mera", grid, 0.1, unit="degC")
    fibre = gm.ImageSensor("fibre", np.array([[0.0, 0.1], [0.3, 0.1], [0.3, 0.2]]), 0.1, unit="degC")
    heat = gm.Heat(gm.FunctionSpace(gm.rectangle(2, 2), "Q1"), 1.0, 1.0)
    return camera, fibre, gm.Twin("plate", gm.Transient(heat, 300.0, 1.0), [*camera.sensors(), *fibre.sensors()])


def test_pictures_show_measured_twin_and_difference_at_the_times_that_matter(tmp_path, monkeypatch, plate):
    """The last fitted time, the one of the largest difference, the last one; in °C and K, by rows and columns."""
    camera, fibre, twin = plate
    times = np.arange(0.0, 50.0, 10.0)
    read = 293.15 + np.arange(30.0).reshape(5, 2, 3)
    off = np.zeros((5, 2, 3))
    off[3], off[4, 0, 1] = 2.0, -1.0
    measured = read - off
    measured[1, 1, 2] = np.nan
    readings = {
        name: jnp.asarray(values) for name, values in (camera.readings(read) | fibre.readings(read[:, 0])).items()
    }
    run = gm.Run(jnp.asarray(times), readings, None, gm.Status(jnp.asarray(0, jnp.int32)), {})
    record = gm.Record(times, camera.readings(measured) | fibre.readings(measured[:, 0]))
    drawn: list[Any] = []
    monkeypatch.setattr("gemel.bindings.pictures.save", lambda drawing, path: drawn.append(drawing))
    found = plot_images(tmp_path, twin, run, record, record.between(0.0, 15.0), "monday")
    assert {name: path.name for name, path in found.items()} == {
        "ca/mera": "image-ca_mera-monday.png",
        "fibre": "image-fibre-monday.png",
    }
    axes = drawn[0].axes[:9]
    maps = np.ma.stack([axis.images[0].get_array() for axis in axes]).reshape(3, 3, 2, 3)
    for k, i in enumerate((1, 3, 4)):
        np.testing.assert_allclose(maps[k, 0], np.ma.masked_invalid(measured[i] - 273.15))
        np.testing.assert_allclose(maps[k, 1], read[i] - 273.15)
        np.testing.assert_allclose(maps[k, 2], np.ma.masked_invalid(measured[i] - read[i]), atol=1e-12)
    assert maps.mask.sum() == 2
    assert axes[2].images[0].get_clim() == pytest.approx((-2.0, 2.0))
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim()
    assert axes[0].images[0].get_extent() == pytest.approx([-100.0, 500.0, 300.0, -100.0])
    words = ["10 s\nend of the fitted part", "30 s\nlargest difference", "40 s\nlast"]
    assert [axis.get_ylabel().split("\n\n")[0] for axis in axes[::3]] == words
    assert [bar.get_ylabel() for bar in drawn[0].axes[9:]] == ["ca/mera [°C]", "difference [K]"]
    line = drawn[1].axes[2].lines[1]
    np.testing.assert_allclose(line.get_xdata(), [0.0, 300.0, 400.0])
    np.testing.assert_allclose(line.get_ydata(), read[3, 0] - 273.15)
    assert plot_images(tmp_path, twin, run, gm.Record(times, {})) == {}


def test_a_forecast_is_drawn_with_its_band_about_zero_and_residuals_with_the_noise(tmp_path, monkeypatch, plate):
    """Of an image one pixel that says so; below the readings what is off, and how much of it the band holds."""
    twin = plate[2].with_loss(gm.StudentT(3.0))
    times, names = np.arange(0.0, 600.0, 10.0), [sensor.name for sensor in twin.sensors]
    read, noise = dict.fromkeys(names, jnp.full(60, 300.0)), dict.fromkeys(names, jnp.full(60, 0.1))
    run = gm.Run(jnp.asarray(times), read, None, gm.Status(jnp.asarray(0, jnp.int32)), {})
    none = dict.fromkeys(names, jnp.zeros(60))
    forecast = gm.Forecast(run, none, noise, none, noise, twin.loss)
    off = 0.1 * np.random.default_rng(0).standard_t(3.0, 60)
    off[7] = 5.0
    record = gm.Record(times, dict.fromkeys(names, 300.0 + off))
    fitted, drawn = record.between(0.0, 300.0), []
    for module in ("report", "page"):
        monkeypatch.setattr(f"gemel.bindings.{module}.save", lambda drawing, path: drawn.append(drawing))
    plot_forecast(tmp_path / "forecast.png", twin, forecast, record, fitted)
    plan = FitPlan({"": record}, {"": fitted}, ("ca/mera",), gm.LevenbergMarquardt(0.0, 0.0, 0.0, 1))
    assert plot_residuals(tmp_path / "residuals.png", twin, forecast, plan, "")

    above, below, fibre, _ = drawn[0].axes
    assert above.get_ylabel() == "ca/mera, one of 6 pixels [°C]"
    assert fibre.get_ylabel() == "fibre, one of 3 pixels [°C]"
    zero, low, high, near, above_all, below_all = (line.get_ydata() for line in below.lines[:6])
    np.testing.assert_allclose(near, np.delete(off, 7), atol=1e-9)
    assert (len(above_all), len(below_all), set(zero)) == (1, 0, {0.0})
    half = 0.1 * scipy.stats.t.ppf(0.975, 3.0)
    np.testing.assert_allclose([low, high], np.multiply.outer([-half, half], np.ones(60)), rtol=1e-4)
    inside = [np.abs(part) <= half for part in (off[:30], off[30:])]
    shares = [f"{100 * part.mean():.0f} % of 30" for part in inside]
    assert below.get_title(loc="right") == f"in the band: {shares[0]} fitted, {shares[1]} held out"

    assert drawn[1].axes[0].get_ylabel() == "ca/mera, one of 6 pixels"
    density = drawn[1].axes[2]
    assumed = density.lines[0]
    np.testing.assert_allclose(assumed.get_ydata(), scipy.stats.t.pdf(assumed.get_xdata(), 3.0), rtol=1e-6)
    assert "Student-t, 3" in assumed.get_label()
    heights, edges, _ = density.patches[0].get_data()
    count = len(np.asarray(fitted.times))
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1.0 - 1 / count)  # off[7] is further off
    assert [text.get_text() for text in density.texts] == ["1 further off"]


@pytest.mark.slow
def test_images_over_time_come_from_columns_and_arrays(tmp_path):
    text = """
name = "bar"
mesh.box = { size = ["40 mm", "10 mm"], cells = [4, 1] }
model = { physics = "heat", element = "Q1", analysis = "transient", step = "10 s", initial = "20 degC" }
materials.all = { conductivity = "5 W/m/K", capacity = "$c" }
conditions = [ { kind = "flux", on = "left", value = "1 kW/m^2" } ]
sensors.row = { kind = "image", points = [["0 mm", "5 mm"], ["20 mm", "5 mm"]], unit = "degC", noise = "1 K" }
parameters.c = { median = "2 MJ/m^3/K", factor = 2 }
[data]
file = "log.csv"
time = { column = "t", unit = "s" }
readings.row = { column = "T{}", unit = "degC" }
"""
    (tmp_path / "log.csv").write_text("t,T1,T2\n0,20,20\n30,25,21\n60,27,22\n")
    file = gm.TwinFile.parse(text, tmp_path)
    expected = {"row.1": [293.15, 298.15, 300.15], "row.2": [293.15, 294.15, 295.15]}
    record, report = file.inspect()
    (channel,) = report.channels
    assert (channel.name, channel.samples, channel.high) == ("row", 6, pytest.approx(300.15))
    for name, values in expected.items():
        np.testing.assert_allclose(np.asarray(record.readings[name]), values)
    group = zarr.open_group(str(tmp_path / "log.zarr"), mode="w")
    group.create_array("t", data=np.array([0.0, 30.0, 60.0]))
    group.create_array("frames", data=np.array([[[20.0, 20.0]], [[25.0, 21.0]], [[27.0, 22.0]]]))
    stored = text.replace('"log.csv"', '"log.zarr"').replace("T{}", "frames")
    again = gm.TwinFile.parse(stored, tmp_path).record()
    for name, values in expected.items():
        np.testing.assert_allclose(np.asarray(again.readings[name]), values)
    less = '[["0 mm", "5 mm"]]'  # one pixel fewer than the data have
    for one in (text, stored):
        fewer = gm.TwinFile.parse(one.replace('[["0 mm", "5 mm"], ["20 mm", "5 mm"]]', less), tmp_path)
        with pytest.raises(gm.TwinFileError, match=r"data.readings.row.column: .* column '\w+\.?2', beyond the last"):
            fewer.record()
    (tmp_path / "log.csv").write_text("t,T1,T2\n0,20,\n30,25,\n60,27,\n")
    dead, report = file.inspect()
    assert np.isnan(np.asarray(dead.readings["row.2"])).all()
    assert report.channels[0].samples == 3
    assert "row: 1 of 2 pixels have no reading at all." in report.warnings()
    fit, alone = (
        gm.calibrate(file.build(), gm.Record(dead.times, {name: dead.readings[name] for name in names}))
        for names in (("row.1", "row.2"), ("row.1",))
    )
    np.testing.assert_allclose(fit.twin.belief.mean, alone.twin.belief.mean, rtol=1e-9)
    (tmp_path / "log.csv").write_text("t,T1,T2\n0,,\n30,,\n60,,\n")
    with pytest.raises(gm.TwinFileError, match="no sample of the reading is left"):
        file.record()
    row = gm.ImageSensor("row", np.array([[0.0, 0.005], [0.02, 0.005]]), 1.0)
    table = row.values(record.readings)
    assert table.shape == (3, 2)
    np.testing.assert_allclose(row.readings(table)["row.2"], expected["row.2"])
    assert gm.simulate(file.build(), times=[0.0, 30.0]).readings["row.2"].shape == (2,)


FILM = """
name = "film"
model = { physics = "heat", element = "Q1", analysis = "transient" }
[sensors.camera]
kind = "image"
corners = [["0 mm", "0 mm"], ["9 mm", "0 mm"], ["0 mm", "9 mm"]]
rows = ROWS
columns = COLUMNS
unit = "K"
noise = "1 K"
[data]
file = "log.zarr"
time = { column = "t", unit = "s" }
readings.camera = { column = "film", unit = "K" }
"""


def test_the_axes_of_an_array_are_time_rows_and_columns(tmp_path):
    """In every other order that can be seen it is refused; where lengths repeat, a note says how it was read."""
    for times, rows, columns in itertools.product((2, 3), (1, 2, 3), (1, 2, 3)):
        file = gm.TwinFile.parse(FILM.replace("ROWS", str(rows)).replace("COLUMNS", str(columns)), tmp_path)
        frames = np.arange(1.0, 1.0 + times * rows * columns).reshape(times, rows, columns)
        for order in itertools.permutations(range(3)):
            group = zarr.open_group(str(tmp_path / "log.zarr"), mode="w")
            group.create_array("t", data=np.arange(float(times)))
            group.create_array("film", data=frames.transpose(order))
            if frames.transpose(order).shape != frames.shape:
                with pytest.raises(gm.TwinFileError, match=r"data\.readings\.camera\.column: .*'film'|1 rows where"):
                    file.inspect()
            elif order == (0, 1, 2):
                record, report = file.inspect()
                found = [record.readings[f"camera.{i + 1}"] for i in range(rows * columns)]
                np.testing.assert_array_equal(np.stack(found, axis=1), frames.reshape(times, -1))
                seen = [n for n in (times, rows, columns) if n > 1]
                said = f"camera: of the array 'film' of 'log.zarr' axis 0 ({times}) as time, axis 1 ({rows}) as rows"
                assert any(said in note for note in report.notes) == (len(set(seen)) < len(seen))
    group = zarr.open_group(str(tmp_path / "log.zarr"), mode="w")
    group.create_array("t", data=np.arange(9.0))
    group.create_array("film", data=np.ones((9, 9)))
    file = gm.TwinFile.parse(FILM.replace("ROWS", "3").replace("COLUMNS", "3"), tmp_path)
    assert "axis 0 (9) as time, axis 1 (9) as pixels" in " ".join(file.inspect()[1].notes)
    group.create_array("tall", data=np.ones((9, 2, 4)))
    tall = FILM.replace("ROWS", "4").replace("COLUMNS", "2").replace('"film"', '"tall"', 2)
    tall = tall.replace('name = "tall"', 'name = "film"')
    with pytest.raises(gm.TwinFileError, match=r"line 14, .*shape \(9, 2, 4\), but image 'camera' of 4 rows and 2 col"):
        gm.TwinFile.parse(tall, tmp_path).record()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("rows = 5", "rows = 1", "sensors.camera.corners: several rows need three corners"),
        ("columns = 8\n", "", "sensors.camera: the key 'columns' is missing"),
        ("rows = 5", 'points = [["1 mm", "1 mm"]]\nrows = 5', "sensors.camera: give either 'points' or 'corners'"),
        ("columns = 8", "columns = 1", "camera.corners: An image of 1 column has the first and the last pixel"),
        ('["2 mm", "28 mm"]', '["2 mm", "2 mm"]', "An image of 5 rows has the first and the last pixel of a column"),
        ("rows = 5\ncolumns = 8", "rows = 8\ncolumns = 5", "has 5 rows and 8 columns, but the image 8 rows and 5 col"),
        ('["38 mm", "2 mm"]', '["48 mm", "2 mm"]', "Sensor 'camera.7' at (0.04142"),
        ('["2 mm", "28 mm"]', '["38 mm", "2 mm"]', "sensors.camera: Image 'camera' is blurred along its rows and col"),
        ('blur = "1 mm"', 'blur = "-1 mm"', "sensors.camera: The blur of image 'camera' must be a length in m"),
        ('blur = "1 mm"', "direction = [1, 0]", "sensors.camera.unit: this sensor reads a quantity in no unit"),
        ('"2 mm"], ["38 mm", "2 mm"]', '"2 mm"], ["38 mm"]', "sensors.camera.corners: all places need the same number"),
        ('{ file = "frame.csv", unit = "degC" }', '["1 K", "2 K"]', "the image has 40 pixels, but 2 values are given"),
        ('corner = "35 degC"', 'corner = ["35 degC"]', "data.values.corner: one quantity is needed"),
        ('unit = "degC" }\ncal', 'unit = "V" }\ncal', "data.values.camera.unit: the unit 'V' does not fit"),
        ('"frame.csv"', '"words.csv"', "data.values.camera.file: 'words.csv' is no picture"),
        ('"frame.csv"', '"none.csv"', "data.values.camera.file: the data file 'none.csv' does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, old, new, sentence):
    (tmp_path / "words.csv").write_text("1,2\n3,hot\n")
    (tmp_path / "frame.csv").write_text("\n".join(["1,2,3,4,5,6,7,8"] * 5))
    assert old in PLATE

    def read() -> None:
        file = gm.TwinFile.parse(PLATE.replace(old, new, 1), tmp_path)
        file.build()
        file.record()

    with pytest.raises(gm.TwinFileError) as caught:
        read()
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: gm.ImageSensor("i", np.zeros(3), 1.0), "not an array of shape"),
        (lambda: gm.ImageSensor("i", np.zeros((3, 2)), 1.0, blur=0.1), "give the points in a grid"),
        (
            lambda: gm.ImageSensor("i", gm.pixel_grid((0, 0.1), (1, 0.3), (2, 0.5), 3, 4), 1.0, blur=0.1),
            "rows and columns: they must run in different directions",
        ),
        (lambda: gm.ImageSensor("i", np.ones((1, 3, 2)), 1.0, blur=0.1), "no two neighbouring pixels"),
        (lambda: gm.ImageSensor("i", GRID, 1.0, direction=(0.0, 0.0)), "has no length"),
        (lambda: gm.ImageSensor("i", GRID, 1.0).readings(np.zeros((5, 3))), "has the shape (3, 5), not (5, 3)"),
        (lambda: gm.pixel_grid((0, 0), (1, 0), None, 2, 2), "a corner for rows"),
    ],
)
def test_a_wrong_image_is_refused(build, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()
    assert sentence in str(caught.value)
