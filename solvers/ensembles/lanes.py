"""Members side by side in lanes: each lane steps its own member, and takes the next one from the queue when it is done.

All arrays have their members or lanes on the last axis, so that one operation works on many members at once.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from gemel.solvers.ensembles.control import PIControl
from gemel.solvers.ensembles.method import EnsembleMethod
from gemel.solvers.ensembles.rates import Rate
from gemel.solvers.ensembles.sums import combine
from gemel.solvers.solution import Code


class Members(eqx.Module):
    """What is differentiated: the rate with its own leaves, the starts (n, B), the parameters (..., B)."""

    rate: Rate
    initial: Float[Array, "n B"]
    parameters: PyTree


class Queue(eqx.Module):
    """What is not: spans, first steps, times to save, and the order in which the members are taken.

    ``order`` has the ``count`` members that can start in front.
    """

    method: EnsembleMethod
    control: PIControl
    start: Float[Array, " B"]
    end: Float[Array, " B"]
    first: Float[Array, " B"]
    times: Float[Array, " m"] | None
    order: Int[Array, " B"]
    count: Int[Array, ""]


class Lanes(eqx.Module):
    """The state of L lanes. ``member`` is B where a lane has none; ``cursor`` is the next time to save; ``fresh`` lanes
    have a member that has not stepped yet.
    """

    member: Int[Array, " L"]
    active: Bool[Array, " L"]
    fresh: Bool[Array, " L"]
    code: Int[Array, " L"]
    tried: Int[Array, " L"]
    accepted: Int[Array, " L"]
    cursor: Int[Array, " L"]
    repeated: Bool[Array, " L"]
    norm: Float[Array, " L"]
    t: Float[Array, " L"]
    end: Float[Array, " L"]
    h: Float[Array, " L"]
    y: Float[Array, "n L"]
    memory: Any


class Board(eqx.Module):
    """The results so far, and the number of members taken from the queue."""

    head: Int[Array, ""]
    final: Float[Array, "n B"]
    reached: Float[Array, " B"]
    code: Int[Array, " B"]
    tried: Int[Array, " B"]
    accepted: Int[Array, " B"]


class Log(eqx.Module):
    """The steps of one round, one row a tick: whether one was accepted; t, y and the cursor before it; its h (zero
    where none was accepted) and the t after it.
    """

    good: Bool[Array, "*C L"]
    t: Float[Array, "*C L"]
    y: Float[Array, "*C n L"]
    cursor: Int[Array, "*C L"]
    h: Float[Array, "*C L"]
    after: Float[Array, "*C L"]


def take(tree: PyTree, places: Int[Array, " L"]) -> PyTree:
    """Return the entries of the last axis of every leaf; places beyond it give the last one."""
    return jax.tree.map(lambda leaf: jnp.take(leaf, places, axis=-1, mode="clip"), tree)


def put(tree: PyTree, places: Int[Array, " L"], values: PyTree) -> PyTree:
    """Return the leaves with entries of their last axis replaced; places beyond it are ignored."""
    return jax.tree.map(lambda leaf, new: leaf.at[..., places].set(new, mode="drop"), tree, values)


def parameters_of(members: Members, queue: Queue, lanes: Lanes) -> PyTree:
    """Return the parameters of the lanes' members; lanes without one get those of the first in the queue."""
    there = lanes.member < queue.order.shape[0]
    return take(members.parameters, jnp.where(there, lanes.member, queue.order[0]))


def empty(members: Members, queue: Queue, size: int) -> tuple[Lanes, Board]:
    """Return lanes without members and results without entries."""
    n, total = members.initial.shape
    dtype = members.initial.dtype
    no, zero, none = jnp.zeros(size, bool), jnp.zeros(size, jnp.int32), jnp.zeros(size, dtype)
    donor = jnp.broadcast_to(queue.order[0], size)
    y, t = take(members.initial, donor), take(queue.start, donor)
    memory = queue.method.start(members.rate, t, y, take(members.parameters, donor))
    out = jnp.full(size, total, jnp.int32)
    lanes = Lanes(out, no, no, zero, zero, zero, zero, no, jnp.ones(size, dtype), t, t, none, y, memory)
    code = jnp.full(total, Code.NOT_FINITE, jnp.int32)
    count = jnp.zeros(total, jnp.int32)
    return lanes, Board(jnp.zeros((), jnp.int32), jnp.full((n, total), jnp.nan, dtype), queue.start, code, count, count)


def refill(members: Members, queue: Queue, lanes: Lanes, board: Board) -> tuple[Lanes, Board]:
    """Write the results of the lanes that are done, and give them the next members of the queue."""
    total = queue.order.shape[0]
    free = ~lanes.active
    done = jnp.where(free, lanes.member, total)
    slot = board.head + jnp.cumsum(free, dtype=jnp.int32) - 1
    new = free & (slot < queue.count)
    member = jnp.where(new, queue.order[jnp.minimum(slot, total - 1)], jnp.where(free, total, lanes.member))
    t, end, h, y = take((queue.start, queue.end, queue.first, members.initial), member)
    memory = queue.method.start(members.rate, t, y, take(members.parameters, member))
    zero = jnp.zeros_like(lanes.tried)
    loaded = Lanes(
        member, new, new, zero, zero, zero, _first_cursor(queue, t, end), ~new, jnp.ones_like(h), t, end, h, y, memory
    )
    kept = eqx.tree_at(lambda lanes: (lanes.member, lanes.fresh), lanes, (member, new))
    lanes_after = jax.tree.map(lambda a, b: jnp.where(new, a, b), loaded, kept)
    code, tried, accepted = put(
        (board.code, board.tried, board.accepted), done, (lanes.code, lanes.tried, lanes.accepted)
    )
    final, reached = put((board.final, board.reached), done, (lanes.y, lanes.t))
    head = board.head + jnp.sum(new, dtype=jnp.int32)
    return lanes_after, Board(head, final, reached, code, tried, accepted)


def waiting(queue: Queue, lanes: Lanes, board: Board) -> Bool[Array, ""]:
    """True while a member is in a lane, its results not yet written, or in the queue."""
    return jnp.any(lanes.member < queue.order.shape[0]) | (board.head < queue.count)


def run_round(
    members: Members, queue: Queue, lanes: Lanes, saved: Array | None, head: Array, log: Log | None, cap: int | None
) -> tuple[Lanes, Array | None, Log | None, Array]:
    """Step all lanes until an eighth of them is free while members wait, or none is active, or ``cap`` ticks are done.

    Returns the lanes, the saved values, the log and the number of ticks.
    """
    p = parameters_of(members, queue, lanes)
    enough = max(1, lanes.t.shape[0] // 8)

    def proceed(carry):
        lanes, _, _, number = carry
        free = jnp.sum(~lanes.active)
        go = jnp.any(lanes.active) & ~((free >= enough) & (head < queue.count))
        return go if cap is None else go & (number < cap)

    def body(carry):
        lanes, saved, log, number = carry
        after, row, saved = tick(members, queue, lanes, p, saved)
        if log is not None:
            log = write_row(log, row, number)
        return after, saved, log, number + 1

    return jax.lax.while_loop(proceed, body, (lanes, saved, log, jnp.zeros((), jnp.int32)))


def write_row(table: PyTree, row: PyTree, number: Array) -> PyTree:
    """Return the table with one entry of its first axis replaced."""
    return jax.tree.map(lambda a, b: jax.lax.dynamic_update_index_in_dim(a, b, number, 0), table, row)


def tick(
    members: Members, queue: Queue, lanes: Lanes, p: PyTree, saved: Array | None
) -> tuple[Lanes, Log, Array | None]:
    """Try one step in every lane. Returns the lanes, the row of the log and the saved values.

    Derivatives pass through y and the memory only: whether a step is accepted and how the next one is chosen is frozen.
    """
    method, control, halt = queue.method, queue.control, jax.lax.stop_gradient
    left = lanes.end - lanes.t
    lands = jnp.abs(lanes.h) >= jnp.abs(left) * (1 - 1e-10)
    h = jnp.where(lanes.active, jnp.where(lands, left, lanes.h), 0)
    step = method.step(members.rate, lanes.t, h, lanes.y, lanes.memory, p)
    norm = control.norm(*halt((step.error, lanes.y, step.y)))
    good = lanes.active & (norm <= 1)
    t = jnp.where(good, jnp.where(lands, lanes.end, lanes.t + h), lanes.t)
    ahead = h * control.factor(norm, lanes.norm, lanes.repeated, method.error_order)
    tried = lanes.tried + lanes.active
    done = good & lands
    code = _verdict(control, lanes, norm, ahead, t, tried, done)
    y = jnp.where(good, step.y, lanes.y)
    cursor, saved = _save(queue, lanes, h, good, t, step.stages, saved)
    after = Lanes(
        lanes.member,
        lanes.active & ~done & (code == Code.SUCCESS),
        lanes.fresh,
        code,
        tried,
        lanes.accepted + good,
        cursor,
        jnp.where(lanes.active, ~good, lanes.repeated),
        jnp.where(good, jnp.maximum(norm, 1e-4), lanes.norm),
        t,
        lanes.end,
        jnp.where(lanes.active, ahead, lanes.h),
        y,
        jax.tree.map(lambda new, old: jnp.where(good, new, old), step.memory, lanes.memory),
    )
    return after, Log(good, lanes.t, lanes.y, lanes.cursor, jnp.where(good, h, 0), t), saved


def _verdict(
    control: PIControl, lanes: Lanes, norm: Array, ahead: Array, t: Array, tried: Array, done: Array
) -> Int[Array, " L"]:
    """The code of every lane after a step: the limit, or a next step that would be lost in the rounding of t."""
    lost = jnp.abs(ahead) <= 4 * jnp.finfo(t.dtype).eps * jnp.abs(t)
    lost = lost | (jnp.abs(ahead) < jnp.finfo(t.dtype).tiny)
    stuck = jnp.where(jnp.isfinite(norm), int(Code.STAGNATION), int(Code.NOT_FINITE))
    code = jnp.where(lost, stuck, jnp.where(tried >= control.max_steps, int(Code.MAX_STEPS), int(Code.SUCCESS)))
    return jnp.where(lanes.active & ~done, code, lanes.code).astype(jnp.int32)


def _first_cursor(queue: Queue, t: Array, end: Array) -> Int[Array, " L"]:
    """The number of the first time that is not before the start."""
    if queue.times is None:
        return jnp.zeros(t.shape, jnp.int32)
    before = jnp.where(end >= t, queue.times[:, None] < t, queue.times[:, None] > t)
    return jnp.sum(before, axis=0, dtype=jnp.int32)


def due(queue: Queue, cursor: Array, good: Array, t: Array, forward: Array) -> Bool[Array, " L"]:
    """True where the next time to save is not behind t."""
    assert queue.times is not None
    last = queue.times.shape[0]
    at = queue.times[jnp.minimum(cursor, last - 1)]
    return good & (cursor < last) & jnp.where(forward, at <= t, at >= t)


def place_in_step(queue: Queue, cursor: Array, t: Array, h: Array) -> Float[Array, " L"]:
    """θ of the next time to save; 1 in a step of size zero."""
    assert queue.times is not None
    at = queue.times[jnp.minimum(cursor, queue.times.shape[0] - 1)]
    return jnp.where(h == 0, 1.0, jnp.clip((at - t) / jnp.where(h == 0, 1.0, h), 0.0, 1.0))


def _save(
    queue: Queue, lanes: Lanes, h: Array, good: Array, t: Array, stages: Array, saved: Array | None
) -> tuple[Int[Array, " L"], Array | None]:
    """Write the dense output at the times that the steps have passed."""
    if queue.times is None:
        return lanes.cursor, saved
    total, forward = queue.order.shape[0], lanes.end >= lanes.t

    def proceed(carry):
        return jnp.any(due(queue, carry[0], good, t, forward))

    def write(carry):
        cursor, saved = carry
        now = due(queue, cursor, good, t, forward)
        theta = place_in_step(queue, cursor, lanes.t, h)
        value = lanes.y + combine(queue.method.weights(theta), stages)
        if saved is not None:
            saved = saved.at[cursor, :, jnp.where(now, lanes.member, total)].set(value.T, mode="drop")
        return cursor + now, saved

    return jax.lax.while_loop(proceed, write, (lanes.cursor, saved))
