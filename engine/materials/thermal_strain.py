"""Thermal strain as an eigenstrain in front of any small-strain material."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from gemel.engine.materials.axes import MaterialAxes
from gemel.engine.materials.material import SmallStrainMaterial, WrappedMaterial
from gemel.engine.materials.ranges import require_finite
from gemel.engine.materials.tensors import Tensor


class ThermalStrain(WrappedMaterial):
    r"""$\sigma = \sigma_{material}(\varepsilon - \alpha\,(T - T_0))$.

    Args:
        material: the law between the remaining strain and stress.
        expansion: the mean coefficient of thermal expansion $\alpha$ in 1/K between $T_0$ and $T$: a number, or
            three ``(3,)`` along ``axes``.
        temperature: $T$ in K.
        reference: $T_0$ in K, where the strain is zero.
        axes: the directions of three coefficients.

    Raises:
        ValueError: for a number that is not finite.
    """

    material: SmallStrainMaterial
    expansion: Any
    temperature: Any
    reference: Any
    axes: MaterialAxes = eqx.field(default_factory=MaterialAxes)

    def __check_init__(self) -> None:
        require_finite("The coefficient of thermal expansion", self.expansion)
        require_finite("The temperature", self.temperature)
        require_finite("The reference temperature", self.reference)

    def update(self, strain: Tensor, state: Any, dt: Any) -> tuple[Tensor, Any]:
        """The material's update at the strain that is not thermal."""
        return self.material.update(strain - self.thermal_strain(), state, dt)

    def thermal_strain(self) -> Tensor:
        r"""$\alpha\,(T - T_0)$ as a tensor."""
        free = jnp.broadcast_to(jnp.asarray(self.expansion) * (self.temperature - self.reference), (3,))
        return self.axes.to_global(jnp.diag(free))
