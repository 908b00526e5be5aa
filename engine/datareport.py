"""What is to be said about measured data: gaps, repeats, outliers, stuck sensors, what was left out and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from gemel.engine.images import image_by_pixel
from gemel.engine.units import compatible

_LONG_GAP = 10.0
"""A gap is worth a warning where it is so many times the usual spacing of its channel, and ..."""
_GAP_SHARE = 0.02
"""... at least this share of the time from its first sample to its last."""
_MUCH_MISSING = 0.1
"""The share of missing samples that is worth a warning."""

_COLD = 120.0
"""Temperatures in K that are rarer than columns in degrees Celsius which are said to be in K."""

_NAMED = 5
"""Outliers whose times are named."""

REASONS = {
    "infinite": "infinite",
    "flag": "a flag that is not good",
    "valid": "outside the valid range",
    "outliers": "far from the neighbours",
    "stuck": "one value repeated while other sensors move",
}
"""Why samples are left out."""


@dataclass(frozen=True)
class Span:
    """A part of a record: its first and last time in s, and how many samples it has."""

    start: float
    end: float
    samples: int


@dataclass(frozen=True)
class ChannelReport:
    """The facts about the samples of one sensor or input, in SI units, in the window that is read.

    Attributes:
        name: of the sensor or input.
        kind: which of the two.
        unit: the unit of its column.
        instants: how many different times its clock has.
        samples: how many of them have a value that is kept.
        missing: how many have no value in the file.
        filled: how many holes of an input were filled.
        spacing: the median time between samples in s; NaN for fewer than two.
        span: the first and the last sample; None where there is none.
        gap: the longest time between neighbouring samples; None for fewer than two.
        duplicates: rows that repeat a time.
        conflicts: times with several values that differ, of which the mean is taken.
        out_of_order: rows that come after a row of a later time.
        outliers: the times of samples that look like outliers.
        suspects: those of samples at the ends that lie far from their neighbours: wrong, or part of a step.
        stuck: stretches in which the sensor repeats one value while others move.
        left_out: how many samples were left out, by the key of `REASONS`.
        low: the least value kept; NaN where there is none.
        high: the greatest.
    """

    name: str
    kind: Literal["reading", "input"]
    unit: str
    instants: int
    samples: int
    missing: int = 0
    filled: int = 0
    spacing: float = float("nan")
    span: Span | None = None
    gap: Span | None = None
    duplicates: int = 0
    conflicts: int = 0
    out_of_order: int = 0
    outliers: tuple[float, ...] = ()
    suspects: tuple[float, ...] = ()
    stuck: tuple[Span, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class DataReport:
    """What reading a record found.

    Attributes:
        channels: one for each reading, of an image for all its pixels together, then for each input.
        origin: the time stamp that is zero seconds; None where times are numbers.
        notes: sentences on rows that were put in order, merged or passed over, and on sensors without data.
        cautions: sentences on what may spoil a calibration, besides those of the channels.
        zoned: whether the origin is in UTC; else it is in the zone of the file, which is not known.
    """

    channels: tuple[ChannelReport, ...]
    origin: np.datetime64 | None = None
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    zoned: bool = False

    def instant(self, t: float) -> str:
        """A time in s in words: a stamp where the record has stamps."""
        if self.origin is None:
            return f"{t:g} s"
        stamp = self.origin + np.timedelta64(round(t * 1e9), "ns")
        return str(stamp.astype("datetime64[ms]")).removesuffix(".000") + ("Z" if self.zoned else "")

    def _instants(self, times: Sequence[float]) -> str:
        """The first few times in words."""
        return ", ".join([*map(self.instant, times[:_NAMED]), *(["…"] if len(times) > _NAMED else [])])

    def left_out(self) -> list[str]:
        """A sentence for each channel and reason for which samples were left out or filled."""
        lines = []
        for channel in self.channels:
            for reason, count in channel.left_out.items():
                if reason == "infinite":  # said among the warnings, as nobody asked for it
                    continue
                lines.append(f"{channel.name}: {count_of(count, 'sample')} left out: {REASONS[reason]}.")
            if channel.filled:
                lines.append(f"{channel.name}: {count_of(channel.filled, 'missing sample')} filled.")
        return lines

    def warnings(self) -> list[str]:
        """A sentence for each finding that may spoil a calibration."""
        lines = list(self.cautions)
        for channel in self.channels:
            lines += [f"{channel.name}: {sentence}" for sentence in self._findings(channel)]
        return lines

    def _findings(self, channel: ChannelReport) -> list[str]:
        found = []
        if channel.conflicts:
            found.append(f"{count_of(channel.conflicts, 'time')} with values that differ: their mean is taken.")
        if channel.low < 0 and compatible(channel.unit, "K"):
            found.append("values below absolute zero: is the unit of the column right?")
        elif channel.low < _COLD and channel.unit == "K":
            found.append(f"values down to {channel.low:.4g} K: is the column in degrees Celsius, 'degC'?")
        infinite = channel.left_out.get("infinite", 0)
        if infinite:
            found.append(f"{count_of(infinite, 'sample')} {'is' if infinite == 1 else 'are'} infinite: left out.")
        if channel.missing > _MUCH_MISSING * channel.instants:
            found.append(f"{100 * channel.missing / channel.instants:.0f} % of the samples are missing.")
        if channel.gap is not None and _is_long(channel):
            length = duration(channel.gap.end - channel.gap.start)
            found.append(f"no sample for {length} after {self.instant(channel.gap.start)}.")
        if channel.outliers:
            count, done = len(channel.outliers), "left out" if "outliers" in channel.left_out else "kept"
            lie = "sample lies" if count == 1 else "samples lie"
            found.append(f"{count} {lie} far from the neighbours, at {self._instants(channel.outliers)}: {done}.")
        if channel.suspects:
            count = len(channel.suspects)
            lie, them = ("lies", "it") if count == 1 else ("lie", "them")
            found.append(
                f"suspect: {count} of the first or last samples {lie} far from the neighbours, at "
                f"{self._instants(channel.suspects)}: wrong or part of a step, which cannot be told there; kept "
                f"('start' or 'end' would leave {them} out)."
            )
        for span in channel.stuck:
            done = "left out" if "stuck" in channel.left_out else "kept"
            found.append(
                f"one value, repeated {span.samples} times from {self.instant(span.start)} to "
                f"{self.instant(span.end)} while other sensors move: stuck? {done}."
            )
        return found


def pooled(report: DataReport, images: Mapping[str, Sequence[str]]) -> DataReport:
    """A report with one channel for all pixels of each image in place of one for each."""
    image_of = image_by_pixel(images)
    groups: dict[tuple[str, str], list[ChannelReport]] = {}
    for channel in report.channels:
        name = image_of.get(channel.name, channel.name) if channel.kind == "reading" else channel.name
        groups.setdefault((name, channel.kind), []).append(channel)
    whole = [group[0] if group[0].name == name else _pool(name, group) for (name, _), group in groups.items()]
    return replace(report, channels=tuple(whole))


def _pool(name: str, group: Sequence[ChannelReport]) -> ChannelReport:
    """Counts of samples are added, the rest is the widest of all; rows are the same for all pixels."""
    spans = [channel.span for channel in group if channel.span is not None]
    gaps = [channel.gap for channel in group if channel.gap is not None]
    known = [channel for channel in group if channel.samples]
    counts = ("instants", "samples", "missing", "conflicts")
    reasons = sorted({reason for channel in group for reason in channel.left_out})
    whole = (
        Span(min(s.start for s in spans), max(s.end for s in spans), max(s.samples for s in spans)) if spans else None
    )
    return replace(
        group[0],
        name=name,
        span=whole,
        gap=max(gaps, key=lambda gap: gap.end - gap.start, default=None),
        outliers=tuple(sorted(t for channel in group for t in channel.outliers)),
        suspects=tuple(sorted(t for channel in group for t in channel.suspects)),
        stuck=tuple(span for channel in group for span in channel.stuck),
        left_out={reason: sum(channel.left_out.get(reason, 0) for channel in group) for reason in reasons},
        low=min((channel.low for channel in known), default=float("nan")),
        high=max((channel.high for channel in known), default=float("nan")),
        **{key: sum(getattr(channel, key) for channel in group) for key in counts},
    )


def _is_long(channel: ChannelReport) -> bool:
    if channel.gap is None or channel.span is None:
        return False
    length, whole = channel.gap.end - channel.gap.start, channel.span.end - channel.span.start
    return length > _LONG_GAP * channel.spacing and length > _GAP_SHARE * whole


def without_samples(sensors: Sequence[str]) -> list[str]:
    """A sentence on sensors of which nothing was measured; none where there are none."""
    if not sensors:
        return []
    return [f"No data of the sensor{'s' if len(sensors) > 1 else ''} {', '.join(sensors)} of the twin."]


def count_of(number: int, thing: str) -> str:
    """A number of things: "1 row", "2 rows"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def enumerated(things: Sequence[str], word: str = "and") -> str:
    """Things side by side: "A", "A and B", "A, B and C"."""
    *others, last = things
    return f"{', '.join(others)} {word} {last}" if others else last


def labelled(sensor: str, experiment: str) -> str:
    """A sensor, and of several experiments, which have names, in which."""
    return f"{sensor} ({experiment})" if experiment else sensor


def duration(seconds: float) -> str:
    """A time in the greatest unit that leaves at least one of it: "15 min"."""
    unit, size = unit_of_time(seconds, 1.0)
    return f"{seconds / size:.3g} {unit}"


def unit_of_time(seconds: float, least: float) -> tuple[str, float]:
    """The greatest unit of which a time has at least so many, and how many seconds it is; seconds at the end."""
    units = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))
    return next(((name, size) for name, size in units if seconds >= least * size), ("s", 1.0))
