"""One channel of measured data: its column, cleaned of what the twin file leaves out, one value a time."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gemel.engine.datareport import count_of
from gemel.engine.twinfile.clocks import Clock, Window, require_scale
from gemel.engine.twinfile.columns import Sheet, good, numbers
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import ColumnTable, FlagTable
from gemel.engine.units import check_unit, parse, to_si


class Entry(NamedTuple):
    """A channel as the twin file describes it: its column, the flag that holds for it, and where it stands."""

    column: ColumnTable
    flag: FlagTable | None
    place: Place


@dataclass(frozen=True)
class Source:
    """Files that are parts of one record on one clock, and the channels read from them.

    Attributes:
        sheets: the files, in order.
        clock: the times of all rows.
        instants: ``(n,)`` the different times, increasing.
        index: ``(rows,)`` at which of them each row is; -1 for rows without a time.
        late: ``(rows,)`` whether a row comes after one of a later time.
        readings, inputs: what is read, by name.
    """

    sheets: tuple[Sheet, ...]
    clock: Clock
    instants: np.ndarray
    index: np.ndarray
    late: np.ndarray
    readings: dict[str, Entry]
    inputs: dict[str, Entry]

    @property
    def files(self) -> str:
        """The names of the files, in words."""
        names = [f"'{sheet.file}'" for sheet in self.sheets]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    def rows_inside(self, inside: np.ndarray) -> np.ndarray:
        """``(rows,)`` which rows belong to instants that are ``inside``, ``(n,)``; rows without a time do not."""
        return np.append(inside, False)[self.index]


@dataclass(frozen=True)
class Channel:
    """A channel with one value at every instant of its source.

    Attributes:
        values: ``(n,)`` in SI units, NaN where there is none.
        absent: ``(n,)`` whether the file has no value there.
        conflicting: ``(n,)`` whether it has several that differ.
        left_out: samples in the window that were left out, by reason.
    """

    values: np.ndarray
    absent: np.ndarray
    conflicting: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What a source adds to a record.

    Attributes:
        source: where it comes from.
        times: ``(n,)`` its instants in s.
        inside: ``(n,)`` which of them lie in the window.
        near: ``(n,)`` these, and the last one before and the first one after.
        readings, inputs: its channels by name.
    """

    source: Source
    times: np.ndarray
    inside: np.ndarray
    near: np.ndarray
    readings: dict[str, Channel]
    inputs: dict[str, Channel]

    @property
    def seconds(self) -> np.ndarray:
        """The instants in the window, in s."""
        return self.times[self.inside]


def make_source(
    sheets: tuple[Sheet, ...], clock: Clock, readings: dict[str, Entry], inputs: dict[str, Entry]
) -> Source:
    """Put the rows of files in order; the arguments are those of `Source`."""
    missing = np.isnat(clock.times) if clock.zoned is not None else np.isnan(clock.times)
    instants, at = np.unique(clock.times[~missing], return_inverse=True)
    index = np.full(len(clock.times), -1)
    index[~missing] = at
    late = (index >= 0) & (index < np.maximum.accumulate(index))
    return Source(sheets, clock, instants, index, late, readings, inputs)


def read_part(source: Source, window: Window, place: Place, decimal: str = ".") -> Part:
    """Read the channels of a source and cut it by the window.

    Raises `TwinFileError` where fewer than two instants with readings lie in the window, or none with inputs near it.
    """
    inside, near = window.inside(source.instants), window.near(source.instants)
    found, needed = (int(inside.sum()), 2) if source.readings else (int(near.sum()), 1)
    if found < needed:
        raise place.error(f"{_few(source, window, found)}: at least {needed} must be there.")
    channels = [
        {name: read_channel(source, entry, inside, decimal) for name, entry in entries.items()}
        for entries in (source.readings, source.inputs)
    ]
    return Part(source, window.seconds(source.instants), inside, near, *channels)


def _few(source: Source, window: Window, found: int) -> str:
    """How many different times there are, and where the others are."""
    count, without = len(source.instants), int((source.index < 0).sum())
    rest = f"; {count_of(without, 'row')} {'has' if without == 1 else 'have'} none" if without else ""
    if window.low is None and window.high is None:
        return f"{source.files} has {count_of(count, 'different time')}{rest}"
    return f"{source.files} has {count_of(found, 'time')} between 'start' and 'end', of {count} in all{rest}"


def read_channel(source: Source, entry: Entry, inside: np.ndarray, decimal: str = ".") -> Channel:
    """The values of a channel, without those that ``flag`` and ``valid`` leave out; ``inside`` is what is counted.

    Raises `TwinFileError` for an unknown unit, a column of no numbers, and a valid range without numbers in it.
    """
    table, flag, place = entry
    with_place(place / "unit", check_unit, table.unit)
    require_scale(table.scale, place / "scale")
    raw = np.concatenate([numbers(sheet, table.column, place, decimal) for sheet in source.sheets])
    infinite = np.isinf(raw)
    rows = np.asarray(to_si(table.scale * np.where(infinite, 0.0, raw), table.unit), dtype=float)
    count = len(source.instants)
    counted = source.rows_inside(inside)
    absent = merged(source.index, count, rows)[0]
    left_out = {}
    for reason, bad in (
        ("infinite", infinite),
        ("flag", None if flag is None else ~np.concatenate([good(sheet, flag) for sheet in source.sheets])),
        ("valid", _invalid(rows, table, place)),
    ):
        if bad is not None:
            bad &= np.isfinite(rows)
            if np.any(bad & counted):
                left_out[reason] = int(np.sum(bad & counted))
            rows = np.where(bad, np.nan, rows)
    values, conflicting = merged(source.index, count, rows)
    return Channel(values, np.isnan(absent), conflicting, left_out)


def merged(index: np.ndarray, count: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One value for each of ``count`` instants from rows that may repeat them, whatever the order of the rows.

    Args:
        index: ``(rows,)`` at which instant each row is, -1 for none.
        count: the number of instants.
        rows: ``(rows,)`` values; NaN for none.

    Returns:
        ``(count,)`` values: the one there is, the mean of several that differ, NaN without any; and
        ``(count,)`` booleans, where several differ.
    """
    order = np.lexsort((rows, index))
    order = order[(index[order] >= 0) & np.isfinite(rows[order])]
    at, values = index[order], rows[order]
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, at, values)
    np.maximum.at(high, at, values)
    number = np.bincount(at, minlength=count)
    means = np.bincount(at, weights=values, minlength=count) / np.maximum(number, 1)
    conflicting = high > low
    return np.where(number == 0, np.nan, np.where(conflicting, means, low)), conflicting


def filled(values: np.ndarray, times: np.ndarray, how: str | None) -> np.ndarray:
    """Values with holes filled from the ``previous`` value or by the ``linear`` course between neighbours.

    Holes that have no neighbour to be filled from stay, and all where ``how`` is None.
    """
    known = np.flatnonzero(np.isfinite(values))
    if how is None or not len(known):
        return values
    if how == "previous":
        last = np.searchsorted(known, np.arange(len(values)), side="right") - 1
        return np.where(last >= 0, values[known[last]], np.nan)
    return np.interp(times, times[known], values[known], left=np.nan, right=np.nan)


def _invalid(rows: np.ndarray, table: ColumnTable, place: Place) -> np.ndarray | None:
    if table.valid is None:
        return None
    low, high = (with_place(place / "valid", parse, bound, table.unit) for bound in table.valid)
    if low >= high:
        raise (place / "valid").error(f"the least valid value must be below the greatest, not {table.valid}.")
    return (rows < low) | (rows > high)
