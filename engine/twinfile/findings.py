"""What is found in measured data while it is read, as facts and sentences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gemel.engine.datareport import ChannelReport, Span, count_of, enumerated
from gemel.engine.fellows import Parting, partings
from gemel.engine.screening import outliers, stuck, suspects
from gemel.engine.signals import Record
from gemel.engine.trends import FEWEST
from gemel.engine.twinfile.channels import Channel, Part
from gemel.engine.twinfile.clocks import goes_back_an_hour
from gemel.engine.twinfile.images import PixelColumn
from gemel.engine.twinfile.schema import ColumnTable
from gemel.engine.units import compatible, difference_in_words

Instant = Callable[[float], str]


@dataclass(frozen=True)
class Flaws:
    """What looks wrong with a reading in the window: ``(m,)`` whether a sample is an outlier, and whether a suspect at
    an end; first and last samples of the stretches in which the sensor seems stuck."""

    outliers: np.ndarray
    suspects: np.ndarray
    stuck: tuple[tuple[int, int], ...]


def find_flaws(parts: Sequence[Part]) -> dict[str, Flaws]:
    """Screen all readings, each beside the others."""
    courses = {
        name: (part.seconds, channel.values[part.inside]) for part in parts for name, channel in part.readings.items()
    }
    found = {}
    for name, (times, values) in courses.items():
        others = [course for other, course in courses.items() if other != name]
        found[name] = Flaws(outliers(values), suspects(values), tuple(stuck(times, values, others)))
    return found


def without(channel: Channel, flaws: Flaws, part: Part) -> Channel:
    """A reading whose flaws are missing samples, and counted."""
    places = np.flatnonzero(part.inside)
    values, left_out = channel.values.copy(), dict(channel.left_out)
    frozen = np.zeros(len(places), dtype=bool)
    for first, last in flaws.stuck:
        frozen[first : last + 1] = np.isfinite(values[places[first : last + 1]])
    for reason, bad in (("outliers", flaws.outliers), ("stuck", frozen & ~flaws.outliers)):
        if bad.any():
            left_out[reason] = int(bad.sum())
            values[places[bad]] = np.nan
    return replace(channel, values=values, left_out=left_out)


def channel_report(
    name: str, kind: Literal["reading", "input"], unit: str, part: Part, channel: Channel, flaws: Flaws | None
) -> ChannelReport:
    """The facts about a channel in the window; ``flaws`` are those of a reading, None for an input."""
    inside, times = part.inside, part.seconds
    values = channel.values[inside]
    kept = np.isfinite(values)
    at, known = times[kept], values[kept]
    steps = np.diff(at)
    longest = int(np.argmax(steps)) if len(steps) else None
    rows = part.source.rows_inside(inside)
    return ChannelReport(
        name,
        kind,
        unit,
        instants=len(times),
        samples=len(known),
        missing=int(channel.absent[inside].sum()),
        spacing=float(np.median(steps)) if len(steps) else float("nan"),
        span=Span(float(at[0]), float(at[-1]), len(at)) if len(at) else None,
        gap=None if longest is None else Span(float(at[longest]), float(at[longest + 1]), 2),
        duplicates=int(rows.sum()) - len(times),
        conflicts=int(channel.conflicting[inside].sum()),
        out_of_order=int((part.source.late & rows).sum()),
        outliers=() if flaws is None else tuple(times[flaws.outliers].tolist()),
        suspects=() if flaws is None else tuple(times[flaws.suspects].tolist()),
        stuck=() if flaws is None else tuple(_span(times, *stretch) for stretch in flaws.stuck),
        left_out=channel.left_out,
        low=float(known.min()) if len(known) else float("nan"),
        high=float(known.max()) if len(known) else float("nan"),
    )


def notes(parts: Sequence[Part]) -> list[str]:
    """Sentences on how files were read, and on rows that were put in order, merged or passed over, by source."""
    found = []
    for part in parts:
        source = part.source
        rows = source.rows_inside(part.inside)
        counts = {
            "out of order, now sorted": (source.late & rows).sum(),
            "at times that other rows have, merged with them": rows.sum() - part.inside.sum(),
            "without a time, left out": (source.index < 0).sum(),
        }
        found += [f"{source.files}: {count_of(int(count), 'row')} {what}." for what, count in counts.items() if count]
        found += source.clock.notes
        found += [note for sheet in source.sheets for note in sheet.notes]
    return list(dict.fromkeys(found))


def cautions(parts: Sequence[Part]) -> list[str]:
    """Sentences on clocks that may be wrong."""
    return [
        f"{part.source.files}: the time stamps have no zone and go back by one hour: where that is the end of summer "
        "time, the hours before and after it are mixed."
        for part in parts
        if part.source.clock.zoned is False and goes_back_an_hour(part.source.clock.times)
    ]


def departures(
    record: Record, columns: Mapping[str, ColumnTable], flaws: Mapping[str, Flaws], when: Instant
) -> tuple[list[str], list[str]]:
    """Sentences on sensors that part from others of their dimension, and one on those that go with no other one and
    have enough samples for a fit to see a drift; images, and what seems stuck, are passed over.

    Args:
        record: what was read.
        columns: of its readings, by name.
        flaws: likewise.
        when: an instant in words.
    """
    groups: list[list[str]] = []
    for name, column in columns.items():
        if isinstance(column, PixelColumn) or flaws[name].stuck:
            continue
        same = [group for group in groups if compatible(columns[group[0]].unit, column.unit)]
        if same:
            same[0].append(name)
        else:
            groups.append([name])
    times = np.asarray(record.times)
    inputs = [np.asarray(series.at(times)) for series in record.inputs.values()]
    found, alone = [], []
    for group in groups:
        courses = {name: np.asarray(record.readings[name], float) for name in group}
        parted, rest = partings(times, courses, inputs)
        found += [_departure(one, columns[one.sensors[0]].unit, when) for one in parted]
        alone += [name for name in rest if np.isfinite(courses[name]).sum() >= FEWEST]
    return found, [_not_compared(alone)] if alone else []


def _departure(one: Parting, unit: str, when: Instant) -> str:
    size = difference_in_words(one.change, unit, "+.3g")
    how = f"by {size} over the record" if one.step is None else f"by {size} at {when(one.step)}"
    what = "a drift" if one.step is None else "a move or an adjustment"
    if not one.fellows:
        both = " and ".join(one.sensors)
        return f"{both}: they go together, but part {how}: {what} of one would explain it, not known of which."
    cure = "; 'drift' lets the fit find it" if one.step is None else ""
    fellows = " and ".join(one.fellows)
    return (
        f"{one.sensors[0]}: it goes with {fellows}, but parts from them {how}: {what} of it would explain that{cure}."
    )


def _not_compared(names: Sequence[str]) -> str:
    who, (verb, them) = enumerated(names), ("drift", "them") if len(names) > 1 else ("drifts", "it")
    return f"Whether {who} {verb} is for a fit to say: no other sensor runs closely enough along with {them}."


def _span(times: np.ndarray, first: int, last: int) -> Span:
    return Span(float(times[first]), float(times[last]), last - first + 1)
