"""Images in twin files: their pixels as sensors, and what was measured of them as readings."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.images import ImageSensor, PixelSensor, pixel_grid
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.files import find
from gemel.engine.twinfile.numbers import lengths, with_place
from gemel.engine.twinfile.schema import ColumnTable, DataTable, Document, PictureTable
from gemel.engine.twinfile.sensortables import ImageSensorTable
from gemel.engine.units import parse


class PixelColumn(ColumnTable):
    """The column of a pixel of an ``image``, made from that of the image.

    ``beyond`` is that of one pixel more, ``array`` the name that one array of all pixels has ("" for none), ``grid``
    how many rows and columns they are, None for pixels at given points.
    """

    image: str
    beyond: str
    array: str
    grid: tuple[int, int] | None


def build_pixels(
    table: ImageSensorTable, shared: dict[str, Any], component: int, dim: int, place: Place
) -> list[PixelSensor]:
    """A sensor for each pixel on a mesh of ``dim`` dimensions; ``shared`` is what all sensors of fields have."""
    points = _points(table, place)
    if points.shape[-1] != dim:
        key = "points" if table.corners is None else "corners"
        raise (place / key).error(f"a point of this mesh has {dim} coordinates, not {points.shape[-1]}.")
    blur = 0.0 if table.blur is None else with_place(place / "blur", parse, table.blur, "m")
    direction = None if table.direction is None else tuple(table.direction)
    image = with_place(
        place,
        lambda: ImageSensor(points=points, component=component, direction=direction, blur=blur, **shared),
    )
    return image.sensors()


def _points(table: ImageSensorTable, place: Place) -> np.ndarray:
    if (table.points is None) == (table.corners is None):
        raise place.error("give either 'points' or 'corners' with 'columns' (and 'rows'), not both or none.")
    key, places = ("points", table.points) if table.corners is None else ("corners", table.corners)
    assert places is not None
    found = [lengths(one, place / key / i) for i, one in enumerate(places)]
    if len({len(one) for one in found}) > 1:
        raise (place / key).error("all places need the same number of coordinates.")
    if table.corners is None:
        for extra in ("rows", "columns"):
            if extra in table.model_fields_set:
                raise (place / extra).error(f"'{extra}' goes with 'corners', not with 'points'.")
        return np.asarray(found)
    if table.columns is None:
        raise place.error("the key 'columns' is missing: say how many pixels lie between the first two corners.")
    if (len(found) == 3) != (table.rows > 1):
        raise (place / "corners").error(
            "several rows need three corners: the first pixel, the last one of its row, the first one of the last "
            "row; one row needs two."
        )
    below = found[2] if len(found) == 3 else None
    return with_place(place / "corners", pixel_grid, found[0], found[1], below, table.rows, table.columns)


def images(document: Document) -> dict[str, list[str]]:
    """The names of the pixels of each image."""
    tables = document.sensors.items()
    return {name: pixel_names(document, [name]) for name, table in tables if isinstance(table, ImageSensorTable)}


def pixel_names(document: Document, names: Iterable[str]) -> list[str]:
    """Names of sensors, with those of its pixels in place of an image."""
    found = []
    for name in names:
        sensor = document.sensors.get(name)
        count = sensor.count if isinstance(sensor, ImageSensorTable) else 0
        found += [f"{name}.{i}" for i in range(1, count + 1)] or [name]
    return found


def with_pixels(document: Document, table: DataTable, place: Place, folder: Path) -> DataTable:
    """A data table with a column, or a value, for each pixel in place of those of an image.

    A column is called as its sign ``{}`` says, replaced by the number of the pixel, or else ``COLUMN.1``, ...

    Raises `TwinFileError` for values of an image of another size; for columns see `read_data`.
    """
    columns: dict[str, ColumnTable] = {}
    for name, column in table.readings.items():
        pixels = pixel_names(document, [name])
        if pixels == [name]:
            columns[name] = column
            continue
        pattern = column.column if "{}" in column.column else f"{column.column}.{{}}"
        own = [pattern.replace("{}", str(i)) for i in range(1, len(pixels) + 2)]
        array = pattern.removesuffix(".{}") if pattern.endswith(".{}") else ""
        whole = {"image": name, "beyond": own[-1], "array": array, "grid": _grid(document.sensors[name])}
        for pixel, one in zip(pixels, own, strict=False):
            columns[pixel] = PixelColumn(**{**dict(column), **whole, "column": one})
    values: dict[str, Any] = {}
    for name, value in table.values.items():
        pixels, here = pixel_names(document, [name]), place / "values" / name
        if pixels == [name] and not isinstance(document.sensors[name], ImageSensorTable):
            if not isinstance(value, str | float | int):
                raise here.error("one quantity is needed: only an image has several values.")
            values[name] = value
            continue
        measured = _measured(value, document.sensors[name], table, here, folder)
        if len(measured) != len(pixels):
            raise here.error(f"the image has {len(pixels)} pixels, but {len(measured)} values are given.")
        values |= dict(zip(pixels, measured, strict=True))
    return table.model_copy(update={"readings": columns, "values": values})


def _grid(sensor: Any) -> tuple[int, int] | None:
    """How many rows and columns of pixels a sensor has; None for other sensors, and pixels at given points."""
    image = isinstance(sensor, ImageSensorTable) and sensor.corners is not None
    return (sensor.rows, sensor.columns or 1) if image else None


def _measured(value: Any, sensor: Any, table: DataTable, place: Place, folder: Path) -> list[str | float]:
    """The values of all pixels, as quantities."""
    if not isinstance(value, PictureTable):
        return value if isinstance(value, list) else [value]
    path = find(value.file, place / "file", folder)
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = [line.split(table.separator) for line in text.splitlines() if line.strip()]
        numbers = np.array([[float(cell.replace(table.decimal, ".")) for cell in row] for row in rows])
    except (OSError, ValueError) as error:
        raise (place / "file").error(
            f"'{value.file}' is no picture: rows of numbers, as many in each, with '{table.separator}' in between."
        ) from error
    wanted = _grid(sensor)
    if wanted is not None and numbers.size == sensor.count and numbers.shape != wanted:
        has, needs = ("{} rows and {} columns".format(*shape) for shape in (numbers.shape, wanted))
        raise (place / "file").error(f"'{value.file}' has {has}, but the image {needs}.")
    found = (value.scale * numbers.ravel()).tolist()
    return [f"{number!r} {value.unit}".strip() if np.isfinite(number) else np.nan for number in found]
