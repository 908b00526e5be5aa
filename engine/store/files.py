"""Files that are either whole or not there: written beside their place, flushed, then renamed."""

import os
import shutil
import uuid
from pathlib import Path, PurePosixPath


class StoreError(ValueError):
    """The store cannot do what was asked; the message says why."""


class NotFoundError(LookupError):
    """The store has no twin, job or run of that name; the message says which."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that any reader, also after a crash, sees the old bytes or the new ones."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


def publish_folder(temporary: Path, path: Path) -> None:
    """Move a complete folder to its place, replacing what is there."""
    for file in temporary.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    if path.exists():
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        os.replace(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(temporary, path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_LONGEST_NAME = 500
"""Signs of the name of a document that are kept, the last ones."""


def document_name(source: str) -> str:
    """What to call the file of a document in errors, on one line, from what its client calls it."""
    clean = "".join(sign if sign.isprintable() else "?" for sign in source)[-_LONGEST_NAME:].strip()
    return clean or "twin.toml"


def check_attachment_name(name: str) -> None:
    """Raise `StoreError` unless ``name`` is a relative path that stays inside its folder."""
    parts = name.split("/")
    clean = name == str(PurePosixPath(name)) and not name.startswith("/")
    if not name or "\\" in name or "\0" in name or ":" in name or ".." in parts or "." in parts or not clean:
        raise StoreError(
            f"'{name}' cannot be the name of an attachment: use a relative path such as 'meshes/board.msh'."
        )
    if name == "twin.toml":
        raise StoreError("'twin.toml' cannot be the name of an attachment: it is the document itself.")
