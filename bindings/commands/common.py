"""What several commands share: the twin file, its data, quantities on the command line, output."""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from gemel.bindings.application import configure_jax
from gemel.engine import DataReport, Judgement, Record, Run, Series, Twin, mode_pairs
from gemel.engine.datareport import duration, enumerated
from gemel.engine.twinfile import MissingDataError, TwinFile
from gemel.engine.twinfile.clocks import read_instant
from gemel.engine.units import UnitError, parse
from gemel.names import listed

_IN_FILES = 120
"""Columns of tables where there is no terminal that says how wide it is."""


def _columns() -> int | None:
    """The width of tables; None where a terminal or COLUMNS says it."""
    if os.environ.get("COLUMNS"):
        return None
    for stream in range(3):
        with contextlib.suppress(OSError):
            os.get_terminal_size(stream)
            return None
    return _IN_FILES


console = Console(highlight=False, width=_columns())

_MOST_TIMES = 10_000_000

_FAR = 4.0
"""Standard deviations beyond which a value that is given contradicts the belief."""


def load(path: Path) -> tuple[TwinFile, Twin]:
    """The twin file at a path and its twin, in double precision."""
    configure_jax()
    with console.status(f"Building {path} …"):
        file = TwinFile.load(path)
        return file, file.build()


@dataclass(frozen=True)
class Drive:
    """What drives a run: the part of a record that it is beside, if any, the inputs, and when the sensors are read."""

    record: Record | None
    inputs: dict[str, Series]
    times: np.ndarray | None


@dataclass(frozen=True)
class DriveOptions:
    """The options that say what drives a run, as typed."""

    until: str | None
    every: str | None
    data: Path | None
    input: list[str]
    experiment: str | None
    then: list[str] = field(default_factory=list)


def drive(file: TwinFile, twin: Twin, options: DriveOptions) -> Drive:
    """Inputs and times from the data of the document, as far as options do not say them.

    A run that goes on after the data reads the sensors as often as they did; the record has no readings there.

    Raises:
        ValueError: for options that cannot be read, and where an input or the end of the run is not known.
    """
    every = seconds("--every", options.every)
    record, report = optional_record(file, options.data, options.experiment) or (None, DataReport(()))
    until = _instant("--until", options.until, report)
    record = _followed(file, record, report, until, options)
    inputs = input_signals(file, record, options.input)
    _require_drive(file, twin, record, inputs, until, options.data)
    times = instants(twin, record, until, every)
    if record is not None and record.times is not None and until is not None and until > float(record.times[0]):
        record = record.between(float(record.times[0]), until)
    return Drive(record, inputs, times)


def _followed(
    file: TwinFile, record: Record | None, report: DataReport, until: float | None, options: DriveOptions
) -> Record | None:
    """A record with what comes after it where the run goes on; says on the console what is taken to come."""
    then = {name: _input(file, "--then", name, text) for name, text in assignments("--then", options.then).items()}
    held = assignments("--input", options.input)
    for name in then.keys() & held.keys():
        raise ValueError(f"--then {name}: --input holds '{name}' all the time: give one of them.")
    if record is None or record.times is None:
        if then:
            raise ValueError("--then: there are no data with times to go on from: give --input.")
        return record
    known = np.asarray(record.times)
    last, spacing = float(known[-1]), float(np.median(np.diff(known))) if len(known) > 1 else 0.0
    if until is None or until <= last + spacing:
        if then:
            raise ValueError(f"--then: give --until with a time after the data, which end at {report.instant(last)}.")
        return record
    times = np.zeros(0)
    if options.every is None:
        if len(known) == 1:
            raise ValueError("--until: the data are one sample: give --every to go on from it.")
        times = last + spacing * np.arange(1, _allowed("--until", np.ceil((until - last) / spacing * (1 - 1e-12))))
    last_ones = [name for name in record.inputs if name not in then and name not in held]
    values = "value" if len(last_ones) == 1 else "values"
    kept = f", with the last {values} of {enumerated(last_ones)}" if last_ones else ""
    longer = record.followed(times, then)
    say([f"The data end at {report.instant(last)}: the run goes on to {report.instant(until)}{kept}."])
    return longer


def _allowed(option: str, count: float) -> int:
    """A number of times, or `ValueError` where they are too many."""
    if count > _MOST_TIMES:
        raise ValueError(f"{option}: {count:.3g} times are too many: from 1 to {_MOST_TIMES:,} are allowed.")
    return int(count)


def _require_drive(
    file: TwinFile, twin: Twin, record: Record | None, inputs: dict[str, Series], until: float | None, data: Path | None
) -> None:
    """Raise where a document has several experiments, none was named, and the options alone do not drive a run."""
    experiments = file.document.experiments
    if record is not None or not experiments:
        return
    missing = [name for name in twin.inputs if name not in inputs]
    if data is not None or missing or (until is None and has_time(twin)):
        rest = [*(["--until"] if has_time(twin) else []), *(f"--input {name}=QUANTITY" for name in twin.inputs)]
        instead = f", or give {' and '.join(rest)} for one that has not been made" if rest and data is None else ""
        raise ValueError(
            f"{file.source} has the experiments {', '.join(experiments)}: name one with --experiment{instead}."
        )


def optional_record(file: TwinFile, data: Path | None, experiment: str | None) -> tuple[Record, DataReport] | None:
    """The data given, those of an experiment, or those of the document where there are any, and what was found."""
    if experiment is not None:
        try:
            file.require_experiment(experiment)
        except ValueError as error:
            raise ValueError(f"--experiment: {error}") from error
        return file.inspect(data, experiment=experiment)
    if file.document.data is None:
        return None
    if data is not None:
        return file.inspect(data)
    with contextlib.suppress(MissingDataError):
        return file.inspect()
    return None


def seconds(option: str, text: str | None) -> float | None:
    """A time such as ``1h``; raises `ValueError` naming the option."""
    if text is None:
        return None
    try:
        return parse(text, "s")
    except UnitError as error:
        raise ValueError(f"{option}: {error}") from error


def _instant(option: str, text: str | None, report: DataReport) -> float | None:
    """An instant such as ``1h`` or, where data have time stamps, one like them; raises `ValueError` with the option."""
    if text is None:
        return None
    try:
        return read_instant(text, report.origin, report.zoned)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from error


def assignments(option: str, texts: list[str]) -> dict[str, str]:
    """``name=quantity`` pairs; raises `ValueError` naming the option."""
    pairs = {}
    for text in texts:
        name, sign, quantity = text.partition("=")
        if not sign or not name or not quantity:
            raise ValueError(f"{option}: '{text}' is not of the form name=quantity.")
        if name in pairs:
            raise ValueError(f"{option}: '{name}' is given twice: {pairs[name]} and {quantity}.")
        pairs[name] = quantity
    return pairs


def parameter_values(file: TwinFile, twin: Twin, texts: list[str]) -> dict[str, float]:
    """The values of ``--set`` in SI units."""
    values = {}
    for name, quantity in assignments("--set", texts).items():
        if name not in twin.parameters:
            raise ValueError(f"--set: unknown parameter '{name}': {_known_parameters(file, twin, name)}")
        if twin.parameters[name].shape:
            raise ValueError(f"--set: parameter '{name}' is {twin.parameters[name].size} numbers, not one.")
        values[name] = _parse("--set", name, quantity, twin.parameters[name].unit)
        if not np.isfinite(twin.parameters[name].prior.standardise(jnp.asarray(values[name]))):
            raise ValueError(f"--set {name}: {quantity} is impossible by the prior of '{name}'.")
    return values


def _known_parameters(file: TwinFile, twin: Twin, name: str) -> str:
    """What to write in place of a name that is none, such as ``start[monday]``, which a fit calls an own parameter."""
    base, _, experiment = name.removesuffix("]").partition("[")
    experiments = file.document.experiments
    if base not in twin.parameters or not name.endswith("]"):
        return f"the twin has {listed(name, twin.parameters)}"
    if base not in file.calibration.own:
        return f"'{base}' is no experiment's own, give it as {base}=QUANTITY."
    if experiment not in experiments:
        return f"there is no experiment '{experiment}', the file has {listed(experiment, experiments)}"
    return f"in an experiment it is called '{base}', give --experiment {experiment} and --set {base}=QUANTITY."


def known_values(file: TwinFile, twin: Twin, texts: list[str]) -> dict[str, float]:
    """The values of ``--set`` in SI units; prints a sentence on each that is far from what is believed of it."""
    known = parameter_values(file, twin, texts)
    say(far_off(twin, known), "yellow")
    return known


def far_off(twin: Twin, known: dict[str, float]) -> list[str]:
    """A sentence for each parameter whose value is far from what is believed of it."""
    found = []
    for name, value in known.items():
        place, belief = twin.belief.places[name], twin.belief
        z = belief.given({name: value}).mean[place] - belief.mean[place]
        off = abs(float(z[0])) / float(np.sqrt(belief.covariance[place, place][0, 0]))
        if off > _FAR:
            found.append(
                f"{name} is {off:.0f} standard deviations from what is believed of it: the other parameters move far, "
                "too; 'gemel simulate --set' changes it alone."
            )
    return found


def input_signals(file: TwinFile, record: Record | None, texts: list[str]) -> dict[str, Series]:
    """The inputs of the record, and over them the constant ones of ``--input``."""
    signals = dict(record.inputs) if record is not None else {}
    for name, quantity in assignments("--input", texts).items():
        signals[name] = Series(np.zeros(1), np.full(1, _input(file, "--input", name, quantity)))
    return signals


def _input(file: TwinFile, option: str, name: str, quantity: str) -> float:
    """What an option holds an input at, in SI units; raises `ValueError` naming the option."""
    if name not in file.document.inputs:
        raise ValueError(f"{option}: unknown input '{name}': the twin has {listed(name, file.document.inputs)}")
    return _parse(option, name, quantity, file.document.inputs[name].unit)


def instants(twin: Twin, record: Record | None, until: float | None, every: float | None) -> np.ndarray | None:
    """When to read the sensors: the times of the record up to ``until``, or a grid from 0 to it.

    Raises:
        ValueError: where neither says how long, or the grid is empty.
    """
    if not has_time(twin):
        for option, given in (("--until", until), ("--every", every)):
            if given is not None:
                raise ValueError(f"{option}: a run of '{twin.name}' has no time.")
        return None
    if every is not None and every <= 0:
        raise ValueError(f"--every must be positive, not {every:g} s.")
    known = None if record is None or record.times is None else np.asarray(record.times)
    start = 0.0 if known is None else float(known[0])
    end = until if until is not None or known is None else float(known[-1])
    if end is None:
        raise ValueError("Give --until, such as '--until 1h': the twin has no data that say how long.")
    if end < start or (end == start and until is not None):
        raise ValueError(f"--until must be after {start:g} s, not {end:g} s.")
    if known is not None and every is None:
        return known if until is None else known[known < until]
    if every is None:
        return np.linspace(start, end, 201)
    if every > (end - start) * (1 + 1e-12):
        raise ValueError(f"--every: {duration(every)} is longer than the run of {duration(end - start)}.")
    return start + every * np.arange(_allowed("--every", np.floor((end - start) / every * (1 + 1e-12))) + 1)


def has_time(twin: Twin) -> bool:
    """Whether a twin runs through time: then its analysis asks for instants."""
    try:
        return twin.analysis.grid(None) is not None
    except ValueError:
        return True


def require_folder(path: Path) -> Path:
    """The folder that results go to. Raises `ValueError` where a file stands there."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"--out: '{path}' is a file, and results go to a folder.")
    return path


def say(lines: Iterable[str], style: str | None = None) -> None:
    """Print sentences, each on a line of its own, as they are."""
    for line in lines:
        console.print(line, style=style, soft_wrap=True, markup=False)


def show_warnings(run: Run) -> None:
    """Print what a run warns of."""
    say(run.warnings, "yellow")


def show_judgement(judgement: Judgement) -> None:
    """Print a verdict and its reasons."""
    console.print(f"{judgement.verdict.capitalize()}. {judgement.meaning}", style="bold", soft_wrap=True)
    say(judgement.marked)


def show_pairs(twin: Twin, run: Run) -> None:
    """Print which computed mode each measured shape was paired with."""
    for pair in mode_pairs(twin, run):
        console.print(pair.words(), style=None if pair.paired else "yellow", soft_wrap=True, markup=False)


def _parse(option: str, name: str, quantity: str, unit: str) -> float:
    try:
        return parse(quantity, unit)
    except UnitError as error:
        raise ValueError(f"{option} {name}: {error}") from error
