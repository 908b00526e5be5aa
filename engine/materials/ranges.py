"""Checks of material numbers at construction: concrete numbers must lie in their range, placeholders pass."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gemel.engine.coefficients import ByTag, PerCell
from gemel.engine.parameters import Multiple, Parameter


def require(name: str, value: Any, allowed: str, test: Callable[[np.ndarray], Any]) -> None:
    """Raise `ValueError` where a concrete number fails ``test``, as "``name`` must be ``allowed``, not ...".

    ``value`` may be a number, an array, or a mapping from regions to numbers; of a parameter of one number some value
    of its prior must be allowed. What is not concrete yet (a traced array, an array of parameters, an input, a law)
    passes; text does not.
    """
    if isinstance(value, str):
        raise ValueError(f"{name} must be a number, not the text '{value}'.")
    for region, numbers, prior in _concrete_numbers(value):
        good = np.isfinite(numbers) & np.asarray(test(numbers))
        if prior and not np.any(good):
            raise ValueError(f"{name}{region} must be {allowed}: the prior of '{prior}' has no such value.")
        if not prior and not np.all(good):
            offending = numbers.ravel()[np.argmin(np.ravel(good))]
            raise ValueError(f"{name}{region} must be {allowed}, not {offending:g}.")


def require_positive(name: str, value: Any) -> None:
    """Raise `ValueError` unless concrete numbers are above zero."""
    require(name, value, "positive", lambda numbers: numbers > 0)


def require_not_negative(name: str, value: Any) -> None:
    """Raise `ValueError` unless concrete numbers are zero or above."""
    require(name, value, "zero or positive", lambda numbers: numbers >= 0)


def require_finite(name: str, value: Any) -> None:
    """Raise `ValueError` unless concrete numbers are finite."""
    require(name, value, "finite", np.isfinite)


def require_poisson(name: str, value: Any) -> None:
    """Raise `ValueError` unless concrete numbers lie in the stable range of an isotropic Poisson's ratio."""
    require(name, value, "between -1 and 0.5, both excluded", lambda nu: (nu > -1) & (nu < 0.5))


def is_number(value: Any) -> bool:
    """True for one concrete number: neither an array, nor traced, nor a placeholder."""
    return is_concrete(value) and np.ndim(value) == 0


def is_concrete(value: Any) -> bool:
    """True for a number or array whose entries are known now."""
    return isinstance(value, int | float | np.number | np.ndarray | jax.Array) and not isinstance(value, Tracer)


_DEVIATIONS = np.linspace(-3.0, 3.0, 121)
"""Where a prior is looked at, in its own standard deviations: a prior that is much wider than what is allowed still has
values there.
"""


def _concrete_numbers(value: Any) -> Iterator[tuple[str, np.ndarray, str]]:
    """The concrete numbers of each region, with " of region ..." (or ""); of a parameter some values of its prior, and
    its name.
    """
    if isinstance(value, Mapping):
        for tag, entry in value.items():
            for _, numbers, prior in _concrete_numbers(entry):
                yield f" of region '{tag}'", numbers, prior
    elif isinstance(value, ByTag):
        for entry in value.values:
            yield from _concrete_numbers(entry)
    elif isinstance(value, PerCell):
        yield from _concrete_numbers(value.values)
    elif isinstance(value, Multiple):
        for region, numbers, prior in _concrete_numbers(value.parameter):
            yield region, value.factor * numbers, prior
    elif isinstance(value, Parameter) and value.name and value.shape == ():
        values = jax.vmap(value.prior.value)(jnp.asarray(_DEVIATIONS))
        if is_concrete(values):
            yield "", np.asarray(values, dtype=float), value.name
    elif is_concrete(value):
        yield "", np.asarray(value, dtype=float), ""
