"""Where the data files of a twin are: found beside it, or fetched once."""

import os
import re
from pathlib import Path

from gemel.engine.twinfile.errors import Place, TwinFileError
from gemel.engine.twinfile.schema import DataTable
from gemel.names import nearest

_VARIABLE = re.compile(r"\$\{?(\w+)")


class MissingDataError(TwinFileError):
    """A data file of a twin can neither be found nor fetched."""


def locate(table: DataTable, place: Place, folder: Path) -> list[Path]:
    """The data files: where ``file`` or ``files`` say, else fetched from ``url`` once.

    Raises:
        MissingDataError: for a file that is not there, or not what its checksum says.
        TwinFileError: where the table names none, or too many ways to one.
    """
    if table.files is not None:
        return [find(file, place / "files", folder) for file in table.files]
    if table.file is not None:
        try:
            return [find(table.file, place / "file", folder)]
        except MissingDataError:
            if table.url is None:
                raise
    if table.url is None or table.sha256 is None:
        raise place.error("give 'file', 'files', or 'url' with 'sha256'.")
    return [_fetch(table, table.url, table.sha256, place)]


def find(file: str, place: Place, folder: Path) -> Path:
    """The path of a file as it is written (environment variables are expanded).

    Raises `MissingDataError` where it does not exist.
    """
    expanded = os.path.expandvars(file)
    path = folder / expanded
    if "$" in expanded or not path.exists():
        unset = _VARIABLE.search(expanded)
        why = f": the environment variable '{unset[1]}' is not set." if unset else f".{_meant(path)}"
        raise place.error(f"the data file '{file}' does not exist{why}", MissingDataError)
    return path


def _meant(path: Path) -> str:
    """Which file beside the one that is not there was probably meant."""
    names = {one.stem: one.name for one in path.parent.iterdir()} if path.parent.is_dir() else {}
    near = nearest(path.stem, names)  # suffixes are alike
    return "" if near is None else f" Did you mean '{names[near]}'?"


def _fetch(table: DataTable, url: str, sha256: str, place: Place) -> Path:
    import pooch

    try:
        pooch.get_logger().setLevel("ERROR")
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", path=pooch.os_cache("gemel")))
    except ValueError as error:
        wrong = f"what {url} holds does not have the checksum {sha256}."
        raise (place / "url").error(wrong, MissingDataError) from error
    except Exception as error:
        elsewhere = "; if you have the file, give --data"
        if named := _VARIABLE.search(table.file or ""):
            folder = f"name its folder with the environment variable {named[1]} ('file' is '{table.file}')"
            elsewhere = f"; if you have the file, {folder}, or give --data"
        failed = f"{url} cannot be fetched ({type(error).__name__}){elsewhere}."
        raise (place / "url").error(failed, MissingDataError) from error
