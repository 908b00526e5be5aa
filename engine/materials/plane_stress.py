"""Plane stress of any small-strain material, by condensation at the point."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.materials.material import SmallStrainMaterial, WrappedMaterial
from gemel.engine.materials.tensors import Tensor, norm

_MAX_STEPS = 40


class PlaneStress(WrappedMaterial):
    r"""A material between free faces: $\sigma_{i3} = 0$ determines the strains $\varepsilon_{i3}$.

    The three equations are solved at each point, in one step for a linear material and by Newton's method for
    another, and are differentiated by the implicit-function rule. What the given strain holds in its third row and
    column is ignored.

    Args:
        material: the law in three dimensions.

    Source: de Souza Neto, Perić, Owen, *Computational Methods for Plasticity*, 2008, section 9.2.
    """

    material: SmallStrainMaterial

    def update(self, strain: Tensor, state: Any, dt: Any) -> tuple[Tensor, Any]:
        """The material's update at the completed strain."""
        return self.material.update(self.complete(strain, state, dt), state, dt)

    def complete(self, strain: Tensor, state: Any, dt: Any) -> Tensor:
        r"""The strain with those $\varepsilon_{i3}$ at which the free faces carry no stress."""
        plane = strain.at[2, :].set(0.0).at[:, 2].set(0.0)

        def face_stress(outward: Float[Array, " 3"]) -> Float[Array, " 3"]:
            return self.material.update(_filled(plane, outward), state, dt)[0][:, 2]

        start = jnp.zeros(3)
        if self.material.linear:
            return _filled(plane, -jnp.linalg.solve(jax.jacfwd(face_stress)(start), face_stress(start)))
        scale = norm(plane)
        return _filled(plane, jax.lax.custom_root(face_stress, start, _newton(scale), _solve_tangent))


def _filled(plane: Tensor, outward: Array) -> Tensor:
    """The strain with the given third column, symmetric."""
    return plane.at[:, 2].add(outward).at[2, :2].add(outward[:2])


def _newton(scale: Array) -> Callable[[Any, Array], Array]:
    """Newton's method until the step is lost against ``scale``; NaN past the limit of steps."""

    def solve(function: Any, start: Array) -> Array:
        def proceed(carry: tuple[Array, Array, Array]) -> Array:
            x, step, count = carry
            return (norm(step) > 1e-13 * (norm(x) + scale)) & (count < _MAX_STEPS)

        def advance(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, _, count = carry
            step = -jnp.linalg.solve(jax.jacfwd(function)(x), function(x))
            return x + step, step, count + 1

        first = (start, jnp.full_like(start, jnp.inf), jnp.zeros((), jnp.int32))
        x, _, count = jax.lax.while_loop(proceed, advance, first)
        return jnp.where(count < _MAX_STEPS, x, jnp.nan)

    return solve


def _solve_tangent(tangent: Any, y: Array) -> Array:
    return jnp.linalg.solve(jax.vmap(tangent)(jnp.eye(3)).T, y)
