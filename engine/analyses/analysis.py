"""What every analysis offers to a twin: prepared observations and a pure run."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

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
