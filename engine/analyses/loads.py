"""The loads of a linear problem over time: what rests, what follows inputs in proportion, and the rest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal
from jaxtyping import Array, Float

from gemel.engine.coefficients import drive, input_nodes, replace_inputs
from gemel.engine.problems import Contribution, DiscreteProblem
from gemel.engine.signals import Series, at_time

_MOST = 16
"""Vectors that are kept at the most."""


class Loads(eqx.Module):
    r"""The residual at zero unknowns, $r(t, 0) = r_0 + \sum_j s_j(t)\, r_j$ + what is no such sum.

    A heater's power or an ambient temperature enters a linear problem in proportion: its vector $r_j$ is assembled
    once, and a time step adds a multiple of it. What depends on inputs in another way is assembled at every step.

    ``slopes`` has a row for each `Input` of the contributions that are ``proportional``, in their order.
    """

    resting: Float[Array, " n"]
    slopes: Float[Array, "inputs n"]
    proportional: tuple[bool, ...] = eqx.field(static=True)

    @staticmethod
    def of(problem: DiscreteProblem, scale: Any) -> "Loads":
        """Find them for a problem whose prescribed values rest; ``scale`` weighs their rows."""
        zero = jnp.zeros(problem.space.n_dofs)
        lifted, points = problem.constraint.lift(zero), jnp.asarray(problem.space.mesh.points)
        counts = [0 if rests else len(input_nodes(part)) for part, rests in _with(problem, problem.resting)]

        def residual(part: Contribution, values: Sequence[Array]) -> list[Array]:
            given = iter(values)
            return replace_inputs(part, lambda _: next(given)).residuals(lifted, points)

        proportional = tuple(
            0 < count <= _MOST and is_affine(lambda values, part=part: residual(part, values), count)
            for part, count in _with(problem, counts)
        )
        if sum(count for count, kept in zip(counts, proportional, strict=True) if kept) > _MOST:
            proportional = (False,) * len(counts)
        resting = problem.residual(zero, scale, problem.resting)
        slopes = []
        parts = zip(problem.contributions, problem.to_vector, counts, proportional, strict=True)
        for part, gather, count, kept in parts:
            if not kept:
                continue

            def load(values: Sequence[Array], part: Contribution = part, gather: Any = gather) -> Array:
                return problem.constraint.reduce(gather(residual(part, values)))

            none = [jnp.zeros(())] * count
            base, slope = jax.linearize(load, none)
            resting = resting + base
            slopes += [slope([jnp.full((), float(j == k)) for j in range(count)]) for k in range(count)]
        return Loads(resting, jnp.stack(slopes) if slopes else jnp.zeros((0, len(zero))), proportional)

    def at(self, problem: DiscreteProblem, inputs: Mapping[str, Series], t: Array) -> Float[Array, " n"]:
        """The residual at zero at a time."""
        signals = at_time(inputs, t)
        values = [
            node.at(signals) for part, kept in _with(problem, self.proportional) if kept for node in input_nodes(part)
        ]
        total = self.resting
        if values:
            total = total + jnp.stack([jnp.asarray(value, total.dtype) for value in values]) @ self.slopes
        anew = tuple(not (rests or kept) for rests, kept in zip(problem.resting, self.proportional, strict=True))
        if not any(anew):
            return total
        lifted = problem.constraint.lift(jnp.zeros_like(total))
        return total + problem.constraint.reduce(drive(problem, signals).unconstrained(lifted, anew))


def is_affine(function: Callable[[Sequence[Array]], Any], count: int) -> bool:
    """Whether a function of so many numbers is affine in them.

    Read off its program, in which they may meet nothing but sums, products with what does not depend on them, and
    moves. What is affine in another way is taken for not affine; so are jumps, whose derivative would not show them.
    """
    numbers = [jax.ShapeDtypeStruct((), jnp.result_type(float))] * count
    return _followers(jax.make_jaxpr(function)(numbers).jaxpr, [True] * count) is not None


_SUMS = frozenset(
    {"add", "add_any", "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "cumsum", "expand_dims"}
    | {"neg", "pad", "reduce_sum", "reshape", "rev", "slice", "split", "squeeze", "sub", "transpose"}
)
"""Operations that are linear in all their operands together."""

_PRODUCTS = frozenset({"dot_general", "mul"})
"""Those that are linear in each operand."""

_FIRST = frozenset({"div", "dynamic_slice", "gather"})
"""Those that are linear in the first operand."""

_CALLS = frozenset({"checkpoint", "closed_call", "jit", "pjit", "remat2"})


def _followers(program: Jaxpr, given: Sequence[bool]) -> list[bool] | None:
    """Which results follow the arguments that are ``given``; None where one may do so in a way that is not affine."""
    following = {id(variable) for variable, follows in zip(program.invars, given, strict=True) if follows}

    def follows(variable: Any) -> bool:
        return not isinstance(variable, Literal) and id(variable) in following

    for equation in program.eqns:
        entering = [follows(variable) for variable in equation.invars]
        if not any(entering):
            continue
        name, leaving = equation.primitive.name, [True] * len(equation.outvars)
        if name in _CALLS or name == "scan":
            inner = equation.params["jaxpr"]
            inner = getattr(inner, "jaxpr", inner)
            found = _through_scan(equation, inner, entering) if name == "scan" else _followers(inner, entering)
            if found is None:
                return None
            leaving = found
        elif not _affine_step(name, entering):
            return None
        for variable, leaves in zip(equation.outvars, leaving, strict=True):
            if leaves and not jnp.issubdtype(getattr(variable.aval, "dtype", bool), jnp.inexact):
                return None
            if leaves:
                following.add(id(variable))
    return [follows(variable) for variable in program.outvars]


def _through_scan(equation: JaxprEqn, program: Jaxpr, given: Sequence[bool]) -> list[bool] | None:
    """As `_followers`, for the body of a scan: its first results are what it carries to its next arguments. What it
    carries has the same shape outside, where what it walks through and what it collects have one axis more; the names
    of its parameters differ between versions of JAX.
    """
    entering, count = list(given), _alike(equation.outvars, program.outvars)
    carried = slice(_alike(equation.invars, program.invars) - count, _alike(equation.invars, program.invars))
    while True:
        leaving = _followers(program, entering)
        if leaving is None:
            return None
        more = [a or b for a, b in zip(entering[carried], leaving[:count], strict=True)]
        if more == entering[carried]:
            return leaving
        entering[carried] = more


def _alike(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    """How many variables of a scan have no axis more outside than in its body."""
    return sum(a.aval.ndim == b.aval.ndim for a, b in zip(outside, inside, strict=True))


def _affine_step(name: str, entering: Sequence[bool]) -> bool:
    """Whether an operation is affine in the operands that are marked."""
    if name in _SUMS:
        return True
    if name in _PRODUCTS:
        return sum(entering) == 1
    if name in _FIRST:
        return not any(entering[1:])
    return name == "select_n" and not entering[0]


def _with(problem: DiscreteProblem, others: Sequence[Any]) -> Any:
    return zip(problem.contributions, others, strict=True)
