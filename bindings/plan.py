"""What a twin file, a request and a command line say together about data and fits."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from gemel.engine import Record
from gemel.engine.store import StoreError, check_attachment_name
from gemel.engine.twinfile import MissingDataError, TwinFile, TwinFileError
from gemel.engine.twinfile.data import locate
from gemel.engine.twinfile.errors import Place
from gemel.solvers.least_squares import LeastSquaresSolver


@dataclasses.dataclass(frozen=True)
class FitPlan:
    """The arguments of a calibration besides the twin."""

    record: Record
    sensors: tuple[str, ...] | None
    solver: LeastSquaresSolver


def plan_fit(
    twin_file: TwinFile,
    record: Record | None,
    data: Path | None = None,
    sensors: Sequence[str] = (),
    until: float | None = None,
    max_steps: int | None = None,
) -> FitPlan:
    """Settle what is fitted and how.

    Args:
        twin_file: its ``[calibration]`` decides the solver, and the rest where the data are its own.
        record: data given by the caller; None for the document's own.
        data: where the document's data are, None for where it says.
        sensors: which readings to fit, if not empty.
        until: fit the samples before this time in s.
        max_steps: the limit of steps.

    Raises:
        ValueError: for data that are not there, an empty part of them, or a limit below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, not {max_steps}.")
    chosen = tuple(sensors) or None
    if record is None:
        record = twin_file.record(data)
        chosen = chosen or (tuple(twin_file.calibration.sensors) if twin_file.calibration.sensors else None)
        training = twin_file.training(record) if until is None else before(record, until)
    else:
        training = record if until is None else before(record, until)
    solver = twin_file.solver()
    if max_steps is not None:
        solver = dataclasses.replace(solver, max_steps=max_steps)
    return FitPlan(training, chosen, solver)


def before(record: Record, until: float) -> Record:
    """The samples of a record before ``until`` s; all of one without time."""
    return record if record.times is None else record.between(float(record.times[0]), until)


def data_name(twin_file: TwinFile) -> str | None:
    """Under which name the data file of a document is attached to it; None where it names no file.

    It is the name as written where that is a plain relative path, else its last part: a document may name a
    file by an environment variable or by a URL.
    """
    table = twin_file.document.data
    if table is None or (table.values and not table.readings):
        return None
    written = table.file or table.url
    if written is None:
        return None
    try:
        check_attachment_name(written)
    except StoreError:
        return PurePosixPath(written).name or None
    return PurePosixPath(written).name if "$" in written else written


def attached_data(twin_file: TwinFile) -> Path | None:
    """The data file in the folder of an attached document, or None."""
    name = data_name(twin_file)
    path = twin_file.folder / name if name else None
    return path if path is not None and path.is_file() else None


def attached_record(twin_file: TwinFile) -> Record:
    """The data of an attached document; nothing outside its folder is read or fetched.

    Raises:
        TwinFileError: where it names none, or the file is not attached.
    """
    name = data_name(twin_file)
    if name is not None and attached_data(twin_file) is None:
        raise TwinFileError(f"{twin_file.source}: the data file '{name}' is not attached to the twin.")
    return twin_file.record(attached_data(twin_file))


def check_references(twin_file: TwinFile) -> None:
    """Raise `TwinFileError` where an attached document reads a mesh outside its folder."""
    mesh = twin_file.document.mesh
    if mesh is None or mesh.file is None:
        return
    try:
        check_attachment_name(mesh.file)
        if "$" in mesh.file:
            raise StoreError(f"'{mesh.file}' names an environment variable.")
    except StoreError as error:
        raise TwinFileError(
            f"{twin_file.source}, mesh.file: '{mesh.file}' is not the relative path of an attached file."
        ) from error


def attachments_of(twin_file: TwinFile) -> dict[str, bytes]:
    """The files that a document names, as they are attached to it; data that cannot be found are left out.

    Raises:
        TwinFileError: where its mesh is not beside it, or cannot be read.
    """
    check_references(twin_file)
    found = {}
    mesh, table = twin_file.document.mesh, twin_file.document.data
    if mesh is not None and mesh.file is not None:
        found[mesh.file] = _bytes(twin_file, twin_file.folder / mesh.file)
    name = data_name(twin_file)
    if name is not None and table is not None:
        place = Place(twin_file.source, twin_file.text) / "data"
        with contextlib.suppress(MissingDataError):
            found[name] = _bytes(twin_file, locate(table, place, twin_file.folder))
    return found


def _bytes(twin_file: TwinFile, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TwinFileError(f"{twin_file.source}: '{path}' cannot be read ({error.strerror}).") from error
