"""What several commands share: the twin file, its data, quantities on the command line, output."""

import contextlib
from pathlib import Path

import numpy as np
from rich.console import Console

from gemel.bindings.application import configure_jax
from gemel.engine import Belief, Record, Run, Series, Twin, mode_pairs
from gemel.engine.results import load_belief
from gemel.engine.twinfile import MissingDataError, TwinFile
from gemel.engine.units import UnitError, parse

console = Console(highlight=False)


def load(path: Path) -> tuple[TwinFile, Twin]:
    """The twin file at a path and its twin, in double precision."""
    configure_jax()
    with console.status(f"Building {path} …"):
        file = TwinFile.load(path)
        return file, file.build()


def optional_record(file: TwinFile, data: Path | None) -> Record | None:
    """The data given, or those of the document where there are any."""
    if data is not None:
        return file.record(data)
    if file.document.data is None:
        return None
    with contextlib.suppress(MissingDataError):
        return file.record()
    return None


def seconds(option: str, text: str | None) -> float | None:
    """A time such as ``1h``; raises `ValueError` naming the option."""
    if text is None:
        return None
    try:
        return parse(text, "s")
    except UnitError as error:
        raise ValueError(f"{option}: {error}") from error


def assignments(option: str, texts: list[str]) -> dict[str, str]:
    """``name=quantity`` pairs; raises `ValueError` naming the option."""
    pairs = {}
    for text in texts:
        name, sign, quantity = text.partition("=")
        if not sign or not name or not quantity:
            raise ValueError(f"{option}: '{text}' is not of the form name=quantity.")
        pairs[name] = quantity
    return pairs


def parameter_values(twin: Twin, texts: list[str]) -> dict[str, float]:
    """The values of ``--set`` in SI units."""
    values = {}
    for name, quantity in assignments("--set", texts).items():
        if name not in twin.parameters:
            known = ", ".join(twin.parameters) or "none"
            raise ValueError(f"--set: unknown parameter '{name}': the twin has {known}.")
        values[name] = _parse("--set", name, quantity, twin.parameters[name].unit)
    return values


def input_signals(file: TwinFile, record: Record | None, texts: list[str]) -> dict[str, Series]:
    """The inputs of the record, and over them the constant ones of ``--input``."""
    signals = dict(record.inputs) if record is not None else {}
    for name, quantity in assignments("--input", texts).items():
        if name not in file.document.inputs:
            known = ", ".join(file.document.inputs) or "none"
            raise ValueError(f"--input: unknown input '{name}': the twin has {known}.")
        value = _parse("--input", name, quantity, file.document.inputs[name].unit)
        signals[name] = Series(np.zeros(1), np.full(1, value))
    return signals


def instants(twin: Twin, record: Record | None, until: float | None, every: float | None) -> np.ndarray | None:
    """When to read the sensors: the times of the record up to ``until``, or a grid from 0 to it.

    Raises:
        ValueError: where neither says how long, or the grid is empty.
    """
    if not has_time(twin):
        return None
    if every is not None and every <= 0:
        raise ValueError(f"--every must be positive, not {every:g} s.")
    if record is not None and record.times is not None and every is None:
        part = record if until is None else record.between(float(record.times[0]), until)
        return np.asarray(part.times)
    start = 0.0 if record is None or record.times is None else float(record.times[0])
    end = until if until is not None else None
    if end is None and record is not None and record.times is not None:
        end = float(record.times[-1])
    if end is None:
        raise ValueError("Give --until, such as '--until 1h': the twin has no data that say how long.")
    if end <= start:
        raise ValueError(f"--until must be after {start:g} s, not {end:g} s.")
    count = 200 if every is None else max(1, round((end - start) / every))
    return np.linspace(start, end, count + 1)


def has_time(twin: Twin) -> bool:
    """Whether a twin runs through time: then its analysis asks for instants."""
    try:
        return twin.analysis.grid(None) is not None
    except ValueError:
        return True


def believed(twin: Twin, path: Path | None, default: Path) -> tuple[Twin, Path | None]:
    """The twin with the belief at ``path``, or at ``default`` where there is one; and which was taken."""
    chosen = path or (default if default.is_file() else None)
    if chosen is None:
        return twin, None
    belief: Belief = load_belief(chosen, twin.belief)
    return twin.with_belief(belief.mean, belief.covariance), chosen


def show_pairs(twin: Twin, run: Run) -> None:
    """Print which computed mode each measured shape was paired with."""
    for pair in mode_pairs(twin, run):
        console.print(pair.words(), style=None if pair.paired else "yellow", soft_wrap=True, markup=False)


def _parse(option: str, name: str, quantity: str, unit: str) -> float:
    try:
        return parse(quantity, unit)
    except UnitError as error:
        raise ValueError(f"{option} {name}: {error}") from error
