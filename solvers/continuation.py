"""Load stepping: the way to a loaded state in steps that adapt, and the state it came to where it stops."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from gemel.solvers.implicit import implicit_solve, stop_gradient
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import Backtracking, Newton, NonlinearSolver, Residual, Tangent
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code, Solution, Status


class LoadSteps(eqx.Module):
    """Steps of the load factor λ from 0 to 1.

    A step whose solve fails is cut to ``shrink`` times its size and tried again from the last converged state; one
    whose solve needs fewer than ``easy`` Newton steps is followed by one ``grow`` times as large.

    Args:
        first: the first step of λ, in (0, 1].
        smallest: the step below which the load path is given up.
        max_steps: limit of steps tried, those cut included.

    Raises:
        ValueError: for steps outside their range, a factor on the wrong side of 1, or no step.
    """

    first: float = eqx.field(static=True)
    smallest: float = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    shrink: float = eqx.field(static=True, default=0.5)
    grow: float = eqx.field(static=True, default=1.5)
    easy: int = eqx.field(static=True, default=6)

    def __check_init__(self):
        if not 0 < self.smallest <= self.first <= 1:
            raise ValueError(
                f"LoadSteps first = {self.first}, smallest = {self.smallest}: 0 < smallest <= first <= 1 is needed."
            )
        if not (0 < self.shrink < 1 <= self.grow):
            raise ValueError(f"LoadSteps shrink = {self.shrink}, grow = {self.grow}: 0 < shrink < 1 <= grow is needed.")
        if self.max_steps < 1:
            raise ValueError(f"LoadSteps max_steps = {self.max_steps}: at least one step is needed.")


class LoadPath(eqx.Module):
    """The states of a load path.

    ``u`` and ``history`` are those at ``factor``, the largest load factor that converged. ``factors`` and ``saved``
    hold every converged step, the start included, in the first ``count`` rows; NaN from there on.
    """

    u: Float[Array, " n"]
    history: PyTree
    factor: Float[Array, ""]
    factors: Float[Array, " rows"]
    saved: PyTree
    count: Int[Array, ""]


def robust_newton(linear_solver: LinearSolver, rtol: float, atol: float, max_steps: int = 20) -> Newton:
    """Newton's method as a load path wants it: with a backtracking line search of at most 8 halvings."""
    return Newton(linear_solver, rtol, atol, max_steps, Backtracking(8), xtol=1e-12)


class _Equation(eqx.Module):
    """The residual and the tangent, their parameters being args, load factor and history."""

    residual: Residual
    tangent: Tangent
    args_of: Callable[[Any, Any, Any], Any]

    def value(self, u: Array, parameters: Any) -> Array:
        return self.residual(u, self.args_of(*parameters))

    def slope(self, u: Array, parameters: Any) -> LinearOperator:
        return self.tangent(u, self.args_of(*parameters))


class _Found(eqx.Module):
    """A solve whose result is known."""

    u: Array

    def __call__(self, *_: Any) -> tuple[Array, None]:
        return self.u, None


class _Problem(eqx.Module):
    """All that the steps share."""

    equation: _Equation
    args: PyTree
    solver: NonlinearSolver
    steps: LoadSteps
    state: Any
    update: Callable[[Any, Any], Any] | None
    keep_states: bool = eqx.field(static=True)

    def next_history(self, u: Array, factor: Array, history: Any) -> Any:
        if self.update is None:
            return history
        return self.update(u, self.equation.args_of(self.args, factor, history))


class _Walk(NamedTuple):
    """Where a path stands: the last state, the one before, the next step, counters, what was stored."""

    u: Array
    history: Any
    factor: Array
    older: Array
    last_step: Array
    step: Array
    tried: Array
    linear_steps: Array
    code: Array
    given_up: Array
    taken: Array
    factors: Array
    states: Array


def load_path(
    residual: Residual,
    u0: Float[Array, " n"],
    args_of: Callable[[PyTree, Array, PyTree], PyTree],
    args: PyTree,
    solver: NonlinearSolver,
    steps: LoadSteps,
    tangent: Tangent,
    history: PyTree = None,
    update: Callable[[Float[Array, " n"], PyTree], PyTree] | None = None,
    save: Callable[[Array, Float[Array, " n"], PyTree], PyTree] | None = None,
    state: Any = None,
    symmetric: bool = False,
) -> Solution[LoadPath]:
    """Follow r(u, args_of(args, λ, history)) = 0 from λ = 0 to λ = 1 in steps that adapt.

    Each step starts from the last two converged states, extrapolated linearly in λ. One that does not converge is cut
    and tried again. Where it would fall below ``steps.smallest``, or ``steps.max_steps`` were tried, the path
    ends: the value holds the last converged state and the load factor that it came to, and the status is that of the
    last failed solve, or ``MAX_STEPS``.

    Differentiable in ``args``, ``history`` and the leaves of ``residual``, forward and reverse, along the fixed
    sequence of load factors, by the implicit-function theorem at each converged step: no solve is repeated. Without a
    history, the derivative of ``u`` takes the last step alone.

    Args:
        residual: r(u, θ).
        u0: where the first solve starts, the state at λ = 0; no derivative.
        args_of: ``args_of(args, λ, history)`` gives θ.
        args: any pytree.
        solver: of each step; see `robust_newton`.
        steps: how λ grows.
        tangent: ``tangent(u, θ)`` = ∂r/∂u.
        history: what the problem remembers at the start (plastic strains), any pytree; None for nothing.
        update: ``update(u, θ)`` gives the history after a converged step; None for problems without one.
        save: ``save(λ, u, history)`` is kept of every converged step, the start included; None keeps nothing.
        state: of the linear solver (``solver.linear_solver.init(tangent(u0, θ))``); None sets it up here.
        symmetric: whether the tangent is symmetric.

    Returns a `LoadPath`, the status, and the statistics ``steps`` (converged), ``tried`` and ``linear_steps``.

    Crisfield, *Non-linear Finite Element Analysis of Solids and Structures*, vol. 1, Wiley (1991).
    """
    equation = _Equation(residual, tangent, args_of)
    keep_states = save is not None or update is not None
    problem = _Problem(equation, args, solver, steps, stop_gradient(state), update, keep_states)
    walk = stop_gradient(_walk(stop_gradient(problem), stop_gradient(u0), stop_gradient(history)))
    found = _implicit(problem, symmetric)
    if update is None:
        u, last = found(walk.u, walk.factor, history), history
        saved = None if save is None else _replay(found, problem, walk, history, u0, save)[2]
    else:
        u, last, saved = _replay(found, problem, walk, history, u0, save)
    path = LoadPath(u, last, walk.factor, walk.factors, saved, walk.taken)
    statistics = {"steps": walk.taken - 1, "tried": walk.tried, "linear_steps": walk.linear_steps}
    return Solution(path, Status(walk.code.astype(jnp.int32)), statistics)


def _implicit(problem: _Problem, symmetric: bool) -> Callable[[Array, Array, Any], Array]:
    """Return (u, λ, history) ↦ u with the derivative of the root of the residual."""

    def found(u: Array, factor: Array, history: Any) -> Array:
        equation, parameters = problem.equation, (problem.args, factor, history)
        linear = problem.solver.linear_solver
        return implicit_solve(_Found(u), equation.value, parameters, linear, problem.state, equation.slope, symmetric)[
            0
        ]

    return found


def _walk(problem: _Problem, u0: Array, history: Any) -> _Walk:
    """Find the steps, without derivatives."""
    rows, none = problem.steps.max_steps + 1, jnp.zeros((), jnp.int32)
    zero, step = jnp.zeros((), u0.dtype), jnp.asarray(problem.steps.first, u0.dtype)
    factors = jnp.full(rows, jnp.nan, u0.dtype).at[0].set(0.0)
    states = jnp.zeros((rows if problem.keep_states else 0, *u0.shape), u0.dtype)
    if problem.keep_states:
        states = states.at[0].set(u0)
    stopped = jnp.zeros((), bool)
    start = _Walk(u0, history, zero, u0, zero + 1, step, none, none, none, stopped, none + 1, factors, states)

    def proceed(walk: _Walk) -> Array:
        return (walk.factor < 1) & (walk.tried < problem.steps.max_steps) & ~walk.given_up

    walk = jax.lax.while_loop(proceed, lambda walk: _advance(problem, walk), start)
    code = jnp.where(walk.given_up, walk.code, Code.MAX_STEPS)
    return walk._replace(code=jnp.where(walk.factor < 1, code, Code.SUCCESS))


def _advance(problem: _Problem, walk: _Walk) -> _Walk:
    """Try one step."""
    steps, equation = problem.steps, problem.equation
    last = walk.factor + walk.step >= 1 - 1e-9
    factor = jnp.where(last, 1.0, walk.factor + walk.step)
    step = factor - walk.factor
    guess = walk.u + step / walk.last_step * (walk.u - walk.older)
    parameters = (problem.args, factor, walk.history)
    solution = problem.solver.compute(equation.value, equation.slope, guess, parameters, problem.state)
    good = solution.status.ok
    row = jnp.where(good, walk.taken, walk.factors.shape[0])

    def take() -> tuple[Array, Any, Array, Array]:
        easy = solution.statistics["steps"] < steps.easy
        following = step * jnp.where(easy, steps.grow, 1.0)
        return solution.value, problem.next_history(solution.value, factor, walk.history), walk.u, following

    def cut() -> tuple[Array, Any, Array, Array]:
        return walk.u, walk.history, walk.older, step * steps.shrink

    u, history, older, following = jax.lax.cond(good, take, cut)
    states = walk.states.at[row].set(solution.value, mode="drop") if problem.keep_states else walk.states
    return _Walk(
        u=u,
        history=history,
        factor=jnp.where(good, factor, walk.factor),
        older=older,
        last_step=jnp.where(good, step, walk.last_step),
        step=following,
        tried=walk.tried + 1,
        linear_steps=walk.linear_steps + solution.statistics["linear_steps"],
        code=solution.status.code,
        given_up=~good & (following < steps.smallest),
        taken=walk.taken + good,
        factors=walk.factors.at[row].set(factor, mode="drop"),
        states=states,
    )


def _replay(
    found: Callable, problem: _Problem, walk: _Walk, history: Any, u0: Array, save: Callable | None
) -> tuple[Array, Any, Any]:
    """Go through the converged steps once more, with derivatives and without solves."""
    keep = (lambda factor, u, history: None) if save is None else save

    def body(carry: tuple[Array, Any], row: tuple[Array, Array, Array]):
        number, factor, u = row

        def go():
            new = found(u, factor, carry[1])
            after = problem.next_history(new, factor, carry[1])
            return (new, after), keep(factor, new, after)

        def skip():
            blank = jax.eval_shape(go)[1]
            return carry, jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), blank)

        return jax.lax.cond(number < walk.taken, go, skip)

    rows = (jnp.arange(1, walk.factors.shape[0]), walk.factors[1:], walk.states[1:])
    start = (stop_gradient(u0), history)
    (u, last), saved = jax.lax.scan(body, start, rows)
    first = keep(walk.factors[0], start[0], history)
    return u, last, jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b]), first, saved)
