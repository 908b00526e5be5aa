"""The steps of a run from one requested time to the next, and how derivatives pass through many of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from gemel.solvers.implicit import save_solved
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code
from gemel.solvers.time.integrator import TimeIntegrator
from gemel.solvers.time.systems import System
from gemel.solvers.trail import Aside, Trail

Carry = tuple[Any, Int[Array, ""], Int[Array, ""], Trail | None]
"""What goes from step to step: the memory, the code of the first failure, linear iterations so far, the trail."""

_FEWEST, _MOST = 8, 32
"""Intervals whose operators are differentiated together. More would keep more tangents in forward mode."""


class Steps(eqx.Module):
    """What all steps of a run share; ``shared`` is prepared for all of them, None where step sizes differ."""

    system: System
    integrator: TimeIntegrator
    args: PyTree
    keep: Callable[[Array, Any], PyTree]
    assembled: Any
    state: Any
    shared: Any
    dt: Float[Array, ""]
    substeps: int = eqx.field(static=True)

    def interval(self, carry: Carry, ends: tuple[Array, Array], pushes: Array | None) -> tuple[Carry, Any]:
        """Step from one time to the next. Returns the carry, what is kept there, and the solutions."""
        t0, t1 = ends
        uniform = self.shared is not None
        size = self.dt if uniform else (t1 - t0) / self.substeps
        step = checkpointed_step(self.integrator, self.system, self.args)

        def prepared(memory: Any) -> Any:
            return self.shared if uniform else self.integrator.prepare(self.assembled, self.state, memory, size)

        if pushes is not None:
            carry = _beside(carry, Aside(pushes, jnp.zeros_like(pushes)))
        carry = _repeat(lambda carry, i: step(carry, prepared(carry[0]), t0 + i * size, size), carry, self.substeps)
        memory, code, count, trail = carry
        solutions = None if trail is None or trail.aside is None else trail.aside.solutions
        verdict = self.integrator.verdict(self.system, prepared(memory), memory, t1, size, self.args)
        carry = _beside((memory, first_failure(code, verdict.code), count, trail), None)
        return carry, (self.keep(t1, self.integrator.output(memory)), solutions)

    def march(self, carry: Carry, ends: tuple[Array, Array], pushes: Array | None) -> tuple[Carry, Any]:
        """Take all intervals, with ``pushes (intervals, solves, n)`` or without."""
        return jax.lax.scan(lambda carry, row: self.interval(carry, *row), carry, (ends, pushes))

    def holding(self, operator: LinearOperator) -> "Steps":
        """Return the same steps with this operator in their solves."""
        return replace(self, shared=self.integrator.with_operator(self.shared, operator))

    def run(self, carry: Carry, ends: tuple[Array, Array]) -> tuple[Carry, PyTree]:
        """Return the carry at the end and what is kept at all ``ends``."""
        trail, count = carry[-1], ends[0].shape[0]
        operator = None if self.shared is None else self.integrator.shared_operator(self.shared)
        if operator is None or trail is None:
            carry, (saved, _) = self.march(carry, ends, None)
            return carry, saved
        keep = eqx.filter_closure_convert(self.keep, ends[1][0], self.integrator.output(carry[0]))
        steps = Steps(self.system, self.integrator, self.args, keep, None, None, self.shared, self.dt, self.substeps)
        return in_pieces(lambda carry, ends: _together(steps, carry, ends), carry, ends, count, _piece_length(count))


def _beside(carry: Carry, aside: Aside | None) -> Carry:
    memory, code, count, trail = carry
    return memory, code, count, None if trail is None else trail.beside(aside)


def _piece_length(count: int) -> int:
    """How many intervals are differentiated together: a divisor of all, where there is one, leaves no rest."""
    if count <= _MOST:
        return count
    return next((length for length in range(_MOST, _FEWEST - 1, -1) if count % length == 0), _MOST // 2)


@eqx.filter_custom_jvp
def _together(steps: Steps, carry: Carry, ends: tuple[Array, Array]) -> tuple[Carry, PyTree]:
    r"""Take some steps with one operator A, whose derivative is taken for all of them together.

    Reverse mode through a loop would add $\bar A = -\lambda_n u_n^T$ to all stored places in every step, which costs as
    much as several products. With A held fixed in the loop and a push $p_n = 0$ on each right-hand side,
    $\dot p_n = -\dot A u_n$ is one product with all u at once, and its transpose fills the places once. A is held
    fixed in this derivative alone, by closing over it: derivatives of the derivative see it.
    """
    carry, (saved, _) = steps.march(carry, ends, None)
    return carry, saved


@_together.def_jvp
def _together_jvp(primals: Any, tangents: Any) -> Any:
    steps, carry, ends = primals
    operator, change = (steps.integrator.shared_operator(each.shared) for each in (steps, tangents[0]))
    moves = jax.tree.map(lambda _, t: t is not None, primals, tangents, is_leaf=lambda leaf: leaf is None)
    moved, rest = eqx.partition(primals, moves)
    n = carry[-1].sides.shape[1]
    pushes = jnp.zeros((ends[0].shape[0], carry[-1].solves * steps.substeps, n), carry[-1].sides.dtype)

    def run(moved: Any, pushes: Array) -> Any:
        given, carry, ends = eqx.combine(moved, rest)
        carry, (saved, solutions) = given.holding(operator).march(carry, ends, pushes)
        results, others = eqx.partition((carry, saved), eqx.is_inexact_array)
        return (results, solutions), others

    (results, solutions), linear, others = jax.linearize(run, moved, pushes, has_aux=True)
    pushed = jnp.zeros_like(pushes)
    if jax.tree.leaves(change):
        rows = solutions.reshape(-1, n)
        _, product = eqx.filter_jvp(lambda a: jax.vmap(a.mv)(rows), (operator,), (change,))
        pushed = -product.reshape(pushes.shape)
    dresults, _ = linear(tangents, pushed)
    return eqx.combine(results, others), dresults


def _repeat(function: Callable[[Any, Array | int], Any], carry: Any, count: int) -> Any:
    """Return what ``function`` makes of the carry in ``count`` calls."""
    if count == 1:
        return function(carry, 0)
    return jax.lax.scan(lambda carry, i: (function(carry, i), None), carry, jnp.arange(count))[0]


def checkpointed_step(integrator: TimeIntegrator, system: System, args: PyTree) -> Callable:
    """Return (carry, prepared, t, dt) ↦ carry; reverse mode repeats what leads from one solve to the next, not the
    solves.
    """

    def step(carry: Carry, prepared: Any, t: Array, dt: Array) -> Carry:
        def advance(carry: Carry, t: Array, dt: Array) -> Carry:
            memory, code, count, trail = carry
            memory, status, taken, trail = integrator.step(system, prepared, memory, t, dt, args, trail)
            return memory, first_failure(code, status.code), count + taken, trail

        return jax.checkpoint(advance, policy=save_solved, prevent_cse=False)(carry, t, dt)

    return step


def first_failure(code: Array, later: Array) -> Array:
    """Return the code of what failed first."""
    return jnp.where(code == Code.SUCCESS, later, code).astype(jnp.int32)


def in_pieces(
    piece: Callable, carry: Any, xs: Any, count: int, length: int, last: Callable | None = None
) -> tuple[Any, Any]:
    """Scan ``piece(carry, xs)``, itself a scan, over pieces of ``length``, then take the rest by ``last``."""
    if length >= count:
        return piece(carry, xs)
    whole = count // length
    cut = whole * length
    folded = jax.tree.map(lambda x: x[:cut].reshape(whole, length, *x.shape[1:]), xs)
    carry, saved = jax.lax.scan(piece, carry, folded)
    saved = jax.tree.map(lambda y: y.reshape(cut, *y.shape[2:]), saved)
    if cut == count:
        return carry, saved
    carry, rest = (piece if last is None else last)(carry, jax.tree.map(lambda x: x[cut:], xs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), saved, rest)
