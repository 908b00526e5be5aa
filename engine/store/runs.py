"""Runs on disk: a zarr (version 3) group of times, readings and fields.

Layout::

    times                 (n,) in s, absent for runs without time
    <group>/<sensor>      (n,) or (), for the groups readings, parametric, predictive, model_error, noise
    fields/<name>         arrays of any shape
    attributes            format, sensors, fields, groups, and what the writer adds
"""

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from gemel.engine.store.files import StoreError, publish_folder

FORMAT = 1
_CHUNK = 1 << 18


@dataclass(frozen=True)
class RunData:
    """A run as plain arrays in SI units: ``series[group][sensor]``, ``fields[name]``, attributes as JSON."""

    times: np.ndarray | None
    series: Mapping[str, Mapping[str, np.ndarray]]
    fields: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors in the order of the readings."""
        return tuple(self.series.get("readings", {}))


def require_replaceable(path: Path) -> None:
    """Raise `StoreError` where something else than a run, or an empty folder, stands at ``path``."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        open_run(path, fields=False)
    except (StoreError, KeyError, ValueError) as error:
        raise StoreError(f"'{path}' is there and holds no run: it is not replaced, choose another name.") from error


def write_run(path: Path, run: RunData) -> None:
    """Write a run so that ``path`` is whole or as it was before. Raises as `require_replaceable` does."""
    import zarr

    require_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        root = zarr.create_group(str(temporary), zarr_format=3)
        if run.times is not None:
            _put(root, "times", run.times)
        for group, columns in run.series.items():
            for sensor, values in columns.items():
                _put(root, f"{group}/{_key(sensor)}", values)
        for name, values in run.fields.items():
            _put(root, f"fields/{_key(name)}", values)
        own = {
            "format": FORMAT,
            "has_time": run.times is not None,
            "groups": list(run.series),
            "sensors": list(run.sensors),
            "fields": list(run.fields),
        }
        root.attrs.update({**run.attributes, **own})
        publish_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def open_run(path: Path, fields: bool = True) -> RunData:
    """Read a run; without ``fields`` their arrays are left on disk.

    Raises `StoreError` where ``path`` holds none.
    """
    import zarr

    if not (path / "zarr.json").is_file():
        raise StoreError(f"'{path}' holds no run.")
    root = zarr.open_group(str(path), mode="r")
    attributes = dict(root.attrs)
    if attributes.get("format") != FORMAT:
        raise StoreError(f"'{path}' holds no run of format {FORMAT}.")
    times = _get(root, "times") if attributes["has_time"] else None
    series = {
        group: {sensor: _get(root, f"{group}/{_key(sensor)}") for sensor in _names(attributes, "sensors")}
        for group in _names(attributes, "groups")
    }
    names = _names(attributes, "fields") if fields else []
    return RunData(times, series, {name: _get(root, f"fields/{_key(name)}") for name in names}, attributes)


def _names(attributes: Mapping[str, Any], key: str) -> list[str]:
    return [str(name) for name in attributes[key]]


def _put(root: Any, name: str, values: np.ndarray) -> None:
    values = np.asarray(values)
    chunks = tuple(max(1, min(size, _CHUNK)) for size in values.shape)
    array = root.create_array(name, shape=values.shape, dtype=values.dtype, chunks=chunks)
    array[...] = values


def _get(root: Any, name: str) -> np.ndarray:
    return np.asarray(root[name][...])


def _key(name: str) -> str:
    """A name as one path component."""
    key = quote(name, safe=" +-_=,()")
    taken = key.startswith((".", "__")) or key == "zarr.json"
    return f"%{ord(key[0]):02X}{key[1:]}" if taken else key
