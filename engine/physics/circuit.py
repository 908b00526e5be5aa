"""Equivalent circuits of battery cells."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import Input, drive, settle
from gemel.engine.physics.system import OdeSystem


class Curve(eqx.Module):
    r"""A curve through values at knots.

    ``linear`` and ``log-linear`` (linear in the logarithm) stay constant outside the knots; ``cubic`` is the
    natural cubic spline, continued straight.

    Args:
        knots: increasing, at least two.
        values: one at each knot; numbers or parameters, positive where log-linear.
        kind: "cubic", "linear" or "log-linear".

    Raises:
        ValueError: for knots that do not increase, or another number of values.

    Source of the spline: de Boor, *A Practical Guide to Splines*, 1978, chapter IV.
    """

    knots: tuple[float, ...] = eqx.field(static=True, converter=tuple)
    values: tuple[Any, ...] = eqx.field(converter=tuple)
    kind: str = eqx.field(static=True)

    def __check_init__(self) -> None:
        if len(self.knots) < 2 or not np.all(np.diff(self.knots) > 0):
            raise ValueError(f"The knots of a curve must increase, at least two: got {list(self.knots)}.")
        if len(self.values) != len(self.knots):
            raise ValueError(f"A curve needs a value at each of {len(self.knots)} knots, not {len(self.values)}.")
        if self.kind not in ("cubic", "linear", "log-linear"):
            raise ValueError(f"A curve is 'cubic', 'linear' or 'log-linear', not '{self.kind}'.")

    def at(self, x: Any) -> Array:
        """The curve at ``x`` (values must be bound)."""
        knots = jnp.asarray(self.knots)
        values = jnp.stack([jnp.asarray(value, float) for value in self.values])
        if self.kind == "linear":
            return jnp.interp(x, knots, values)
        if self.kind == "log-linear":
            return jnp.exp(jnp.interp(x, knots, jnp.log(values)))
        return self._spline(x, knots, values)

    def _spline(self, x: Any, knots: Array, values: Array) -> Array:
        curvature = jnp.asarray(_curvatures(self.knots)) @ values
        i = jnp.clip(jnp.searchsorted(knots, x, side="right") - 1, 0, len(self.knots) - 2)
        h = knots[i + 1] - knots[i]
        inside = jnp.clip(x, self.knots[0], self.knots[-1])
        right = (inside - knots[i]) / h
        left = 1.0 - right
        value = (
            left * values[i]
            + right * values[i + 1]
            + h**2 / 6 * ((left**3 - left) * curvature[i] + (right**3 - right) * curvature[i + 1])
        )
        slope = (values[i + 1] - values[i]) / h + h / 6 * (
            (3 * right**2 - 1) * curvature[i + 1] - (3 * left**2 - 1) * curvature[i]
        )
        return value + slope * (x - inside)


def _curvatures(knots: tuple[float, ...]) -> np.ndarray:
    """The matrix from values to second derivatives at the knots of the natural cubic spline."""
    h = np.diff(knots)
    n = len(knots)
    system, right = np.eye(n), np.zeros((n, n))
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        right[i, i - 1 : i + 2] = 1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]
    return np.linalg.solve(system, right)


class LumpedHeat(eqx.Module):
    r"""One temperature for a whole cell, and Arrhenius' law for its resistances.

    $C\dot T = q - K (T - T_a)$ with the heat $q$ of all resistances (the entropic heat is left out), and the
    factor $g(T) = \exp\left[\theta\left(\tfrac1T - \tfrac1{T_r}\right)\right]$ on every resistance.

    Args:
        capacity: $C$ in J/K.
        loss: $K$ in W/K, to the surroundings.
        activation: $\theta = E_a / R$ in K.
        ambient: $T_a$ in K, where the cell starts as well.
        reference: $T_r$ in K, at which the resistances are given; the ambient by default.
    """

    capacity: Any
    loss: Any
    activation: Any
    ambient: Any
    reference: Any = None

    def factor(self, rise: Any) -> Array:
        """$g$ at a temperature ``rise`` K above the ambient."""
        reference = self.ambient if self.reference is None else self.reference
        return jnp.exp(self.activation * (1.0 / (self.ambient + rise) - 1.0 / reference))


class EquivalentCircuit(OdeSystem):
    r"""A battery cell as a voltage source, a resistor and RC pairs in series, with $I > 0$ while charging:

    $$ \dot z = I / Q, \qquad \dot v_j = \frac{R_j(z)\, g(T)\, I - v_j}{\tau_j(z)}, \qquad
       V = U(z) + R_0(z)\, g(T)\, I + \sum_j v_j. $$

    A `Law` of ``state_of_charge``, and with ``heat`` of ``temperature``, such as a `NeuralTerm` makes, may stand for
    any number but the initial charge, the ambient and the reference temperature, and for a curve or a value of one.

    The state is $(z, v_1, \dots, v_n)$, and the rise of the temperature where ``heat`` is given, with
    $q = I (V - U)$. It starts at rest: $v_j = 0$ and $T = T_a$. Outputs: ``voltage`` $V$,
    ``open_circuit_voltage`` $U$, ``state_of_charge`` $z$, and ``temperature`` $T$ with ``heat``.

    Args:
        current: $I$ in A; usually an `Input`.
        capacity: $Q$ in C (1 Ah is 3600 C).
        initial_charge: $z$ at the start; 1 is full.
        open_circuit_voltage: $U(z)$ in V: a `Curve`, or a number.
        series_resistance: $R_0(z)$ in Ω, likewise.
        pairs: $(R_j, \tau_j)$ in Ω and s for each RC pair, likewise.
        heat: the thermal state; None keeps $g = 1$.

    Source: Plett, *Battery Management Systems*, volume 1, 2015, chapter 2.
    """

    current: Any
    capacity: Any
    initial_charge: Any
    open_circuit_voltage: Any
    series_resistance: Any
    pairs: tuple[tuple[Any, Any], ...] = eqx.field(converter=tuple)
    heat: LumpedHeat | None
    output_names: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        current: Any = Input("current"),  # noqa: B008 - immutable
        *,
        capacity: Any,
        initial_charge: Any,
        open_circuit_voltage: Any,
        series_resistance: Any,
        pairs: Any = (),
        heat: LumpedHeat | None = None,
    ) -> None:
        self.current, self.capacity, self.initial_charge = current, capacity, initial_charge
        self.open_circuit_voltage, self.series_resistance = open_circuit_voltage, series_resistance
        self.pairs, self.heat = tuple(pairs), heat
        names = ("voltage", "open_circuit_voltage", "state_of_charge")
        self.output_names = names if heat is None else (*names, "temperature")

    def initial(self) -> Float[Array, " n"]:
        """The given charge, no voltage over the pairs, the ambient temperature."""
        rest = len(self.pairs) + (self.heat is not None)
        return jnp.concatenate([jnp.asarray(self.initial_charge, float)[None], jnp.zeros(rest)])

    def rate(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """The equations above."""
        now, charge = self._now(y, inputs), y[0]
        factor = now._factor(y)
        rates = [now.current / now.capacity]
        for (resistance, time_constant), v in zip(now.pairs, y[1:], strict=False):
            rates.append((_at(resistance, charge) * factor * now.current - v) / _at(time_constant, charge))
        if now.heat is not None:
            power = now.current * now._overvoltage(y, factor)
            rates.append((power - now.heat.loss * y[-1]) / now.heat.capacity)
        return jnp.stack(rates)

    def outputs(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Voltages in V, the state of charge, the temperature in K."""
        now = self._now(y, inputs)
        source = _at(now.open_circuit_voltage, y[0])
        found = {
            "voltage": source + now._overvoltage(y, now._factor(y)),
            "open_circuit_voltage": source,
            "state_of_charge": y[0],
        }
        if now.heat is not None:
            found["temperature"] = now.heat.ambient + y[-1]
        return found

    def _now(self, y: Array, inputs: Mapping[str, Any]) -> "EquivalentCircuit":
        """The circuit with numbers in place of inputs and laws."""
        driven = drive(self, inputs)
        return settle(driven, driven.law_state(y))

    def law_state(self, y: Float[Array, " n"]) -> dict[str, Array]:
        """What laws of the state are given, of a circuit without inputs."""
        heat = {} if self.heat is None else {"temperature": self.heat.ambient + y[-1]}
        return {"state_of_charge": y[0], **heat}

    def _factor(self, y: Array) -> Array:
        return jnp.ones(()) if self.heat is None else self.heat.factor(y[-1])

    def _overvoltage(self, y: Array, factor: Array) -> Array:
        count = len(self.pairs)
        return _at(self.series_resistance, y[0]) * factor * self.current + jnp.sum(y[1 : 1 + count])


def _at(curve: Any, charge: Any) -> Any:
    """A curve at a state of charge; a number is the same at all."""
    return curve.at(charge) if isinstance(curve, Curve) else curve
