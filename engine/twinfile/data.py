"""Measured data named in a twin file: found, fetched, read, converted to SI."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.signals import Record, Series
from gemel.engine.twinfile.errors import Place, TwinFileError
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import ColumnTable, DataTable, Document
from gemel.engine.units import check_unit, compatible, parse, to_si, unit_of


class MissingDataError(TwinFileError):
    """The data file of a twin can neither be found nor fetched."""


def check_data(document: Document, table: DataTable | None, place: Place) -> None:
    """Raise where a data table names sensors or inputs that the twin does not have, or gives them another dimension."""
    if table is None:
        return
    for key, known in (("readings", document.sensors), ("values", document.sensors), ("inputs", document.inputs)):
        for name, entry in getattr(table, key).items():
            here = place / key / name
            if name not in known:
                kind = "input" if key == "inputs" else "sensor"
                raise here.error(f"the twin has no {kind} '{name}': it has {', '.join(known) or 'none'}.")
            unit = entry.unit if isinstance(entry, ColumnTable) else with_place(here, unit_of, entry)
            _same_dimension(here, unit, known[name].unit)
    if table.time is not None:
        _same_dimension(place / "time", table.time.unit, "s")


def _same_dimension(place: Place, unit: str, wanted: str) -> None:
    if not with_place(place, compatible, unit, wanted):
        raise place.error(f"the unit '{unit}' does not fit a quantity in '{wanted}'.")


def read_record(table: DataTable, place: Place, folder: Path, path: Path | None = None) -> Record:
    """The record that the ``[data]`` table describes; ``path`` overrides its file."""
    if table.values and not table.readings:
        readings = {name: _single(name, value, place) for name, value in table.values.items()}
        return Record(None, readings)
    if table.time is None:
        raise place.error("the key 'time' is missing: name the column that holds the time.")
    source = path or locate(table, place, folder)
    needed = [table.time, *table.readings.values(), *table.inputs.values()]
    columns = read_columns(source, [column.column for column in needed], place)
    all_times = _convert(columns, table.time, place / "time")
    keep = _window(all_times, table, place)
    times = all_times[keep]
    if len(times) < 2 or not np.all(np.diff(times) > 0):
        rows = np.flatnonzero(np.diff(times) <= 0)
        where = f"sample {int(rows[0]) + 1} is at {times[rows[0] + 1]:g} s" if len(rows) else f"{len(times)} samples"
        raise place.error(f"the times in '{source.name}' must increase: {where}.")
    inputs = {
        name: _series(
            all_times,
            _finite(_convert(columns, column, place / "inputs" / name), keep, name, place),
            keep,
            column.hold,
        )
        for name, column in table.inputs.items()
    }
    kept = thinned(times, inputs.values(), table.thin) if table.thin else np.arange(len(times))
    kept = kept[:: table.every]
    readings = {
        name: _convert(columns, column, place / "readings" / name)[keep][kept]
        for name, column in table.readings.items()
    }
    return Record(times[kept], readings, inputs)


def _series(times: np.ndarray, values: np.ndarray, keep: np.ndarray, hold: str) -> Series:
    """The samples in the window as a `Series`, which keeps each value until the next sample."""
    inside, values = times[keep], values[keep]
    if hold != "next":
        return Series(inside, values, hold == "previous")
    earlier = times[: int(np.argmax(keep))]
    before = earlier[-1] if len(earlier) and earlier[-1] < inside[0] else 2 * inside[0] - inside[1]
    return Series(np.concatenate([[before], inside]), np.concatenate([values, values[-1:]]))


def thinned(times: np.ndarray, inputs: Iterable[Series], fraction: float) -> np.ndarray:
    """Which samples to keep where the response after each jump of an input slows down: indices into ``times``.

    An input jumps where it changes by more than a twentieth of its range from one sample to the next.
    """
    jumps = np.zeros(len(times), dtype=bool)
    for series in inputs:
        values = np.asarray(series.values)
        changes = np.flatnonzero(np.abs(np.diff(values)) > 0.05 * np.ptp(values)) + 1
        at = np.searchsorted(times, np.asarray(series.times)[changes])
        jumps[at[at < len(times)]] = True
    near = jumps.copy()
    near[1:] |= jumps[:-1]
    near[:-1] |= jumps[1:]
    near[[0, -1]] = True
    kept, last, since = [], times[0], times[0]
    for i, t in enumerate(times):
        if near[i] or t - last >= fraction * (t - since):
            kept.append(i)
            last = t
        if jumps[i]:
            since = t
    return np.asarray(kept)


def locate(table: DataTable, place: Place, folder: Path) -> Path:
    """The data file: where ``file`` says (environment variables are expanded), else fetched from ``url`` once."""
    if table.file is not None:
        expanded = os.path.expandvars(table.file)
        path = folder / expanded
        if "$" not in expanded and path.is_file():
            return path
        if table.url is None:
            raise MissingDataError(f"{place / 'file'}: the data file '{table.file}' does not exist.")
    if table.url is None or table.sha256 is None:
        raise place.error("give 'file', or 'url' with 'sha256'.")
    return _fetch(table.url, table.sha256, place)


def _fetch(url: str, sha256: str, place: Place) -> Path:
    import pooch

    try:
        pooch.get_logger().setLevel("ERROR")
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", path=pooch.os_cache("gemel")))
    except ValueError as error:
        raise MissingDataError(f"{place / 'url'}: what {url} holds does not have the checksum {sha256}.") from error
    except Exception as error:
        raise MissingDataError(f"{place / 'url'}: {url} cannot be fetched ({type(error).__name__}).") from error


def read_columns(path: Path, names: list[str], place: Place) -> dict[str, np.ndarray]:
    """Named columns of a CSV file as floats; empty cells become NaN."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise place.error(f"the data file '{path}' cannot be read ({error}).") from error
    if len(rows) < 2:
        raise place.error(f"the data file '{path.name}' holds no samples.")
    header = [name.strip() for name in rows[0]]
    body = [row for row in rows[1:] if any(cell.strip() for cell in row)]
    columns = {}
    for name in names:
        if name not in header:
            raise place.error(f"the data file '{path.name}' has no column '{name}': it has {', '.join(header)}.")
        position = header.index(name)
        columns[name] = np.array([_float(row, position, i, name, path, place) for i, row in enumerate(body, start=2)])
    return columns


def _float(row: list[str], position: int, line: int, name: str, path: Path, place: Place) -> float:
    text = row[position].strip() if position < len(row) else ""
    try:
        return float(text) if text else float("nan")
    except ValueError as error:
        raise place.error(
            f"line {line} of '{path.name}' holds '{text}' in column '{name}', which is no number."
        ) from error


def _convert(columns: dict[str, np.ndarray], table: ColumnTable, place: Place) -> np.ndarray:
    with_place(place / "unit", check_unit, table.unit)
    return np.asarray(to_si(table.scale * columns[table.column], table.unit), dtype=float)


def _window(times: np.ndarray, table: DataTable, place: Place) -> np.ndarray:
    keep = np.isfinite(times)
    if table.start is not None:
        keep &= times >= with_place(place / "start", parse, table.start, "s")
    if table.end is not None:
        keep &= times < with_place(place / "end", parse, table.end, "s")
    return keep


def _finite(values: np.ndarray, keep: np.ndarray, name: str, place: Place) -> np.ndarray:
    missing = np.flatnonzero(~np.isfinite(values) & keep)
    if len(missing):
        raise (place / "inputs" / name).error(f"sample {int(missing[0])} of the input has no number.")
    return values


def _single(name: str, value: Any, place: Place) -> Any:
    here = place / "values" / name
    return with_place(here, lambda: parse(value, unit_of(value)))
