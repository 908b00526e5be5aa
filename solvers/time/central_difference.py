"""Explicit central differences with a lumped mass."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gemel.solvers.operators import DiagonalOperator, LinearOperator
from gemel.solvers.solution import Code, Status
from gemel.solvers.time.alpha import second_order
from gemel.solvers.time.integrator import TimeIntegrator
from gemel.solvers.time.systems import Motion, SecondOrderSystem, System
from gemel.solvers.trail import Trail


class _Prepared(eqx.Module):
    """The mass, the damping, the stable step and the tangent of a linear system."""

    mass: DiagonalOperator
    damping: LinearOperator | None
    stable: Array
    stiffness: LinearOperator | None


class _Memory(eqx.Module):
    """The motion, and the displacement one step before."""

    motion: Motion
    before: Float[Array, " n"]


class CentralDifference(TimeIntegrator):
    """The explicit method of order 2: v½ = v₀ + ½Δt a₀, u₁ = u₀ + Δt v½, M a₁ = −r(t₁, u₁) − C v,
    v₁ = v½ + ½Δt a₁.

    No system is solved, so M must be a `DiagonalOperator` (a lumped mass); unknowns without mass must be
    prescribed. A diagonal C acts on v₁. Any other C acts on v½ + ½Δt a′ with M a′ = −r(t₁, u₁) − C v½: v½ alone would
    be of order 1 in the damping.

    Stable for Δt ≤ 2/ω (√(1 + ξ²) − ξ), ω the highest frequency of the discrete system and ξ its damping
    ratio (zero for a diagonal C); `stable_step` gives the estimate. For a mode with s = ωΔt and d = 2ξs the limits
    are (1 − ½d)(s² + 2d) ≤ 4 and d ≤ 2, which that step keeps. A longer step has the status
    ``DIVERGENCE`` from the start. The estimate may be a little long and a nonlinear system may stiffen, so the
    last step before each requested time is judged by the stiffness that it met: Δuᵀ K Δu > 4 Δuᵀ M Δu / Δt²
    is ``DIVERGENCE`` too.

    Args:
        estimate_steps: products of the power iteration that estimates ω.

    Belytschko, Liu, Moran, *Nonlinear Finite Elements for Continua and Structures*, Wiley (2000), chapter 6.
    """

    estimate_steps: int = eqx.field(static=True, default=100)

    def init(self, system: System, t: Array | float, initial: PyTree, dt: Array | float, args: PyTree) -> None:
        """Nothing: there is no linear solver."""

    def assemble(self, system: System, t: Array, initial: PyTree, args: PyTree) -> Any:
        """Return M, C, the longest stable step at the start, and K where the system is linear."""
        system = second_order(self, system)
        mass = _lumped_mass(system, args)
        stiffness = system.tangent(t, initial[0], args)
        damping = system.damping(args)
        stable = jax.lax.stop_gradient(_stable_step(mass, damping, stiffness, self.estimate_steps))
        return _Prepared(mass, damping, stable, stiffness if system.linear else None)

    def prepare(self, assembled: _Prepared, state: Any, memory: Any, dt: Array) -> _Prepared:
        """Nothing depends on the step."""
        return assembled

    def start(
        self, system: System, assembled: _Prepared, state: Any, t: Array, initial: PyTree, args: PyTree
    ) -> tuple[_Memory, Status]:
        """Return the motion with the acceleration of the balance at the start."""
        system = second_order(self, system)
        u, v = initial
        motion = system.prescribe(t, Motion(u, v, jnp.zeros_like(u)), args)
        a = _acceleration(system, assembled, t, motion.u, motion.v, jnp.zeros_like(t), args)
        motion = system.prescribe(t, Motion(motion.u, motion.v, a), args)
        return _Memory(motion, motion.u), Status(jnp.zeros((), jnp.int32))

    def shared_operator(self, prepared: _Prepared) -> None:
        """Return None: nothing is solved."""

    def with_operator(self, prepared: _Prepared, operator: LinearOperator) -> _Prepared:
        """Return the same: nothing is solved."""
        return prepared

    def trail(self, memory: _Memory) -> None:
        """Return None: nothing is solved."""

    def resume(self, system: System, assembled: Any, t: Array, memory: _Memory, args: PyTree) -> _Memory:
        """Return the memory as it is."""
        return memory

    def step(
        self,
        system: System,
        prepared: _Prepared,
        memory: _Memory,
        t: Array,
        dt: Array,
        args: PyTree,
        trail: Trail | None,
    ) -> tuple[_Memory, Status, Array, Trail | None]:
        """Advance one step."""
        system, motion = second_order(self, system), memory.motion
        half = motion.v + 0.5 * dt * motion.a
        moved = system.prescribe(t + dt, Motion(motion.u + dt * half, half, motion.a), args)
        a = _acceleration(system, prepared, t + dt, moved.u, half, dt, args)
        end = system.prescribe(t + dt, Motion(moved.u, half + 0.5 * dt * a, a), args)
        code = jnp.where(dt > prepared.stable, Code.DIVERGENCE, Code.SUCCESS).astype(jnp.int32)
        return _Memory(end, motion.u), Status(code), jnp.zeros((), jnp.int32), trail

    def recall(self, motion: Motion) -> _Memory:
        """Return the memory of a run that came to this motion."""
        return _Memory(motion, motion.u)

    def output(self, memory: _Memory) -> Motion:
        """Return the motion."""
        return memory.motion

    def verdict(
        self, system: System, prepared: _Prepared, memory: _Memory, t: Array, dt: Array, args: PyTree
    ) -> Status:
        """Judge the last step by the stiffness that it met."""
        u, change = memory.motion.u, memory.motion.u - memory.before
        if prepared.stiffness is not None:
            force = prepared.stiffness.mv(change)
        else:
            force = jax.jvp(lambda u: system.residual(t, u, args), (u,), (change,))[1]
        mass = prepared.mass.values
        work = jnp.sum(jnp.where(mass != 0, change * force, 0.0))
        unstable = work > 4 * (1 + 1e-6) * jnp.sum(mass * change**2) / dt**2
        return Status(jnp.where(jax.lax.stop_gradient(unstable), Code.DIVERGENCE, Code.SUCCESS).astype(jnp.int32))


def stable_step(
    system: SecondOrderSystem, t: Array | float, u: Float[Array, " n"], args: PyTree, steps: int = 100
) -> Float[Array, ""]:
    """Estimate the longest step with which `CentralDifference` is stable at (t, u), in s.

    The highest eigenvalue ω² of M⁻¹ K comes from ``steps`` products of a power iteration, which approaches
    it from below: take a step some per cent shorter. Infinite where nothing is stiff.
    """
    mass = _lumped_mass(system, args)
    return _stable_step(mass, system.damping(args), system.tangent(jnp.asarray(t), u, args), steps)


def _lumped_mass(system: SecondOrderSystem, args: PyTree) -> DiagonalOperator:
    mass = system.mass(args)
    if not isinstance(mass, DiagonalOperator):
        raise ValueError(f"CentralDifference needs a lumped mass, a DiagonalOperator, not a {type(mass).__name__}.")
    return mass


def _stable_step(
    mass: DiagonalOperator, damping: LinearOperator | None, stiffness: LinearOperator, steps: int
) -> Array:
    """2/ω (√(1 + ξ²) − ξ) by power iteration with M^(−½) K M^(−½)."""
    free = mass.values > 0
    root = jnp.where(free, 1 / jnp.sqrt(jnp.where(free, mass.values, 1.0)), 0.0)
    x = jax.random.normal(jax.random.key(0), root.shape, root.dtype) * free

    def advance(_, x):
        y = root * stiffness.mv(root * x)
        return y / jnp.maximum(jnp.linalg.norm(y), jnp.finfo(y.dtype).tiny)

    x = jax.lax.fori_loop(0, steps, advance, x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny))
    omega = jnp.sqrt(jnp.linalg.norm(root * stiffness.mv(root * x)))
    ratio = jnp.zeros_like(omega)
    if damping is not None and not isinstance(damping, DiagonalOperator):
        ratio = jnp.vdot(root * x, damping.mv(root * x)) / (2 * omega)
    return 2 / omega * (jnp.sqrt(1 + ratio**2) - ratio)


def _acceleration(
    system: SecondOrderSystem, prepared: _Prepared, t: Array, u: Array, v: Array, dt: Array, args: PyTree
) -> Array:
    """M⁻¹ (−r − C v), C taken at the end of the half step that follows: a diagonal one exactly, others with the
    acceleration that v gives.
    """
    inertia, damping = prepared.mass.values, prepared.damping
    massive = inertia != 0
    force = -system.residual(t, u, args)

    def over(inertia: Array, force: Array) -> Array:
        return jnp.where(massive, force, 0.0) / jnp.where(massive, inertia, 1.0)

    if damping is None:
        return over(inertia, force)
    first = force - damping.mv(v)
    if isinstance(damping, DiagonalOperator):
        return over(inertia + 0.5 * dt * damping.values, first)
    return over(inertia, first - 0.5 * dt * damping.mv(over(inertia, first)))
