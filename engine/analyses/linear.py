r"""Linear systems of ordinary differential equations, $\dot y = A y + b(t)$, by the matrix exponential."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.analyses.analysis import Analysis
from gemel.engine.analyses.ode import checked_times, divided, finite_status, outputs_of, value_before, with_readings
from gemel.engine.coefficients import is_constant
from gemel.engine.physics import LinearSystem
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series, interval_means
from gemel.solvers import Code, Solution


class LinearOde(Analysis):
    r"""A linear system stepped exactly: no error of the time step; rounding grows as $10^{-16}\,h\|A\|$.

    Over a step of $h$ with $b = \bar b + d\,(\theta - \tfrac12)$, $0 \le \theta \le 1$,

    $$ y(h) = \varphi_0 y(0) + h \varphi_1 (\bar b - \tfrac12 d) + h \varphi_2 d, \qquad
       \varphi_0 = e^{hA}, \quad \varphi_{k+1} = \frac{\varphi_k - 1/k!}{hA}. $$

    $\bar b$ and $A$ follow from the means of the inputs over the step, $d$ from the rise of inputs that are linear
    between samples: exact where held inputs jump, and linear ones bend, only at requested times, $A$ is constant
    and $b$ linear in the inputs. Else the integral of each input is still conserved, and ``step`` bounds the rest.
    An output at the end of a step sees the input of that step; at the first time, the input just before it.

    Args:
        system: the model.
        step: longest step in s; None makes each interval between requested times one step.

    Raises:
        ValueError: for a step that is not positive, and for a system with laws of its state.

    Source: Hochbruck, Ostermann, *Exponential integrators*, Acta Numerica 19, 2010, section 2.
    """

    system: LinearSystem
    step: float | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.step is not None and not (np.isfinite(self.step) and self.step > 0):
            raise ValueError(f"The time step must be positive, not {self.step} s.")
        if not is_constant(self.system):
            raise ValueError("A system with laws of its state is not linear: march it with Ode.")

    def observe(self, sensors: Sequence[Sensor]) -> tuple[str, ...]:
        """The output of each sensor. Raises `ValueError` for one that the system does not have."""
        return outputs_of(self.system, sensors)

    def prepare(self) -> None:
        """Nothing is set up ahead."""

    def grid(self, times: np.ndarray | None) -> np.ndarray:
        """The requested times, long intervals divided. Raises `ValueError` where they do not increase."""
        times = checked_times(times)
        return times if self.step is None else divided(times, self.step)

    def run(
        self, prepared: Any, observation: tuple[str, ...], inputs: Mapping[str, Series], grid: Any
    ) -> Solution[tuple[Array, Any]]:
        """The sensors' outputs ``(m, n_sensors)`` and the state at the last time."""
        return with_readings(self.system, observation, inputs, grid, self.solve(inputs, grid))

    def solve(self, inputs: Mapping[str, Series], grid: Any) -> Solution[Float[Array, "m n"]]:
        """The states at every time of ``grid``."""
        times = jnp.asarray(grid, float)
        spans = jnp.diff(times)
        means = {name: interval_means(series, times) for name, series in inputs.items()}
        rises = {name: _rise(series, times) for name, series in inputs.items()}
        levels, changes = jax.vmap(self._forcing)(spans, means, rises)
        # The functions of the matrix are found again only where the step, or an input that the matrix follows, changes.
        keys = jnp.stack([spans, *(means[name] for name in self.system.matrix_inputs)], axis=1)
        start = self.system.start({name: value_before(series, times[0]) for name, series in inputs.items()})

        def advance(carry: tuple, interval: tuple) -> tuple[tuple, Array]:
            y, last, kept = carry
            key, signals, b, d = interval
            kept = jax.lax.cond(
                jnp.all(key == last), lambda: kept, lambda: phi_functions(key[0] * self.system.matrix(signals))
            )
            y = kept[0] @ y + key[0] * (kept[1] @ (b - 0.5 * d) + kept[2] @ d)
            return (y, key, kept), y

        empty = jnp.zeros((3, len(start), len(start)))
        _, rest = jax.lax.scan(advance, (start, jnp.zeros_like(keys[0]), empty), (keys, means, levels, changes))
        states = jnp.concatenate([start[None], rest])
        status = finite_status(jnp.asarray(Code.SUCCESS, jnp.int32), states)
        return Solution(states, status, {"steps": jnp.asarray(len(times) - 1)})

    def _forcing(self, span: Any, means: dict[str, Array], rises: dict[str, Array]) -> tuple[Array, Array]:
        """$\\bar b$ and $d$ of one step; its length tells how many steps there are where there is no input."""
        return jax.jvp(self.system.forcing, (means,), (rises,))


def _rise(series: Series, times: Float[Array, " m"]) -> Float[Array, " m-1"]:
    """How much a linear signal rises over each interval; nothing for a held one, whose mean says all."""
    return jnp.zeros(len(times) - 1) if series.hold else jnp.diff(series.at(times))


def phi_functions(matrix: Float[Array, "n n"]) -> Float[Array, "3 n n"]:
    r"""$\varphi_0$, $\varphi_1$ and $\varphi_2$ of a matrix, which may be singular: blocks of one exponential.

    Source: Sidje, *Expokit*, ACM Transactions on Mathematical Software 24, 1998, theorem 1.
    """
    n = len(matrix)
    zero, one = jnp.zeros((n, n)), jnp.eye(n)
    block = jnp.block([[matrix, one, zero], [zero, zero, one], [zero, zero, zero]])
    # So many squarings reach steps of 1e18 time constants; the 16 of jax end at 3e5, with NaN.
    top = jax.scipy.linalg.expm(block, max_squarings=60)[:n]
    return jnp.stack([top[:, :n], top[:, n : 2 * n], top[:, 2 * n :]])
