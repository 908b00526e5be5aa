"""Events: switches that the state itself triggers, located inside the step and differentiated."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree


class Event(eqx.Module):
    """Happens where g(t, y, args) changes its sign.

    y is the state: u, or the `Motion` of a problem of second order. The time τ of the event is a root of g along
    the steps of the method, and a differentiable function of all that the run depends on:
    dτ = −(∂g/∂θ)/(dg/dt) dθ. The sequence of events is held fixed: where a change of θ adds an event, removes one
    or exchanges two, the run is not differentiable, and where the trajectory only touches g = 0 (dg/dt = 0) the
    derivative is infinite. One event of a kind is seen in a step: two changes of sign within one step cancel.

    Args:
        function: g, smooth; its floating-point leaves carry derivatives where it is a module.
        direction: +1 where g rises through zero, −1 where it falls, 0 for both.
        tolerance: in s; τ is located to half of it.
        reset: ``reset(t, y, args)`` gives the state after the event (a bounce); None leaves the state alone.
        mode: the mode of the run after the event (see `Events`); None leaves it alone.

    Raises:
        ValueError: for another direction, or a tolerance that is not positive.

    Hairer, Nørsett, Wanner, *Solving Ordinary Differential Equations I*, 2nd ed., Springer (1993), II.6.
    """

    function: Callable[[Any, Any, Any], Array]
    direction: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    reset: Callable[[Any, Any, Any], PyTree] | None = None
    mode: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.direction not in (-1, 0, 1):
            raise ValueError(f"Event direction = {self.direction}: allowed are 1 (rising), -1 (falling) and 0 (both).")
        if not self.tolerance > 0:
            raise ValueError(f"Event tolerance = {self.tolerance} s: it must be positive.")

    def crossed(self, before: Array, after: Array) -> Array:
        """True where g went through zero from ``before`` to ``after``."""
        rising, falling = (before < 0) & (after >= 0), (before > 0) & (after <= 0)
        return {1: rising, -1: falling, 0: rising | falling}[self.direction]


class Events(eqx.Module):
    """The events of a run, and its modes: whole numbers that say which equations hold (a heater on or off).

    Args:
        events: in any order; where several happen in one step the first in time counts, and the others are looked
            for in the rest of the step.
        limit: events in a run; one more ends it with ``MAX_STEPS``.
        in_mode: ``in_mode(args, mode)`` gives the args of the system and of the events in a mode; None for runs
            without modes.
        mode: the mode at the start.

    Raises:
        ValueError: for no event, or a limit below one.
    """

    events: tuple[Event, ...]
    limit: int = eqx.field(static=True)
    in_mode: Callable[[Any, Any], PyTree] | None = None
    mode: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if not self.events or self.limit < 1:
            raise ValueError(f"Events with {len(self.events)} events and limit = {self.limit}: both must be positive.")

    def args(self, args: PyTree, mode: Array) -> PyTree:
        """Return the args that hold in a mode."""
        return args if self.in_mode is None else self.in_mode(args, mode)

    def value(self, which: Array, t: Array, y: PyTree, args: PyTree) -> Array:
        """Return g of event number ``which``."""
        return jax.lax.switch(which, [lambda e=event: e.function(t, y, args) for event in self.events])

    def after(self, which: Array, t: Array, y: PyTree, args: PyTree, mode: Array) -> tuple[PyTree, Array]:
        """Return the state and the mode after event number ``which``."""

        def one(event: Event) -> Callable:
            new = mode if event.mode is None else jnp.full_like(mode, event.mode)
            return lambda: (y if event.reset is None else event.reset(t, y, args), new)

        return jax.lax.switch(which, [one(event) for event in self.events])


class EventRecord(eqx.Module):
    """What happened in a run: ``times`` in s and ``which`` number each event has, padded by NaN and −1 up to the
    limit; ``count`` events; the ``mode`` at the end.
    """

    times: Float[Array, " limit"]
    which: Int[Array, " limit"]
    count: Int[Array, ""]
    mode: Int[Array, ""]


def locate(g: Callable[[Array], Array], dt: Array, before: Array, after: Array, tolerance: float) -> Array:
    """Return a point of (0, dt] behind the change of sign of g and closer to it than ``tolerance``.

    ``before`` and ``after`` are g at the two ends. Interpolate, truncate and project: never more than one
    evaluation beyond bisection.

    Oliveira, Takahashi, *An enhancement of the bisection method average performance preserving minmax
    optimality*, ACM Trans. Math. Softw. 47 (2020).
    """
    eps = jnp.maximum(0.5 * tolerance, 4 * jnp.finfo(dt.dtype).eps * dt)
    most = jnp.ceil(jnp.log2(jnp.maximum(dt / (2 * eps), 1.0))) + 1

    def proceed(carry):
        a, b, _, _, j = carry
        return (b - a > 2 * eps) & (j <= most + 1)

    def narrow(carry):
        a, b, ga, gb, j = carry
        middle, width = 0.5 * (a + b), b - a
        secant = (gb * a - ga * b) / (gb - ga)
        sign = jnp.sign(middle - secant)
        cut = jnp.minimum(0.2 / dt * width**2, jnp.abs(middle - secant))
        truncated = secant + sign * cut
        radius = jnp.maximum(eps * 2 ** (most - j) - 0.5 * width, 0.0)
        x = jnp.where(jnp.abs(truncated - middle) <= radius, truncated, middle - sign * radius)
        gx = g(x)
        same = jnp.sign(gx) == jnp.sign(ga)
        return jnp.where(same, x, a), jnp.where(same, b, x), jnp.where(same, gx, ga), jnp.where(same, gb, gx), j + 1

    start = (jnp.zeros_like(dt), dt, before, after, jnp.zeros((), dt.dtype))
    return jax.lax.while_loop(proceed, narrow, start)[1]
