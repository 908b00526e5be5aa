"""Mistakes in twin files, each as one sentence with its place."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError


class TwinFileError(ValueError):
    """A twin file cannot be used; the message names the place and what is allowed.

    ``others`` are the sentences on further mistakes in the file that are known.
    """

    others: tuple[str, ...] = ()


class Mistakes:
    """Gathers mistakes where all of them are to be known, each once."""

    def __init__(self) -> None:
        self.found: dict[str, TwinFileError] = {}

    def note(self, function: Callable[..., Any], *arguments: Any, otherwise: Any = None) -> Any:
        """What ``function`` returns, or ``otherwise`` where it raises a `TwinFileError`, which is noted."""
        try:
            return function(*arguments)
        except TwinFileError as error:
            self.add(error)
            return otherwise

    def add(self, error: TwinFileError) -> None:
        """Note a mistake, and the others that it knows of."""
        self.found.setdefault(str(error), error)
        for sentence in error.others:
            self.found.setdefault(sentence, TwinFileError(sentence))

    def check(self) -> None:
        """Raise the first mistake, with the others, where there is any."""
        if self.found:
            first, *others = self.found.values()
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

    def error(self, sentence: str) -> TwinFileError:
        """The error that says ``sentence`` of this place, on one line whatever it quotes."""
        clean = "".join(sign if sign.isprintable() else "?" for sign in f"{self}: {sentence}")
        return TwinFileError(clean)


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


def from_validation(error: ValidationError, place: Place, tree: Any, allowed: Any) -> list[TwinFileError]:
    """The mistakes that pydantic found in ``tree``, each as one sentence: unknown keys first, then by depth.

    ``allowed(path)`` lists the known keys. Of those at one place, or in and around it, only the first: what no branch
    of a union takes is one mistake.
    """
    ordered = sorted(error.errors(), key=lambda item: (item["type"] != "extra_forbidden", len(item["loc"])))
    by_place: dict[tuple[str | int, ...], Any] = {}
    for item in ordered:
        path = tuple(written_path(item["loc"], tree))
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in by_place):
            by_place[path] = item
    return [_sentence(item, path, place, allowed) for path, item in by_place.items()]


def _sentence(first: Any, path: Sequence[str | int], place: Place, allowed: Any) -> TwinFileError:
    where = place
    for key in path:
        where = where / key
    kind, message = first["type"], first["msg"]
    if kind == "extra_forbidden":
        known = allowed(first["loc"][:-1])
        near = get_close_matches(str(path[-1]), known, 1, 0.75)
        sentence = f"unknown key '{path[-1]}'" + (f": allowed are {', '.join(known)}." if known else ".")
        return where.error(sentence + (f" Did you mean '{near[0]}'?" if near else ""))
    if kind == "missing":
        return where.error(f"the key '{path[-1]}' is missing.")
    if kind in ("literal_error", "union_tag_invalid"):
        expected = first.get("ctx", {}).get("expected") or first.get("ctx", {}).get("expected_tags")
        given = first.get("ctx", {}).get("tag", first.get("input"))
        return where.error(f"'{given}' is not allowed: choose {expected}.")
    if kind == "union_tag_not_found":
        tag = str(first.get("ctx", {}).get("discriminator", "kind")).strip("'")
        return where.error(f"the key '{tag}' is missing.")
    if kind in _WANTED:
        keys = f" with the keys {', '.join(allowed(first['loc']))}" if kind == "model_type" else ""
        return where.error(f"{_WANTED[kind]}{keys} is wanted, not {_written(first)}.")
    return where.error(f"{message[0].lower()}{message[1:]} (got {_written(first)}).")


_WANTED = {
    "model_type": "a table",
    "dict_type": "a table",
    "list_type": "a list",
    "string_type": "text in quotes, such as a quantity with its unit,",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What a key takes, by the kind of mistake that pydantic finds."""


def _written(mistake: Any) -> str:
    """What was written, as TOML writes it where it is short."""
    given = mistake.get("input")
    if isinstance(given, bool):
        return str(given).lower()
    return f'"{given}"' if isinstance(given, str) else repr(given)


def written_path(loc: tuple[str | int, ...], tree: Any) -> list[str | int]:
    """A path of pydantic's without the branches of unions that it adds: what the file itself has, and the last key."""
    path: list[str | int] = []
    node: Any = tree
    for position, key in enumerate(loc):
        known = (isinstance(node, dict) and key in node) or (isinstance(node, list) and isinstance(key, int))
        last = position == len(loc) - 1 and isinstance(node, dict | list)
        below: Any = node[key] if known else None  # pyright: ignore[reportArgumentType, reportCallIssue]
        if not last and not isinstance(below, dict | list):  # a branch that is called like a key
            known = False
        if not known and not last:
            continue
        path.append(key)
        node = below if known else None
    return path
