"""Finding the steps of a run that chooses them: forward, without derivatives."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from gemel.solvers.solution import Code
from gemel.solvers.time.control import ErrorControl
from gemel.solvers.time.events import Events, locate
from gemel.solvers.time.integrator import EmbeddedIntegrator, TimeIntegrator
from gemel.solvers.time.steps import first_failure
from gemel.solvers.time.systems import System


class Plan(NamedTuple):
    """The steps: how long each is, the requested time it ends at (m for none), the event it ends with (−1 for none).

    Rows from ``taken`` on are no steps.
    """

    sizes: Float[Array, " rows"]
    slots: Int[Array, " rows"]
    events: Int[Array, " rows"]
    taken: Int[Array, ""]
    code: Int[Array, ""]
    tried: Int[Array, ""]


class Run(eqx.Module):
    """All that the steps of one run share."""

    system: System
    integrator: TimeIntegrator
    assemble_each: bool = eqx.field(static=True)
    state: Any
    assembled: Any
    times: Float[Array, " m"]
    args: PyTree
    control: ErrorControl | None
    events: Events | None

    def args_in(self, mode: Array) -> PyTree:
        """Return the args in a mode."""
        return self.args if self.events is None else self.events.args(self.args, mode)

    def prepare(self, memory: Any, t: Array, dt: Array, mode: Array) -> tuple[Any, PyTree]:
        """Return what a step needs, and the args of its mode."""
        args, assembled = self.args_in(mode), self.assembled
        if self.assemble_each:
            y = self.integrator.output(memory)
            initial = y if isinstance(y, jax.Array) else (y.u, y.v)
            assembled = self.integrator.assemble(self.system, t, initial, args)
        return self.integrator.prepare(assembled, self.state, memory, dt), args

    def step(self, memory: Any, t: Array, dt: Array, mode: Array) -> tuple[Any, Array, Array]:
        """Return the memory, the code and the linear iterations of a step."""
        prepared, args = self.prepare(memory, t, dt, mode)
        memory, status, count, _ = self.integrator.step(self.system, prepared, memory, t, dt, args, None)
        return memory, status.code, count

    def event_value(self, which: Array, memory: Any, t: Array, dt: Array, mode: Array) -> Array:
        """Return g of an event after a step of ``dt``."""
        assert self.events is not None
        memory, _, _ = self.step(memory, t, dt, mode)
        return self.events.value(which, t + dt, self.integrator.output(memory), self.args_in(mode))

    def after_event(self, which: Array, memory: Any, t: Array, mode: Array) -> tuple[Any, Array, Array]:
        """Return the memory, the mode and the code of a start after an event."""
        assert self.events is not None
        y = self.integrator.output(memory)
        y, mode = self.events.after(which, t, y, self.args_in(mode), mode)
        args = self.args_in(mode)
        initial = y if isinstance(y, jax.Array) else (y.u, y.v)
        assembled = self.assembled
        if self.assemble_each:
            assembled = self.integrator.assemble(self.system, t, initial, args)
        memory, status = self.integrator.start(self.system, assembled, self.state, t, initial, args)
        return memory, mode, status.code


class _Search(NamedTuple):
    """Where the search stands: memory, time, index of the next requested time, step to try, mode, events so far."""

    memory: Any
    t: Array
    slot: Array
    dt: Array
    mode: Array
    happened: Array
    plan: Plan


def find_plan(run: Run, memory: Any, rows: int) -> Plan:
    """Step from the first time to the last, and return the steps.

    The code is ``MAX_STEPS`` where ``rows`` steps were tried, or more events happened than allowed, before the
    last time; without an error control a step that fails ends the search with its code.
    """
    times = run.times
    limit = rows if run.events is None else run.events.limit
    mode = jnp.asarray(0 if run.events is None else run.events.mode, jnp.int32)
    zero = jnp.zeros((), jnp.int32)
    none = jnp.full(rows, -1, jnp.int32)
    plan = Plan(jnp.zeros(rows, times.dtype), none, none, zero, zero, zero)
    first = times[-1] - times[0] if run.control is None else jnp.asarray(run.control.first, times.dtype)
    start = _Search(memory, times[0], jnp.ones((), jnp.int32), first, mode, zero, plan)

    def proceed(search):
        plan = search.plan
        left = search.slot < times.shape[0]
        return left & (plan.tried < rows) & (search.happened <= limit) & (plan.code == Code.SUCCESS)

    search = jax.lax.while_loop(proceed, lambda search: _advance(run, search), start)
    missed = (search.slot < times.shape[0]) & (search.plan.code == Code.SUCCESS)
    missed = missed | (search.happened > limit)
    return search.plan._replace(code=first_failure(search.plan.code, jnp.where(missed, Code.MAX_STEPS, 0)))


def _advance(run: Run, search: _Search) -> _Search:
    """Try one step."""
    memory, t, slot, mode, plan = search.memory, search.t, search.slot, search.mode, search.plan
    remaining = run.times[slot] - t
    dt, share = remaining, jnp.ones((), remaining.dtype)
    if run.control is not None:
        share = jnp.maximum(jnp.ceil(remaining / search.dt - 1e-6), 1.0)
        dt = remaining / share
    new, code, _ = run.step(memory, t, dt, mode)
    accepted, following = jnp.ones((), bool), search.dt
    if run.control is not None:
        accepted, following = _judge(run, memory, new, code, t, dt, mode)
        code = jnp.zeros_like(code)
    lands = (share == 1) & accepted
    which, happened = jnp.full((), -1, jnp.int32), search.happened
    if run.events is not None:
        which, size = _first_event(run, memory, new, t, dt, mode, accepted)
        lands = lands & ((which < 0) | (remaining - size <= 1e-12 * jnp.abs(remaining)))
        dt = jnp.where(which >= 0, size, dt)

        def struck():
            last, code, _ = run.step(memory, t, dt, mode)
            after, new_mode, start_code = run.after_event(which, last, t + dt, mode)
            return after, new_mode, first_failure(code, start_code)

        new, mode, late = jax.lax.cond(which >= 0, struck, lambda: (new, mode, jnp.zeros((), jnp.int32)))
        code, happened = first_failure(code, late), happened + (which >= 0)
    row = jnp.where(accepted, plan.taken, plan.sizes.shape[0])
    plan = Plan(
        plan.sizes.at[row].set(dt, mode="drop"),
        plan.slots.at[row].set(jnp.where(lands, slot, run.times.shape[0]), mode="drop"),
        plan.events.at[row].set(which, mode="drop"),
        plan.taken + accepted,
        first_failure(plan.code, code),
        plan.tried + 1,
    )
    memory = jax.tree.map(lambda a, b: jnp.where(accepted, a, b), new, memory)
    t = jnp.where(accepted, jnp.where(lands, run.times[slot], t + dt), t)
    return _Search(memory, t, slot + lands, following, mode, happened, plan)


def _judge(run: Run, memory: Any, new: Any, code: Array, t: Array, dt: Array, mode: Array) -> tuple[Array, Array]:
    """Return whether a step is accepted, and the size of the next."""
    control, integrator = run.control, run.integrator
    assert control is not None
    assert isinstance(integrator, EmbeddedIntegrator)
    prepared, args = run.prepare(memory, t, dt, mode)
    error = integrator.error(run.system, prepared, new, t + dt, dt, args)
    norm = control.norm(error, integrator.output(memory), integrator.output(new))
    good = code == Code.SUCCESS
    following = jnp.where(good, control.next_step(dt, norm, integrator.error_order), 0.25 * dt)
    return good & (norm <= 1), following


def _first_event(
    run: Run, memory: Any, new: Any, t: Array, dt: Array, mode: Array, accepted: Array
) -> tuple[Array, Array]:
    """Return the number of the first event in a step (−1 for none) and the part of the step before it."""
    assert run.events is not None
    args, output = run.args_in(mode), run.integrator.output
    best, size = jnp.full((), -1, jnp.int32), jnp.full_like(dt, jnp.inf)
    for number, event in enumerate(run.events.events):
        which = jnp.asarray(number, jnp.int32)
        before, after = event.function(t, output(memory), args), event.function(t + dt, output(new), args)

        def find(which=which, before=before, after=after, event=event):
            return locate(lambda x: run.event_value(which, memory, t, x, mode), dt, before, after, event.tolerance)

        found = event.crossed(before, after) & accepted
        here = jax.lax.cond(found, find, lambda: jnp.full_like(dt, jnp.inf))
        best, size = jnp.where(here < size, which, best), jnp.minimum(size, here)
    return best, size
