"""Time integration of M u̇ + r(t, u) = 0, differentiable in everything with bounded memory."""

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from gemel.solvers.implicit import SOLVED, stop_gradient
from gemel.solvers.linear import linear_solve_ready
from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.newton import NonlinearSolver, nonlinear_solve
from gemel.solvers.operators import LinearOperator
from gemel.solvers.solution import Code, Solution, Status
from gemel.solvers.sparse import linear_combination

_GAMMA = 1.0 - 1.0 / math.sqrt(2.0)
_KEPT_BYTES = 256 * 2**20


class FirstOrderSystem(eqx.Module):
    """The semi-discrete problem M(args) u̇ + r(t, u, args) = 0 on flat vectors.

    M is constant in time and may be singular: rows without mass are algebraic equations (Dirichlet values
    u − g(t) = 0). ``linear`` promises r(t, u) = K u − f(t) with K = ∂r/∂u constant in u and t.
    """

    linear: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def mass(self, args: PyTree) -> LinearOperator:
        """Return M."""

    @abc.abstractmethod
    def residual(self, t: Float[Array, ""], u: Float[Array, " n"], args: PyTree) -> Float[Array, " n"]:
        """Return r(t, u)."""

    @abc.abstractmethod
    def tangent(self, t: Float[Array, ""], u: Float[Array, " n"], args: PyTree) -> LinearOperator:
        """Return ∂r/∂u at (t, u)."""


class TimeIntegrator(eqx.Module):
    """A one-step method as a state machine.

    ``init`` sets up on the host, ``assemble`` once per integration, ``prepare`` once per step size; then
    ``step``.
    """

    @abc.abstractmethod
    def init(
        self,
        system: FirstOrderSystem,
        t: Array | float,
        u: Float[Array, " n"],
        dt: Array | float,
        args: PyTree,
    ) -> Any:
        """Return the state of the linear solver for steps of about ``dt``."""

    @abc.abstractmethod
    def assemble(self, system: FirstOrderSystem, t: Array, u: Float[Array, " n"], args: PyTree) -> Any:
        """Return what all steps share."""

    @abc.abstractmethod
    def prepare(self, assembled: Any, state: Any, dt: Array) -> Any:
        """Return what all steps of one size share."""

    @abc.abstractmethod
    def start(self, u: Float[Array, " n"]) -> Any:
        """Return the memory before the first step; its first leaf is u."""

    @abc.abstractmethod
    def step(
        self, system: FirstOrderSystem, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree
    ) -> tuple[Any, Status, Array]:
        """Advance from t to t + dt. Returns the memory, the status, and the number of linear iterations."""


class _Stage(eqx.Module):
    """The residual M (U − base) + γΔt r(t, U) of one stage, and its tangent M + γΔt ∂r/∂u."""

    system: FirstOrderSystem

    def residual(self, u: Array, parameters: Any) -> Array:
        mass, base, t, dt, args = parameters
        return mass.mv(u - base) + _GAMMA * dt * self.system.residual(t, u, args)

    def tangent(self, u: Array, parameters: Any) -> LinearOperator:
        mass, _, t, dt, args = parameters
        return linear_combination(1.0, mass, _GAMMA * dt, self.system.tangent(t, u, args))


class SDIRK2(TimeIntegrator):
    """Alexander's two-stage, L-stable, stiffly accurate method of order 2, γ = 1 − 1/√2.

    Stages at t + γΔt and t + Δt: M (Uᵢ − base) + γΔt r(tᵢ, Uᵢ) = 0 with base u, then u + (1 − γ)Δt U̇₁; u
    at t + Δt is U₂. A linear system costs one linear solve a stage with one operator M + γΔt K for both,
    started from an extrapolation of the earlier stages. ``solver`` is a `LinearSolver` for linear systems,
    a `NonlinearSolver` for others.

    Alexander, *Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s*, SIAM J. Numer. Anal. 14 (1977).
    """

    solver: LinearSolver | NonlinearSolver

    @property
    def _linear_solver(self) -> LinearSolver:
        return self.solver.linear_solver if isinstance(self.solver, NonlinearSolver) else self.solver

    def init(
        self,
        system: FirstOrderSystem,
        t: Array | float,
        u: Float[Array, " n"],
        dt: Array | float,
        args: PyTree,
    ) -> Any:
        """Set the linear solver up for M + γΔt ∂r/∂u at (t, u)."""
        tangent = system.tangent(jnp.asarray(t), u, args)
        return self._linear_solver.init(linear_combination(1.0, system.mass(args), _GAMMA * dt, tangent))

    def assemble(self, system: FirstOrderSystem, t: Array, u: Float[Array, " n"], args: PyTree) -> Any:
        """Return (M, K), with None for K where the system is not linear."""
        if system.linear:
            return system.mass(args), system.tangent(t, u, args)
        if not isinstance(self.solver, NonlinearSolver):
            raise ValueError("SDIRK2 was given a linear solver for a nonlinear system: give it a Newton.")
        return system.mass(args), None

    def prepare(self, assembled: Any, state: Any, dt: Array) -> Any:
        """Return M, the operator M + γΔt K where there is a K, and the state of the linear solver for it."""
        mass, tangent = assembled
        if tangent is None:
            return mass, None, state
        operator = linear_combination(1.0, mass, _GAMMA * dt, tangent)
        frozen, solver = stop_gradient(operator), self._linear_solver
        return mass, operator, solver.init(frozen) if state is None else solver.update(state, frozen)

    def start(self, u: Float[Array, " n"]) -> Any:
        """Return u, the slopes of the last two stages, and whether those exist."""
        return u, jnp.zeros_like(u), jnp.zeros_like(u), jnp.zeros((), u.dtype)

    def step(
        self, system: FirstOrderSystem, prepared: Any, memory: Any, t: Array, dt: Array, args: PyTree
    ) -> tuple[Any, Status, Array]:
        """Advance one step, both stages by one body."""
        mass = prepared[0]
        start, older, last, known = memory
        zero = jnp.zeros_like(start) if system.linear else start

        def stage(carry, coefficients):
            _, older, last, code, count = carry
            node, behind, ahead = coefficients
            base = start + behind * dt * last
            at = t + node * dt
            weight = ahead * known if system.linear else 0.0
            guess = base + _GAMMA * dt * (last + weight * (last - older))
            if system.linear:
                load = mass.mv(base) - _GAMMA * dt * system.residual(at, zero, args)
                solution = linear_solve_ready(prepared[1], load, self._linear_solver, prepared[2], guess)
                count = count + solution.statistics["steps"]
            else:
                solution = self._newton(system, mass, base, at, dt, args, guess, prepared[2])
                count = count + solution.statistics["linear_steps"]
            slope = (solution.value - base) / (_GAMMA * dt)
            code = jnp.where(code == Code.SUCCESS, solution.status.code, code)
            return (solution.value, last, slope, code, count), None

        none = jnp.zeros((), jnp.int32)
        nodes = jnp.asarray([_GAMMA, 1.0], start.dtype)
        behind = jnp.asarray([0.0, 1.0 - _GAMMA], start.dtype)
        ahead = jnp.asarray([_GAMMA / (1 - _GAMMA), (1 - _GAMMA) / _GAMMA], start.dtype)
        carry = (start, older, last, none, none)
        (u, older, last, code, count), _ = jax.lax.scan(stage, carry, (nodes, behind, ahead))
        return (u, older, last, jnp.ones_like(known)), Status(code), count

    def _newton(self, system, mass, base, t, dt, args, guess, state) -> Solution[Array]:
        assert isinstance(self.solver, NonlinearSolver)
        stage = _Stage(system)
        parameters = (mass, base, t, dt, args)
        symmetric = mass.symmetric
        return nonlinear_solve(
            stage.residual, guess, parameters, self.solver, stage.tangent, state, symmetric=symmetric
        )


def _same_step(times: Array) -> bool:
    """True where the times are known and equally spaced."""
    if isinstance(times, Tracer):
        return False
    steps = np.diff(np.asarray(times))
    return bool(np.ptp(steps) <= 1e-9 * np.max(np.abs(steps)))


def _segment_length(intervals: int, substeps: int, u: Array, asked: int | None) -> int:
    """Intervals in a checkpointed segment: all where the stages fit in memory, else about √intervals."""
    if asked is not None:
        return max(1, min(asked, intervals))
    if 6 * u.size * u.dtype.itemsize * intervals * substeps <= _KEPT_BYTES:
        return intervals
    return math.isqrt(intervals - 1) + 1


def integrate(
    system: FirstOrderSystem,
    u0: Float[Array, " n"],
    times: Float[Array, " m"],
    args: PyTree,
    integrator: TimeIntegrator,
    substeps: int = 1,
    state: Any = None,
    save: Callable[[Array, Array], PyTree] | None = None,
    uniform: bool | None = None,
    segment: int | None = None,
    final: bool = False,
) -> Solution[PyTree]:
    """Integrate from times[0] to times[-1], with ``substeps`` equal steps from each time to the next.

    Differentiable in u0, args, times and the leaves of ``system``, forward and reverse. Reverse mode keeps
    only the stage values (their solves are not repeated), or, for ``segment`` = s, the state at every s-th
    time and the stages of one segment, at the price of one more forward run; None takes a single segment
    while the stages fit in 256 MB and √m intervals otherwise.

    Args:
        times: increasing, m ≥ 2. Equally spaced times let a linear system assemble its operator once;
        ``uniform`` says so
            where the times are not known (inside jit), None looks.
        state: of the linear solver, from ``integrator.init(system, t, u, dt, args)``; None sets it up here.
        save: ``save(t, u)`` gives what is kept at each time, the first included; None keeps u.

    Returns the saved pytree with a leading axis m (with ``final``, a pair of it and u at the end), the first failure
    among all steps as status, and the statistics ``linear_steps`` (total) and ``steps``.
    """
    if times.ndim != 1 or times.shape[0] < 2:
        raise ValueError(f"times has shape {times.shape}; integrate needs at least two times in one axis.")
    if substeps < 1:
        raise ValueError(f"substeps = {substeps}: at least one step is needed from each time to the next.")
    keep = (lambda t, u: u) if save is None else save
    intervals = times.shape[0] - 1
    uniform = _same_step(times) if uniform is None else uniform
    state = stop_gradient(state)
    dt = (times[-1] - times[0]) / (intervals * substeps)
    assembled = integrator.assemble(system, times[0], u0, args)
    shared = integrator.prepare(assembled, state, dt) if uniform else None

    def step(carry, at):
        memory, code, count = carry
        t, dt, prepared = at
        memory, status, taken = integrator.step(system, prepared, memory, t, dt, args)
        code = jnp.where(code == Code.SUCCESS, status.code, code)
        return memory, code, count + taken

    policy = jax.checkpoint_policies.save_only_these_names(SOLVED)

    def interval(carry, ends):
        t0, t1 = ends
        size = dt if uniform else (t1 - t0) / substeps
        prepared = shared if uniform else integrator.prepare(assembled, state, size)

        def substep(carry, i):
            one = jax.checkpoint(lambda c, t: step(c, (t, size, prepared)), policy=policy, prevent_cse=False)
            return one(carry, t0 + i * size), None

        if substeps == 1:
            carry, _ = substep(carry, 0)
        else:
            carry, _ = jax.lax.scan(substep, carry, jnp.arange(substeps))
        return carry, keep(t1, carry[0][0])

    def piece(carry, ends):
        return jax.lax.scan(interval, carry, ends)

    none = jnp.zeros((), jnp.int32)
    carry = (integrator.start(u0), none, none)
    ends = (times[:-1], times[1:])
    length = _segment_length(intervals, substeps, u0, segment)
    carry, saved = _in_segments(piece, carry, ends, intervals, length)
    first = keep(times[0], u0)
    saved = jax.tree.map(lambda a, b: jnp.concatenate([jnp.asarray(a)[None], b]), first, saved)
    _, code, count = carry
    code = jnp.where(jnp.all(jnp.isfinite(carry[0][0])), code, jnp.where(code == 0, Code.NOT_FINITE, code))
    statistics = {"steps": jnp.asarray(intervals * substeps, jnp.int32), "linear_steps": count}
    value = (saved, carry[0][0]) if final else saved
    return Solution(value, Status(code.astype(jnp.int32)), statistics)


def _in_segments(piece: Callable, carry: Any, xs: Any, count: int, length: int) -> tuple[Any, Any]:
    """Scan ``piece`` over segments of ``length``, each rematerialised in reverse mode, then over the rest."""
    if length >= count:
        return piece(carry, xs)
    whole = count // length
    cut = whole * length
    folded = jax.tree.map(lambda x: x[:cut].reshape(whole, length, *x.shape[1:]), xs)
    carry, saved = jax.lax.scan(jax.checkpoint(piece, prevent_cse=False), carry, folded)
    saved = jax.tree.map(lambda y: y.reshape(cut, *y.shape[2:]), saved)
    if cut == count:
        return carry, saved
    carry, rest = jax.checkpoint(piece)(carry, jax.tree.map(lambda x: x[cut:], xs))
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), saved, rest)
