"""Where a run takes a neural term beyond what its fit has seen: there no data have shaped the law."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from gemel.engine.forecasting import Forecast
from gemel.engine.lawinputs import neural_laws
from gemel.engine.neural import Corrected
from gemel.engine.simulation import Run
from gemel.engine.twin import Twin
from gemel.engine.units import difference_in_words, from_si, written

Ranges = Mapping[str, Mapping[str, tuple[float, float]]]
"""For each neural term the least and the greatest value of its inputs, in SI units."""

SLACK = 0.02
"""A run may go beyond a range by this share of its width, as a law hardly changes over so little."""

Result = TypeVar("Result", Run, Forecast)


@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """An input of a neural term that a run took beyond its range.

    Attributes:
        term: the neural term.
        input: its input.
        unit: of the input.
        asked: its least and greatest value in the run, in SI units.
        known: those in the data of the fit, or where no fit is known those that the term was declared for.
        fitted: whether a fit is known.
    """

    term: str
    input: str
    unit: str
    asked: tuple[float, float]
    known: tuple[float, float]
    fitted: bool

    @property
    def distance(self) -> float:
        """How far beyond, in SI units."""
        return max(self.known[0] - self.asked[0], self.asked[1] - self.known[1])

    @property
    def far(self) -> str:
        """How far beyond, in words."""
        return difference_in_words(self.distance, self.unit)

    def words(self) -> str:
        """It in a sentence."""
        low, high, least, most = (f"{from_si(end, self.unit):.4g}" for end in (*self.asked, *self.known))
        unit = f" {written(self.unit)}".rstrip()
        what = "of the data that it was fitted to" if self.fitted else "that it was made for"
        return (
            f"The input {self.input} of the neural term '{self.term}' goes from {low} to {high}{unit}, {self.far} "
            f"beyond the {least} to {most}{unit} {what}: no data have shaped the term there."
        )


def terms_of(twin: Twin) -> dict[str, Any]:
    """The laws that neural terms make in a twin, one for each term, by its name."""
    return {function.name: law for law in neural_laws(twin.analysis) if isinstance(function := law.function, Corrected)}


def neural_ranges(twin: Twin, runs: Iterable[Run]) -> dict[str, dict[str, tuple[float, float]]]:
    """With what the neural terms of a twin are asked in runs: the least and the greatest value of each input, in SI.

    Known of laws that `NeuralTerm.law` makes, as those of twin files: in a `ThermalNetwork` or an `EquivalentCircuit`,
    and in a body that is steady or transient. Each run is of one member, outside ``jit``.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for run in runs:
        for name, law in terms_of(twin).items():
            for label in law.function.labels:
                keys = [f"{end}.{name}.{label}" for end in ("least", "greatest")]
                if all(key in run.statistics for key in keys):
                    low, high = (float(run.statistics[key]) for key in keys)
                    known = found.setdefault(name, {}).get(label, (low, high))
                    found[name][label] = (min(low, known[0]), max(high, known[1]))
    return found


def extrapolations(twin: Twin, run: Run, ranges: Ranges | None = None) -> list[Extrapolation]:
    """The inputs of neural terms that a run of a twin took beyond their ranges by more than `SLACK`.

    Args:
        twin: whose run it is.
        run: of one member, outside ``jit``.
        ranges: those of the data of a fit, as in `Fit.ranges`; where they are not known, those that the terms were
            declared for count.
    """
    found, terms = [], terms_of(twin)
    for name, inputs in neural_ranges(twin, [run]).items():
        function = terms[name].function
        declared = dict(zip(function.labels, function.spans or (), strict=False))
        for label, asked in inputs.items():
            seen = (ranges or {}).get(name, {}).get(label)
            known = declared.get(label) if seen is None else seen
            if known is None:
                continue
            one = Extrapolation(name, label, function.unit_of(label), asked, (known[0], known[1]), seen is not None)
            rounding = 1e-9 * float(np.max(np.abs(known)))
            if one.distance > SLACK * (known[1] - known[0]) + rounding:
                found.append(one)
    return found


def with_warnings(twin: Twin, result: Result, ranges: Ranges | None = None) -> Result:
    """A run or a forecast of a twin with a sentence for each of its `extrapolations`."""
    if isinstance(result, Forecast):
        return dataclasses.replace(result, run=with_warnings(twin, result.run, ranges))
    return dataclasses.replace(result, warnings=tuple(one.words() for one in extrapolations(twin, result, ranges)))
