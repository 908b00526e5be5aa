"""Sensors: what is measured on the device, in which unit, with which noise and lag."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array

from gemel.engine.noise import Noise, as_noise
from gemel.engine.spaces import FunctionSpace
from gemel.names import listed


def floats(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Numbers as a tuple, for the static fields of a sensor."""
    return tuple(float(value) for value in values)


class Sensor(eqx.Module):
    """One reading of a device."""

    name: eqx.AbstractVar[str]
    noise: eqx.AbstractVar[Noise]
    unit: eqx.AbstractVar[str]


class LaggedSensor(Sensor):
    """A sensor behind a first-order lag, with an offset that may grow with time, as that of a gauge that drifts."""

    lag: eqx.AbstractVar[Any]
    offset: eqx.AbstractVar[Any]
    drift: eqx.AbstractVar[Any]


class FieldSensor(LaggedSensor):
    """A sensor that reads a linear functional of a field on a mesh."""

    field: eqx.AbstractVar[str | None]

    @abstractmethod
    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The unknowns ``(k,)`` and weights ``(k,)`` whose product is the reading.

        On the host, but for weights on a mesh whose points are traced.
        """


class DerivedSensor(Sensor):
    """Reads something else where another sensor reads the displacement, under its name, noise and unit."""

    sensor: eqx.AbstractVar[FieldSensor]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.name

    @property
    def noise(self) -> Noise:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.noise

    @property
    def unit(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.unit


class MotionSensor(DerivedSensor, FieldSensor):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Reads the velocity or the acceleration where another sensor reads the displacement; for dynamic analyses.

    Args:
        sensor: the place and the component, with the name, the noise and the unit of this reading.
        derivative: 1 for the velocity, 2 for the acceleration.

    Raises:
        ValueError: for another derivative.
    """

    sensor: FieldSensor
    derivative: int = eqx.field(static=True)

    def __init__(self, sensor: FieldSensor, derivative: int) -> None:
        if derivative not in (1, 2):
            raise ValueError(
                f"Sensor '{sensor.name}': derivative {derivative} is neither 1 (velocity) nor 2 (acceleration)."
            )
        self.sensor, self.derivative = sensor, derivative

    @property
    def lag(self) -> Any:
        """As the sensor's."""
        return self.sensor.lag

    @property
    def offset(self) -> Any:
        """As the sensor's."""
        return self.sensor.offset

    @property
    def drift(self) -> Any:
        """As the sensor's."""
        return self.sensor.drift

    @property
    def field(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As the sensor's."""
        return self.sensor.field

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """As the sensor's, to be applied to the velocity or the acceleration."""
        return self.sensor.functional(space)


class ResponseSensor(DerivedSensor):
    """Reads the complex amplitude of a vibration at one frequency; for harmonic analyses.

    Args:
        sensor: the place and the component, with the name, the noise and the unit of this reading.
        frequency: in Hz, one of those of the analysis.
        quantity: "amplitude", "phase" (in rad, ahead of the load), "real" or "imaginary".

    Raises:
        ValueError: for another quantity.
    """

    sensor: FieldSensor
    frequency: float = eqx.field(static=True)
    quantity: str = eqx.field(static=True)

    def __init__(self, sensor: FieldSensor, frequency: float, quantity: str = "amplitude") -> None:
        allowed = ("amplitude", "phase", "real", "imaginary")
        if quantity not in allowed:
            raise ValueError(f"Sensor '{sensor.name}': quantity '{quantity}' is not one of {listed(quantity, allowed)}")
        self.sensor, self.frequency, self.quantity = sensor, float(frequency), quantity


class FrequencySensor(Sensor):
    """Reads a natural frequency in Hz.

    Args:
        name: its name.
        mode: 1 for the lowest.
        noise: standard deviation in Hz or a `Noise`.
        direction: count only modes that move mostly along this axis ("x", "y" or "z"): a beam's bending modes
            in one plane; all modes when None.
        unit: the unit it is shown in.
    """

    name: str = eqx.field(static=True)
    mode: int = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    direction: str | None = eqx.field(static=True, default=None)
    unit: str = eqx.field(static=True, default="Hz")

    def __check_init__(self) -> None:
        if self.mode < 1:
            raise ValueError(f"Sensor '{self.name}': modes are counted from 1, not {self.mode}.")
        if self.direction not in (None, "x", "y", "z"):
            raise ValueError(f"Sensor '{self.name}': direction '{self.direction}' is not one of x, y, z.")


class OutputSensor(LaggedSensor):
    """Reads a named output of an ODE model.

    Args:
        name: its name.
        output: the output's name.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: what the sensor reads too high for each second since the time zero; a number or parameter.
    """

    name: str = eqx.field(static=True)
    output: str = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    lag: Any = None
    offset: Any = None
    drift: Any = None
