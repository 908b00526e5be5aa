"""The loads of a linear problem over time: what rests, what follows inputs in proportion, and the rest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Array, Float

from gemel.engine.coefficients import Input, drive
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
        counts = [0 if rests else len(_inputs(part)) for part, rests in _with(problem, problem.resting)]

        def residual(part: Contribution, values: Sequence[Array]) -> list[Array]:
            return _given(part, values).residuals(lifted, points)

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
            node.at(signals) for part, kept in _with(problem, self.proportional) if kept for node in _inputs(part)
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
    """Whether a function of so many numbers is affine in them: no number enters its derivative.

    Read off the program of the derivative; a function that is affine in a way that does not show there is not.
    """
    numbers = [jax.ShapeDtypeStruct((), jnp.result_type(float))] * count

    def slope(values: Sequence[Array], changes: Sequence[Array]) -> Any:
        return jax.jvp(function, (values,), (changes,))[1]

    program = jax.make_jaxpr(slope)(numbers, numbers).jaxpr
    _, used = dce_jaxpr(program, [True] * len(program.outvars))
    return not any(used[:count])


def _with(problem: DiscreteProblem, others: Sequence[Any]) -> Any:
    return zip(problem.contributions, others, strict=True)


def _inputs(part: Contribution) -> list[Input]:
    """The nodes of a contribution that follow inputs."""
    nodes = jax.tree.leaves(part, is_leaf=lambda node: isinstance(node, Input))
    return [node for node in nodes if isinstance(node, Input)]


def _given(part: Contribution, values: Sequence[Array]) -> Contribution:
    """A contribution with numbers in the place of those nodes."""
    numbers = iter(values)
    resolve: Callable[[Any], Any] = lambda node: next(numbers) if isinstance(node, Input) else node  # noqa: E731
    return jax.tree.map(resolve, part, is_leaf=lambda node: isinstance(node, Input))
