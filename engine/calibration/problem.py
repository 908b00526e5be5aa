r"""What a calibration minimises: a twin, measured data, and how far apart they are.

With standardised parameters $z$ (see `Prior`), sensor noise $\sigma_s$ and $c_s$ samples to an independent one,

$$ \Phi(z) = \sum_{s,i} \rho\left(\frac{y_s(t_i; z) - d_{si}}{\sqrt{c_s}\,\sigma_s}\right)
   + \tfrac12 \|L^{-1}(z - m)\|^2 $$

is minimised, with $m$ and $L L^\top$ the mean and covariance of the belief before the data, and $\rho$ a `Loss`,
half the square for normal noise.
Source: Tarantola, *Inverse Problem Theory*, 2005, chapter 3.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.losses import Gaussian, Loss
from gemel.engine.signals import Record
from gemel.engine.simulation import Run, check_names, respond
from gemel.engine.twin import Twin


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
    loss: Loss = Gaussian()

    @staticmethod
    def of(
        twin: Twin, record: Record, sensors: Sequence[str] | None = None, loss: Loss | None = None
    ) -> "CalibrationProblem":
        """Line up a record with a twin's sensors.

        Args:
            twin: the twin; its belief is the prior.
            record: measured readings and inputs.
            sensors: which readings to fit; all in the record by default. The others are held out.
            loss: what a residual costs; `Gaussian` by default.

        Raises:
            ValueError: for readings or inputs that the twin does not have, a twin without parameters, or no data.
        """
        if not isinstance(loss, Loss | None):
            raise ValueError(f"A loss is Gaussian(), Huber() or StudentT(), or one of your own, not {loss!r}.")
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
            Gaussian() if loss is None else loss,
        )

    def start(self) -> Float[Array, " p"]:
        """The mean of the twin's belief, where the fit starts."""
        return self.twin.belief.mean


def misfit(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, ""]:
    r"""$\Phi(z)$: half the squared length of the residual."""
    return 0.5 * jnp.sum(residual(z, problem) ** 2)


def residual(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, " m"]:
    """The weighted misfit of all samples, then the whitened distance from the belief before the data."""
    return jnp.concatenate([data_residual(z, problem), prior_residual(z, problem)])


def data_residual(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, " d"]:
    """The weighted misfit of all samples."""
    twin = problem.twin
    return compared(respond(twin, problem.inputs, problem.times, problem.grid, twin.belief.values(z)), problem)


def compared(run: Run, problem: CalibrationProblem) -> Float[Array, " d"]:
    """The weighted misfit of a run."""
    misfit = (run.stacked(problem.names) - problem.data) * problem.weights
    misfit = problem.loss.shaped(misfit)
    misfit = jnp.where(run.status.ok, misfit, jnp.nan)  # a run that failed is no evidence
    return misfit.reshape(-1)


def prior_residual(z: Float[Array, " p"], problem: CalibrationProblem) -> Float[Array, " p"]:
    """The whitened distance from the belief before the data."""
    belief = problem.twin.belief
    factor = jnp.linalg.cholesky(belief.covariance)
    return jax.scipy.linalg.solve_triangular(factor, z - belief.mean, lower=True)
