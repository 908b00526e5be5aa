"""Runs, forecasts and fits as files: zarr groups, and a JSON of the figures that people compare."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gemel.engine.calibration import Fit, Judgement
from gemel.engine.extrapolation import Ranges
from gemel.engine.forecasting import Forecast
from gemel.engine.losses import loss_from, loss_words
from gemel.engine.parameters import Belief
from gemel.engine.signals import Record, samples_of
from gemel.engine.simulation import Run
from gemel.engine.store.files import write_atomically
from gemel.engine.store.runs import RunData, open_run, write_run
from gemel.solvers import Status


def fields_of(state: Any) -> dict[str, np.ndarray]:
    """The arrays of a run's state by name: ``state`` where it is one array, else the path of each leaf."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        if eqx.is_array_like(leaf):
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "state"
            found[name] = np.asarray(leaf)
    return found


def state_of(fields: Mapping[str, np.ndarray]) -> Any:
    """The inverse of `fields_of` for one array; several become a dictionary; None where there are none."""
    if not fields:
        return None
    arrays = {name: jnp.asarray(values) for name, values in fields.items()}
    return arrays["state"] if set(arrays) == {"state"} else arrays


def run_data(run: Run) -> RunData:
    """A run as plain arrays."""
    return RunData(
        None if run.times is None else np.asarray(run.times),
        {"readings": {name: np.asarray(values) for name, values in run.readings.items()}},
        fields_of(run.state),
        {
            "status": int(run.status.worst()),
            "message": run.status.worst().message,
            "warnings": list(run.warnings),
            "statistics": _scalars(run.statistics),
            "units": "SI",
        },
    )


def forecast_data(forecast: Forecast) -> RunData:
    """A forecast as plain arrays: the run with the groups ``parametric``, ``predictive``, ``model_error``, ``noise``.

    Raises `ValueError` for a loss that is not one of the library's.
    """
    run = run_data(forecast.run)
    attributes = {**run.attributes, "loss": loss_words(forecast.loss)}
    groups = {
        "parametric": {name: np.asarray(values) for name, values in forecast.parametric.items()},
        "predictive": {name: np.asarray(values) for name, values in forecast.predictive.items()},
        "model_error": {name: np.asarray(values) for name, values in forecast.model_error.items()},
        "noise": {name: np.asarray(values) for name, values in forecast.noise.items()},
    }
    return RunData(run.times, {**run.series, **groups}, run.fields, attributes)


def run_of(data: RunData) -> Run:
    """The run that `run_data` describes."""
    readings = {name: jnp.asarray(values) for name, values in data.series["readings"].items()}
    times = None if data.times is None else jnp.asarray(data.times)
    status = Status(jnp.asarray(int(data.attributes["status"]), jnp.int32))
    statistics, told = dict(data.attributes.get("statistics", {})), tuple(data.attributes.get("warnings", ()))
    return Run(times, readings, state_of(data.fields), status, statistics, told)


def forecast_of(data: RunData) -> Forecast:
    """The forecast that `forecast_data` describes. Raises `ValueError` for a run that is none."""
    kinds = ("parametric", "predictive", "model_error", "noise")
    if missing := [kind for kind in kinds if kind not in data.series]:
        raise ValueError(f"The run is no forecast: it has no '{missing[0]}'.")
    groups: Any = {kind: {name: jnp.asarray(v) for name, v in data.series[kind].items()} for kind in kinds}
    return Forecast(run_of(data), **groups, loss=loss_from(data.attributes["loss"]))


def save_run(path: Path, run: Run | Forecast) -> None:
    """Write a run or a forecast as a zarr group that is whole or absent."""
    write_run(path, forecast_data(run) if isinstance(run, Forecast) else run_data(run))


def load_run(path: Path) -> Run:
    """Read a run. Raises `ValueError` where ``path`` holds none."""
    return run_of(open_run(path))


def load_forecast(path: Path) -> Forecast:
    """Read a forecast. Raises `ValueError` where ``path`` holds none."""
    return forecast_of(open_run(path))


@dataclass(frozen=True)
class FitRecord:
    """What a belief keeps of the fit that it is of: the verdict, what spoke against the twin, and which sensors seem to
    drift or to have been moved.
    """

    verdict: str
    against: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()


def save_belief(
    path: Path,
    belief: Belief,
    experiments: Mapping[str, Belief] | None = None,
    ranges: Ranges | None = None,
    fit: FitRecord | None = None,
) -> None:
    """Write the mean and covariance of a belief, with the names of its parameters and what tells their priors from
    others, as JSON: 20 bytes a number of the covariance, 20 MB for the weights of a network of a thousand.

    Args:
        path: the file.
        belief: of the twin.
        experiments: what is believed of it in each experiment, where parameters are an experiment's own.
        ranges: those of the inputs of its neural terms, as in `Fit.ranges`.
        fit: what is kept of the fit that it is of.
    """
    content = {"parameters": list(belief.names), "priors": _told_of_priors(belief), **_numbers(belief)}
    if meanings := _meanings(belief):
        content["meanings"] = meanings
    if ranges:
        content["ranges"] = {name: dict(inputs) for name, inputs in ranges.items()}
    if experiments:
        content["experiments"] = {name: _numbers(one) for name, one in experiments.items()}
    if fit is not None:
        content["fit"] = asdict(fit)
    save_json(path, content)


def save_belief_of(path: Path, fit: Fit, judgement: Judgement | None = None) -> None:
    """As `save_belief`, of all that a fit believes of its twin: also in each experiment with parameters of its own, and
    with a judgement what that says.
    """
    own = fit.belief.names != fit.twin.belief.names
    experiments = {name: fit.twin_in(name).belief for name in fit.places} if own else None
    record = None
    if judgement is not None:
        suspects = tuple(dict.fromkeys(drift.sensor for drift in fit.drifts if drift.alone))
        record = FitRecord(judgement.verdict, judgement.against, suspects)
    save_belief(path, fit.twin.belief, experiments, fit.ranges, record)


def load_belief(path: Path, prior: Belief) -> Belief:
    """Read a belief about the parameters of ``prior``. Raises `ValueError` where it is about others, or was found with
    another prior, which its numbers are relative to.
    """
    return load_beliefs(path, prior)[0][""]


def load_beliefs(path: Path, prior: Belief) -> tuple[dict[str, Belief], Ranges, FitRecord | None]:
    """As `load_belief`, called "", with those in experiments that have parameters of their own, by name; the ranges of
    the inputs of neural terms, and what is kept of the fit: none in a file that says nothing of them.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names, parts = tuple(content["parameters"]), {"": content, **content.get("experiments", {})}
        tables = {
            name: (np.asarray(part["mean"], float), np.asarray(part["covariance"], float))
            for name, part in parts.items()
        }
    except FileNotFoundError as error:
        raise ValueError(f"There is no file '{path}': a fit writes its belief as belief.json.") from error
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' holds no belief about parameters.") from error
    if names != prior.names:
        raise ValueError(
            f"'{path}' is about the parameters {', '.join(names)}: the twin has {', '.join(prior.names)}; calibrate it "
            "again."
        )
    count = len(prior.mean)
    for mean, covariance in tables.values():
        if mean.shape != (count,) or covariance.shape != (count, count):
            raise ValueError(f"'{path}' has {mean.size} numbers for {', '.join(names)}: the twin has {count} of them.")
    told = _told_of_priors(prior)
    for name, numbers in content.get("priors", told).items():
        if not np.allclose(numbers, told[name], rtol=1e-6, atol=0.0):
            raise ValueError(
                f"'{path}' was found with another prior of {name}, which its numbers are relative to: calibrate again, "
                "or give it the prior back."
            )
    meant = _meanings(prior)
    for name, meaning in content.get("meanings", {}).items():
        if meaning != meant.get(name):
            raise ValueError(
                f"'{path}' was found with another network of {name}, {meaning}: calibrate again, or give it that back."
            )
    beliefs = {name: Belief(prior.parameters, *map(jnp.asarray, table)) for name, table in tables.items()}
    try:
        ranges = {
            name: {label: (float(low), float(high)) for label, (low, high) in inputs.items()}
            for name, inputs in content.get("ranges", {}).items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"'{path}' holds no ranges of neural terms that can be read.") from error
    return beliefs, ranges, _fit_record(content)


def _fit_record(content: Mapping[str, Any]) -> FitRecord | None:
    """What the content of a file keeps of a fit; None where that is nothing that can be read."""
    try:
        kept = content["fit"]
        return FitRecord(str(kept["verdict"]), *(tuple(map(str, kept[key])) for key in ("against", "suspects")))
    except (KeyError, TypeError):
        return None


def _meanings(belief: Belief) -> dict[str, str]:
    return {parameter.name: parameter.meaning for parameter in belief.parameters if parameter.meaning}


def _told_of_priors(belief: Belief) -> dict[str, list[float]]:
    """For each parameter its value a standard deviation below the middle of its prior, there, and one above; the norm
    of an array.
    """
    found = {}
    for p in belief.parameters:
        values = [np.asarray(p.prior.value(jnp.full(p.shape, z))) for z in (-1.0, 0.0, 1.0)]
        found[p.name] = [float(np.linalg.norm(value) if p.shape else value) for value in values]
    return found


def _numbers(belief: Belief) -> dict[str, list[Any]]:
    return {"mean": np.asarray(belief.mean).tolist(), "covariance": np.asarray(belief.covariance).tolist()}


def fit_figures(fit: Fit) -> dict[str, Any]:
    """What a fit says in numbers: parameters in SI units, costs, status."""
    rows = {
        row.name: {
            "description": row.description,
            "shown_in": row.unit,
            "prior": row.prior,
            "value": row.value,
            "interval": list(row.interval),
            "determined": row.determined,
        }
        for row in fit.table()
    }
    arrays = {row.name: {"count": row.count, "determined": row.determined} for row in fit.arrays()}
    return {
        "units": "SI",
        "parameters": rows,
        "arrays": arrays,
        "steps": fit.steps,
        "costs": np.asarray(fit.costs).tolist(),
        "status": {"code": int(fit.status.worst()), "message": fit.message},
        "expected_gain": fit.gain,
        "drifts": [asdict(drift) for drift in fit.drifts],
        "unseen_drifts": [asdict(one) for one in fit.unseen],
    }


def comparison_figures(
    forecast: Forecast, record: Record, fitted: Record | None = None, sensors: Sequence[str] | None = None
) -> dict[str, Any]:
    """Count of samples, root-mean-square error (SI units) and coverage of the 95 % band by sensor.

    Samples that were ``fitted`` and those ``held_out`` are judged apart; where nothing was fitted, ``all`` together.

    Args:
        forecast: at the times of the record.
        record: what was measured.
        fitted: the part of it that was fitted; None for none.
        sensors: which readings were fitted; None for all.
    """
    figures: dict[str, Any] = {}
    for name, measured in record.readings.items():
        measured = np.asarray(measured, dtype=float)
        twin = np.asarray(forecast.run.readings[name])
        low, high = (np.asarray(side) for side in forecast.band(name))
        used = samples_of(record, fitted) & (sensors is None or name in sensors)
        parts = {"all": np.ones(measured.shape, bool)} if fitted is None else {"fitted": used, "held_out": ~used}
        figures[name] = {
            part: _errors(measured[keep], twin[keep], low[keep], high[keep])
            for part, keep in parts.items()
            if np.any(keep & np.isfinite(measured))
        }
    return figures


def save_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write figures as JSON; a number that is not finite is written as null."""
    write_atomically(path, (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def _errors(measured: np.ndarray, twin: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(measured)
    inside = (measured >= low) & (measured <= high)
    return {
        "samples": int(known.sum()),
        "rmse": float(np.sqrt(np.mean((twin - measured)[known] ** 2))),
        "coverage": float(np.mean(inside[known])),
    }


def _scalars(statistics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in statistics.items() if np.ndim(value) == 0 and _is_number(value)}


def _is_number(value: Any) -> bool:
    return eqx.is_array_like(value) and np.issubdtype(np.asarray(value).dtype, np.number)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content
