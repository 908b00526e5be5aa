r"""Calibration of a twin against measured data: maximum a posteriori by gradients, Laplace posterior.

With standardised parameters $z$ (see `Prior`), sensor noise $\sigma_s$ and $c_s$ samples to an independent one,

$$ \Phi(z) = \tfrac12 \sum_{s,i} \frac{(y_s(t_i; z) - d_{si})^2}{c_s\,\sigma_s^2} + \tfrac12 \|L^{-1}(z - m)\|^2 $$

is minimised, with $m$ and $L L^\top$ the mean and covariance of the belief before the data; near its minimum the
posterior is normal with covariance $(J^\top J)^{-1}$, $J$ the Jacobian of the stacked residual.
Source: Tarantola, *Inverse Problem Theory*, 2005, chapter 3.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.parameters import Belief
from gemel.engine.signals import Record
from gemel.engine.simulation import check_names, respond
from gemel.engine.twin import Twin
from gemel.solvers.least_squares import FitState, LeastSquaresSolver, LevenbergMarquardt, Linearisation
from gemel.solvers.solution import Status

DEFAULT_SOLVER = LevenbergMarquardt(gtol=1e-4, ftol=1e-6, xtol=1e-6, max_steps=60)
"""Levenberg-Marquardt until a step lowers the misfit by less than a millionth."""


class CalibrationProblem(eqx.Module):
    """A twin, the data it is compared with, and the weights: the arguments of the residual.

    Build it with `CalibrationProblem.of`.
    """

    twin: Twin
    inputs: Any
    times: Any
    grid: Any
    data: Float[Array, "*n s"]
    weights: Float[Array, "*n s"]
    names: tuple[str, ...] = eqx.field(static=True)

    @staticmethod
    def of(twin: Twin, record: Record, sensors: Sequence[str] | None = None) -> "CalibrationProblem":
        """Line up a record with a twin's sensors.

        Args:
            twin: the twin; its belief is the prior.
            record: measured readings and inputs.
            sensors: which readings to fit; all in the record by default. The others are held out.

        Raises:
            ValueError: for readings or inputs that the twin does not have, a twin without parameters, or no data.
        """
        names = tuple(record.readings) if sensors is None else tuple(sensors)
        check_names(
            "sensor",
            dict.fromkeys((*record.readings, *names)),
            [s.name for s in twin.sensors],
            complete=False,
        )
        check_names("input", record.inputs, twin.inputs, complete=True)
        if not twin.parameters:
            raise ValueError(f"Twin '{twin.name}' has no parameters to calibrate.")
        absent = [name for name in names if name not in record.readings]
        if absent or not names:
            raise ValueError(f"The record has no readings of sensor '{absent[0] if absent else ''}'.")
        times = None if record.times is None else np.asarray(record.times, dtype=float)
        columns, weights = [], []
        for name in names:
            noise = twin.sensor(name).noise
            column = np.asarray(record.readings[name], dtype=float)
            known = np.isfinite(column)
            spacing = 0.0 if times is None or known.sum() < 2 else float(np.median(np.diff(times[known])))
            scale = 1.0 / (noise.std * np.sqrt(noise.samples_per_independent_one(spacing)))
            weights.append(np.where(known, scale, 0.0))
            columns.append(np.nan_to_num(column))
        data = jnp.stack([jnp.asarray(column) for column in columns], axis=-1)
        return CalibrationProblem(
            twin,
            dict(record.inputs),
            times,
            twin.analysis.grid(times),
            data,
            jnp.stack([jnp.asarray(weight) for weight in weights], axis=-1),
            names,
        )

    def start(self) -> Float[Array, " p"]:
        """The mean of the twin's belief, where the fit starts."""
        return self.twin.belief.mean


def residual(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, " m"]:
    """The weighted misfit of all samples, then the whitened distance from the belief before the data."""
    twin = problem.twin
    run = respond(twin, problem.inputs, problem.times, problem.grid, twin.belief.values(z))
    misfit = (run.stacked(problem.names) - problem.data) * problem.weights
    misfit = jnp.where(run.status.ok, misfit, jnp.nan)  # a run that failed is no evidence
    belief = twin.belief
    factor = jnp.linalg.cholesky(belief.covariance)
    distance = jax.scipy.linalg.solve_triangular(factor, z - belief.mean, lower=True)
    return jnp.concatenate([misfit.reshape(-1), distance])


class Fit(eqx.Module):
    """The result of a calibration: the twin with its posterior belief, and how it was reached."""

    twin: Twin
    prior: Belief
    status: Status
    costs: Float[Array, " steps"]
    steps: int = eqx.field(static=True)

    def table(self) -> list["ParameterRow"]:
        """One row a parameter, in SI units."""
        belief = self.twin.belief
        values, intervals, determined = belief.values(), belief.interval(), belief.determined()
        before, before_interval = self.prior.values(), self.prior.interval()
        return [
            ParameterRow(
                parameter.name,
                parameter.description,
                parameter.unit,
                float(before[parameter.name]),
                _pair(before_interval[parameter.name]),
                float(values[parameter.name]),
                _pair(intervals[parameter.name]),
                float(determined[parameter.name]),
            )
            for parameter in belief.parameters
        ]


class ParameterRow(eqx.Module):
    """A parameter before and after calibration, in SI units: values, 95 % intervals, and how well data determine it.

    ``determined`` is $1 - \\mathrm{var}_{post}/\\mathrm{var}_{prior}$ of the standardised parameter: 0 where the
    data say nothing, 1 where they say all.
    """

    name: str = eqx.field(static=True)
    description: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    prior: float
    prior_interval: tuple[float, float]
    value: float
    interval: tuple[float, float]
    determined: float


def _pair(interval: tuple[Array, Array]) -> tuple[float, float]:
    return float(interval[0]), float(interval[1])


def calibrate(
    twin: Twin,
    record: Record,
    solver: LeastSquaresSolver = DEFAULT_SOLVER,
    sensors: Sequence[str] | None = None,
    state: FitState | None = None,
    on_step: Callable[[FitState], None] | None = None,
) -> Fit:
    """Fit a twin's parameters to measured data and give it the posterior belief.

    Args:
        twin: the twin; its belief is the prior.
        record: measured readings and inputs.
        solver: the method; every one stops at its own ``max_steps``.
        sensors: which readings to fit; the others are held out.
        state: where to continue a fit that was interrupted.
        on_step: called after the start and after each step with the state, for progress and checkpoints.

    Returns:
        The fit. Its status says whether the tolerances were met.

    Raises:
        ValueError: for data that do not fit the twin (see `CalibrationProblem.of`).
    """
    problem = CalibrationProblem.of(twin, record, sensors)
    if state is None:
        state = solver.init(residual, problem.start(), problem)
        if on_step:
            on_step(state)
    costs = [state.cost]
    while not bool(state.finished):
        state = solver.step(residual, state, problem)
        costs.append(state.cost)
        if on_step:
            on_step(state)
    return conclude(problem, state, jnp.stack(costs))


def conclude(problem: CalibrationProblem, state: FitState, costs: Float[Array, " steps"]) -> Fit:
    """The fit at a solver's state: Laplace posterior from the Jacobian there."""
    if isinstance(state.memory, Linearisation):
        covariance = _laplace(state.memory.jacobian)
    else:
        covariance = _laplace(_jacobian(problem, state.z))
    fitted = problem.twin.with_belief(state.z, covariance)
    return Fit(fitted, problem.twin.belief, Status(state.code), costs, int(state.step))


@eqx.filter_jit
def _jacobian(problem: CalibrationProblem, z: Array) -> Array:
    return jax.jacfwd(lambda x: residual(x, problem))(z)


@jax.jit
def _laplace(jacobian: Array) -> Array:
    """The posterior covariance of the standardised parameters, $(J^\\top J)^{-1}$."""
    _, singular, basis = jnp.linalg.svd(jacobian, full_matrices=False)
    return (basis.T / singular**2) @ basis
