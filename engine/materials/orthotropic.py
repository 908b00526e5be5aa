"""Orthotropic linear elasticity."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.materials.axes import MaterialAxes
from gemel.engine.materials.material import LinearMaterial
from gemel.engine.materials.ranges import is_number, require_finite, require_positive
from gemel.engine.materials.tensors import Tensor, inverse


class Orthotropic(LinearMaterial):
    r"""Hooke's law with three planes of symmetry, nine constants along the material's axes.

    $\varepsilon_{11} = \sigma_{11}/E_1 - \nu_{12}\sigma_{22}/E_1 - \nu_{13}\sigma_{33}/E_1$ and so on, with
    $\nu_{ij}/E_i = \nu_{ji}/E_j$: $\nu_{12}$ is the contraction along 2 under tension along 1. Shear:
    $\varepsilon_{12} = \sigma_{12} / (2 G_{12})$.

    Args:
        e1: $E_1 > 0$ in Pa, likewise ``e2`` and ``e3``.
        nu12: $\nu_{12}$, likewise ``nu13`` and ``nu23``.
        g12: $G_{12} > 0$ in Pa, likewise ``g13`` and ``g23``.
        axes: the directions 1, 2, 3.

    Raises:
        ValueError: for a number out of range, or constants whose compliance is not positive definite.

    Source: Jones, *Mechanics of Composite Materials*, 2nd ed., 1999, section 2.3.
    """

    e1: Any
    e2: Any
    e3: Any
    nu12: Any
    nu13: Any
    nu23: Any
    g12: Any
    g13: Any
    g23: Any
    axes: MaterialAxes = eqx.field(default_factory=MaterialAxes)

    def __check_init__(self) -> None:
        for name in ("e1", "e2", "e3", "g12", "g13", "g23"):
            require_positive(f"The modulus {name}", getattr(self, name))
        for name in ("nu12", "nu13", "nu23"):
            require_finite(f"The Poisson's ratio {name}", getattr(self, name))
        numbers = (self.e1, self.e2, self.e3, self.nu12, self.nu13, self.nu23)
        if all(map(is_number, numbers)):
            e, nu = np.array(numbers[:3], float), np.array(numbers[3:], float)
            smallest = _smallest_eigenvalue(e, nu)
            if smallest <= 0:
                raise ValueError(
                    "The compliance of an orthotropic material must be positive definite, but nu12, nu13, nu23 = "
                    f"{nu[0]:g}, {nu[1]:g}, {nu[2]:g} give it the scaled eigenvalue {smallest:.3g}: lower them."
                )

    def initial_state(self) -> None:
        """None: no history."""

    def update(self, strain: Tensor, state: Any, dt: Any) -> tuple[Tensor, Any]:
        """Hooke's law along the axes, whatever the step."""
        local = self.axes.to_material(strain)
        normal = self._normal_stiffness() @ jnp.diagonal(local)
        g12, g13, g23 = (jnp.asarray(g) for g in (self.g12, self.g13, self.g23))
        zero = jnp.zeros_like(g12)
        rows = [jnp.stack([zero, g12, g13]), jnp.stack([g12, zero, g23]), jnp.stack([g13, g23, zero])]
        return self.axes.to_global(jnp.diag(normal) + 2 * jnp.stack(rows) * local), state

    def _normal_stiffness(self) -> Float[Array, "3 3"]:
        """Stress over strain of the three normal components, the inverse of the compliance."""
        e1, e2, e3 = (jnp.asarray(e) for e in (self.e1, self.e2, self.e3))
        c12, c13, c23 = -self.nu12 / e1, -self.nu13 / e1, -self.nu23 / e2
        rows = [jnp.stack([1 / e1, c12, c13]), jnp.stack([c12, 1 / e2, c23]), jnp.stack([c13, c23, 1 / e3])]
        return inverse(jnp.stack(rows))


def _smallest_eigenvalue(e: np.ndarray, nu: np.ndarray) -> float:
    """Of the compliance of normal components scaled to a unit diagonal, so that it has no unit."""
    c12, c13 = -nu[0] * np.sqrt(e[1] / e[0]), -nu[1] * np.sqrt(e[2] / e[0])
    c23 = -nu[2] * np.sqrt(e[2] / e[1])
    return float(np.linalg.eigvalsh([[1, c12, c13], [c12, 1, c23], [c13, c23, 1]])[0])
