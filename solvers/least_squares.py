r"""Nonlinear least squares, $\min_z \tfrac12\|r(z)\|^2$, as state machines that a caller can save and resume."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from gemel.solvers.linearising import Mode, Residual, data_rows, linearise, step_by_data
from gemel.solvers.solution import Code, Solution, Status


class FitState(eqx.Module):
    """Where a fit stands: arrays alone, so that it can be written to disk after any step and read back.

    ``memory`` belongs to the solver; ``code`` is a `Code` and meaningful once ``finished``.
    """

    z: Float[Array, " p"]
    cost: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    step: Int[Array, ""]
    finished: Bool[Array, ""]
    code: Int[Array, ""]
    memory: Any


class LeastSquaresSolver(eqx.Module):
    """A method for small dense least squares; ``fn(z, args)`` returns the residual vector ``(m,)``."""

    @abstractmethod
    def init(self, fn: Residual, z: Float[Array, " p"], args: Any) -> FitState:
        """The state before the first step."""

    @abstractmethod
    def step(self, fn: Residual, state: FitState, args: Any) -> FitState:
        """One step; compiled, so that ``fn`` should be one and the same object between calls."""

    def under_limit(self, state: FitState) -> FitState:
        """A state of the same method with another limit of steps, as this one leaves it: where only the limit ended it,
        or nothing has yet, it is finished if it has made ``max_steps``.
        """
        limit = getattr(self, "max_steps", None)
        if limit is None:
            return state
        ended = jnp.where(state.code == Code.MAX_STEPS, state.step >= limit, state.finished)
        return eqx.tree_at(lambda one: one.finished, state, ended)

    def steps(self, fn: Residual, state: FitState, args: Any) -> Iterator[FitState]:
        """The states after each further step, until one says that it is finished (a loop on the host)."""
        while not bool(state.finished):
            state = self.step(fn, state, args)
            yield state

    def end(self, fn: Residual, state: FitState, args: Any) -> FitState:
        """The state that is finished."""
        while not bool(state.finished):
            state = self.step(fn, state, args)
        return state

    def solve(self, fn: Residual, z: Float[Array, " p"], args: Any = None) -> Solution[Array]:
        """Step until the state says it is finished."""
        state = self.end(fn, self.init(fn, z, args), args)
        statistics = {"steps": state.step, "cost": state.cost, "gradient_norm": state.gradient_norm}
        return Solution(state.z, Status(state.code), statistics)


class Linearisation(eqx.Module):
    """The memory of `LevenbergMarquardt`: residual and Jacobian at the point, the damping and its growth."""

    residual: Float[Array, " m"]
    jacobian: Float[Array, "m p"]
    damping: Float[Array, ""]
    growth: Float[Array, ""]


class LevenbergMarquardt(LeastSquaresSolver):
    r"""Levenberg-Marquardt: $(J^\top J + \mu D^2)\,\delta = -J^\top r$ by QR of the stacked system, or in the space of
    the data where these are fewer than the unknowns (see `Regularised`).

    $D$ holds the largest column norms of $J$; $\mu$ follows Nielsen's rule from the gain ratio. One call of
    `step` tries one $\delta$; a rejected one keeps the point and the Jacobian.

    Args:
        gtol: finished where $\|J^\top r\|_\infty \le$ gtol.
        ftol: finished where an accepted step lowers the cost by less than ftol of it.
        xtol: finished where a step is shorter than xtol (1 + |z|); with ``STAGNATION`` (``NOT_FINITE`` where the
            residual is not) where the damping made it short and an undamped step still promises a lower cost.
        max_steps: limit of tried steps.
        jacobian: "forward" (one tangent a parameter), "reverse" (one adjoint a row of the data) or the "cheapest" of
            both, an adjoint counted as 1.5 tangents as measured (see `gemel.solvers.linearising`). A model with a loop
            that has no adjoint needs "forward".
        initial_damping: the first $\mu$.

    Source: Nielsen, *Damping Parameter in Marquardt's Method*, 1999; Moré, *The Levenberg-Marquardt
    Algorithm*, 1978.
    """

    gtol: float
    ftol: float
    xtol: float
    max_steps: int = eqx.field(static=True)
    jacobian: Mode = eqx.field(static=True, default="cheapest")
    initial_damping: float = 1e-3

    def init(self, fn: Residual, z: Float[Array, " p"], args: Any) -> FitState:
        """Evaluate the residual and its Jacobian at the start."""
        return _lm_start(self, z, *linearise(self.jacobian, fn, z, args))

    def step(self, fn: Residual, state: FitState, args: Any) -> FitState:
        """Try one step and move where it lowers the cost."""
        rows = data_rows(fn, state.memory.jacobian)
        trial, predicted = _lm_propose(state, rows)
        return _lm_judge(self, state, rows, trial, predicted, *linearise(self.jacobian, fn, trial, args))


def _finite(*arrays: Array) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(array)) for array in arrays]))


@eqx.filter_jit
def _lm_start(solver: LevenbergMarquardt, z: Array, residual: Array, jacobian: Array) -> FitState:
    gradient = jnp.max(jnp.abs(jacobian.T @ residual), initial=0.0)
    good = _finite(residual, jacobian)
    finished = (gradient <= solver.gtol) | ~good
    code = jnp.where(good, Code.SUCCESS, Code.NOT_FINITE).astype(jnp.int32)
    damping = jnp.asarray(solver.initial_damping, z.dtype)
    memory = Linearisation(residual, jacobian, damping, jnp.asarray(2.0, z.dtype))
    return FitState(z, 0.5 * residual @ residual, gradient, jnp.asarray(0, jnp.int32), finished, code, memory)


@eqx.filter_jit
def _lm_propose(state: FitState, rows: int | None) -> tuple[Array, Array]:
    """The point to try, and the decrease of the cost that the linear model predicts there."""
    old: Linearisation = state.memory
    scale = jnp.maximum(jnp.linalg.norm(old.jacobian, axis=0), 1e-8)
    if rows is None:
        stacked = jnp.concatenate([old.jacobian, jnp.diag(jnp.sqrt(old.damping) * scale)])
        target = jnp.concatenate([-old.residual, jnp.zeros_like(state.z)])
        q, r = jnp.linalg.qr(stacked)
        delta = jax.scipy.linalg.solve_triangular(r, q.T @ target)
    else:
        delta = step_by_data(old.residual, old.jacobian, rows, old.damping * scale**2)
    predicted = state.cost - 0.5 * jnp.sum((old.residual + old.jacobian @ delta) ** 2)
    return state.z + delta, predicted


def _promise(residual: Array, jacobian: Array, rows: int | None) -> Array:
    """By how much an undamped step would lower the cost if the residual were linear."""
    if rows is None:
        return 0.5 * jnp.sum((jnp.linalg.qr(jacobian)[0].T @ residual) ** 2)
    return -0.5 * (jacobian.T @ residual) @ step_by_data(residual, jacobian, rows)


@eqx.filter_jit
def _lm_judge(
    solver: LevenbergMarquardt,
    state: FitState,
    rows: int | None,
    z: Array,
    predicted: Array,
    residual: Array,
    jacobian: Array,
) -> FitState:
    """Accept or reject the tried point, and adapt the damping."""
    old: Linearisation = state.memory
    cost = 0.5 * residual @ residual
    gain = (state.cost - cost) / jnp.maximum(predicted, 1e-300)
    accepted = _finite(cost, jacobian) & (gain > 1e-4)
    residual = jnp.where(accepted, residual, old.residual)
    jacobian = jnp.where(accepted, jacobian, old.jacobian)
    shrink = jnp.maximum(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3)
    damping = jnp.where(accepted, jnp.maximum(old.damping * shrink, 1e-14), old.damping * old.growth)
    growth = jnp.where(accepted, 2.0, 2.0 * old.growth)
    gradient = jnp.max(jnp.abs(jacobian.T @ residual))
    small = jnp.linalg.norm(z - state.z) <= solver.xtol * (1.0 + jnp.linalg.norm(state.z))
    flat = accepted & (state.cost - cost <= solver.ftol * state.cost)
    # A step may be short because the damping is large: what an undamped step still promises decides.
    promise = _promise(residual, jacobian, rows)
    cost_now = jnp.where(accepted, cost, state.cost)
    converged = (gradient <= solver.gtol) | ((small | flat) & ((old.damping <= 1.0) | (promise <= 1e-2 * cost_now)))
    stuck = small & ~converged
    broken = stuck & ~_finite(cost)
    done = converged | stuck
    count = state.step + 1
    code = jnp.where(converged, Code.SUCCESS, jnp.where(stuck, Code.STAGNATION, Code.MAX_STEPS))
    code = jnp.where(broken, Code.NOT_FINITE, code)
    return FitState(
        jnp.where(accepted, z, state.z),
        cost_now,
        gradient,
        count,
        done | (count >= solver.max_steps),
        code.astype(jnp.int32),
        Linearisation(residual, jacobian, damping, growth),
    )


class GradientDescent(LeastSquaresSolver):
    r"""First-order descent on $\tfrac12\|r\|^2$ with any optax optimiser; one adjoint solve a step.

    Args:
        optimiser: for example ``optax.adam(0.05)``.
        gtol: finished where the largest entry of the gradient is at most gtol.
        max_steps: limit of steps.
    """

    optimiser: optax.GradientTransformation = eqx.field(static=True)
    gtol: float
    max_steps: int = eqx.field(static=True)

    def init(self, fn: Residual, z: Float[Array, " p"], args: Any) -> FitState:
        """Evaluate the cost and its gradient at the start."""
        return _descent_state(self, fn, z, args, self.optimiser.init(z), jnp.asarray(0, jnp.int32))

    def step(self, fn: Residual, state: FitState, args: Any) -> FitState:
        """Move by one update of the optimiser."""
        return _descent_step(self, fn, state, args)


def cost_and_gradient(fn: Residual, z: Array, args: Any) -> tuple[Array, Array]:
    """Half the squared length of the residual, and its gradient by one adjoint."""
    return jax.value_and_grad(lambda x: 0.5 * jnp.sum(fn(x, args) ** 2))(z)


@eqx.filter_jit
def _descent_state(
    solver: GradientDescent, fn: Residual, z: Array, args: Any, optimiser_state: Any, step: Array
) -> FitState:
    cost, gradient = cost_and_gradient(fn, z, args)
    size = jnp.max(jnp.abs(gradient), initial=0.0)
    good = _finite(cost, gradient)
    done = size <= solver.gtol
    code = jnp.where(good, jnp.where(done, Code.SUCCESS, Code.MAX_STEPS), Code.NOT_FINITE).astype(jnp.int32)
    finished = done | (step >= solver.max_steps) | ~good
    return FitState(z, cost, size, step, finished, code, (gradient, optimiser_state))


@eqx.filter_jit
def _descent_step(solver: GradientDescent, fn: Residual, state: FitState, args: Any) -> FitState:
    gradient, memory = state.memory
    updates, memory = solver.optimiser.update(gradient, memory, state.z)
    z = jnp.asarray(optax.apply_updates(state.z, updates))
    return _descent_state(solver, fn, z, args, memory, state.step + 1)
