"""Integrals of fields over cells or facets."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gemel.engine.domains import Domain
from gemel.engine.fields import Point
from gemel.engine.spaces import Space
from gemel.engine.tabulation import domains


def integrate(
    space: Space,
    integrand: Callable[[Any, Point], Array],
    u: Any = None,
    on: str = "all",
    facets: bool = False,
    degree: int | None = None,
) -> Array:
    """The integral of ``integrand(u, point)`` over cells, or over facets, called ``on``.

    For example the heat that leaves through "right":
    ``integrate(space, lambda u, p: -k * grad(u) @ p.normal, u, "right", facets=True)``.

    Args:
        space: the space of ``u``; also without a field it gives the mesh and the degree.
        integrand: pure, of a `Jet` (a dictionary of them on a mixed space) and a `Point`; any array shape.
        u: the field as `solve` returns it; zero when None.
        on: a tag.
        facets: whether ``on`` names facets.
        degree: polynomial degree that the rule integrates exactly; twice the element's by default.

    Raises:
        ValueError: for an unknown tag.
    """
    flat = jnp.zeros(space.n_dofs) if u is None else space.flatten(u)
    return integral_over(domains(space, on, facets, degree), integrand, flat, jnp.asarray(space.mesh.points))


def integral_over(
    places: tuple[Domain, ...], integrand: Callable[[Any, Point], Array], u: Array, points: Array
) -> Array:
    """`integrate` over domains that were found before, for the flat vector of unknowns ``u``."""
    parts = [domain.integrate(integrand, u, points) for domain in places]
    return jax.tree.map(lambda *values: sum(values[1:], values[0]), *parts)
