"""The times of data files: numbers with a unit or time stamps, in order, cut by a window, in seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from gemel.engine.twinfile.columns import Sheet, numbers
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import DataTable, TimeTable
from gemel.engine.units import UnitError, check_unit, parse, to_si

STAMPS = "datetime"
"""The unit of a time that is given by stamps."""
_SECOND = np.timedelta64(10**9, "ns")


@dataclass(frozen=True)
class Clock:
    """The times of rows, as they stand in their files, and what is odd about them.

    Attributes:
        times: ``(rows,)`` floats in s, or ``datetime64[ns]`` where they are stamps; NaN or NaT where there is none.
        zoned: whether the stamps have a zone (then they are in UTC here); None for numbers.
        notes: a sentence for each change of the zone.
    """

    times: np.ndarray
    zoned: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """In words what the times are."""
        return {None: "numbers", True: "stamps with a zone", False: "stamps without a zone"}[self.zoned]


@dataclass(frozen=True)
class Window:
    """The part of the record that is kept, ``low <= t < high``, and the instant that is zero seconds (None: 0 s)."""

    low: Any = None
    high: Any = None
    origin: Any = None

    def inside(self, times: np.ndarray) -> np.ndarray:
        """Which of increasing times lie in the window, as booleans."""
        return self._between(times, 0)

    def near(self, times: np.ndarray) -> np.ndarray:
        """As `inside`, with the last time before and the first one after the window."""
        return self._between(times, 1)

    def _between(self, times: np.ndarray, more: int) -> np.ndarray:
        first = 0 if self.low is None else int(np.searchsorted(times, self.low))
        last = len(times) if self.high is None else int(np.searchsorted(times, self.high))
        at = np.arange(len(times))
        return (at >= first - more) & (at < last + more)

    def starting(self, clocks: Sequence[np.ndarray]) -> "Window":
        """The window with its origin at the first time stamp in it of some clocks; itself where times are numbers."""
        inside = [times[self.inside(times)] for times in clocks if times.dtype.kind == "M"]
        first = min((times.min() for times in inside if len(times)), default=None)
        return Window(self.low, self.high, first)

    def seconds(self, times: np.ndarray) -> np.ndarray:
        """Times as floats in s."""
        return times if self.origin is None else (times - self.origin) / _SECOND


def read_clock(sheets: Sequence[Sheet], table: TimeTable, place: Place, decimal: str = ".") -> Clock:
    """The times of all rows of files that are parts of one record, in the order of the rows.

    Stamps follow ISO 8601, to the microsecond; those with a zone become UTC, each with its own offset.

    Raises:
        TwinFileError: for a time that cannot be read, and for stamps of which only some have a zone.
    """
    if table.unit != STAMPS:
        with_place(place / "unit", check_unit, table.unit)
        require_scale(table.scale, place / "scale")
        read = (numbers(sheet, table.column, place, decimal) for sheet in sheets)
        parts = [np.where(np.isfinite(cells), cells, np.nan) for cells in read]
        return Clock(np.asarray(to_si(table.scale * np.concatenate(parts), table.unit), dtype=float))
    if table.scale != 1.0:
        raise (place / "scale").error("time stamps take no 'scale'.")
    times, notes, before = [], [], None
    for where, stamp, offset in _rows(sheets, table.column, place):
        times.append(stamp)
        if np.isnat(stamp):
            continue
        if before is not None and (before[1] is None) != (offset is None):
            has, had = ("no zone", "one") if offset is None else ("a zone", "none")
            raise place.error(f"{where} holds a time stamp with {has}, where the rows before have {had}.")
        if before is not None and before[1] != offset:
            notes.append(f"The zone changes from {_zone(before[1])} to {_zone(offset)} in {where}.")
        before = (where, offset)
    return Clock(np.array(times, dtype="datetime64[ns]"), before is not None and before[1] is not None, tuple(notes))


def require_scale(scale: float, place: Place) -> None:
    """Raise where the numbers of a column would be multiplied by nothing."""
    if not np.isfinite(scale) or scale == 0.0:
        raise place.error(f"the scale must be a number other than zero, not {scale:g}.")


def read_stamp(text: str) -> tuple[np.datetime64, timedelta | None]:
    """A stamp as in ISO 8601, in UTC where it has a zone, and the offset of that zone.

    Raises `ValueError` for other text and for years that ``datetime64[ns]`` does not hold.
    """
    stamp = datetime.fromisoformat(text)
    offset = stamp.utcoffset()
    if not 1678 <= stamp.year <= 2261:
        raise ValueError("a year must lie between 1678 and 2261")
    return np.datetime64(stamp.astimezone(UTC).replace(tzinfo=None) if offset is not None else stamp, "ns"), offset


def read_window(clocks: Sequence[Clock], table: DataTable, place: Place) -> Window:
    """The window from ``start`` to ``end``: stamps, or durations, which count from the first stamp of all.

    Raises:
        TwinFileError: for clocks of several kinds, and for bounds that do not fit them.
    """
    kinds = list(dict.fromkeys(clock.kind for clock in clocks))
    if len(kinds) > 1:
        raise place.error(f"the times of the data are {' and '.join(kinds)}: all must be of one kind.")
    zoned = clocks[0].zoned
    if zoned is None:
        low, high = (
            None if text is None else with_place(place / key, parse, text, "s")
            for key, text in (("start", table.start), ("end", table.end))
        )
        return _ordered(low, high, table, place)
    known = [clock.times[~np.isnat(clock.times)] for clock in clocks]
    first = min((times.min() for times in known if len(times)), default=None)
    low, high = (
        None if text is None or first is None else with_place(place / key, _bound, text, first, zoned)
        for key, text in (("start", table.start), ("end", table.end))
    )
    return _ordered(low, high, table, place)


def _ordered(low: Any, high: Any, table: DataTable, place: Place) -> Window:
    if low is not None and high is not None and not low < high:
        raise (place / "end").error(f"'end' must come after 'start', but {table.end} does not after {table.start}.")
    return Window(low, high)


def read_instant(text: str, origin: np.datetime64 | None, zoned: bool) -> float:
    """An instant in s of the time of a record, from a duration since its zero or, where it has stamps, one like them.

    Args:
        text: the instant in words.
        origin: the stamp that is zero seconds; None where times are numbers.
        zoned: whether the stamps have a zone.

    Raises:
        ValueError: for other text, and for a stamp that does not suit the times.
    """
    if origin is not None:
        return float((_bound(text, origin, zoned) - origin) / _SECOND)
    try:
        return parse(text, "s")
    except UnitError as error:
        if _is_stamp(text):
            says = f"'{text}' is a time stamp, but the times of the data are numbers: give a time such as '2 h'."
            raise ValueError(says) from error
        raise


def _is_stamp(text: str) -> bool:
    try:
        read_stamp(text)
    except ValueError:
        return False
    return True


def goes_back_an_hour(times: np.ndarray) -> bool:
    """Whether stamps, in the order of their rows, go back, and only by one hour: the end of summer time."""
    steps = np.diff(times[~np.isnat(times)]) / _SECOND
    back = steps[steps < 0]
    if not len(back):
        return False
    spacing = float(np.median(steps))
    return 0 < spacing < 1800 and bool(np.all(np.abs(back + 3600.0 - spacing) < 0.5 * spacing))


def _rows(sheets: Sequence[Sheet], column: str, place: Place) -> Iterator[tuple[str, np.datetime64, timedelta | None]]:
    for sheet in sheets:
        cells = sheet.cells[column]
        if cells.dtype.kind == "f":
            raise place.error(f"column '{column}' of '{sheet.file}' holds numbers: give 'unit' their unit of time.")
        known = timedelta(0) if column in sheet.zoned else None
        for row, cell in enumerate(cells):
            if cells.dtype.kind == "M":
                yield sheet.where(row), cell, known
            elif not cell:
                yield sheet.where(row), np.datetime64("NaT", "ns"), known
            else:
                yield sheet.where(row), *_stamp(cell, sheet.where(row), column, place)


def _stamp(text: str, where: str, column: str, place: Place) -> tuple[np.datetime64, timedelta | None]:
    try:
        return read_stamp(text)
    except ValueError as error:
        raise place.error(
            f"{where} holds '{text}' in column '{column}', which is no time stamp such as '2024-01-31T12:00:00Z'."
        ) from error


def _bound(text: str, first: np.datetime64, zoned: bool) -> np.datetime64:
    """A bound of data with stamps: a stamp like theirs, or a duration since the first. Raises `ValueError`."""
    try:
        stamp, offset = read_stamp(text)
    except ValueError:
        try:
            seconds = parse(text, "s")
        except UnitError as error:
            raise ValueError(
                f"'{text}' is neither a time stamp such as '2024-01-31T12:00' nor a duration since the first sample "
                "such as '2 h'."
            ) from error
        return first + np.timedelta64(round(seconds * 1e9), "ns")
    if (offset is not None) != zoned:
        says = "has no zone, but the stamps of the data have one" if zoned else "has a zone, but those of the data none"
        raise ValueError(f"the stamp '{text}' {says}.")
    return stamp


def _zone(offset: timedelta | None) -> str:
    seconds = 0 if offset is None else int(offset.total_seconds())
    return f"{'-' if seconds < 0 else '+'}{abs(seconds) // 3600:02d}:{abs(seconds) // 60 % 60:02d}"
