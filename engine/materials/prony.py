"""Linear viscoelasticity by Prony series."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.materials.isotropic import lame_constants
from gemel.engine.materials.material import LinearMaterial
from gemel.engine.materials.ranges import is_number, require, require_poisson, require_positive
from gemel.engine.materials.tensors import Tensor, deviator


class PronyState(eqx.Module):
    """History of one point: the last strain, and for each term the elastic strain of its Maxwell element."""

    strain: Tensor
    shear: Float[Array, "n_shear 3 3"]
    bulk: Float[Array, " n_bulk"]


class Prony(LinearMaterial):
    r"""A generalised Maxwell solid: shear and bulk moduli that relax as

    $$ G(t) = G_0 \Big( 1 - \sum_i g_i (1 - e^{-t/\tau_i}) \Big), \qquad
       K(t) = K_0 \Big( 1 - \sum_j k_j (1 - e^{-t/\tau_j}) \Big) $$

    with $G_0$ and $K_0$ instantaneous. The elastic strain $e_i$ of each Maxwell element is updated exactly for a
    strain that varies linearly over the step, at any length of the step, zero (a jump) included:

    $$ e_i^{n+1} = e^{-\Delta t/\tau_i}\, e_i^n + \frac{1 - e^{-\Delta t/\tau_i}}{\Delta t/\tau_i}\,
       (e^{n+1} - e^n) $$

    Args:
        youngs_modulus: instantaneous $E_0 > 0$ in Pa.
        poisson_ratio: instantaneous $-1 < \nu_0 < 0.5$.
        shear: pairs $(g_i, \tau_i)$ with $0 \le g_i$, $\sum g_i < 1$ and $\tau_i > 0$ in s.
        bulk: pairs $(k_j, \tau_j)$ likewise.

    Raises:
        ValueError: for a number out of range, or an entry that is no pair.

    Source: Taylor, Pister, Goudreau, *Thermomechanical analysis of viscoelastic solids*, Int. J. Numer. Methods
    Eng. 2, 1970; Simo, Hughes, *Computational Inelasticity*, 1998, section 10.3.
    """

    youngs_modulus: Any
    poisson_ratio: Any
    shear: tuple[tuple[Any, Any], ...]
    bulk: tuple[tuple[Any, Any], ...]

    def __init__(
        self,
        youngs_modulus: Any,
        poisson_ratio: Any,
        shear: Sequence[Sequence[Any]] = (),
        bulk: Sequence[Sequence[Any]] = (),
    ) -> None:
        self.youngs_modulus = youngs_modulus
        self.poisson_ratio = poisson_ratio
        self.shear = _pairs("shear", shear)
        self.bulk = _pairs("bulk", bulk)

    def __check_init__(self) -> None:
        require_positive("Young's modulus", self.youngs_modulus)
        require_poisson("Poisson's ratio", self.poisson_ratio)
        for name, series in (("shear", self.shear), ("bulk", self.bulk)):
            for share, time in series:
                require(f"A {name} share of a Prony series", share, "between 0 and 1", lambda g: (g >= 0) & (g < 1))
                require_positive(f"A {name} relaxation time of a Prony series", time)
            shares = [share for share, _ in series]
            if all(map(is_number, shares)):
                total = float(sum(shares))
                require(f"The sum of {name} shares of a Prony series", total, "below 1", lambda g: g < 1)

    def initial_state(self) -> PronyState:
        """At rest, without strain."""
        return PronyState(jnp.zeros((3, 3)), jnp.zeros((len(self.shear), 3, 3)), jnp.zeros(len(self.bulk)))

    def update(self, strain: Tensor, state: PronyState, dt: Any) -> tuple[Tensor, PronyState]:
        """The exact update for a strain that varies linearly over the step."""
        first, mu = lame_constants(self.youngs_modulus, self.poisson_ratio)
        change = strain - state.strain
        shear = _advance(self.shear, state.shear, deviator(change), dt)
        bulk = _advance(self.bulk, state.bulk, jnp.trace(change), dt)
        shape = _effective(self.shear, shear, deviator(strain))
        volume = _effective(self.bulk, bulk, jnp.trace(strain))
        stress = 2 * mu * shape + (first + 2 / 3 * mu) * volume * jnp.eye(3)
        return stress, PronyState(strain, shear, bulk)


def _pairs(name: str, series: Sequence[Sequence[Any]]) -> tuple[tuple[Any, Any], ...]:
    if any(len(pair) != 2 for pair in series):
        raise ValueError(f"The {name} series of a Prony material must hold pairs (share, relaxation time).")
    return tuple((share, time) for share, time in series)


def _advance(series: tuple[tuple[Any, Any], ...], elastic: Array, change: Array, dt: Any) -> Array:
    """The elastic strains of the Maxwell elements, one a row, at the end of the step."""
    if not series:
        return elastic
    rows = []
    for (_, time), old in zip(series, elastic, strict=True):
        x = jnp.asarray(dt / time)
        # (1 - exp(-x)) / x and its derivative at zero, from the series where the quotient loses digits.
        small = jnp.abs(x) < 1e-5
        safe = jnp.where(small, 1.0, x)
        mean = jnp.where(small, 1 - x / 2 + x**2 / 6, -jnp.expm1(-safe) / safe)
        rows.append(jnp.exp(-x) * old + mean * change)
    return jnp.stack(rows)


def _effective(series: tuple[tuple[Any, Any], ...], elastic: Array, strain: Array) -> Array:
    """The strain that an elastic solid with the instantaneous modulus would have at the same stress."""
    total = strain
    for (share, _), own in zip(series, elastic, strict=True):
        total = total - share * (strain - own)
    return total
