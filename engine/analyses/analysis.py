"""What every analysis offers to a twin: prepared observations and a pure run."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import inputs_of
from gemel.engine.parameters import parameters_of
from gemel.engine.sensors import Sensor
from gemel.engine.signals import Series
from gemel.solvers import Solution


class Analysis(eqx.Module):
    """A physics together with the question asked of it: steady, transient, modal, or an ODE system.

    An analysis may hold `Parameter` and `Input` placeholders; `run` expects parameters to be bound.
    """

    @abstractmethod
    def observe(self, sensors: Sequence[Sensor]) -> Any:
        """What `run` needs to produce the readings of ``sensors``; on the host.

        Raises `ValueError` for a sensor that this analysis cannot serve.
        """

    @abstractmethod
    def prepare(self) -> Any:
        """Host set-up that runs reuse (a preconditioner), at bound parameters; None where none is needed."""

    @abstractmethod
    def grid(self, times: np.ndarray | None) -> np.ndarray | None:
        """The times the analysis steps through to answer at ``times``; None where it has no time."""

    @abstractmethod
    def run(
        self, prepared: Any, observation: Any, inputs: Mapping[str, Series], grid: Float[Array, " m"] | None
    ) -> Solution[tuple[Array, Any]]:
        """Readings ``(m, n_sensors)`` (``(n_sensors,)`` without time) before lags, and the final or only state."""


def check_call(
    function: str,
    kinds: tuple[type[Analysis], ...],
    analysis: Any,
    inputs: Mapping[str, Any] | None = None,
    complete: bool = True,
) -> None:
    """Raise `ValueError` where ``function`` is asked for what it cannot do.

    That is: an analysis of none of the ``kinds``, a parameter without value, an input whose signal is no
    `Series` or, with ``complete``, is missing.
    """
    if not isinstance(analysis, kinds):
        allowed = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"gm.{function} takes an analysis of kind {allowed}, not {_named(analysis)}.")
    unbound = list(parameters_of(analysis))
    if unbound:
        raise ValueError(
            f"Parameter '{unbound[0]}' has no value: bind the analysis first, as in gm.bind(analysis, "
            f"{{'{unbound[0]}': 1.0}}), or simulate a gm.Twin of it."
        )
    given = {} if inputs is None else inputs
    if not isinstance(given, Mapping):
        raise ValueError(f"The inputs of gm.{function} must be a mapping from names to Series, not {_named(given)}.")
    for name, series in given.items():
        if not isinstance(series, Series):
            raise ValueError(
                f"Input '{name}' must be a Series, not {type(series).__name__}: a constant is gm.Series([0], [value])."
            )
    missing = sorted(set(inputs_of(analysis)) - set(given))
    if missing and complete:
        raise ValueError(f"No signal is given for input '{missing[0]}'.")


def _named(value: Any) -> str:
    """What was given, in words: a class is not one of its objects."""
    return f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
