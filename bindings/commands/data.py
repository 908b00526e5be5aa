"""``gemel data``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from gemel.bindings.application import configure_jax
from gemel.bindings.commands import common
from gemel.bindings.plan import plan_of
from gemel.bindings.report import written
from gemel.engine import ChannelReport, DataReport, Record, Twin
from gemel.engine.datareport import duration
from gemel.engine.twinfile import TwinFile, TwinFileError
from gemel.engine.twinfile.checks import UNCHECKED
from gemel.engine.twinfile.errors import Mistakes
from gemel.engine.twinfile.texts import read_text
from gemel.engine.units import from_si


def run(path: Path, data: Path | None) -> None:
    """Show what is in the data of a twin file, what was left out of them and what looks wrong; then raise
    `TwinFileError` for all mistakes in the file that can be found without building its model on its mesh.
    """
    configure_jax()
    file, mistakes, twin = TwinFile.examine(read_text(path), path.parent, str(path))
    if file is not None:
        gone: list[str] = []
        found = _read(file, data, mistakes, gone)
        whole = list(found) == list(file.experiments) and not gone and not mistakes.spoiled.paths
        for experiment, (record, report) in found.items():
            _show(f"{file.name}, {experiment}" if experiment else file.name, record, report)
        mistakes.note(file.validation)
        if whole:
            mistakes.note(_check_fit, file, found, twin)
    mistakes.check(by_line=True)
    if twin is None:
        common.console.print(UNCHECKED, soft_wrap=True)


def _read(
    file: TwinFile, data: Path | None, mistakes: Mistakes, gone: list[str]
) -> dict[str, tuple[Record, DataReport]]:
    """What was read of each experiment that can be, without channels that cannot, which are added to ``gone``, and what
    was found in it.
    """
    if data is not None and file.document.experiments:
        return mistakes.note(file.inspect_all, data, otherwise={})  # which one file cannot be
    found = {name: file.survey(mistakes, gone, data, name) for name in file.experiments}
    return {name: one for name, one in found.items() if one is not None}


def _check_fit(file: TwinFile, found: Mapping[str, tuple[Record, DataReport]], twin: Twin | None) -> None:
    """Raise `TwinFileError` where ``[calibration]`` does not suit the data, or, where there is a twin, that."""
    try:
        plan = plan_of(file, found)
        if twin is not None and twin.parameters:
            plan.check(twin)
    except TwinFileError:
        raise
    except ValueError as error:
        raise TwinFileError(f"{file.source}, calibration: {error}") from error


def _show(title: str, record: Record, report: DataReport) -> None:
    common.console.print(channel_table(title, report))
    if record.times is not None:
        times = np.asarray(record.times)
        span = f"{report.instant(float(times[0]))} to {report.instant(float(times[-1]))}"
        common.console.print(f"The record has {len(times)} times from {span}.", soft_wrap=True)
    common.say([*report.notes, *report.left_out()])
    show_warnings(report.warnings())


def show_warnings(lines: Sequence[str]) -> None:
    """Print findings that may spoil a calibration."""
    common.say((f"Data: {line}" for line in lines), "yellow")


def channel_table(name: str, report: DataReport) -> Table:
    """The channels of measured data, each in the unit of its column; what is odd about them is said in sentences.

    Single values, which have no time, stand there as they are.
    """
    table = Table(title=f"Data of {name}", title_justify="left")
    table.add_column("channel", overflow="fold")
    if all(channel.instants == 1 for channel in report.channels):
        table.add_column("value", justify="right", no_wrap=True)
        for channel in report.channels:
            table.add_row(escape(channel.name), _range(channel))
        return table
    for heading in ("samples", "missing or\nleft out", "one\nevery", "longest\ngap", "range"):
        table.add_column(heading, justify="right", no_wrap=True)
    for channel in report.channels:
        table.add_row(*_row(channel))
    return table


def _row(channel: ChannelReport) -> list[str]:
    share = 1 - channel.samples / max(channel.instants, 1)
    return [
        escape(channel.name) if channel.kind == "reading" else f"{escape(channel.name)} (input)",
        str(channel.samples),
        f"{100 * share:.3g} %",
        "–" if np.isnan(channel.spacing) else duration(channel.spacing),
        "–" if channel.gap is None else duration(channel.gap.end - channel.gap.start),
        _range(channel),
    ]


def _range(channel: ChannelReport) -> str:
    """The least and the greatest value, or the only one, with their unit."""
    if not channel.samples:
        return "–"
    ends = dict.fromkeys(f"{float(from_si(bound, channel.unit)):.5g}" for bound in (channel.low, channel.high))
    return f"{' … '.join(ends)} {written(channel.unit)}".rstrip()
