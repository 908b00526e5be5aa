"""Which files and which clocks the channels of a data table come from."""

from collections.abc import Mapping
from pathlib import Path

from gemel.engine.twinfile.channels import Entry, Source, make_source
from gemel.engine.twinfile.clocks import read_clock
from gemel.engine.twinfile.columns import Picture, Sheet, Wanted, read_sheet
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.files import find, locate
from gemel.engine.twinfile.images import PixelColumn
from gemel.engine.twinfile.schema import DataTable, TimeTable

_Group = dict[str, dict[str, Entry]]
"""The channels on one clock, by "readings" and "inputs", by name."""
_Key = tuple[str | None, TimeTable]
"""A file of its own (None for the data file) and a column of times."""


def open_sources(table: DataTable, place: Place, folder: Path, path: Path | None = None) -> list[Source]:
    """Read the columns that a data table names, each file once: one source for each clock.

    ``path`` takes the place of the files that the table itself names.

    Raises:
        TwinFileError: for a channel without a time, and for files that are missing or cannot be read.
    """
    entries: dict[_Key, _Group] = {}
    for kind, columns in (("readings", table.readings), ("inputs", table.inputs)):
        for name, column in columns.items():
            here = place / kind / (column.image if isinstance(column, PixelColumn) else name)
            time = column.time or table.time
            if time is None:
                raise place.error("the key 'time' is missing: name the column that holds the time.")
            flag = column.flag or (table.flag if column.file is None else None)
            group = entries.setdefault((column.file, time), {"readings": {}, "inputs": {}})
            group[kind][name] = Entry(column, flag, here)
    if not entries:
        raise place.error("the table names no data: give 'readings', 'inputs' or 'values'.")
    sheets = {
        file: _sheets(
            file, _wanted(entries, file, table, place), table, _file_place(entries, file, place), folder, path
        )
        for file in dict.fromkeys(file for file, _ in entries)
    }
    sources = []
    for (file, time), group in entries.items():
        clock = read_clock(sheets[file], time, _time_place(group, table, place), table.decimal)
        sources.append(make_source(sheets[file], clock, group["readings"], group["inputs"]))
    return sources


def _wanted(entries: Mapping[_Key, _Group], file: str | None, table: DataTable, place: Place) -> Wanted:
    """The columns that are needed of a file, with where each is first named, and those of pixels beyond an image."""
    found: dict[str, Place] = {}
    beyond: dict[str, Place] = {}
    images: dict[str, Picture] = {}
    for (other, time), group in entries.items():
        if other != file:
            continue
        found.setdefault(time.column, _time_place(group, table, place) / "column")
        for column, flag, here in (*group["readings"].values(), *group["inputs"].values()):
            found.setdefault(column.column, here / "column")
            if flag is not None:
                found.setdefault(flag.column, (here if column.flag is not None else place) / "flag" / "column")
            if isinstance(column, PixelColumn):
                beyond[column.beyond] = here / "column"
                images[column.array] = Picture(column.image, column.grid, here / "column")
    return Wanted(found, {name: here for name, here in beyond.items() if name not in found}, images)


def _sheets(
    file: str | None, wanted: Wanted, table: DataTable, place: Place, folder: Path, path: Path | None
) -> tuple[Sheet, ...]:
    if file is not None:
        paths = [find(file, place, folder)]
    else:
        paths = locate(table, place, folder) if path is None else [path]
    return tuple(read_sheet(one, wanted, place, table.separator) for one in paths)


def _file_place(entries: Mapping[_Key, _Group], file: str | None, place: Place) -> Place:
    """Where a file is first named: by a channel, or by the table itself."""
    if file is None:
        return place
    group = next(group for (other, _), group in entries.items() if other == file)
    return next(iter((*group["readings"].values(), *group["inputs"].values()))).place / "file"


def _time_place(group: _Group, table: DataTable, place: Place) -> Place:
    """Where the time of a group of channels is written."""
    column, _, here = next(iter((*group["readings"].values(), *group["inputs"].values())))
    return (here if column.time is not None else place) / "time"
