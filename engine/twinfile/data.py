"""Measured data named in a twin file: read, put in order, looked over, converted to SI."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gemel.engine.datareport import ChannelReport, DataReport, count_of, duration
from gemel.engine.signals import Record, Series
from gemel.engine.twinfile.channels import Channel, Part, filled, read_part
from gemel.engine.twinfile.clocks import read_instant, read_window
from gemel.engine.twinfile.datachecks import is_nan
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.findings import Instant, cautions, channel_report, departures, find_flaws, notes, without
from gemel.engine.twinfile.images import PixelColumn
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import DataTable, InputColumnTable
from gemel.engine.twinfile.sources import open_sources
from gemel.engine.units import parse, unit_of


def read_record(table: DataTable, place: Place, folder: Path, path: Path | None = None) -> Record:
    """The record that the ``[data]`` table describes; ``path`` overrides its file."""
    return read_data(table, place, folder, path)[0]


def read_data(table: DataTable, place: Place, folder: Path, path: Path | None = None) -> tuple[Record, DataReport]:
    """The record that the ``[data]`` table describes, and what was found in its files.

    Rows are put in order, and rows of one time become one sample. Readings on clocks of their own stand on the union
    of the clocks of all readings, NaN where they have no sample. Times are those of the files or, where these hold
    time stamps, seconds since the first one of a reading in the window.

    Args:
        table: what to read.
        place: where it stands, for errors.
        folder: where relative paths in it start.
        path: a file to read instead of the one, or those, that the table itself names.

    Raises:
        TwinFileError: for files that cannot be read as the table says, of which `MissingDataError` says that one is
            absent.
    """
    if table.values and not table.readings:
        return _single_values(table, place)
    sources = open_sources(table, place, folder, path)
    window = read_window([source.clock for source in sources], table, place)
    window = window.starting([source.instants for source in sources if source.readings or not table.readings])
    parts = [read_part(source, window, place, table.decimal) for source in sources]
    inputs, reports = {}, []
    when = DataReport((), window.origin, zoned=sources[0].clock.zoned is True).instant
    for part in parts:
        for name, channel in part.inputs.items():
            inputs[name], report = _input(part, name, channel, table.inputs[name], when)
            reports.append(report)
    flaws = find_flaws(parts)
    clocks, dead = [], []
    for part in parts:
        if not part.readings and table.readings:
            continue
        kept, alive = _chosen(part, inputs, table), _alive(part)
        dead += _dead_pixels(alive)
        readings = {}
        for name, channel in part.readings.items():
            column, _, here = part.source.readings[name]
            channel = without(channel, flaws[name], part) if table.outliers == "drop" else channel
            report = channel_report(name, "reading", column.unit, part, channel, flaws[name])
            if report.samples:
                reports.append(report)
            elif not (isinstance(column, PixelColumn) and any(alive[column.image])):
                raise here.error(_no_sample(report))
            readings[name] = channel.values[part.inside][kept]
        clocks.append((part.seconds[kept], readings))
    record = Record(*_one_clock(clocks), inputs)
    order = [*table.readings, *table.inputs]
    reports.sort(key=lambda report: (report.kind == "input", order.index(report.name)))
    late = [_late_input(name, series, record) for name, series in inputs.items()]
    report = DataReport(tuple(reports), window.origin, zoned=sources[0].clock.zoned is True)
    parted, alone = departures(record, table.readings, flaws, report.instant)
    warnings = [*cautions(parts), *dead, *(sentence for sentence in late if sentence), *parted]
    return record, replace(report, notes=(*notes(parts), *alone), cautions=tuple(warnings))


def _alive(part: Part) -> dict[str, list[bool]]:
    """Of each image, which pixels have a number in the window."""
    found: dict[str, list[bool]] = {}
    for name, (column, *_) in part.source.readings.items():
        if isinstance(column, PixelColumn):
            values = part.readings[name].values[part.inside]
            found.setdefault(column.image, []).append(bool(np.isfinite(values).any()))
    return found


def _dead_pixels(alive: Mapping[str, Sequence[bool]]) -> list[str]:
    """A sentence on each image some of whose pixels have no reading at all."""
    return [
        f"{image}: {pixels.count(False)} of {len(pixels)} pixels have no reading at all."
        for image, pixels in alive.items()
        if not all(pixels)
    ]


def _input(
    part: Part, name: str, channel: Channel, column: InputColumnTable, when: Instant
) -> tuple[Series, ChannelReport]:
    """The samples of an input in the window, and of one on a clock of its own those next to it, as a signal."""
    inside = part.inside if part.source.readings else part.near
    values = filled(channel.values, part.times, column.fill)
    missing = part.times[inside][~np.isfinite(values[inside])]
    if len(missing):
        raise part.source.inputs[name].place.error(_hole(missing, int(inside.sum()), column, when))
    holes = int(np.sum(~np.isfinite(channel.values[part.inside])))
    report = replace(channel_report(name, "input", column.unit, part, channel, None), filled=holes)
    return _series(part.times, values, inside, column.hold), report


def _hole(missing: np.ndarray, count: int, column: InputColumnTable, when: Instant) -> str:
    """That an input has no number at the times ``missing``, of ``count`` in all, and what to do."""
    first, last = when(float(missing[0])), when(float(missing[-1]))
    if len(missing) == count:
        return f"the input has no number at all, from {first} to {last}: is it the right column?"
    what = f"the input has no number at {first}"
    if len(missing) > 1:
        what = f"the input has no number at {len(missing)} of {count} times, the first at {first}, the last at {last}"
    if column.fill is not None:
        return f"{what}: there is nothing to fill it from by '{column.fill}'."
    return f"{what}: give 'fill', or 'start' and 'end' around what is missing."


def _series(times: np.ndarray, values: np.ndarray, keep: np.ndarray, hold: str) -> Series:
    """The samples in the window as a `Series`, which keeps each value until the next sample."""
    inside, values = times[keep], values[keep]
    if hold != "next" or len(inside) == 1:
        return Series(inside, values, hold == "previous")
    earlier = times[: int(np.argmax(keep))]
    before = earlier[-1] if len(earlier) and earlier[-1] < inside[0] else 2 * inside[0] - inside[1]
    return Series(np.concatenate([[before], inside]), np.concatenate([values, values[-1:]]))


def before(found: Mapping[str, tuple[Record, DataReport]], until: str | float) -> dict[str, Record]:
    """The samples of experiments before an instant; one without time is whole.

    Args:
        found: the record of each and what was found in its files.
        until: in s, or in words; see `read_instant`.

    Raises:
        ValueError: for an instant that cannot be read, before which an experiment has no sample, or after which none
            has any.
    """
    says = f"'{until}'" if isinstance(until, str) else f"{until:g} s"
    ends = {
        name: read_instant(until, report.origin, report.zoned) if isinstance(until, str) else until
        for name, (record, report) in found.items()
        if record.times is not None
    }
    if not ends:
        raise ValueError(f"there is nothing until {says}: the data have no time.")
    beyond: dict[float, str] = {}
    for name, end in ends.items():
        record, report = found[name]
        first, last = (float(np.asarray(record.times)[k]) for k in (0, -1))
        which = f" of experiment '{name}'" if name else ""
        if end <= first:
            raise ValueError(f"no sample{which} lies before {says}: the first is at {report.instant(first)}.")
        if np.sum(np.asarray(record.times) < end) == 1:
            raise ValueError(f"only one sample{which} lies before {says}, and a run in time has two or more.")
        beyond[end - last] = f"the last one{which} is at {report.instant(last)}"
    if min(beyond) > 0:
        raise ValueError(
            f"{says} lies beyond all samples: {beyond[min(beyond)]}; without 'until' all are fitted, and none held out."
        )
    return {
        name: record.between(float(record.times[0]), ends[name]) if record.times is not None else record
        for name, (record, _) in found.items()
    }


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


def _chosen(part: Part, inputs: Mapping[str, Series], table: DataTable) -> np.ndarray:
    """Which instants of a part in the window ``thin`` and ``every`` keep, as indices."""
    kept = np.arange(len(part.seconds))
    if table.thin:
        kept = thinned(part.seconds, inputs.values(), table.thin)
    return kept[:: table.every]


def _one_clock(clocks: Sequence[tuple[np.ndarray, dict[str, np.ndarray]]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Readings on the union of their clocks, NaN where they have no sample.

    Instants closer than a millionth of the smallest spacing on any one clock are one: they differ by rounding.
    """
    if len(clocks) == 1:
        return clocks[0]
    union = np.unique(np.concatenate([times for times, _ in clocks]))
    closest = 1e-6 * min((np.diff(times).min() for times, _ in clocks if len(times) > 1), default=0.0)
    union = union[np.concatenate([[True], np.diff(union) > closest])]
    readings = {}
    for times, found in clocks:
        at = np.searchsorted(union, times, side="right") - 1
        for name, values in found.items():
            readings[name] = np.full(len(union), np.nan)
            readings[name][at] = values
    return union, readings


def _late_input(name: str, series: Series, record: Record) -> str | None:
    if record.times is None or series.times[0] <= record.times[0]:
        return None
    late = duration(float(series.times[0] - record.times[0]))
    return f"{name}: the input begins {late} after the record; its first value is taken to have held before."


def _no_sample(report: ChannelReport) -> str:
    reasons = ", ".join(f"{count_of(count, 'sample')} by '{key}'" for key, count in report.left_out.items())
    why = f"left out are {reasons}" if reasons else f"column and window hold {report.instants} times and no number"
    return f"no sample of the reading is left: {why}."


def _single_values(table: DataTable, place: Place) -> tuple[Record, DataReport]:
    readings, reports = {}, []
    for name, text in table.values.items():
        here = place / "values" / name
        if is_nan(text):
            readings[name] = np.nan
            reports.append(ChannelReport(name, "reading", "", 1, 0, missing=1))
            continue
        unit = with_place(here, unit_of, text)
        value: Any = with_place(here, parse, text, unit)
        readings[name] = value
        reports.append(ChannelReport(name, "reading", unit, 1, 1, low=value, high=value))
    return Record(None, readings), DataReport(tuple(reports))
