"""The implicit-function rule: how every solve is differentiated, without going through its iterations."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.core import ShapedArray, Tracer
from jax.interpreters import ad
from jaxtyping import Array, Float, PyTree

from gemel.solvers.linear_solver import LinearSolver
from gemel.solvers.operators import FunctionOperator, LinearOperator
from gemel.solvers.trail import Trail

SOLVED = "gemel_solved"
"""Name under which solutions are visible to checkpoint policies: saving them spares the repeated solve."""


def save_solved(primitive: Any, /, *_: Any, **options: Any) -> bool:
    """The checkpoint policy that saves solutions alone."""
    return primitive.name == "name" and options["name"] == SOLVED


class Adjoint(eqx.Module):
    """How derivatives pass through a solve."""


class Implicit(Adjoint):
    """By the implicit-function theorem: one linear solve with the tangent (forward) or its transpose
    (reverse).

    ``linear_solver`` solves those systems; None takes the linear solver of the solve itself, with its state.
    """

    linear_solver: LinearSolver | None = None


class Unrolled(Adjoint):
    """Through the iterations themselves, in forward mode only: for checks, never for use."""


class _Bundle(eqx.Module):
    """Everything of one solve, as one pytree: residual functions may carry differentiable leaves."""

    forward: Callable[[Any, Any, Any], tuple[Array, Any]]
    residual: Callable[[Array, Any], Array]
    tangent: Callable[[Array, Any], LinearOperator] | None
    parameters: Any
    linear_solver: LinearSolver
    state: Any
    trail: Trail | None
    symmetric: bool = eqx.field(static=True)


def stop_gradient(tree: PyTree) -> PyTree:
    """Stop derivatives through every array of a pytree; what has none, such as tables on the host, stays as it is."""
    traced, rest = eqx.partition(tree, lambda leaf: isinstance(leaf, Tracer) and eqx.is_inexact_array(leaf))
    return eqx.combine(jax.lax.stop_gradient(traced), rest)


def implicit_solve(
    forward: Callable[[Any, Any, Any], tuple[Array, Any]],
    residual: Callable[[Array, Any], Array],
    parameters: PyTree,
    linear_solver: LinearSolver,
    state: Any,
    tangent: Callable[[Array, Any], LinearOperator] | None = None,
    symmetric: bool = False,
) -> tuple[Float[Array, " n"], Any]:
    """Return ``forward(residual, tangent, parameters)`` = (u, aux) with the derivative of the root of a
    residual.

    For r(u, θ) = 0 the tangent of u is du = −(∂r/∂u)⁻¹ (∂r/∂θ) dθ. The solve is one
    `jax.lax.custom_linear_solve`, so reverse mode is the transposed solve, and higher orders follow
    because u in the rule is this function again.

    θ is every floating-point leaf of ``parameters`` and of ``residual``; index arrays and None pass
    through. Neither ``forward``, ``linear_solver`` nor ``state`` is differentiated, nor is ``aux``.
    ``tangent(u, θ)`` gives ∂r/∂u; where None, it is applied matrix-free by forward-mode differentiation of
    the residual, ``symmetric`` or not. A ``state`` of None is set up from the tangent when the derivative
    is taken. Where the solve for a derivative fails, the derivative is NaN: a derivative has no status of
    its own.
    """
    u, aux, _ = implicit_step(forward, residual, parameters, linear_solver, state, tangent, symmetric, None)
    return u, aux


def implicit_step(
    forward: Callable[[Any, Any, Any], tuple[Array, Any]],
    residual: Callable[[Array, Any], Array],
    parameters: PyTree,
    linear_solver: LinearSolver,
    state: Any,
    tangent: Callable[[Array, Any], LinearOperator] | None,
    symmetric: bool,
    trail: Trail | None,
) -> tuple[Float[Array, " n"], Any, Trail | None]:
    """Return what `implicit_solve` does for one of many solves in a row, and the trail for the next one.

    The value of a trail is passed on as it is: zeros. Its derivative is where the solves for derivatives leave what
    the next one starts from: forward mode hands tangents from each step to the next, and reverse mode cotangents from
    each step to the one before, just in the order in which those solves follow each other. It is no derivative of
    anything, and must not reach a result.
    """
    bundle = _Bundle(forward, residual, tangent, parameters, linear_solver, stop_gradient(state), trail, symmetric)
    return _implicit(bundle)


def _implicit(bundle: _Bundle) -> tuple[Array, Any, Trail | None]:
    """Solve, as a primitive of JAX: where a loop of solves is linearised, its known part forgets the rule of a
    ``custom_jvp``, and second derivatives went through the iterations. What is solved is traced once.
    """
    run: Any = eqx.filter_closure_convert(functools.partial(_solved), bundle)  # of a plain function it makes nothing
    return eqxi.filter_primitive_bind(_implicit_p, run, bundle)


def _solved(bundle: _Bundle) -> tuple[Array, Any, Trail | None]:
    return *bundle.forward(bundle.residual, bundle.tangent, bundle.parameters), bundle.trail


def _implicit_shapes(run: Any, bundle: Any) -> Any:
    given = jax.tree.map(_as_struct, (run, bundle), is_leaf=lambda leaf: isinstance(leaf, ShapedArray))
    found = eqx.filter_eval_shape(lambda run, bundle: run(bundle), *given)
    return jax.tree.map(lambda leaf: ShapedArray(leaf.shape, leaf.dtype), found)


def _as_struct(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if isinstance(leaf, ShapedArray) else leaf


def _as_array(leaf: Any, given: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(given, jax.ShapeDtypeStruct) else leaf


def _implicit_jvp(primals, tangents):
    (run, bundle), (_, change) = primals, tangents
    (given,), _ = run.in_struct
    bundle = jax.tree.map(_as_array, bundle, given)  # scalars that are constants arrive as numbers
    u, aux, trail = eqxi.filter_primitive_bind(_implicit_p, run, bundle)
    u = checkpoint_name(u, SOLVED)

    def at_solution(residual, parameters):
        return residual(u, parameters)

    theta, dtheta = (bundle.residual, bundle.parameters), (change.residual, change.parameters)
    dtrail = eqx.combine(change.trail, jax.tree.map(jnp.zeros_like, trail))
    if all(t is None for t in jax.tree.leaves(dtheta, is_leaf=lambda t: t is None)):
        du = jnp.zeros_like(u)
    else:
        _, dr = eqx.filter_jvp(at_solution, theta, dtheta)
        dr = jnp.zeros_like(u) if dr is None else dr
        operator = _tangent_operator(bundle, u)
        du, dtrail = _solve_along(operator, -dr, bundle.linear_solver, bundle.state, dtrail)
    daux = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_inexact_array(leaf) else None, aux)
    return (u, aux, trail), (du, daux, dtrail)


_implicit_p = eqxi.create_vprim(
    "gemel_implicit_solve",
    eqxi.filter_primitive_def(lambda run, bundle: run(bundle)),
    eqxi.filter_primitive_def(_implicit_shapes),
    eqxi.filter_primitive_jvp(_implicit_jvp),
    None,  # no derivative of it is linear in what changes: those are solves by `jax.lax.custom_linear_solve`
)


def _tangent_operator(bundle: _Bundle, u: Array) -> LinearOperator:
    if bundle.tangent is not None:
        return bundle.tangent(u, bundle.parameters)
    return matrix_free_tangent(bundle.residual, u, bundle.parameters, bundle.symmetric)


class _Push(eqx.Module):
    """x ↦ ∂r/∂u x by forward-mode differentiation."""

    residual: Callable[[Array, Any], Array]

    def __call__(self, args: tuple[Array, Any], x: Array) -> Array:
        u, parameters = args
        return jax.jvp(lambda v: self.residual(v, parameters), (u,), (x,))[1]


def matrix_free_tangent(
    residual: Callable[[Array, Any], Array], u: Float[Array, " n"], parameters: PyTree, symmetric: bool
) -> FunctionOperator:
    """Return ∂r/∂u at (u, parameters) as an operator applied by forward-mode differentiation."""
    return FunctionOperator(_Push(residual), u.shape[0], symmetric, (u, parameters), u.dtype)


def state_for(solver: LinearSolver, state: Any, operator: LinearOperator) -> Any:
    """Return the state of a solver for these values: a new one where ``state`` is None, else that refreshed; it has no
    derivative.
    """
    frozen = stop_gradient(operator)
    return solver.init(frozen) if state is None else solver.update(stop_gradient(state), frozen)


def tangent_solve(
    operator: LinearOperator, b: Float[Array, " n"], solver: LinearSolver, state: Any
) -> Float[Array, " n"]:
    """Return A⁻¹ b, linear in b, differentiable in A and b to any order; NaN where the solver fails."""
    return _solve_along(operator, b, solver, state, None)[0]


def _solve_along(
    operator: LinearOperator, b: Float[Array, " n"], solver: LinearSolver, state: Any, trail: Trail | None
) -> tuple[Float[Array, " n"], Trail | None]:
    """Return A⁻¹ b, and the trail with it. To JAX the trail passes through; both directions of the solve extend what
    they are given in its place.

    JAX demands that all arguments of a solve change where one does: `_together` says that they do.
    """
    state = state_for(solver, state, operator)

    def solve(rhs: Array, guess: Array | None, transpose: bool) -> Array:
        solution = solver.compute(state, operator, rhs, guess, transpose)
        return jnp.where(solution.status.ok, solution.value, jnp.nan)

    if trail is None:
        x = jax.lax.custom_linear_solve(
            operator.mv, b, lambda _, rhs: solve(rhs, None, False), lambda _, rhs: solve(rhs, None, True)
        )
        return x, None

    def solve_next(given: Any, transpose: bool) -> Any:
        rhs, before = given
        x = solve(rhs, before.start(rhs), transpose)
        return x, before.extended(rhs, x)

    return _together(
        jax.lax.custom_linear_solve(
            lambda given: (operator.mv(given[0]), given[1]),
            _together((b, trail)),
            lambda _, given: solve_next(given, False),
            lambda _, given: solve_next(given, True),
        )
    )


def _together(tree: Any) -> Any:
    """The same arrays, all of which have tangents and cotangents to JAX where one of them has."""
    return eqxi.filter_primitive_bind(_together_p, tree)


def _together_jvp(primals, tangents):
    tangents = jax.tree.map(eqxi.materialise_zeros, primals, tangents)
    return _together(*primals), _together(*tangents)


def _together_transpose(inputs, cotangents):
    is_unknown = jax.tree.map(ad.is_undefined_primal, inputs, is_leaf=ad.is_undefined_primal)
    return (jax.tree.map(lambda unknown, ct: ct if unknown else None, is_unknown[0], _together(cotangents)),)


_together_p = eqxi.create_vprim(
    "gemel_together",
    eqxi.filter_primitive_def(lambda tree: tree),
    eqxi.filter_primitive_def(lambda tree: tree),
    eqxi.filter_primitive_jvp(_together_jvp),
    eqxi.filter_primitive_transpose(_together_transpose, materialise_zeros=True),
)
