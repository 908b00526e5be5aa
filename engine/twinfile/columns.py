"""Columns of data files as they come: CSV, parquet and zarr."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gemel.engine.twinfile.errors import Place, TwinFileError
from gemel.engine.twinfile.schema import FlagTable
from gemel.names import listed

_NOTHING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Texts, in lower case, that stand for a missing number."""
_FORMATS = "a data file is CSV text, .parquet or .zarr"
_LISTED = 12
"""How many columns of a file an error lists."""


@dataclass(frozen=True)
class Sheet:
    """Columns of one file.

    Attributes:
        file: its name.
        cells: by column ``(n,)`` floats, texts ("" where there is none) or ``datetime64[ns]``.
        zoned: the columns of ``datetime64`` that are in UTC; in others it is not known which zone is meant.
        lines: ``(n,)`` the line of each row in a text file, None where a file has no lines.
        notes: sentences on how the file was read.
    """

    file: str
    cells: Mapping[str, np.ndarray]
    zoned: frozenset[str] = frozenset()
    lines: Sequence[int] | None = None
    notes: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """How a person finds a row (from 0): "line 3 of 'log.csv'"."""
        return f"row {row + 1} of '{self.file}'" if self.lines is None else f"line {self.lines[row]} of '{self.file}'"


class Picture(NamedTuple):
    """An image: its name, its rows and columns (None for pixels at given points), and where its data are named."""

    image: str
    grid: tuple[int, int] | None
    place: Place


class Wanted(NamedTuple):
    """Columns that a file must have, and those that it must not have, with where each is named; and the images that
    one array may hold, by the name of the array."""

    places: Mapping[str, Place]
    absent: Mapping[str, Place]
    images: Mapping[str, Picture] = {}


def read_sheet(path: Path, wanted: Wanted, place: Place, separator: str = ",") -> Sheet:
    """Named columns of a file, whose suffix says its format: ``.parquet``, ``.zarr``, all else is CSV in UTF-8.

    A CSV starts with a line of names; blank lines are passed over. A zarr group holds one array a
    column, or one of images whose first axis is time: a column for each pixel.

    Args:
        path: the file.
        wanted: the columns.
        place: where the file is named.
        separator: of a CSV.

    Raises:
        TwinFileError: for a file that cannot be read, has no rows, or other columns than are wanted.
    """
    readers = {".parquet": _parquet, ".pq": _parquet, ".zarr": _zarr}
    suffix = path.suffix.lower()
    sheet = readers[suffix](path, wanted, place) if suffix in readers else _text(path, wanted, place, separator)
    sizes = {name: len(cells) for name, cells in sheet.cells.items()}
    first = next(iter(wanted.places))
    for name, size in sizes.items():
        if size != sizes[first]:
            raise wanted.places[name].error(
                f"column '{name}' of '{path.name}' has {size} rows where column '{first}' has {sizes[first]}."
            )
    if not sizes[first]:
        raise place.error(f"the data file '{path.name}' holds no samples.")
    return sheet


def numbers(sheet: Sheet, name: str, place: Place, decimal: str = ".") -> np.ndarray:
    """A column as floats, NaN where there is no number.

    Raises `TwinFileError` for time stamps and texts that are no numbers.
    """
    cells = sheet.cells[name]
    if cells.dtype.kind == "M":
        raise place.error(f"column '{name}' of '{sheet.file}' holds time stamps, not numbers.")
    if cells.dtype.kind != "f":
        cells = np.array([_number(text, i, sheet, name, place, decimal) for i, text in enumerate(cells)], dtype=float)
    return cells


def good(sheet: Sheet, table: FlagTable) -> np.ndarray:
    """Where the flag of a sample is good, as booleans."""
    texts = {str(flag).strip() for flag in table.good}
    values = {value for value in map(_maybe, table.good) if value is not None}
    cells = sheet.cells[table.column]
    if cells.dtype.kind == "f":
        return np.isin(cells, list(values))
    return np.array([text in texts or _maybe(text) in values for text in cells], dtype=bool)


def _number(text: str, row: int, sheet: Sheet, name: str, place: Place, decimal: str) -> float:
    if text.lower() in _NOTHING:
        return float("nan")
    try:
        return float(text if decimal == "." else text.replace(".", " ").replace(decimal, "."))
    except ValueError as error:
        hint = " Is its decimal sign ','?" if decimal == "." and _maybe(text.replace(",", ".")) is not None else ""
        raise place.error(
            f"{sheet.where(row)} holds '{_printable(text)}' in column '{name}', which is no number.{hint}"
        ) from error


def _maybe(cell: Any) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _text(path: Path, wanted: Wanted, place: Place, separator: str) -> Sheet:
    lines: list[int] = []
    columns: list[list[str]] = [[] for _ in wanted.places]
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=separator, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if "\0" in "".join(header):
                raise place.error(f"the data file '{path.name}' is not text: {_FORMATS}.")
            if not header:
                raise place.error(f"the data file '{path.name}' holds no samples.")
            positions = _positions(header, wanted, path, separator)
            for row in reader:
                if any(cell.strip() for cell in row):
                    _check_width(row, header, reader.line_num, path, place, separator)
                    lines.append(reader.line_num)
                    for column, position in zip(columns, positions, strict=True):
                        column.append(row[position].strip() if position < len(row) else "")
    except UnicodeDecodeError as error:
        raise place.error(f"the data file '{path.name}' is not UTF-8 text: {_FORMATS}.") from error
    except OSError as error:
        raise place.error(f"the data file '{path}' cannot be read ({error.strerror}).") from error
    except csv.Error as error:
        raise place.error(f"the data file '{path.name}' cannot be read as CSV ({error}).") from error
    cells = {name: np.array(column, dtype=object) for name, column in zip(wanted.places, columns, strict=True)}
    return Sheet(path.name, cells, lines=lines)


def _check_width(row: list[str], header: list[str], line: int, path: Path, place: Place, separator: str) -> None:
    """Raise for a row with more cells than there are columns: they cannot be told from one another."""
    if any(cell.strip() for cell in row[len(header) :]):
        hint = " Is ',' the decimal sign of its numbers, too?" if separator == "," else ""
        raise place.error(
            f"line {line} of '{path.name}' has {len(row)} cells, but there are {len(header)} columns.{hint}"
        )


def _positions(header: list[str], wanted: Wanted, path: Path, separator: str) -> list[int]:
    _check_names(header, wanted, path, separator)
    for name, place in wanted.places.items():
        if header.count(name) > 1:
            raise place.error(f"the data file '{path.name}' has {header.count(name)} columns '{name}'.")
    return [header.index(name) for name in wanted.places]


def _check_names(known: Sequence[str], wanted: Wanted, path: Path, separator: str = "") -> None:
    for name, place in wanted.absent.items():
        if name in known:
            raise place.error(
                f"the data file '{path.name}' has a column '{name}', beyond the last pixel of the image: the image "
                "needs more pixels, or the column another name."
            )
    for name, place in wanted.places.items():
        if name in known:
            continue
        others = [sign for sign in (",", ";", "\t", "|") if sign in "".join(known)] if separator else []
        hint = f" Is its separator {others[0]!r}?" if others and len(known) == 1 else ""
        if separator and known and known[0].startswith("#"):
            hint = " Its first line must hold the names of its columns."
        has = listed(name, map(_printable, known), most=_LISTED)
        raise place.error(f"the data file '{path.name}' has no column '{name}': it has {has}{hint}")


def _printable(text: str) -> str:
    """A text from a file on one line, cut where it is long."""
    clean = "".join(sign if sign.isprintable() else "?" for sign in text)
    return clean if len(clean) <= 60 else clean[:57] + "..."


def _guarded(path: Path, place: Place, read: Callable[[], Sheet]) -> Sheet:
    """What ``read`` returns; whatever a library raises for a broken file becomes one sentence."""
    try:
        return read()
    except TwinFileError:
        raise
    except Exception as error:
        reason = _printable(str(error)) or type(error).__name__
        raise place.error(f"the data file '{path.name}' cannot be read as {path.suffix.lower()} ({reason}).") from error


def _parquet(path: Path, wanted: Wanted, place: Place) -> Sheet:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise place.error(f"'{path.name}' needs pyarrow to be read: pip install 'gemel[parquet]'.") from error

    def read() -> Sheet:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_names(list(file.schema_arrow.names), wanted, path)
            table = file.read(columns=list(wanted.places))
        cells = {name: _arrow_cells(table.column(name), name, path, here) for name, here in wanted.places.items()}
        kinds = {name: table.column(name).type for name in wanted.places}
        zoned = frozenset(name for name, kind in kinds.items() if getattr(kind, "tz", None) is not None)
        return Sheet(path.name, cells, zoned)

    return _guarded(path, place, read)


def _arrow_cells(column: Any, name: str, path: Path, place: Place) -> np.ndarray:
    import pyarrow as pa

    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        return column.cast(pa.timestamp("ns", tz=getattr(kind, "tz", None))).to_numpy()
    if types.is_string(kind) or types.is_large_string(kind):
        return np.array([(text or "").strip() for text in column.to_pylist()], dtype=object)
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=float)
    raise place.error(_unusable(name, path, str(kind)))


def _zarr(path: Path, wanted: Wanted, place: Place) -> Sheet:
    import zarr

    def read() -> Sheet:
        group: Any = zarr.open_group(str(path), mode="r")
        arrays = {key: np.asarray(group[key][...]) for key in group.array_keys() if _holds(key, wanted.places)}
        films = {key: picture for key, picture in wanted.images.items() if key in arrays}
        axes = [_axes(key, arrays[key].shape, picture, path) for key, picture in films.items()]
        known = sorted(name for key in group.array_keys() for name in _zarr_names(key, group[key].shape))
        _check_names([*known, *arrays], wanted, path)
        cells = {name: _zarr_cells(arrays, name, path, here) for name, here in wanted.places.items()}
        return Sheet(path.name, cells, notes=tuple(note for note in axes if note))

    return _guarded(path, place, read)


def _axes(key: str, shape: tuple[int, ...], picture: Picture, path: Path) -> str | None:
    """How the axes of an array of images are read, where axes of one length might be taken for one another.

    Raises `TwinFileError` for rows and columns that are not those of the image.
    """
    image, grid, place = picture
    if grid is not None and len(shape) > 2 and shape[1:] != grid:
        raise place.error(
            f"the array '{key}' of '{path.name}' has the shape {shape}, but image '{image}' of {grid[0]} rows and "
            f"{grid[1]} columns needs (times, {grid[0]}, {grid[1]})."
        )
    names = ("time", "rows", "columns") if len(shape) == 3 else ("time", "pixels")
    lengths = [length for length in shape if length > 1]
    if len(shape) not in (2, 3) or len(set(lengths)) == len(lengths):
        return None
    read = ", ".join(
        f"axis {i} ({length}) as {name}" for i, (length, name) in enumerate(zip(shape, names, strict=True))
    )
    return f"{image}: of the array '{key}' of '{path.name}' {read} is read; its shape alone does not say so."


def _zarr_names(key: str, shape: tuple[int, ...]) -> list[str]:
    """The columns of an array: itself or, of images, one a pixel, row by row: ``key.1``, ``key.2``, ..."""
    return [f"{key}.{i + 1}" for i in range(math.prod(shape[1:]))] if len(shape) > 1 else [key]


def _holds(key: str, names: Iterable[str]) -> bool:
    return any(name == key or name.startswith(f"{key}.") for name in names)


def _zarr_cells(arrays: Mapping[str, np.ndarray], name: str, path: Path, place: Place) -> np.ndarray:
    if name in arrays:
        values = arrays[name]
    else:
        key, _, number = name.rpartition(".")
        values = arrays[key].reshape(len(arrays[key]), -1)[:, int(number) - 1]
    if values.ndim != 1:
        raise place.error(f"column '{name}' of '{path.name}' has {values.ndim} dimensions, not 1.")
    if values.dtype.kind == "M":
        return values.astype("datetime64[ns]")
    if values.dtype.kind in "UTO":
        return np.array([str(text).strip() for text in values], dtype=object)
    if values.dtype.kind in "iufb":
        return values.astype(float)
    raise place.error(_unusable(name, path, str(values.dtype)))


def _unusable(name: str, path: Path, kind: str) -> str:
    return f"column '{name}' of '{path.name}' holds {_printable(kind)}, not numbers, texts or time stamps."
