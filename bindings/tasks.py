"""What a worker does: each task takes the twin it is about and a request, and returns plain data."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gemel.bindings import convert, findings
from gemel.bindings.plan import FitPlan, attached_validation, check_references, has_data, plan_fit, with_attached_data
from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2, simulation_pb2
from gemel.bindings.verdicts import judgement_message
from gemel.engine import Fit, Judgement, Twin, forecast, simulate
from gemel.engine.calibration.pace import Pace
from gemel.engine.extrapolation import Ranges, with_warnings
from gemel.engine.results import forecast_data, run_data
from gemel.engine.store import RunData, write_run
from gemel.engine.store.checkpoints import OtherProblemError, resumable_calibrate
from gemel.engine.twinfile import TwinFile, TwinFileError
from gemel.engine.twinfile.errors import Mistakes
from gemel.names import listed
from gemel.solvers import Code, SolveError
from gemel.solvers.least_squares import FitState

_log = logging.getLogger("gemel.tasks")

OnProgress = Callable[[FitState, Pace], None]

_USABLE = (Code.SUCCESS, Code.MAX_STEPS, Code.STAGNATION)


class TwinPlace(NamedTuple):
    """Where a twin's document lies, what errors call it, and the belief to give it (None for its prior)."""

    digest: str
    folder: Path
    source: str
    mean: np.ndarray | None
    covariance: np.ndarray | None


@dataclass(frozen=True)
class LoadedTwin:
    """A twin and the document it was built from."""

    file: TwinFile
    twin: Twin


class TwinCache:
    """The twins that a worker has built, the least used forgotten first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._built: OrderedDict[str, LoadedTwin] = OrderedDict()

    def load(self, place: TwinPlace) -> LoadedTwin:
        """The twin at a place with its belief. Raises `TwinFileError` as the library does."""
        found = self._built.pop(place.digest, None)
        if found is None:
            file = TwinFile.parse((place.folder / "twin.toml").read_bytes().decode(), place.folder, place.source)
            check_references(file)
            found = LoadedTwin(file, file.build())
        if found.file.source != place.source:  # registered again from elsewhere
            file = found.file
            found = LoadedTwin(TwinFile(file.text, file.folder, place.source, file.document), found.twin)
        if place.digest:
            self._built[place.digest] = found
        while len(self._built) > self._size:
            self._built.popitem(last=False)
        if place.mean is None or place.covariance is None:
            return found
        belief = jnp.asarray(place.mean), jnp.asarray(place.covariance)
        return LoadedTwin(found.file, found.twin.with_belief(*belief))


def describe(loaded: LoadedTwin) -> dict[str, Any]:
    """The facts about a twin, its name and its belief. Raises `TwinFileError` for data or candidates that cannot be: of
    data with a line for each channel that cannot be read.
    """
    loaded.file.candidates(loaded.twin)
    if has_data(loaded.file):
        file, mistakes = with_attached_data(loaded.file), Mistakes()
        for name in file.experiments:
            file.survey(mistakes, [], experiment=name)
        if mistakes.found:
            raise TwinFileError("\n".join(mistakes.found))
    return {
        "name": loaded.file.name,
        "facts": convert.twin_facts(loaded.twin, has_data(loaded.file)),
        "mean": np.asarray(loaded.twin.belief.mean),
        "covariance": np.asarray(loaded.twin.belief.covariance),
    }


def inspect_data(loaded: LoadedTwin, experiment: str) -> bytes:
    """What reading a twin's own data found, as a message. Raises `TwinFileError` where there are none."""
    found = with_attached_data(loaded.file).inspect(experiment=experiment)
    return findings.report_message(*found).SerializeToString()


def run_simulation(loaded: LoadedTwin, request: bytes, fit: bytes, out: Path) -> dict[str, Any]:
    """Simulate and write the run at ``out``; raises `ValueError` for a request that does not fit the twin.

    ``fit`` is the message of the fit whose belief the twin has, empty for a prior.
    """
    message = simulation_pb2.SimulateRequest.FromString(request)
    inputs, times = _drive(loaded, message)
    twin, ranges = _believed(loaded, message, fit)
    run = simulate(twin, inputs, times, _known(message))
    return _keep(run_data(with_warnings(twin, run, ranges)), message, out)


def run_forecast(loaded: LoadedTwin, request: bytes, fit: bytes, out: Path) -> dict[str, Any]:
    """Forecast and write the run with its standard deviations at ``out``; as `run_simulation`."""
    message = simulation_pb2.ForecastRequest.FromString(request)
    inputs, times = _drive(loaded, message)
    twin, ranges = _believed(loaded, message, fit)
    found = forecast(twin, inputs, times, _known(message))
    return _keep(forecast_data(with_warnings(twin, found, ranges)), message, out)


def check_calibration(loaded: LoadedTwin, request: bytes) -> None:
    """Raise `ValueError` where a calibration cannot begin."""
    _plan(loaded, request).check(loaded.twin)


def run_calibration(
    loaded: LoadedTwin, request: bytes, checkpoint: Path, start: np.ndarray | None, on_step: OnProgress
) -> dict[str, Any]:
    """Calibrate from the checkpoint where there is one, else from ``start``, or the mean of the belief for None.

    Raises `SolveError` where the fit ended without a usable point.
    """
    plan = _plan(loaded, request)
    pace = Pace.of(plan.solver)

    def on_state(state: FitState) -> None:
        nonlocal pace
        pace = pace.after(monotonic(), state)
        on_step(state, pace)

    def fit(restart: bool) -> Any:
        return resumable_calibrate(
            loaded.twin,
            plan.fitted,
            plan.method(loaded.twin),
            plan.sensors,
            checkpoint,
            document=loaded.file.text,
            restart=restart,
            on_step=on_state,
            starts=plan.starts,
            windows=plan.windows,
            own=plan.own,
            start=start,
        )

    try:
        result = fit(False)
    except OtherProblemError:  # of another version of the library: the job's own request has not changed
        result = fit(True)
    if result.status.worst() not in _USABLE:
        raise SolveError(f"The calibration failed: {result.message}")
    message, belief = convert.fit_message(result), result.twin.belief
    try:  # the fit is there: it must not be lost with a verdict
        message.judgement.CopyFrom(judgement_message(_judgement(loaded, result, plan)))
    except (SolveError, ValueError) as error:
        _log.warning("No verdict on the fit of '%s': a run to judge it by failed: %s", loaded.twin.name, error)
    return {
        "fit": message.SerializeToString(),
        "facts": convert.twin_facts(result.twin, has_data(loaded.file)),
        "mean": np.asarray(belief.mean),
        "covariance": np.asarray(belief.covariance),
    }


def _judgement(loaded: LoadedTwin, fit: Fit, plan: FitPlan) -> Judgement:
    """The verdict on a fit, as ``gemel calibrate`` gives it."""
    record = attached_validation(loaded.file)
    unseen = None if record is None else (forecast(fit.twin, record.inputs, record.times), record)
    return plan.judge(fit, plan.runs(fit), unseen)


def _plan(loaded: LoadedTwin, request: bytes) -> FitPlan:
    message = calibration_pb2.CalibrateRequest.FromString(request)
    record = convert.record_from(message.record) if message.HasField("record") else None
    return plan_fit(
        with_attached_data(loaded.file) if record is None else loaded.file,
        record,
        None,
        tuple(message.sensors),
        message.until if message.HasField("until") else None,
        message.max_steps if message.HasField("max_steps") else None,
    )


def _drive(loaded: LoadedTwin, message: Any) -> tuple[Any, np.ndarray | None]:
    """The inputs and times of a request, or of the document's data where the request says so."""
    if not message.use_data:
        return convert.series_from(message.inputs), convert.times_from(message)
    if message.inputs or message.HasField("times"):
        raise ValueError("Give inputs and times, or use_data, not both.")
    record = with_attached_data(loaded.file).record(experiment=message.experiment)
    return record.inputs, None if record.times is None else np.asarray(record.times)


def _believed(loaded: LoadedTwin, message: Any, fit: bytes) -> tuple[Twin, Ranges]:
    """The twin in the experiment that a request names, as the fit has found it there, and the ranges of the inputs of
    neural terms in the data of the fit.

    In one that was not fitted it has the belief of the revision, which is that of an experiment to come.
    """
    if message.experiment:
        loaded.file.require_experiment(message.experiment)
    if not fit:
        return loaded.twin, {}
    told = calibration_pb2.Fit.FromString(fit)
    ranges = convert.ranges_from(told)
    if not message.experiment:
        return loaded.twin, ranges
    found = convert.fit_from(told, loaded.twin)
    return found.twin_in(message.experiment) if message.experiment in found.places else loaded.twin, ranges


def _known(message: Any) -> dict[str, Any]:
    return {name: jnp.asarray(value) for name, value in message.parameters.items()}


def _keep(run: RunData, message: Any, out: Path) -> dict[str, Any]:
    for name in message.fields:
        if name != "*" and name not in run.fields:
            raise ValueError(f"Unknown field '{name}': the run has {listed(name, run.fields)}")
    write_run(out, run)
    return {"status": run.attributes["status"]}
