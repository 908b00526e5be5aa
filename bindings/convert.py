"""Between the messages of the wire and the objects of the library."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2, twin_pb2, types_pb2
from gemel.engine import Belief, Fit, Record, Series, Twin
from gemel.engine.calibration.drifts import Drift, Unseen
from gemel.engine.calibration.experiments import joint_belief
from gemel.solvers import Code, Status


def series_from(messages: Mapping[str, Any]) -> dict[str, Series]:
    """Signals by name. Raises `ValueError` as `Series` does, naming the signal."""
    found = {}
    for name, message in messages.items():
        try:
            found[name] = Series(np.asarray(message.times), np.asarray(message.values), not message.linear)
        except ValueError as error:
            raise ValueError(f"Input '{name}': {error}") from error
    return found


def fill_series(target: Any, series: Mapping[str, Series]) -> None:
    """Write signals into a map of messages."""
    for name, signal in series.items():
        target[name].times.extend(_floats(signal.times))
        target[name].values.extend(_floats(signal.values))
        target[name].linear = not signal.hold


def record_from(message: types_pb2.Record) -> Record:
    """A record. Raises `ValueError` as `Record` does."""
    inputs = series_from(message.inputs)
    if message.HasField("times"):
        times = times_from(message)
        return Record(times, {name: np.asarray(v.values) for name, v in message.readings.items()}, inputs)
    readings = {}
    for name, column in message.readings.items():
        if len(column.values) != 1:
            raise ValueError(f"Reading '{name}' has {len(column.values)} values where there is no time: give one.")
        readings[name] = np.asarray(column.values[0])
    return Record(None, readings, inputs)


def fill_record(message: types_pb2.Record, record: Record) -> None:
    """Write a record into a message."""
    if record.times is not None:
        message.times.seconds.extend(_floats(record.times))
        message.times.SetInParent()
    for name, values in record.readings.items():
        message.readings[name].values.extend(_floats(np.atleast_1d(values)))
    fill_series(message.inputs, record.inputs)


def times_from(message: Any) -> np.ndarray | None:
    """The field ``times`` of a message, None where absent. Raises `ValueError` unless they increase."""
    if not message.HasField("times"):
        return None
    times = np.asarray(message.times.seconds, dtype=float)
    if not len(times) or not np.all(np.isfinite(times)) or not np.all(np.diff(times) > 0):
        raise ValueError("The times must be finite numbers that increase, at least one.")
    return times


def parameter_facts(belief: Belief) -> list[dict[str, Any]]:
    """The parameters of a belief that are one number, as plain data in SI units."""
    belief = belief.scalars()
    values, intervals, determined = belief.values(), belief.interval(), belief.determined()
    return [
        {
            "name": parameter.name,
            "description": parameter.description,
            "unit": parameter.unit,
            "value": float(values[parameter.name]),
            "low": float(intervals[parameter.name][0]),
            "high": float(intervals[parameter.name][1]),
            "determined": float(determined[parameter.name]),
        }
        for parameter in belief.parameters
    ]


def twin_facts(twin: Twin, has_data: bool) -> dict[str, Any]:
    """What a server says about a twin without building it again."""
    return {
        "description": twin.description,
        "sensors": [
            {"name": sensor.name, "unit": sensor.unit, "noise": float(twin.noise(sensor.name).spread)}
            for sensor in twin.sensors
        ],
        "inputs": list(twin.inputs),
        "parameters": parameter_facts(twin.belief),
        "has_data": has_data,
    }


def belief_message(belief: Belief) -> twin_pb2.Belief:
    """A belief as a message."""
    return twin_pb2.Belief(mean=_floats(belief.mean), covariance=_floats(np.ravel(belief.covariance)))


def belief_from(message: twin_pb2.Belief, like: Belief) -> Belief:
    """The belief about the parameters of ``like`` that a message holds."""
    mean = np.asarray(message.mean, dtype=float)
    covariance = np.asarray(message.covariance, dtype=float).reshape(len(mean), len(mean))
    return Belief(like.parameters, jnp.asarray(mean), jnp.asarray(covariance))


def fit_message(fit: Fit) -> calibration_pb2.Fit:
    """A fit as a message, without the revision, which the store gives."""
    code = fit.status.worst()
    own = [name for name in fit.twin.belief.names if name not in fit.belief.names]
    return calibration_pb2.Fit(
        status=types_pb2.SolveStatus(code=int(code), message=fit.message),
        steps=fit.steps,
        costs=_floats(fit.costs),
        prior=belief_message(fit.twin_before().belief),
        posterior=belief_message(fit.twin.belief),
        parameters=[twin_pb2.Parameter(**facts) for facts in parameter_facts(fit.belief)],
        experiments=list(fit.places),
        own=own,
        joint_prior=belief_message(fit.prior) if own else None,
        joint_posterior=belief_message(fit.belief) if own else None,
        gain=fit.gain,
        ranges=[
            calibration_pb2.InputRange(term=term, input=label, least=low, greatest=high)
            for term, inputs in fit.ranges.items()
            for label, (low, high) in inputs.items()
        ],
        drifts=[calibration_pb2.Drift(**dataclasses.asdict(drift)) for drift in fit.drifts],
        unseen=[calibration_pb2.UnseenDrift(**dataclasses.asdict(one)) for one in fit.unseen],
    )


def fit_from(message: calibration_pb2.Fit, twin: Twin) -> Fit:
    """The fit that a message holds, of ``twin``."""
    before, posterior = (belief_from(one, twin.belief) for one in (message.prior, message.posterior))
    joint, places = joint_belief(before, tuple(message.experiments) or ("",), tuple(message.own))
    if message.own:
        joint, after = (belief_from(one, joint) for one in (message.joint_prior, message.joint_posterior))
    else:
        after = posterior
    return Fit(
        twin.with_belief(posterior.mean, posterior.covariance),
        joint,
        after,
        places,
        Status(jnp.asarray(Code(message.status.code), jnp.int32)),
        jnp.asarray(np.asarray(message.costs, dtype=float)),
        message.steps,
        message.gain if message.HasField("gain") else float("nan"),
        ranges_from(message),
        tuple(_drift_from(drift) for drift in message.drifts),
        tuple(Unseen(**_fields(Unseen, one)) for one in message.unseen),
    )


def _drift_from(message: calibration_pb2.Drift) -> Drift:
    step = message.step if message.HasField("step") else None
    return dataclasses.replace(Drift(**_fields(Drift, message)), step=step)


def _fields(kind: Any, message: Any) -> dict[str, Any]:
    """What a message holds of the fields of a dataclass, which are called alike in both."""
    return {field.name: getattr(message, field.name) for field in dataclasses.fields(kind)}


def ranges_from(message: calibration_pb2.Fit) -> dict[str, dict[str, tuple[float, float]]]:
    """The ranges of the inputs of neural terms that the message of a fit holds."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for one in message.ranges:
        found.setdefault(one.term, {})[one.input] = (one.least, one.greatest)
    return found


def _floats(values: Any) -> Iterable[float]:
    return np.asarray(values, dtype=float).tolist()
