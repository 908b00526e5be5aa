r"""Calibration of a twin against measured data: maximum a posteriori by gradients, Laplace posterior.

Near the minimum of the misfit $\Phi$ (see `gemel.engine.calibration.problem`) the posterior is normal with covariance
$C = (J^\top J)^{-1}$, $J$ the Jacobian of the stacked residual, whose rows other losses than that of normal noise
multiply by the factors of `gemel.engine.calibration.curvature`; with fewer data than parameters it is computed in the
space of the data.

Where a fit stops, with the gradient $g = J^\top r$, Newton's method expects to gain $\lambda^2/2 = g^\top C g / 2$ of
$\Phi$, the logarithm of the posterior density, by the step $-Cg$. It is also how far, by Kullback and Leibler, the
posterior about the point is from that about the minimum, and no linear consequence $a^\top z$ of the parameters would
move by more than $\lambda$ of its posterior standard deviations.
Source: Tarantola, *Inverse Problem Theory*, 2005, chapter 3; Boyd, Vandenberghe, *Convex Optimization*, 2004, section
9.5; Bates, Watts, *A Relative Offset Orthogonality Convergence Criterion for Nonlinear Least Squares*, Technometrics
23, 1981.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.curvature import curvature_factors
from gemel.engine.calibration.drifts import Drift, Unseen, find_drifts
from gemel.engine.calibration.experiments import belief_in, belief_in_another
from gemel.engine.calibration.problem import CalibrationProblem, residual
from gemel.engine.extrapolation import Ranges, neural_ranges, terms_of
from gemel.engine.losses import Loss
from gemel.engine.noise import Noise
from gemel.engine.parameters import Belief
from gemel.engine.signals import Record
from gemel.engine.simulation import check_names, simulate
from gemel.engine.twin import Twin
from gemel.solvers.least_squares import FitState, LeastSquaresSolver, LevenbergMarquardt, Linearisation
from gemel.solvers.linearising import Residual, data_rows, linearise, whitened
from gemel.solvers.solution import Code, Status

DEFAULT_SOLVER = LevenbergMarquardt(gtol=1e-4, ftol=1e-6, xtol=1e-6, max_steps=60)
"""Levenberg-Marquardt until a step lowers the misfit by less than a millionth."""


NEGLIGIBLE = 0.005
r"""The expected gain $\lambda^2/2$ up to which a fit is as good as converged: nothing that follows from the parameters
would move by more than a tenth of its posterior standard deviation."""

_ENDED = {
    Code.MAX_STEPS: (
        "the limit of steps was reached before a tolerance was met",
        "raise max_steps, or loosen the tolerance.",
    ),
    Code.STAGNATION: (
        "no step lowers the misfit further, though its gradient is above the tolerance",
        "start elsewhere, or look for parameters at which runs fail.",
    ),
}
"""What a fit says of its end where a solve would say something else, and what to try."""


class CalibrationError(RuntimeError):
    """A fit ended where nothing can be believed: a run that failed, or a posterior that is no distribution."""


class Fit(eqx.Module):
    """The result of a calibration: the twin with its posterior belief, and how it was reached.

    ``prior`` and ``belief`` are about all that was to be found, before and after the data: the parameters of the twin,
    and where experiments have some of their own, those of each. The belief of ``twin`` is then that of an experiment
    not made yet, and `twin_in` gives it in each; ``places`` says which coordinates are those of each experiment.
    ``gain`` is what one more Newton step is expected to take off the misfit; NaN where that is not known. ``ranges``
    are those that the data took the inputs of neural terms through; see `neural_ranges`. ``drifts`` are the sensors of
    which the residuals run away, ``unseen`` drifts of others that would have passed unseen.
    """

    twin: Twin
    prior: Belief
    belief: Belief
    places: dict[str, tuple[int, ...]]
    status: Status
    costs: Float[Array, " steps"]
    steps: int = eqx.field(static=True)
    gain: float = float("nan")
    ranges: Ranges = eqx.field(default_factory=dict)
    drifts: tuple[Drift, ...] = eqx.field(static=True, default=())
    unseen: tuple[Unseen, ...] = eqx.field(static=True, default=())

    @property
    def converged(self) -> bool:
        """Whether a tolerance was met, or the fit is as good as that: its expected gain is `NEGLIGIBLE`."""
        code = self.status.worst()
        return code == Code.SUCCESS or (code in _ENDED and self.gain <= NEGLIGIBLE)

    @property
    def message(self) -> str:
        """How the fit ended and what to try, in one sentence."""
        code = self.status.worst()
        if code not in _ENDED:
            return code.message
        end, advice = _ENDED[code]
        gain = f", with an expected further gain of {self.gain:.2g} in log-posterior density"
        known = gain if np.isfinite(self.gain) else ""
        return f"{end}{known}: {'as good as converged.' if self.converged else advice}"

    def twin_in(self, experiment: str) -> Twin:
        """The twin as it was in one of the experiments. Raises `ValueError` for one that there was not."""
        check_names("experiment", {experiment: None}, tuple(self.places), complete=False, owner="the fit")
        belief = belief_in(self.twin.belief, self.belief, self.places[experiment])
        return self.twin.with_belief(belief.mean, belief.covariance)

    def noise(self, sensor: str, experiment: str = "") -> Noise:
        """The noise of a sensor as it was in one of the experiments, else as the twin has it."""
        return (self.twin_in(experiment) if experiment in self.places else self.twin).noise(sensor)

    def twin_before(self) -> Twin:
        """The twin before the data; what is believed of an experiment's own parameters is then the same in each."""
        belief = belief_in(self.twin.belief, self.prior, next(iter(self.places.values())))
        return self.twin.with_belief(belief.mean, belief.covariance)

    def table(self) -> list["ParameterRow"]:
        """One row for each parameter of one number, in SI units; those of several have theirs in `arrays`."""
        belief, prior = self.belief.scalars(), self.prior.scalars()
        values, intervals, determined = belief.values(), belief.interval(), belief.determined()
        before, before_interval = prior.values(), prior.interval()
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

    def arrays(self) -> list["ArrayRow"]:
        """One row for each parameter of several numbers: a field, the weights of a network."""
        determined = self.belief.determined()
        return [
            ArrayRow(p.name, p.description, p.unit, p.size, float(determined[p.name]))
            for p in self.belief.parameters
            if p.shape
        ]


class ArrayRow(eqx.Module):
    """A parameter of ``count`` numbers; ``determined`` is the mean over its standardised coordinates of the share of
    the prior's variance that the data took away.
    """

    name: str = eqx.field(static=True)
    description: str = eqx.field(static=True)
    unit: str = eqx.field(static=True)
    count: int = eqx.field(static=True)
    determined: float


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
    record: Record | Mapping[str, Record],
    solver: LeastSquaresSolver = DEFAULT_SOLVER,
    sensors: Sequence[str] | None = None,
    state: FitState | None = None,
    on_step: Callable[[FitState], None] | None = None,
    loss: Loss | None = None,
    own: Sequence[str] = (),
    start: Float[Array, " p"] | None = None,
) -> Fit:
    """Fit a twin's parameters to measured data and give it the posterior belief.

    Args:
        twin: the twin; its belief is the prior.
        record: measured readings and inputs, or several records by the name of their experiment.
        solver: the method; every one stops at its own ``max_steps``.
        sensors: which readings to fit; the others are held out.
        state: where to continue a fit that was interrupted.
        on_step: called after the start and after each step with the state, for progress and checkpoints.
        loss: what a residual costs; by default what the twin has, `Gaussian` unless told otherwise. `Huber` or
            `StudentT` where some samples are wrong. The fitted twin has it, for its forecasts.
        own: parameters of which every experiment has one of its own; all experiments share the others.
        start: standardised parameters from which to fit, such as ``earlier.twin.belief.mean``; by default the mean of
            the prior, which stays the prior in any case.

    Returns:
        The fit. Its status says whether the tolerances were met.

    Raises:
        ValueError: for data that do not fit the twin (see `CalibrationProblem.of`).
        CalibrationError: where the fit ends at a point whose run fails, or without a posterior.
    """
    problem = CalibrationProblem.of(twin, record, sensors, loss, own)
    if state is None:
        state = solver.init(residual, problem.start(start), problem)
        if on_step:
            on_step(state)
    costs = [state.cost]
    for state in solver.steps(residual, state, problem):  # noqa: B020
        costs.append(state.cost)
        if on_step:
            on_step(state)
    return conclude(problem, state, jnp.stack(costs))


def conclude(problem: CalibrationProblem, state: FitState, costs: Float[Array, " steps"]) -> Fit:
    """The fit at a solver's state: Laplace posterior from the Jacobian there. Raises as `calibrate` does."""
    if not bool(jnp.isfinite(state.cost)):
        name, step = problem.twin.name, int(state.step)
        if step > 0:
            raise CalibrationError(
                f"The fit of '{name}' left the finite numbers at step {step}: take shorter steps, such as a lower "
                "learning rate, or Levenberg-Marquardt, which goes back where a run fails."
            )
        at_mean = np.array_equal(state.z, problem.belief.mean)
        where, cure = ("the mean of the prior", "priors whose mean") if at_mean else ("the start given", "a start that")
        raise CalibrationError(
            f"The fit of '{name}' has no misfit to begin with: the run at {where} fails or is not finite"
            f"{_unread(problem, state.z)}; look at it with simulate, and choose {cure} can be run."
        )
    found, jacobian = linearised(residual, state, problem)
    covariance, gain = laplace(residual, found, jacobian, _factors(problem, found))
    _require_distribution(problem, covariance)
    twin, before = problem.twin, problem.twin.belief
    joint = Belief(problem.belief.parameters, state.z, covariance)
    places = {name: experiment.places for name, experiment in problem.experiments.items()}
    first = next(iter(places.values()))
    if len(places) > 1 and problem.own:
        after = belief_in_another(before, joint, first, problem.own)
    else:
        after = belief_in(before, joint, first)
    fitted = twin.with_belief(after.mean, after.covariance).with_loss(problem.loss)
    ranges = _ranges(problem, joint)
    drifts = find_drifts(problem, state.z, found, jacobian, covariance)
    return Fit(fitted, problem.belief, joint, places, Status(state.code), costs, int(state.step), gain, ranges, *drifts)


def _factors(problem: CalibrationProblem, found: Array) -> np.ndarray | None:
    """Those of the rows that make theirs the curvature of the misfit."""
    records = [(one.names, np.asarray(one.shares).reshape(-1, len(one.names))) for one in problem.experiments.values()]
    return curvature_factors(problem.loss, problem.floors, records, np.asarray(found))


def _ranges(problem: CalibrationProblem, joint: Belief) -> Ranges:
    """With what the data ask the neural terms of a fit."""
    twin = problem.twin
    if not terms_of(twin):
        return {}
    points = {name: twin.belief.values(joint.mean[np.asarray(one.places)]) for name, one in problem.experiments.items()}
    runs = [simulate(twin, one.inputs, one.times, points[name]) for name, one in problem.experiments.items()]
    return neural_ranges(twin, runs)


def _unread(problem: CalibrationProblem, z: Array) -> str:
    """Which of the fitted readings are not finite, in words."""
    names: dict[str, None] = {}
    for one in problem.experiments.values():
        values = problem.twin.belief.values(z[np.asarray(one.places)])
        run = simulate(problem.twin, one.inputs, one.times, values)
        names |= {name: None for name in one.names if not np.all(np.isfinite(run.readings[name]))}
    return f" (the readings of {', '.join(names)} are not)" if names else ""


def linearised(fn: Residual, state: FitState, args: Any) -> tuple[Float[Array, " m"], Float[Array, "m p"]]:
    """The residual and its Jacobian at a solver's state."""
    if isinstance(state.memory, Linearisation):
        return state.memory.residual, state.memory.jacobian
    return linearise("cheapest", fn, state.z, args)


def laplace(
    fn: Residual,
    found: Float[Array, " m"],
    jacobian: Float[Array, "m p"],
    factors: Float[np.ndarray, " m"] | None = None,
) -> tuple[Float[Array, "p p"], float]:
    r"""The covariance of the Laplace posterior, and the expected gain $\lambda^2/2$, where a residual is linearised.

    ``factors`` of the rows make theirs the curvature of the misfit; none where it is theirs.
    """
    rows = data_rows(fn, jacobian)
    curved = jacobian if factors is None else jnp.asarray(factors)[:, None] * jacobian
    covariance = _laplace(curved) if rows is None else _laplace_by_data(curved, rows)
    gradient = jacobian.T @ found
    return covariance, float(0.5 * gradient @ covariance @ gradient)


@jax.jit
def _laplace(jacobian: Array) -> Array:
    """The posterior covariance of the standardised parameters, $(J^\\top J)^{-1}$."""
    _, singular, basis = jnp.linalg.svd(jacobian, full_matrices=False)
    return (basis.T / singular**2) @ basis


@eqx.filter_jit
def _laplace_by_data(jacobian: Array, rows: int) -> Array:
    r"""The same from few data: $L (I - J'^\top (J' J'^\top + I)^{-1} J') L^\top$ with $J' = A L$.

    $L L^\top$ is the covariance before them. With $J' = U S V^\top$ the square root of the inner matrix,
    $I - V (1 - (1 + S^2)^{-1/2}) V^\top$, comes first: its square is positive, and as exact where data leave a
    millionth of a standard deviation as where they leave all.
    """
    white, factor = whitened(jacobian, rows)
    _, singular, basis = jnp.linalg.svd(white, full_matrices=False)
    root = factor - ((factor @ basis.T) * (1.0 - 1.0 / jnp.sqrt(1.0 + singular**2))) @ basis
    return root @ root.T


def _require_distribution(problem: CalibrationProblem, covariance: Array) -> None:
    """Raise `CalibrationError` for a covariance that is not finite or not positive."""
    table = np.asarray(covariance)
    if np.isfinite(table).all() and (not table.size or np.linalg.eigvalsh(table).min() > 0):
        return
    names = ", ".join(problem.belief.names)
    raise CalibrationError(
        f"The fit of '{problem.twin.name}' has no posterior: the derivatives of its readings by {names} give a "
        "covariance that is not positive; look for a parameter at which the model breaks down, or fix one of them."
    )
