"""The twin file: one TOML document that describes a twin, its data and its calibration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optax
from pydantic import ValidationError

from gemel.engine.calibration import DEFAULT_SOLVER
from gemel.engine.datareport import DataReport, pooled, without_samples
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Record
from gemel.engine.twin import Twin
from gemel.engine.twinfile.build import build_candidates, build_twin
from gemel.engine.twinfile.checks import find_mistakes
from gemel.engine.twinfile.data import before, read_data, read_record
from gemel.engine.twinfile.datachecks import check_tables
from gemel.engine.twinfile.errors import Mistakes, Place, TwinFileError
from gemel.engine.twinfile.files import MissingDataError
from gemel.engine.twinfile.images import images, pixel_names, with_pixels
from gemel.engine.twinfile.modes import components_of, with_shapes
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.repairs import repaired
from gemel.engine.twinfile.schema import CalibrationTable, DataTable, Document
from gemel.engine.twinfile.texts import parse_toml, read_text
from gemel.engine.twinfile.validation import from_validation
from gemel.solvers import LBFGS, GradientDescent, LeastSquaresSolver, LevenbergMarquardt

_NO_DATA = "the table [data] is missing."

_REPAIRS = 8
"""How often a document with mistakes in its form is repaired before it is given up: what is filled in may not do."""


class TwinFile:
    """A validated twin file.

    Make it with `TwinFile.load` or `TwinFile.parse`; ``text`` is the document as written, ``folder`` is where
    relative paths in it start.
    """

    def __init__(self, text: str, folder: Path, source: str, document: Document) -> None:
        self.text, self.folder, self.source, self.document = text, folder, source, document

    @staticmethod
    def load(path: str | Path) -> "TwinFile":
        """Read and validate a file. Raises `TwinFileError` with the place of the first mistake."""
        return TwinFile.parse(read_text(path), Path(path).parent, str(path))

    @staticmethod
    def parse(text: str, folder: str | Path, source: str = "twin.toml") -> "TwinFile":
        """Validate the text of a twin file.

        Raises `TwinFileError` with the place of the first mistake; ``others`` of the error are further ones.
        """
        mistakes, place, tree = Mistakes(), Place(source, text), parse_toml(text, source)
        try:
            document = Document.model_validate(tree)
        except ValidationError as error:
            for _, mistake in from_validation(error, place, tree).values():
                mistakes.add(mistake)
            mistakes.check()
            raise
        check_tables(document, place, mistakes)
        mistakes.check()
        return TwinFile(text, Path(folder), source, document)

    @staticmethod
    def examine(
        text: str, folder: str | Path, source: str = "twin.toml"
    ) -> tuple["TwinFile | None", Mistakes, Twin | None]:
        """All mistakes that can be found without data, and without a model built on its mesh; see `find_mistakes`.

        Returns also the file and its twin. Of a file whose form has mistakes there is what is left without them, to be
        read and no more, and mistakes that may come of them are left out; it is None where that is too little. A twin
        there is where there is no mistake and no mesh.

        Raises `TwinFileError` for a text that is no TOML.
        """
        mistakes, place, tree = Mistakes(), Place(source, text), parse_toml(text, source)
        for _ in range(_REPAIRS):
            try:
                document = Document.model_validate(tree)
                break
            except ValidationError as error:
                found = from_validation(error, place, tree)
            for _, mistake in found.values():
                mistakes.add(mistake)
            mended = repaired(tree, {path: item for path, (item, _) in found.items()})
            if mended is None:
                return None, mistakes, None
            tree, spoiled = mended
            mistakes.spoiled |= spoiled
        else:
            return None, mistakes, None
        check_tables(document, place, mistakes)
        twin = find_mistakes(document, place, Path(folder), mistakes)
        return TwinFile(text, Path(folder), source, document), mistakes, twin

    @property
    def name(self) -> str:
        """The twin's name."""
        return self.document.name

    @property
    def calibration(self) -> CalibrationTable:
        """The ``[calibration]`` table."""
        return self.document.calibration

    @cached_property
    def _place(self) -> Place:
        return Place(self.source, self.text)

    @property
    def experiments(self) -> tuple[str, ...]:
        """The names of the experiments; "" for the one of ``[data]``."""
        return tuple(self.document.experiments) or ("",)

    def build(self) -> Twin:
        """The twin, with its prior belief. Raises `TwinFileError` with the place of the first mistake."""
        return build_twin(self.document, self._place, self.folder)

    def mounted(self, twin: Twin) -> dict[str, list[Sensor]]:
        """The sensors of a twin that the document describes by the tables that they stand in."""
        built = {sensor.name: sensor for sensor in twin.sensors}
        return {
            name: [built[one] for one in (*self.each([name]), *components_of(self.document, name))]
            for name in self.document.sensors
        }

    def candidates(self, twin: Twin) -> dict[str, list[Sensor]]:
        """The sensors of the tables ``[candidates.NAME]``, which could be mounted on a twin of the document, by their
        tables.

        Raises `TwinFileError` with the place of the first mistake.
        """
        return build_candidates(self.document, self._place, twin)

    def record(self, path: str | Path | None = None, whole: bool = False, experiment: str = "") -> Record:
        """The samples of the measured data, in SI; with ``whole`` also those that ``every`` and ``thin`` leave out.

        Args:
            path: a file to read instead of the one, or those, that the table names.
            whole: whether to keep all samples.
            experiment: which one, where there are several.

        Raises:
            TwinFileError: for an experiment that is not there or not named, and for data that cannot be read, of which
                `MissingDataError` says that a file is absent.
        """
        return self.inspect(path, whole, experiment)[0]

    def inspect(
        self, path: str | Path | None = None, whole: bool = False, experiment: str = ""
    ) -> tuple[Record, DataReport]:
        """As `record`, with what was found in the data: gaps, repeats, outliers, stuck sensors, what was left out."""
        return self._read(experiment, self._table(experiment), path, whole)

    def _table(self, experiment: str) -> DataTable:
        """The table of one record. Raises `TwinFileError` for an experiment that is not there or not named."""
        tables = self._tables()
        if experiment:
            self.require_experiment(experiment)
        elif "" not in tables:
            raise self._place.error(
                f"the file has the experiments {', '.join(tables)}, but one record is needed: name one."
            )
        return tables[experiment]

    def require_experiment(self, name: str) -> None:
        """Raise `TwinFileError` where the file has no experiment of that name."""
        known = self.document.experiments
        if name not in known:
            raise self._place.unknown(
                f"there is no experiment '{name}': the file has", name, known, "none, but a table [data]"
            )

    def records(self, path: str | Path | None = None, whole: bool = False) -> dict[str, Record]:
        """As `record`, of all experiments by name; the record of ``[data]`` is called ""."""
        return {name: record for name, (record, _) in self.inspect_all(path, whole).items()}

    def inspect_all(self, path: str | Path | None = None, whole: bool = False) -> dict[str, tuple[Record, DataReport]]:
        """As `inspect`, of all experiments by name; the record of ``[data]`` is called "".

        Raises `TwinFileError` also where ``path`` is to stand for several files.
        """
        tables = self._tables()
        if path is not None and self.document.data is None:
            raise self._place.error(
                "the data of experiments are in the files that their tables name: no one file can be given."
            )
        return {name: self._read(name, table, path, whole) for name, table in tables.items()}

    def survey(
        self, mistakes: Mistakes, gone: list[str], path: str | Path | None = None, experiment: str = ""
    ) -> tuple[Record, DataReport] | None:
        """As `inspect`, without the channels that cannot be read, which are added to ``gone``: why not is noted. None
        where none can be.
        """
        table = mistakes.note(self._table, experiment, otherwise=None)
        if table is None:
            return None
        place, mine = self._data_place(experiment), []
        table = self._of_known(table, mine)
        gone += mine
        while True:
            try:
                return self._read(experiment, table, path, False, mine)
            except TwinFileError as error:
                mistakes.add(error)
                channel = (error.path or ())[len(place.path) :][:2]
                if len(channel) < 2 or (smaller := _without(table, *map(str, channel))) is None:
                    return None
                table = smaller
                mine.append(str(channel[1]))
                gone.append(mine[-1])

    def _of_known(self, table: DataTable, gone: list[str]) -> DataTable:
        """A table of data without the channels of what the twin does not have, which are added to ``gone``."""
        known = {"readings": self.document.sensors, "values": self.document.sensors, "inputs": self.document.inputs}
        kept = {key: {name: one for name, one in getattr(table, key).items() if name in known[key]} for key in known}
        gone += [name for key in known for name in getattr(table, key) if name not in known[key]]
        return table.model_copy(update=kept)

    def _tables(self) -> dict[str, DataTable]:
        """The tables of measured data by experiment. Raises `TwinFileError` where there are none."""
        tables = {"": self.document.data} if self.document.data is not None else dict(self.document.experiments)
        if not tables:
            raise self._place.error(_NO_DATA)
        return tables

    def _data_place(self, experiment: str) -> Place:
        return self._place / "experiments" / experiment if experiment else self._place / "data"

    def _read(
        self, name: str, table: DataTable, path: str | Path | None, whole: bool, gone: Sequence[str] = ()
    ) -> tuple[Record, DataReport]:
        """The record of one table, from which the channels ``gone`` were taken. Raises as `record` does."""
        if path is not None and not Path(path).exists():
            raise MissingDataError(f"the data file '{path}' does not exist.")
        if whole:
            table = table.model_copy(update={"every": 1, "thin": None})
        place = self._data_place(name)
        table = with_pixels(self.document, table, place, self.folder)
        record, report = read_data(table, place, self.folder, None if path is None else Path(path))
        record, report = with_shapes(self.document, record), pooled(report, images(self.document))
        unmeasured = [sensor for sensor in self.unmeasured([record]) if sensor not in gone]
        return record, replace(report, notes=(*report.notes, *without_samples(unmeasured)))

    def unmeasured(self, records: Iterable[Record]) -> list[str]:
        """The sensors, images by their names, of which no record has a sample."""
        seen = {
            name
            for record in records
            for name, values in record.readings.items()
            if np.any(np.isfinite(np.asarray(values, dtype=float)))
        }
        return [name for name in self.document.sensors if not seen.intersection(self.each([name]))]

    def validation(self, path: str | Path | None = None) -> Record | None:
        """The record of ``[validation]``, kept out of every fit, in SI; None where the file has no such table."""
        if self.document.validation is None:
            return None
        place = self._place / "validation"
        return read_record(
            with_pixels(self.document, self.document.validation, place, self.folder),
            place,
            self.folder,
            None if path is None else Path(path),
        )

    def each(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of sensors, with those of its pixels in place of an image."""
        return tuple(pixel_names(self.document, names))

    def training(self, record: Record, report: DataReport | None = None) -> Record:
        """The part of a record that ``[calibration]`` fits: samples before ``until``.

        Args:
            record: of `record`.
            report: of `inspect`, where ``until`` is a time stamp.

        Raises:
            TwinFileError: where ``until`` does not suit the times of the record.
        """
        return self.training_all({"": (record, DataReport(()) if report is None else report)})[""]

    def training_all(self, found: Mapping[str, tuple[Record, DataReport]]) -> dict[str, Record]:
        """As `training`, of all that `inspect_all` gives."""
        until = self.calibration.until
        if until is None:
            return {name: record for name, (record, _) in found.items()}
        return with_place(self._place / "calibration" / "until", before, found, until)

    def solver(self) -> LeastSquaresSolver:
        """The method that ``[calibration]`` names."""
        table = self.calibration
        if table.method == "adam":
            return GradientDescent(optax.adam(table.learning_rate), gtol=table.tolerance, max_steps=table.max_steps)
        default: Any = DEFAULT_SOLVER
        if table.method == "l-bfgs":
            return LBFGS(default.gtol, table.tolerance, table.max_steps)
        return LevenbergMarquardt(default.gtol, table.tolerance, default.xtol, table.max_steps)


def load_twin(path: str | Path) -> Twin:
    """The twin that a twin file describes.

    Raises:
        TwinFileError: with one sentence and the place in the file, for any mistake in it.
    """
    return TwinFile.load(path).build()


def _without(table: DataTable, kind: str, name: str) -> DataTable | None:
    """A table of data without one of its readings, inputs or values; None where there is no such one, or no other
    reading.
    """
    channels = getattr(table, kind, None) if kind in ("readings", "inputs", "values") else None
    if channels is None or name not in channels:
        return None
    rest = table.model_copy(update={kind: {other: one for other, one in channels.items() if other != name}})
    return rest if rest.readings or rest.values else None
