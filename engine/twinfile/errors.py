"""Mistakes in twin files, each as one sentence with its place."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gemel.names import listed

Path = tuple[str | int, ...]
"""Where something stands in a document: keys, and numbers of entries in lists."""


class TwinFileError(ValueError):
    """A twin file cannot be used; the message names the place and what is allowed.

    ``others`` are the sentences on further mistakes in the file that are known. Of a mistake at a place in the document
    ``path`` and ``line`` say where; ``unknown`` is the name that the file does not have, where that is the mistake.
    """

    others: tuple[str, ...] = ()
    path: Path | None = None
    line: int | None = None
    unknown: str | None = None


@dataclass(frozen=True)
class Spoiled:
    """What mistakes in the form of a document leave unknown: the ``paths`` of what was left out or filled in to read
    on, and the ``names`` that would have been defined there."""

    paths: frozenset[Path] = frozenset()
    names: frozenset[str] = frozenset()

    def __or__(self, other: "Spoiled") -> "Spoiled":
        return Spoiled(self.paths | other.paths, self.names | other.names)

    def explains(self, error: TwinFileError) -> bool:
        """Whether a mistake may come from these: it is said of what is spoiled, of a part of it, of what it is a part
        of, or of a name that would have been there."""
        if error.unknown in self.names:
            return True
        path = error.path
        return path is not None and any(path[: len(one)] == one or one[: len(path)] == path for one in self.paths)


class Mistakes:
    """Gathers mistakes where all of them are to be known, each once, but for those that ``spoiled`` explains."""

    def __init__(self) -> None:
        self.found: dict[str, TwinFileError] = {}
        self.spoiled = Spoiled()

    def note(self, function: Callable[..., Any], *arguments: Any, otherwise: Any = None) -> Any:
        """What ``function`` returns, or ``otherwise`` where it raises a `TwinFileError`, which is noted."""
        try:
            return function(*arguments)
        except TwinFileError as error:
            self.add(error)
            return otherwise

    def add(self, error: TwinFileError) -> None:
        """Note a mistake, and the others that it knows of."""
        if not self.spoiled.explains(error):
            self.found.setdefault(str(error), error)
        for sentence in error.others:
            self.found.setdefault(sentence, TwinFileError(sentence))

    def check(self, by_line: bool = False) -> None:
        """Raise the first mistake, with the others, where there is any: in the order of the file with ``by_line``."""
        if self.found:
            found = list(self.found.values())
            first, *others = sorted(found, key=lambda error: error.line or 0) if by_line else found
            first.others = tuple(map(str, others))
            raise first


class Place:
    """A position in a twin file: the file's name, its text, and a path of keys.

    It renders as ``twin.toml, line 12, sensors.T1.noise``.
    """

    def __init__(self, file: str, text: str, path: Sequence[str | int] = ()) -> None:
        self.file, self.text, self.path = file, text, tuple(path)

    def __truediv__(self, key: str | int) -> "Place":
        return Place(self.file, self.text, (*self.path, key))

    def __str__(self) -> str:
        keys = ".".join(str(key) for key in self.path)
        line = line_of(self.text, self.path)
        return ", ".join(part for part in (self.file, f"line {line}" if line else "", keys) if part)

    def error(
        self, sentence: str, kind: type[TwinFileError] = TwinFileError, unknown: str | None = None
    ) -> TwinFileError:
        """The error that says ``sentence`` of this place, on one line whatever it quotes; ``unknown`` is the name that
        the file does not have, where that is the mistake.
        """
        error = kind("".join(sign if sign.isprintable() else "?" for sign in f"{self}: {sentence}"))
        error.path, error.line, error.unknown = self.path, line_of(self.text, self.path), unknown
        return error

    def unknown(self, sentence: str, name: str, known: Iterable[str], otherwise: str = "none") -> TwinFileError:
        """The error that refuses a name of what stands elsewhere in the file: a sentence that ends in what there is."""
        return self.error(f"{sentence} {listed(name, known, otherwise)}", unknown=name)


_HEADER = re.compile(r"^\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-.\"' ]+?)\s*=")


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The first line (from 1) on which the deepest known key of ``path`` is written; None for the empty path."""
    best, depth = None, 0.0
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        here = table
        if match := _HEADER.match(line):
            keys = _split(match.group(1))
            if line.lstrip().startswith("[["):
                counts[keys] = counts.get(keys, -1) + 1
                table = (*keys, counts[keys])
            else:
                table = keys
            here = table
        elif match := _KEY.match(line):
            here = (*table, *_split(match.group(1)))
        else:
            continue
        same = min(len(here), len(path))
        deep = same if len(here) <= len(path) else same - 0.5  # the header of a table inside it is the next best
        if deep > depth and tuple(path[:same]) == here[:same]:
            best, depth = number, deep
    return best


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
