"""Cross-sections of structural members: the six numbers a beam theory needs, from dimensions."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array


class SectionConstants(eqx.Module):
    r"""The numbers of a cross-section in its principal axes $y$ and $z$ through the centroid.

    Args:
        area: $A$ in m².
        inertia_y: $I_y = \int z^2\,dA$ in m⁴: bending in the $x$-$z$ plane.
        inertia_z: $I_z = \int y^2\,dA$ in m⁴: bending in the $x$-$y$ plane.
        torsion: Saint-Venant's constant $J$ in m⁴.
        flexibility_y: $1/A_y$ in 1/m², the inverse of the shear area for forces along $y$; 0 is rigid in shear.
        flexibility_z: $1/A_z$ in 1/m², likewise along $z$.
    """

    area: Any
    inertia_y: Any
    inertia_z: Any
    torsion: Any
    flexibility_y: Any
    flexibility_z: Any

    @property
    def polar(self) -> Any:
        """$I_y + I_z$ in m⁴: the rotary inertia about the axis per density and length."""
        return self.inertia_y + self.inertia_z


Law = Callable[..., SectionConstants]


class Section(eqx.Module):
    r"""A cross-section: dimensions, each a number or a parameter, and the law that turns them into constants.

    Width $b$ lies along the local $y$ axis, height $h$ along the local $z$ axis. Shapes are symmetric about both,
    so that centroid and shear centre agree; warping is free (Saint-Venant's torsion). Shear areas are $\kappa A$
    with the factors $\kappa(\nu)$ of Cowper. A shape of one's own is
    ``Section({"r": 0.1}, law)`` with ``law(poisson_ratio, r=...) -> SectionConstants``.

    Sources: Cowper, *The shear coefficient in Timoshenko's beam theory*, J. Appl. Mech. 33, 1966; Timoshenko and
    Goodier, *Theory of Elasticity*, 3rd ed., 1970, chapter 10 (torsion).
    """

    dimensions: dict[str, Any]
    law: Law = eqx.field(static=True)

    def constants(self, poisson_ratio: Any = 0.3) -> SectionConstants:
        """The constants for a material of the given Poisson's ratio (parameters must be bound)."""
        return self.law(poisson_ratio, **self.dimensions)

    @property
    def is_bar(self) -> bool:
        """Whether it carries axial force alone."""
        return self.law is _bar

    @staticmethod
    def general(
        area: Any,
        inertia_y: Any,
        inertia_z: Any,
        torsion: Any,
        shear_area_y: Any = None,
        shear_area_z: Any = None,
    ) -> "Section":
        """Constants from a table, in m² and m⁴; a shear area that is None makes the member rigid in that shear.

        Raises `ValueError` for a number that is not positive.
        """
        given = {"area": area, "inertia_y": inertia_y, "inertia_z": inertia_z, "torsion": torsion}
        sheared = {"shear_area_y": shear_area_y, "shear_area_z": shear_area_z}
        given |= {name: value for name, value in sheared.items() if value is not None}
        return Section(_positive("general section", given), _general)

    @staticmethod
    def bar(area: Any) -> "Section":
        """A bar that carries axial force alone, $A$ in m²: for trusses and cables. Raises `ValueError` for $A <= 0$."""
        return Section(_positive("bar", {"area": area}), _bar)

    @staticmethod
    def rectangle(b: Any, h: Any) -> "Section":
        """A solid rectangle, $b$ by $h$ in m. Raises `ValueError` for a size that is not positive."""
        return Section(_positive("rectangle", {"b": b, "h": h}), _rectangle)

    @staticmethod
    def circle(d: Any) -> "Section":
        """A solid circle of diameter $d$ in m. Raises `ValueError` for a size that is not positive."""
        return Section(_positive("circle", {"d": d}), _circle)

    @staticmethod
    def tube(d: Any, t: Any) -> "Section":
        """A circular tube of outer diameter $d$ and wall $t$ in m.

        Raises `ValueError` for a size that is not positive, or a wall that fills the tube.
        """
        dimensions = _positive("tube", {"d": d, "t": t})
        _thinner("tube", "t", t, "d", d)
        return Section(dimensions, _tube)

    @staticmethod
    def box(b: Any, h: Any, t: Any) -> "Section":
        """A hollow rectangle, outer $b$ by $h$, with a wall $t$ in m, thin for torsion and shear.

        Raises `ValueError` for a size that is not positive, or a wall that fills the box.
        """
        dimensions = _positive("box", {"b": b, "h": h, "t": t})
        _thinner("box", "t", t, "b", b)
        _thinner("box", "t", t, "h", h)
        return Section(dimensions, _box)

    @staticmethod
    def i_section(b: Any, h: Any, t_flange: Any, t_web: Any) -> "Section":
        """An I with flanges $b$ wide along $y$, $h$ high over all, without fillets, in m.

        Raises `ValueError` for a size that is not positive, or flanges or a web that leave no gap.
        """
        dimensions = _positive("I-section", {"b": b, "h": h, "t_flange": t_flange, "t_web": t_web})
        _thinner("I-section", "t_flange", t_flange, "h", h)
        _thinner("I-section", "t_web", t_web, "b", b, share=1.0)
        return Section(dimensions, _i_section)


# The laws: pure functions of the dimensions.


def _general(
    nu: Any,
    area: Any,
    inertia_y: Any,
    inertia_z: Any,
    torsion: Any,
    shear_area_y: Any = None,
    shear_area_z: Any = None,
) -> SectionConstants:
    flexible_y, flexible_z = (0.0 if shear is None else 1 / shear for shear in (shear_area_y, shear_area_z))
    return SectionConstants(area, inertia_y, inertia_z, torsion, flexible_y, flexible_z)


def _bar(nu: Any, area: Any) -> SectionConstants:
    return SectionConstants(area, 0.0, 0.0, 0.0, 0.0, 0.0)


def _rectangle(nu: Any, b: Any, h: Any) -> SectionConstants:
    area = b * h
    flexibility = (12 + 11 * nu) / (10 * (1 + nu)) / area
    return SectionConstants(area, b * h**3 / 12, h * b**3 / 12, _rectangle_torsion(b, h), flexibility, flexibility)


def _rectangle_torsion(b: Any, h: Any) -> Array:
    r"""$\tfrac13 c^3 d\,[1 - \tfrac{192}{\pi^5}\tfrac{c}{d}\sum_{n\,odd} n^{-5}\tanh\tfrac{n\pi d}{2c}]$, $c \le d$."""
    short, long = jnp.minimum(b, h), jnp.maximum(b, h)
    odd = np.arange(1, 60, 2)
    series = jnp.sum(jnp.tanh(odd * np.pi * long / (2 * short)) / odd**5.0)
    return short**3 * long / 3 * (1 - 192 / np.pi**5 * short / long * series)


def _circle(nu: Any, d: Any) -> SectionConstants:
    area, inertia = np.pi * d**2 / 4, np.pi * d**4 / 64
    flexibility = (7 + 6 * nu) / (6 * (1 + nu)) / area
    return SectionConstants(area, inertia, inertia, 2 * inertia, flexibility, flexibility)


def _tube(nu: Any, d: Any, t: Any) -> SectionConstants:
    inner = d - 2 * t
    area, inertia = np.pi * (d**2 - inner**2) / 4, np.pi * (d**4 - inner**4) / 64
    square = (inner / d) ** 2
    flexibility = ((7 + 6 * nu) * (1 + square) ** 2 + (20 + 12 * nu) * square) / (6 * (1 + nu) * (1 + square) ** 2)
    return SectionConstants(area, inertia, inertia, 2 * inertia, flexibility / area, flexibility / area)


def _box(nu: Any, b: Any, h: Any, t: Any) -> SectionConstants:
    inner_b, inner_h = b - 2 * t, h - 2 * t
    area = b * h - inner_b * inner_h
    wide, high = b - t, h - t
    return SectionConstants(
        area,
        (b * h**3 - inner_b * inner_h**3) / 12,
        (h * b**3 - inner_h * inner_b**3) / 12,
        2 * t * (wide * high) ** 2 / (wide + high),  # Bredt's second formula
        _box_shear(nu, high, wide) / area,
        _box_shear(nu, wide, high) / area,
    )


def _box_shear(nu: Any, b: Any, h: Any) -> Any:
    r"""$1/\kappa$ of Cowper for a thin box with mid-lines $b$ by $h$, the force along $h$."""
    m = n = b / h
    return (_webs(nu, m) + 10 * n**2 * ((3 + nu) * m + 3 * m**2)) / (10 * (1 + nu) * (1 + 3 * m) ** 2)


def _i_section(nu: Any, b: Any, h: Any, t_flange: Any, t_web: Any) -> SectionConstants:
    clear, flanges, high = h - 2 * t_flange, 2 * b * t_flange, h - t_flange
    area = flanges + clear * t_web
    m, n = flanges / (high * t_web), b / high
    bottom = _webs(nu, m) + 30 * n**2 * (m + m**2) + 5 * nu * n**2 * (8 * m + 9 * m**2)
    return SectionConstants(
        area,
        (b * h**3 - (b - t_web) * clear**3) / 12,
        (2 * t_flange * b**3 + clear * t_web**3) / 12,
        (2 * b * t_flange**3 + high * t_web**3) / 3,  # thin and open: the sum of its rectangles
        (12 + 11 * nu) / (10 * (1 + nu)) / flanges,  # across the web: the two flanges as rectangles
        bottom / (10 * (1 + nu) * (1 + 3 * m) ** 2) / area,
    )


def _webs(nu: Any, m: Any) -> Any:
    """The part that Cowper's box and I-section share; ``m`` is the area of the flanges over that of the webs."""
    return 12 + 72 * m + 150 * m**2 + 90 * m**3 + nu * (11 + 66 * m + 135 * m**2 + 90 * m**3)


# Range checks: concrete numbers only; parameters and traced values pass.


def _concrete(value: Any) -> bool:
    number = isinstance(value, int | float | np.number | np.ndarray | jax.Array)
    return number and not isinstance(value, Tracer)


def _positive(shape: str, dimensions: dict[str, Any]) -> dict[str, Any]:
    for name, value in dimensions.items():
        if _concrete(value) and not (np.all(np.isfinite(value)) and np.all(np.asarray(value) > 0)):
            raise ValueError(f"The {name} of a {shape} must be a positive number, not {value}.")
    return dimensions


def _thinner(shape: str, thin: str, wall: Any, name: str, size: Any, share: float = 0.5) -> None:
    if _concrete(wall) and _concrete(size) and not wall < share * size:
        part = "half of " if share == 0.5 else ""
        raise ValueError(f"The {thin} = {wall} of a {shape} must be below {part}its {name} = {size}.")
