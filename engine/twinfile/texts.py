"""The text of a twin file: read, and parsed as TOML."""

import re
import tomllib
from pathlib import Path
from typing import Any

from gemel.engine.twinfile.errors import TwinFileError


def read_text(path: str | Path) -> str:
    """The text of a twin file. Raises `TwinFileError` where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise TwinFileError(f"{path}: the twin file cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise TwinFileError(f"{path}: the twin file is not UTF-8 text.") from error


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """A document as data. Raises `TwinFileError` for a text that is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TwinFileError(_no_toml(str(error), source)) from error


_AT = re.compile(r"^(.*) \(at line (\d+), column (\d+)\)$")
_CURES = {
    "Invalid value": ": text stands in quotes",
    "Expected newline or end of document after a statement": ": text and quantities stand in quotes",
    "Cannot overwrite a value": ": the key stands there for the second time",
}
"""What to do about what the reader of TOML says."""


def _no_toml(said: str, source: str) -> str:
    """Why a text is no TOML, with its line where that is known."""
    if match := _AT.match(said):
        return f"{source}, line {match[2]}, column {match[3]}: {_lower(match[1])}{_CURES.get(match[1], '')}."
    return f"{source}: {_lower(said)}."


def _lower(message: str) -> str:
    return message[0].lower() + message[1:].rstrip(".")
