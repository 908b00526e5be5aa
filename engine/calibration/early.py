"""Fits that stop when held-out samples are no longer fitted better."""

from collections.abc import Mapping, Sequence

import numpy as np

from gemel.engine.calibration.problem import CalibrationProblem, data_residual
from gemel.engine.losses import Loss
from gemel.engine.signals import Record, samples_of
from gemel.engine.twin import Twin
from gemel.solvers.early_stopping import EarlyStopping
from gemel.solvers.least_squares import LeastSquaresSolver


def stopping_early(
    solver: LeastSquaresSolver,
    twin: Twin,
    record: Record | Mapping[str, Record],
    fitted: Record | Mapping[str, Record],
    patience: int,
    sensors: Sequence[str] | None = None,
    loss: Loss | None = None,
    own: Sequence[str] = (),
) -> EarlyStopping:
    """A method that stops when the samples of a record that are not fitted are no longer met better.

    The twin runs freely over all of the record, or of each experiment, as a forecast does. The posterior that
    `calibrate` gives then is about the point where the fit was stopped, which is not where the misfit is least: its
    spread tells too little.

    Args:
        solver: takes the steps.
        twin: the twin that is to be fitted.
        record: all that was measured, or that by experiment.
        fitted: the part of it that will be fitted, or those.
        patience: how many steps to go on without an improvement.
        sensors: which held-out readings count; all by default.
        loss: what a residual costs; that of the twin by default.
        own: the parameters of which every experiment has one of its own.

    Raises:
        ValueError: for a record of which nothing is held out, or that does not fit the twin.
    """
    whole, parts = ({"": one} if isinstance(one, Record) else dict(one) for one in (record, fitted))
    rest = {name: _without(one, parts[name]) for name, one in whole.items()}
    kept = [values for one in rest.values() for name, values in one.readings.items() if name in (sensors or [name])]
    if not any(np.isfinite(values).any() for values in kept):
        raise ValueError("No sample of the record is held out: fit a part of it, such as record.between(start, end).")
    held = rest[""] if isinstance(record, Record) else rest
    return EarlyStopping(solver, data_residual, CalibrationProblem.of(twin, held, sensors, loss, own), patience)


def _without(record: Record, part: Record) -> Record:
    """A record with the samples of a part of it missing."""
    used = samples_of(record, part)
    readings = {name: np.where(used, np.nan, np.asarray(values, float)) for name, values in record.readings.items()}
    return Record(record.times, readings, record.inputs)
