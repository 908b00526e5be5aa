r"""What a calibration minimises: a twin, measured data of one or several experiments, and how far apart they are.

With standardised parameters $z$ (see `Prior`), noise $\sigma_s$ of a sensor and `Noise.shares` $w_{si}$,

$$ \Phi(z) = \sum_{s,i} w_{si}\, \rho\left(\frac{y_s(t_i; z) - d_{si}}{\sigma_s}\right)
   + \tfrac12 \|L^{-1}(z - m)\|^2 $$

is minimised, with $m$ and $L L^\top$ the mean and covariance of the belief before the data, and $\rho$ a `Loss`,
half the square for normal noise. Where the noise is itself to be found, or correlated by a model error, see
`gemel.engine.calibration.likelihood`. Source: Tarantola, *Inverse Problem Theory*, 2005, chapter 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses import AdaptiveOde
from gemel.engine.calibration.experiments import joint_belief
from gemel.engine.calibration.likelihood import likelihood_rows
from gemel.engine.losses import Loss, require_loss
from gemel.engine.noise import Noise, alike
from gemel.engine.parameters import Belief, bind
from gemel.engine.signals import Record
from gemel.engine.simulation import Run, check_names, respond
from gemel.engine.twin import Twin
from gemel.solvers.linearising import ADJOINT, Mode, Regularised


class Experiment(eqx.Module):
    """One record lined up with a twin's sensors.

    ``shares (n, s)`` is what each sample weighs: one where it is independent of its neighbours, zero where there is
    none. ``places`` says which of the problem's parameters are the twin's in this experiment.
    """

    inputs: Any
    times: Any
    grid: Any
    data: Float[Array, "*n s"]
    shares: Float[Array, "*n s"]
    names: tuple[str, ...] = eqx.field(static=True)
    places: tuple[int, ...] = eqx.field(static=True)


class CalibrationProblem(eqx.Module):
    """A twin, the data it is compared with, and the belief before them: the arguments of the residual.

    Build it with `CalibrationProblem.of`. ``belief`` is about all that is to be found: the twin's parameters, those
    of each experiment's own in as many copies. ``floors`` has for each sensor whose noise is to be found a number
    under its standard deviation.
    """

    twin: Twin
    experiments: dict[str, Experiment]
    belief: Belief
    floors: dict[str, Array]
    own: tuple[str, ...] = eqx.field(static=True)
    loss: Loss

    @staticmethod
    def of(
        twin: Twin,
        record: Record | Mapping[str, Record],
        sensors: Sequence[str] | None = None,
        loss: Loss | None = None,
        own: Sequence[str] = (),
    ) -> "CalibrationProblem":
        """Line up records with a twin's sensors.

        Args:
            twin: the twin; its belief is the prior.
            record: measured readings and inputs, or several by the name of their experiment.
            sensors: which readings to fit, an image by its name; all in the records by default. The others are held
                out.
            loss: what a residual costs; that of the twin by default.
            own: parameters of which every experiment has one of its own, such as the state it starts from; all
                experiments share the others.

        Raises:
            ValueError: for readings, inputs or parameters that the twin does not have, a twin without parameters, or
                no data.
        """
        loss = twin.loss if loss is None else require_loss(loss)
        if not twin.parameters:
            raise ValueError(f"Twin '{twin.name}' has no parameters to calibrate.")
        if isinstance(own, str):
            raise ValueError(f"own is a list of names, such as ['{own}'], not '{own}'.")
        check_names("parameter", dict.fromkeys(own), tuple(twin.parameters), complete=False)
        if own and isinstance(record, Record):
            raise ValueError("Only experiments have parameters of their own: give the records by name.")
        records = {"": record} if isinstance(record, Record) else dict(record)
        if not records:
            raise ValueError("There are no experiments to fit: give a record, or several by name.")
        belief, places = joint_belief(twin.belief, tuple(records), tuple(own))
        experiments = {name: _named(name, twin, one, sensors, places[name]) for name, one in records.items()}
        if not any(bool(jnp.any(experiment.shares > 0)) for experiment in experiments.values()):
            raise ValueError(f"There is no finite reading to fit '{twin.name}' to.")
        fitted = {name for experiment in experiments.values() for name in experiment.names}
        floors = {
            sensor.name: jnp.asarray(sensor.noise.least())
            for sensor in twin.sensors
            if sensor.name in fitted and sensor.noise.uncertain
        }
        return CalibrationProblem(twin, experiments, belief, floors, tuple(own), loss)

    def start(self, z: Float[Array, " q"] | np.ndarray | None = None) -> Float[Array, " p"]:
        """Where the fit starts: at the mean of the belief before the data, or where the twin's own parameters are ``z``
        in every experiment.

        Raises `ValueError` for a point of another number of parameters than the twin has, or one that is not finite.
        """
        if z is None:
            return self.belief.mean
        count = len(self.twin.belief.mean)
        if np.shape(z) != (count,):
            raise ValueError(f"A fit of '{self.twin.name}' starts from {count} numbers, not from {np.shape(z)}.")
        if not np.all(np.isfinite(z)):
            place = int(np.flatnonzero(~np.isfinite(np.asarray(z)))[0])
            raise ValueError(
                f"A fit of '{self.twin.name}' starts from finite numbers: that of "
                f"'{self.twin.belief.labels[place]}' is {float(z[place])}."
            )
        start = jnp.zeros_like(self.belief.mean)
        for experiment in self.experiments.values():
            start = start.at[np.asarray(experiment.places)].set(jnp.asarray(z, float))
        return start


def _named(name: str, twin: Twin, record: Record, sensors: Sequence[str] | None, places: tuple[int, ...]) -> Experiment:
    """As `_experiment`; the error says which experiment it is."""
    try:
        return _experiment(twin, record, sensors, places)
    except ValueError as error:
        if not name:
            raise
        raise ValueError(f"Experiment '{name}': {error}") from error


def _experiment(twin: Twin, record: Record, sensors: Sequence[str] | None, places: tuple[int, ...]) -> Experiment:
    """Line up one record. Raises `ValueError` as `CalibrationProblem.of` does."""
    names = tuple(record.readings) if sensors is None else twin.each(sensors)
    check_names("sensor", dict.fromkeys((*record.readings, *names)), [s.name for s in twin.sensors], complete=False)
    check_names("input", record.inputs, twin.inputs, complete=True)
    absent = [name for name in names if name not in record.readings]
    if absent or not names:
        raise ValueError(f"The record has no readings of sensor '{absent[0] if absent else ''}'.")
    times = None if record.times is None else np.asarray(record.times, dtype=float)
    columns, shares = [], []
    for name in names:
        noise = twin.sensor(name).noise
        if noise.error is not None and times is None:
            raise ValueError(f"Sensor '{name}' has a model error, a process in time: its record has no times.")
        column = np.asarray(record.readings[name], dtype=float)
        known = np.isfinite(column)
        weights = known.astype(float)
        if times is not None:
            weights[known] = noise.shares(times[known])
        shares.append(weights)
        columns.append(np.nan_to_num(column))
    data, weights = (jnp.asarray(np.stack(parts, axis=-1)) for parts in (columns, shares))
    return Experiment(dict(record.inputs), times, twin.analysis.grid(times), data, weights, names, places)


def misfit(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, ""]:
    r"""$\Phi(z)$: half the squared length of the residual."""
    return 0.5 * jnp.sum(residual(z, problem) ** 2)


def data_residual(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, " d"]:
    """The weighted misfit of all samples, one experiment after the other.

    Raises `ValueError` for a point of another problem.
    """
    if len(z) != len(problem.belief.mean):
        raise ValueError(
            f"The data of '{problem.twin.name}' are compared at {len(problem.belief.mean)} numbers, not at {len(z)}: "
            "experiments with parameters of their own make another problem."
        )
    rows = []
    for experiment in problem.experiments.values():
        values = problem.twin.belief.values(z[np.asarray(experiment.places)])
        run = respond(problem.twin, experiment.inputs, experiment.times, experiment.grid, values)
        rows.append(compared(run, values, problem, experiment))
    return jnp.concatenate(rows)


def compared(
    run: Run, values: Mapping[str, Any], problem: CalibrationProblem, experiment: Experiment
) -> Float[Array, " d"]:
    """The weighted misfit of a run with these parameters, one sensor after the other."""
    difference = (run.stacked(experiment.names) - experiment.data).T.reshape(len(experiment.names), -1)
    shares = experiment.shares.T.reshape(difference.shape)
    sensors = {sensor.name: sensor for sensor in problem.twin.sensors}
    noises = [bind(sensors[name].noise, values) for name in experiment.names]
    rows, owners = [], []
    for chosen in alike(noises):
        noise, floor = noises[chosen[0]], problem.floors.get(experiment.names[chosen[0]])

        def rows_of(r: Array, weight: Array, noise: Noise = noise, floor: Array | None = floor) -> Array:
            return likelihood_rows(noise, experiment.times, r, weight, floor, problem.loss)

        found = jax.vmap(rows_of)(difference[chosen], shares[chosen])
        rows.append(found.reshape(-1))
        owners.append(np.repeat(chosen, found.shape[1]))
    order = np.argsort(np.concatenate(owners), kind="stable")
    # A run that failed is no evidence.
    return jnp.where(run.status.ok, jnp.concatenate(rows)[order], jnp.nan)


def prior_residual(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, " p"]:
    """The whitened distance from the belief before the data."""
    belief = problem.belief
    factor = jnp.linalg.cholesky(belief.covariance)
    return jax.scipy.linalg.solve_triangular(factor, z - belief.mean, lower=True)


def allowed_mode(problem: CalibrationProblem) -> Mode:
    """In which mode the misfit of all samples can be differentiated; "cheapest" where in both."""
    analysis = problem.twin.analysis
    return analysis.mode if isinstance(analysis, AdaptiveOde) else "cheapest"


def cheaper_mode(problem: CalibrationProblem) -> Mode:
    """As `allowed_mode`, but "forward" of both where there are so many samples that this is the cheaper one: the rows,
    at least as many, need not be counted by a trace of the model then, which takes a second.
    """
    allowed, samples = allowed_mode(problem), sum(one.data.size for one in problem.experiments.values())
    many = ADJOINT * samples >= len(problem.belief.mean)
    return "forward" if many and allowed == "cheapest" else allowed


residual = Regularised(data_residual, prior_residual, proper=True, mode=cheaper_mode)
"""``residual(z, problem)``: the weighted misfit of all samples, then the whitened distance from the belief before."""
