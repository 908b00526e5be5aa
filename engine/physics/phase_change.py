r"""Melting and freezing: enthalpy as a function of temperature.

$$ H(T) = \int_{T_m}^{T} \big(c_s + (c_l - c_s)\, f(\vartheta)\big)\, d\vartheta + L\, f(T) $$

with the liquid fraction $f$, which rises from 0 to 1 over an interval around the melting temperature $T_m$.

Source: Voller, Prakash, *A fixed grid numerical modelling methodology for convection-diffusion mushy region
phase-change problems*, Int. J. Heat Mass Transfer 30, 1987; Alexiades, Solomon, *Mathematical Modeling of Melting and
Freezing Processes*, 1993.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.coefficients import Law


def liquid_fraction(temperature: Any, melting: Any, interval: Any) -> Array:
    r"""$f(T) = 3\xi^2 - 2\xi^3$ with $\xi = (T - T_m)/w + \tfrac12$ held between 0 and 1; temperatures in K.

    Args:
        temperature: $T$.
        melting: $T_m$, the middle of the interval.
        interval: its width $w$.
    """
    at = jnp.clip((temperature - melting) / interval + 0.5, 0.0, 1.0)
    return at**2 * (3.0 - 2.0 * at)


def PhaseChange(solid: Any, liquid: Any, latent_heat: Any, melting: Any, interval: Any) -> Law:
    """The enthalpy in J/m³ of a material that melts, for `Heat`.

    Args:
        solid, liquid: volumetric heat capacities of the phases in J/(m³ K); numbers or parameters.
        latent_heat: of fusion, per volume, in J/m³.
        melting: the middle of the melting interval in K.
        interval: its width in K: that of an alloy, or small against the temperatures of the problem for a pure
            material. A front is resolved where its cells change by less than the interval in a step or two.

    Raises:
        ValueError: for a capacity, latent heat or interval that is not positive.
    """
    named = {"solid": solid, "liquid": liquid, "latent_heat": latent_heat, "interval": interval}
    for name, value in named.items():
        if isinstance(value, int | float) and not value > 0:
            raise ValueError(f"The '{name}' of a phase change must be positive, not {value}.")
    return Law(_enthalpy, (solid, liquid, latent_heat, melting, interval))


def _enthalpy(u: Any, x: Any, solid: Any, liquid: Any, latent_heat: Any, melting: Any, interval: Any) -> Array:
    start = (u - melting) / interval + 0.5
    at = jnp.clip(start, 0.0, 1.0)
    melted = interval * (at**3 - 0.5 * at**4 + jnp.maximum(start - 1.0, 0.0))
    return solid * (u - melting) + (liquid - solid) * melted + latent_heat * liquid_fraction(u, melting, interval)
