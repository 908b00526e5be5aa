"""What a twin file, a request and a command line say together about data and fits."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from gemel.engine import (
    CalibrationProblem,
    DataReport,
    Fit,
    Forecast,
    Judgement,
    Record,
    Twin,
    forecast,
    judge,
    stopping_early,
)
from gemel.engine.calibration.shooting import require_windows
from gemel.engine.datareport import without_samples
from gemel.engine.extrapolation import with_warnings
from gemel.engine.signals import samples_of
from gemel.engine.store import StoreError, check_attachment_name
from gemel.engine.twinfile import MissingDataError, TwinFile, TwinFileError
from gemel.engine.twinfile.data import before
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.files import find, locate
from gemel.engine.twinfile.schema import DataTable, PictureTable
from gemel.solvers.least_squares import LeastSquaresSolver


@dataclasses.dataclass(frozen=True)
class FitPlan:
    """The arguments of a calibration besides the twin.

    ``measured`` and ``fitted`` hold by experiment all samples and those that are fitted; the only record of a twin file
    or a request is called "". ``reports`` say what was found in the files, ``unmeasured`` of which sensors there are no
    data at all. ``solver`` takes the steps of `method`, which with a ``patience`` stops early; with ``windows`` a fit
    begins where multiple shooting ends. The loss is the twin's.
    """

    measured: dict[str, Record]
    fitted: dict[str, Record]
    sensors: tuple[str, ...] | None
    solver: LeastSquaresSolver
    starts: int = 1
    own: tuple[str, ...] = ()
    reports: dict[str, DataReport] = dataclasses.field(default_factory=dict)
    windows: int | None = None
    patience: int | None = None
    unmeasured: tuple[str, ...] = ()

    def check(self, twin: Twin) -> CalibrationProblem:
        """What is minimised. Raises `ValueError` where the data do not fit the twin, or the method not the data."""
        problem = CalibrationProblem.of(twin, self.fitted, self.sensors, own=self.own)
        if self.windows is not None:
            require_windows(problem, self.windows)
        self.method(twin)
        return problem

    def remarks(self) -> list[str]:
        """A sentence for each finding in the data that may spoil the fit, of several experiments after its name, and
        one on sensors without any.
        """
        found = [
            f"{name}: {line}" if name else line for name, report in self.reports.items() for line in report.warnings()
        ]
        return [*found, *without_samples(self.unmeasured)]

    def runs(self, fit: Fit) -> dict[str, Forecast]:
        """A free run at the times of each experiment, of the twin in it, with warnings."""
        twins = {name: fit.twin_in(name) for name in self.measured}
        return {
            name: with_warnings(twins[name], forecast(twins[name], one.inputs, one.times), fit.ranges)
            for name, one in self.measured.items()
        }

    def judge(self, fit: Fit, runs: Mapping[str, Forecast], unseen: tuple[Forecast, Record] | None = None) -> Judgement:
        """Judge a fit by its `runs`, and by one over a record of which nothing was fitted."""
        return judge(fit, runs, self.measured, self.fitted, self.sensors, unseen)

    def method(self, twin: Twin) -> LeastSquaresSolver:
        """The method of the fit. Raises `ValueError` where it would stop early and nothing is held out."""
        if self.patience is None:
            return self.solver
        return stopping_early(self.solver, twin, self.measured, self.fitted, self.patience, self.sensors, own=self.own)


def plan_fit(
    twin_file: TwinFile,
    record: Record | None,
    data: Path | None = None,
    sensors: Sequence[str] = (),
    until: str | float | None = None,
    max_steps: int | None = None,
    option: str = "until",
) -> FitPlan:
    """Settle what is fitted and how.

    Args:
        twin_file: its ``[calibration]`` decides the solver, and the rest where the data are its own.
        record: data given by the caller; None for the document's own.
        data: where the document's data are, None for where it says.
        sensors: which readings to fit, if not empty.
        until: fit the samples before this time: in s, or in words as in the document.
        max_steps: the limit of steps.
        option: what ``until`` is called where it was given.

    Raises:
        ValueError: for data that are not there, an empty part of them, or a limit below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, not {max_steps}.")
    if record is None:
        return plan_of(twin_file, twin_file.inspect_all(data), True, sensors, until, max_steps, option)
    return plan_of(twin_file, {"": (record, DataReport(()))}, False, sensors, until, max_steps, option)


def plan_of(
    twin_file: TwinFile,
    found: Mapping[str, tuple[Record, DataReport]],
    its_own: bool = True,
    sensors: Sequence[str] = (),
    until: str | float | None = None,
    max_steps: int | None = None,
    option: str = "until",
) -> FitPlan:
    """As `plan_fit`, of data that were read; ``its_own`` says whether they are those of the document."""
    table, chosen = twin_file.calibration, tuple(sensors) or None
    if its_own:
        chosen = chosen or (tuple(table.sensors) if table.sensors else None)
    measured = {name: one for name, (one, _) in found.items()}
    if until is not None:
        try:
            fitted = before(found, until)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from error
    else:
        fitted = twin_file.training_all(found) if its_own else measured
    chosen = None if chosen is None else twin_file.each(chosen)
    solver = twin_file.solver()
    if max_steps is not None:
        solver = dataclasses.replace(solver, max_steps=max_steps)
    own = tuple(table.own) if its_own else ()
    reports = {name: report for name, (_, report) in found.items()} if its_own else {}
    if table.patience is not None and not any(_held_out(one, fitted[name]) for name, one in measured.items()):
        raise ValueError(f"'patience' stops a fit by samples that are held out, and none are: give '{option}'.")
    return FitPlan(
        measured,
        fitted,
        chosen,
        solver,
        table.starts,
        own,
        reports,
        table.windows,
        table.patience,
        tuple(twin_file.unmeasured(measured.values())),
    )


def _held_out(record: Record, fitted: Record) -> bool:
    return not np.all(samples_of(record, fitted))


def data_names(twin_file: TwinFile) -> dict[str, str]:
    """Under which name each data file of a document is attached to it, by what the document writes.

    It is the name as written where that is a plain relative path, else its last part: a document may name a
    file by an environment variable or by a URL.
    """
    return _names([*_tables(twin_file).values(), *_validation(twin_file)])


def _names(tables: Sequence[DataTable]) -> dict[str, str]:
    return {name: _attached_name(name) for table in tables for name in _written(table)}


def _validation(twin_file: TwinFile) -> list[DataTable]:
    """The table of validation data, unless a file of it and one of the data would have one name: it stays behind."""
    table, data = twin_file.document.validation, list(_tables(twin_file).values())
    if table is None:
        return []
    return [table] if _clashes(_names([*data, table])) == _clashes(_names(data)) else []


def _clashes(names: Mapping[str, str]) -> int:
    return len(names) - len(set(names.values()))


def _tables(twin_file: TwinFile) -> dict[str, DataTable]:
    """The tables of data of a document by experiment."""
    document = twin_file.document
    return dict(document.experiments) if document.data is None else {"": document.data}


def _written(table: DataTable) -> list[str]:
    """The files that a table names."""
    pictures = [value.file for value in table.values.values() if isinstance(value, PictureTable)]
    if table.values and not table.readings:
        return pictures
    channels = [*table.readings.values(), *table.inputs.values()]
    main = table.files or [table.file or table.url]
    if all(channel.file is not None for channel in channels):
        main = []
    return [name for name in (*main, *(channel.file for channel in channels)) if name is not None]


def _attached_name(written: str) -> str:
    try:
        check_attachment_name(written)
    except StoreError:
        return PurePosixPath(written).name
    return PurePosixPath(written).name if "$" in written else written


def has_data(twin_file: TwinFile) -> bool:
    """Whether an attached document has its data: all of its data files, or values in itself."""
    tables = _tables(twin_file).values()
    written = [name for table in tables for name in _written(table)]
    if not tables or not (written or all(table.values for table in tables)):
        return False
    return _all_attached(twin_file, written)


def attached_validation(twin_file: TwinFile) -> Record | None:
    """The record of ``[validation]`` of an attached document; None where there is none, or its files are not there."""
    written = [name for table in _validation(twin_file) for name in _written(table)]
    return _renamed_tables(twin_file).validation() if _all_attached(twin_file, written) else None


def _all_attached(twin_file: TwinFile, written: Sequence[str]) -> bool:
    return all(_is_attached(twin_file, _attached_name(name)) for name in written)


def with_attached_data(twin_file: TwinFile) -> TwinFile:
    """An attached document that takes its data from its folder; nothing outside it is read or fetched.

    Raises:
        TwinFileError: where a data file is not attached.
    """
    for name in (_attached_name(one) for table in _tables(twin_file).values() for one in _written(table)):
        if not _is_attached(twin_file, name):
            raise TwinFileError(f"{twin_file.source}: the data file '{name}' is not attached to the twin.")
    return _renamed_tables(twin_file)


def _renamed_tables(twin_file: TwinFile) -> TwinFile:
    """The document with the names that its files have as attachments."""
    names, document = data_names(twin_file), twin_file.document
    tables: dict[str, object] = {"experiments": {n: _renamed(one, names) for n, one in document.experiments.items()}}
    tables["data"] = None if document.data is None else _renamed(document.data, names)
    tables["validation"] = next((_renamed(table, names) for table in _validation(twin_file)), None)
    return TwinFile(twin_file.text, twin_file.folder, twin_file.source, document.model_copy(update=tables))


def _is_attached(twin_file: TwinFile, name: str) -> bool:
    return bool(name) and "$" not in name and (twin_file.folder / name).is_file()


def _renamed(table: DataTable, names: dict[str, str]) -> DataTable:
    """A data table that names its files as they are attached."""
    first = table.file or table.url
    update: dict[str, object] = {"url": None, "sha256": None, "file": None if first is None else names.get(first)}
    if table.files is not None:
        update["files"] = [names[file] for file in table.files if file in names]
    for key in ("readings", "inputs"):
        channels = getattr(table, key)
        update[key] = {
            name: channel if channel.file is None else channel.model_copy(update={"file": names[channel.file]})
            for name, channel in channels.items()
        }
    update["values"] = {
        name: value.model_copy(update={"file": names[value.file]}) if isinstance(value, PictureTable) else value
        for name, value in table.values.items()
    }
    return table.model_copy(update=update)


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
    mesh = twin_file.document.mesh
    if mesh is not None and mesh.file is not None:
        found[mesh.file] = _bytes(twin_file, twin_file.folder / mesh.file)
    names = data_names(twin_file)
    if _clashes(names):
        raise TwinFileError(f"{twin_file.source}: two data files have one name, so they cannot both be attached.")
    whole = Place(twin_file.source, twin_file.text)
    tables = [(whole / "experiments" / n if n else whole / "data", one) for n, one in _tables(twin_file).items()]
    tables += [(whole / "validation", one) for one in _validation(twin_file)]
    for place, table in tables:
        for written in _written(table):
            with contextlib.suppress(MissingDataError):
                if table.files is None and written in (table.file, table.url):
                    path = locate(table, place, twin_file.folder)[0]
                else:
                    path = find(written, place, twin_file.folder)
                if path.is_dir():
                    raise place.error(f"'{written}' is a folder, which cannot be attached: give its data as a file.")
                found[names[written]] = _bytes(twin_file, path)
    return found


def _bytes(twin_file: TwinFile, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TwinFileError(f"{twin_file.source}: '{path}' cannot be read ({error.strerror}).") from error
