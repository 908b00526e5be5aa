"""Exact fields with their derivatives in closed form: what automatic differentiation would give compiles slowly."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Polynomial:
    r"""A polynomial of degree 1, 2 or 3 with random coefficients for each component.

    $u_i = c_i + g_i\cdot x + \tfrac12 x\cdot H_i x + \tfrac16 (a_i\cdot x)^3$, cut off after its degree.
    """

    constant: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    cubic: np.ndarray

    @staticmethod
    def random(dim: int, components: int, degree: int, seed: int) -> "Polynomial":
        """Coefficients from (−1, 1)."""
        rng = np.random.default_rng(seed)
        half = rng.uniform(-1, 1, (components, dim, dim))
        return Polynomial(
            rng.uniform(-1, 1, components),
            rng.uniform(-1, 1, (components, dim)),
            (half + half.transpose(0, 2, 1)) * (degree > 1),
            rng.uniform(-1, 1, (components, dim)) * (degree > 2),
        )

    def value(self, x: Float[Array, " dim"]) -> Float[Array, " components"]:
        """The field."""
        quadratic = 0.5 * jnp.einsum("ijk,j,k->i", self.curvature, x, x)
        return jnp.asarray(self.constant) + self.slope @ x + quadratic + (self.cubic @ x) ** 3 / 6

    def gradient(self, x: Float[Array, " dim"]) -> Float[Array, "components dim"]:
        """Its gradient."""
        return jnp.asarray(self.slope) + self.curvature @ x + 0.5 * ((self.cubic @ x) ** 2)[:, None] * self.cubic

    def hessian(self, x: Float[Array, " dim"]) -> Float[Array, "components dim dim"]:
        """Its second derivatives."""
        outer = self.cubic[:, :, None] * self.cubic[:, None, :]
        return jnp.asarray(self.curvature) + (self.cubic @ x)[:, None, None] * outer


@dataclasses.dataclass(frozen=True)
class Exponential:
    r"""$u_i = e^{b_i\cdot x}$ with a direction of its own for each component: smooth, without symmetry."""

    directions: np.ndarray

    @staticmethod
    def of(dim: int, components: int) -> "Exponential":
        """Fixed directions of length about one."""
        table = np.array([[0.9, -0.7, 0.4], [-0.5, 0.8, 0.6], [0.3, 0.5, -1.1]])
        return Exponential(table[:components, :dim])

    def value(self, x: Float[Array, " dim"]) -> Float[Array, " components"]:
        """The field."""
        return jnp.exp(self.directions @ x)

    def gradient(self, x: Float[Array, " dim"]) -> Float[Array, "components dim"]:
        """Its gradient."""
        return self.value(x)[:, None] * self.directions

    def hessian(self, x: Float[Array, " dim"]) -> Float[Array, "components dim dim"]:
        """Its second derivatives."""
        return self.value(x)[:, None, None] * self.directions[:, :, None] * self.directions[:, None, :]


Field = Polynomial | Exponential


def stress(field: Field, first: Any, shear: Any, x: Float[Array, " dim"]) -> Float[Array, "dim dim"]:
    r"""Hooke's stress of a displacement, $\lambda\,\mathrm{tr}\,\varepsilon\, I + 2\mu\,\varepsilon$."""
    slope = field.gradient(x)
    return first * jnp.trace(slope) * jnp.eye(x.shape[0]) + shear * (slope + slope.T)


def body_force(field: Field, first: Any, shear: Any, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
    r"""$-(\lambda + \mu)\nabla(\nabla\cdot u) - \mu\nabla^2 u$ of a displacement, for constant $\lambda$ and $\mu$."""
    second = field.hessian(x)
    return -(first + shear) * jnp.einsum("iij->j", second) - shear * jnp.einsum("ijj->i", second)
