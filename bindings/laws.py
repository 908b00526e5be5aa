"""Pictures of the laws that neural terms found: each over its inputs, with what the data saw of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gemel.bindings.report import LINE, TWIN, draw_band, figure, save, with_unit
from gemel.engine import Fit, Record, Twin, bind
from gemel.engine.coefficients import drive, inputs_of
from gemel.engine.extrapolation import terms_of
from gemel.engine.priors import QUANTILE_95
from gemel.engine.units import from_si, written

_POINTS = 121
_UNSEEN = "#d9dee4"


def plot_laws(path: Path, fit: Fit, records: Mapping[str, Record]) -> list[str]:
    """Draw the laws of a fit that neural terms make into a PNG: a row for each term, and in it a panel for each input.

    Each is drawn over the range that the term was made for and the data went through, with its 95 % band; what the data
    did not see is grey. Other inputs are held in the middle of what the data saw.

    Args:
        path: the PNG.
        fit: with its ``ranges``.
        records: what was fitted, by experiment: where a median or mean follows an input it is held at its mean.

    Returns:
        What is drawn, a sentence for each term; nothing, and no picture, where the twin has none.
    """
    laws = {name: law for name, law in terms_of(fit.twin).items() if name in fit.ranges}
    if not laws:
        return []
    columns = max(len(law.function.labels) for law in laws.values())
    drawing, rows = figure(len(laws), columns, share=False)
    told = []
    for row, (name, law) in zip(rows, laws.items(), strict=True):
        function, seen = law.function, fit.ranges[name]
        middles = {label: 0.5 * sum(seen[label]) for label in function.labels}
        signals = {each: _mean(each, records) for each in inputs_of(law.parameters[0])}
        for axis, label in zip(row, function.labels, strict=False):
            _draw(axis, fit, law, label, middles, signals)
        for axis in row[len(function.labels) :]:
            axis.set_visible(False)
        description = fit.twin.parameters[name].description
        row[0].set_title(f"{name}: {description}" if description else name, loc="left", fontsize=11)
        row[0].set_ylabel(with_unit(name, function.unit))
        told.append(_words(fit, law, middles))
    rows[0][0].legend(loc="best", fontsize=8, framealpha=0.8, edgecolor="none")
    save(drawing, path)
    return told


def _draw(
    axis: Any, fit: Fit, law: Any, label: str, middles: Mapping[str, float], signals: Mapping[str, float]
) -> None:
    """One law over one of its inputs."""
    function, seen = law.function, fit.ranges[law.function.name][label]
    made_for = dict(zip(function.labels, function.spans or (), strict=False)).get(label, seen)
    places = np.linspace(min(seen[0], made_for[0]), max(seen[1], made_for[1]), _POINTS)
    unit = function.unit_of(label)
    value, low, high = (
        from_si(side, function.unit) for side in law_band(fit.twin, law, {**middles, label: places}, signals)
    )
    x, ends = from_si(places, unit), from_si(np.asarray(seen), unit)
    draw_band(axis, x, (low, high))
    axis.plot(x, value, color=TWIN, lw=1.5, label="the law")
    beyond = [(start, end) for start, end in ((x[0], ends[0]), (ends[1], x[-1])) if end > start]
    for number, (start, end) in enumerate(beyond):
        axis.axvspan(start, end, color=_UNSEEN, alpha=0.6, lw=0, label="no data" if number == 0 else None)
    for end in ends:
        axis.axvline(end, color=LINE, lw=1, ls="--", label="range of the data" if end == ends[0] else None)
    axis.set_xlim(x[0], x[-1])
    axis.set_xlabel(with_unit(label, unit))
    axis.grid(alpha=0.25)


def law_band(
    twin: Twin, law: Any, asked: Mapping[str, Any], signals: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A law that a neural term makes, and the ends of its 95 % band, in SI: of a positive one from its logarithm.

    Args:
        twin: with the belief about it.
        law: before parameters are bound.
        asked: its inputs by label, numbers or arrays ``(n,)``.
        signals: the inputs that its middle follows.
    """
    function = law.function
    columns = jnp.broadcast_arrays(*(jnp.asarray(asked[label], float) for label in function.labels))

    @jax.jit
    def follow(values: Any) -> Any:
        middle, network, *_ = bind(law, values).parameters

        def at(*inputs: Any) -> Any:
            now = {**signals, **dict(zip(function.labels, inputs, strict=True))}
            found = function.at(inputs, drive(middle, now), network)
            return jnp.log(found) if function.positive else found

        return jax.vmap(at)(*columns)

    value, std = (np.asarray(part) for part in twin.belief.push(follow))
    sides = (value, value - QUANTILE_95 * std, value + QUANTILE_95 * std)
    value, low, high = (np.exp(side) if function.positive else side for side in sides)
    return value, low, high


def _words(fit: Fit, law: Any, middles: Mapping[str, float]) -> str:
    """What a row of panels shows."""
    function = law.function
    parts = []
    for label in function.labels:
        unit = function.unit_of(label)
        low, high = (f"{from_si(end, unit):.4g}" for end in fit.ranges[function.name][label])
        held = f" (held at {from_si(middles[label], unit):.4g} in the other panels)" if len(function.labels) > 1 else ""
        parts.append(f"{label} from {low} to {high} {written(unit)}".rstrip() + held)
    return f"{function.name}: the data saw {', '.join(parts)}."


def _mean(name: str, records: Mapping[str, Record]) -> float:
    values = [np.asarray(record.inputs[name].values, float) for record in records.values()]
    return float(np.mean(np.concatenate(values)))
