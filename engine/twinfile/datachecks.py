"""Whether the tables of a twin file that name data, experiments and a calibration fit together and the twin."""

import math
import re
from collections.abc import Iterator
from typing import Any

from gemel.engine.twinfile.clocks import STAMPS
from gemel.engine.twinfile.errors import Mistakes, Place
from gemel.engine.twinfile.images import pixel_names
from gemel.engine.twinfile.modes import component_names
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import CircuitTable, ColumnTable, DataTable, Document, PictureTable
from gemel.engine.units import compatible, unit_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.]*")


def check_tables(document: Document, place: Place, mistakes: Mistakes) -> None:
    """Note where data tables name sensors or inputs that the twin does not have, or give them another dimension, and
    where what is said of experiments and calibration does not fit.
    """
    for name in ("data", "validation"):
        _check_data(document, getattr(document, name), place / name, mistakes)
    for name, table in document.experiments.items():
        mistakes.note(_check_name, name, place / "experiments" / name)
        _check_data(document, table, place / "experiments" / name, mistakes)
    mistakes.note(_check_experiments, document, place)
    for name in document.calibration.own:
        mistakes.note(_check_own, name, document, place / "calibration" / "own")
    known = sensor_names(document)
    for name in document.candidates:
        mistakes.note(_check_candidate, name, known, place / "candidates" / name)
    for i, name in enumerate(document.calibration.sensors or []):
        mistakes.note(_check_sensor, name, known, place / "calibration" / "sensors" / i)
    mistakes.note(_check_windows, document, place / "calibration")


def sensor_names(document: Document) -> list[str]:
    """What the sensors of a file are called: images, their pixels and the components of measured shapes among them."""
    names = list(document.sensors)
    return [*names, *(name for name in pixel_names(document, names) if name not in names), *component_names(document)]


def _check_data(document: Document, table: DataTable | None, place: Place, mistakes: Mistakes) -> None:
    """Note what is wrong with one table."""
    if table is None:
        return
    if table.file is not None and table.files is not None:
        mistakes.add((place / "files").error("give 'file' or 'files', not both."))
    for i, file in enumerate(table.files or []):
        if file in (table.files or [])[:i]:
            mistakes.add((place / "files" / i).error(f"the file '{file}' stands there twice."))
    for key, known in (("readings", document.sensors), ("values", document.sensors), ("inputs", document.inputs)):
        for name, entry in getattr(table, key).items():
            mistakes.note(
                _check_entry, "input" if key == "inputs" else "sensor", known, name, entry, place / key / name
            )
    if table.time is not None:
        mistakes.note(_check_time, place / "time", table.time.unit)


def _check_entry(kind: str, known: dict[str, Any], name: str, entry: Any, place: Place) -> None:
    if name not in known:
        raise place.unknown(f"the twin has no {kind} '{name}': it has", name, known)
    at = place / "unit" if isinstance(entry, ColumnTable | PictureTable) else place
    for unit in _units(entry, known[name].unit, place):
        _same_dimension(at, unit, known[name].unit)
    if isinstance(entry, ColumnTable) and entry.time is not None:
        _check_time(place / "time", entry.time.unit)


def _units(entry: Any, wanted: str, place: Place) -> Iterator[str]:
    """The units of a column, a picture, a quantity or several, which should be like one ``wanted``; a missing value has
    none.
    """
    if isinstance(entry, ColumnTable | PictureTable):
        yield entry.unit
    for value in entry if isinstance(entry, list) else [entry]:
        if isinstance(value, str | float | int) and not is_nan(value):
            yield with_place(place, unit_of, value, wanted)


def is_nan(value: Any) -> bool:
    """Whether a value of a data table stands for none."""
    return isinstance(value, float) and math.isnan(value)


def _check_name(name: str, place: Place) -> None:
    if not _NAME.fullmatch(name):
        raise place.error(f"an experiment is called by letters, digits, '_', '-' and '.', not '{name}'.")


def _check_experiments(document: Document, place: Place) -> None:
    if document.experiments and document.data is not None:
        raise (place / "data").error("a file with [experiments.NAME] has no [data]: make it one of the experiments.")


def _check_own(name: str, document: Document, place: Place) -> None:
    if name not in document.parameters:
        raise place.unknown(f"unknown parameter '{name}': the file has", name, document.parameters)
    if not document.experiments:
        raise place.error(
            "only experiments have parameters of their own: give tables [experiments.NAME] instead of [data]."
        )


def _check_sensor(name: str, known: list[str], place: Place) -> None:
    if name not in known:
        raise place.unknown(f"the twin has no sensor '{name}': it has", name, known)


def _check_candidate(name: str, known: list[str], place: Place) -> None:
    if name in known:
        raise place.error(f"a mounted sensor is called '{name}': give the candidate another name.")


def _check_windows(document: Document, place: Place) -> None:
    """Raise where windows of a fit do not fit the model, or what else is said of the fit."""
    table, here = document.calibration, place / "windows"
    if table.windows is None:
        return
    if not isinstance(document.model, CircuitTable):
        raise here.error(
            f"windows are for 'equivalent-circuit' models, not for '{document.model.physics}': each window has a state "
            "to find, on a mesh a whole field, which sensors do not determine; a network is fitted well by one run."
        )
    if table.starts > 1:
        raise here.error("a fit begins from 'windows' or from several 'starts', not from both.")
    if len(document.experiments) > 1:
        raise here.error(f"windows cut one record: the file has {len(document.experiments)} experiments.")


def _check_time(place: Place, unit: str) -> None:
    if unit != STAMPS:
        _same_dimension(place / "unit", unit, "s")


def _same_dimension(place: Place, unit: str, wanted: str) -> None:
    if not with_place(place, compatible, unit, wanted):
        needed = f"in '{wanted}'" if wanted else "without a unit"
        given = f"the unit '{unit}'" if unit else "a number without a unit"
        raise place.error(f"{given} does not fit a quantity {needed}.")
