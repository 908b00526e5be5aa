"""Taylor remainders: a case for the gradient of a number that an analysis gives."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine import Normal, Parameter, bind
from gemel.engine.verification.case import Case, Check, bound, case, order
from gemel.meshes import Mesh

GROUP = "gradients"
SOURCE = "Farrell, Ham, Funke, Rognes, SIAM J. Sci. Comput. 35, 2013 (Taylor remainder test)"
_STEPS = np.array([2e-2, 1e-2])

Functional = Callable[[Mapping[str, Any], Any], Array]
"""A number from the values of parameters by name and the coordinates of the nodes."""


def remainder_checks(functional: Functional, values: Mapping[str, float], points: np.ndarray | None) -> list[Check]:
    """For each parameter, and the nodes together: the order of the remainder, and that both modes agree.

    Args:
        functional: pure; compiled once for its value and gradient, and once for its tangent.
        values: where the gradient is taken.
        points: coordinates of the nodes; None where there are none.
    """
    start = {name: jnp.asarray(value, float) for name, value in values.items()}  # no weak type: compiled once
    at = (start, None if points is None else jnp.asarray(points, float))
    both = jax.jit(jax.value_and_grad(lambda x: functional(*x)))  # also for the values: compilation takes longest
    value, gradient = both(at)
    tangent = jax.jit(lambda x, v: jax.jvp(lambda y: functional(*y), (x,), (v,))[1])
    checks = []
    for name, direction in _directions(at).items():
        slope = float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction))))
        gap = abs(float(tangent(at, direction)) - slope) / abs(slope)
        moved = [jax.tree.map(lambda x, v, h=h: x + h * v, at, direction) for h in _STEPS]
        rests = [abs(float(both(x)[0] - value) - h * slope) for x, h in zip(moved, _STEPS, strict=True)]
        checks.append(order(f"order of the remainder, {name}", 2, np.log2(rests[0] / rests[1])))
        checks.append(bound(f"gap of forward and reverse mode, {name}", 1e-7, gap))
    return checks


def _directions(at: Any) -> dict[str, Any]:
    """One direction for each parameter, and a random one for all nodes."""
    values, points = at
    zero = jax.tree.map(jnp.zeros_like, at)
    found = {name: ({**zero[0], name: values[name]}, zero[1]) for name in values}
    if points is not None:
        moves = 0.3 * np.random.default_rng(11).uniform(-1, 1, points.shape)
        found["node coordinates"] = (zero[0], jnp.asarray(moves))
    return found


def _moved(model: Any, points: Any) -> Any:
    """A model whose meshes have other points."""
    if points is None:
        return model

    def replace(node: Any) -> Any:
        return node.with_points(points) if isinstance(node, Mesh) else node

    return jax.tree.map(replace, model, is_leaf=lambda node: isinstance(node, Mesh))


def parameter(name: str) -> Parameter:
    """A parameter whose value the case gives."""
    return Parameter(name, Normal(1.0, 1.0))


def gradient_case(
    name: str,
    title: str,
    setup: str,
    build: Callable[[], Any],
    read: Callable[[Any], Array],
    values: Mapping[str, float],
    mesh: Mesh | None,
    slow: bool = False,
) -> Case:
    """A case for an analysis that holds parameters of the given values, and a number that is read from it."""

    @case(
        f"gradient-{name}",
        group=GROUP,
        title=f"Gradients of {title}",
        equations=r"$$ |J(m + h\,\delta m) - J(m) - h\,\nabla J\cdot\delta m| = O(h^2) $$",
        setup=f"{setup} Steps of 0.02 and 0.01 of each; forward and reverse mode must give the same slope.",
        source=SOURCE,
        slow=slow,
    )
    def run() -> Sequence[Check]:
        analysis = build()

        def functional(some: Mapping[str, Any], points: Any) -> Array:
            return read(_moved(bind(analysis, some), points))

        return remainder_checks(functional, values, None if mesh is None else np.asarray(mesh.points))

    return run
