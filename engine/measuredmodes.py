r"""Measured modes: natural frequencies and shapes that find their computed mode by its shape.

A measured shape $\psi$ holds displacements, up to one factor, at points and in directions; $\varphi$ are the
displacements of a computed mode there. How far they resemble each other says the modal assurance criterion

$$ \mathrm{MAC}(\varphi, \psi) = \frac{|\varphi^H\psi|^2}{(\varphi^H\varphi)(\psi^H\psi)}, $$

from 0 to 1, and $1 - \mathrm{MAC}$ is the least of $\|\psi - s\varphi\|^2 / \|\psi\|^2$ over $s$, reached at the modal
scale factor $s = \varphi^H\psi / \varphi^H\varphi$.
Sources: Allemang and Brown, *A correlation coefficient for modal vector analysis*, IMAC 1982; Allemang, *The modal
assurance criterion - twenty years of use and abuse*, Sound and Vibration 37, 2003.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from gemel.engine.noise import Noise, as_noise
from gemel.engine.sensors import Sensor

AXES = {"x": 0, "y": 1, "z": 2}

Directions = str | Sequence[float] | Sequence[str | Sequence[float]]


class MeasuredShape(eqx.Module):
    r"""The shape of one measured mode.

    Args:
        points: ``(n, dim)`` in m, where it was measured; one point may stand several times, with other directions.
        directions: in which direction each was measured: "x", "y", "z" or a vector of any length; one for all, or
            ``n`` of them.
        values: ``(n,)``, real or complex, in any unit: only their ratios count.
        least_mac: the least assurance of a computed mode that counts as this one.
        close: computed modes whose frequencies differ by less than this share are taken as one mode with several
            shapes, of which the combination nearest to this one is read: which vectors an eigenvalue solver gives
            for a repeated frequency is chance.
        field: which field of a mixed space holds the displacements.

    Raises:
        ValueError: for fewer than two points, lengths that differ, directions without length, values that are not
            finite or all zero, and limits outside [0, 1).
    """

    points: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    directions: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    values: tuple[complex, ...] = eqx.field(static=True)
    least_mac: float = eqx.field(static=True)
    close: float = eqx.field(static=True)
    field: str | None = eqx.field(static=True)

    def __init__(
        self,
        points: Any,
        directions: Directions,
        values: Any,
        least_mac: float = 0.5,
        close: float = 1e-3,
        field: str | None = None,
    ) -> None:
        places, shape = np.asarray(points, dtype=float), np.asarray(values, dtype=complex)
        if places.ndim != 2 or shape.shape != places.shape[:1]:
            raise ValueError(
                f"A measured shape needs points (n, dim) and n values, not arrays of shape {places.shape} and "
                f"{shape.shape}."
            )
        if len(places) < 2:
            raise ValueError("A measured shape needs two points or more: at one point all modes look alike.")
        if not np.all(np.isfinite(shape)) or not np.any(shape):
            raise ValueError("The values of a measured shape must be finite, and not all zero.")
        for key, number in (("least_mac", least_mac), ("close", close)):
            if not 0 <= number < 1:
                raise ValueError(f"The number '{key}' of a measured shape must be in [0, 1), not {number}.")
        self.points = tuple(map(tuple, places.tolist()))
        self.directions = _vectors(directions, *places.shape)
        self.values = tuple(shape.tolist())
        self.least_mac, self.close, self.field = float(least_mac), float(close), field

    @property
    def parts(self) -> Float[np.ndarray, "n parts"]:
        r"""The real part, and the imaginary one unless it is zero, of the values turned to be as real as they can be.

        They are turned by $\tfrac12 \arg \sum_i \psi_i^2$, not at all where they are real.
        """
        values = np.asarray(self.values)
        if np.any(np.imag(values)):
            values = values * np.exp(-0.5j * np.angle(np.sum(values**2)))
        real, imaginary = np.real(values), np.imag(values)
        return np.stack([real, imaginary], axis=1) if np.any(imaginary) else real[:, None]

    def sensors(self, name: str, noise: float | Noise) -> list["ShapeSensor"]:
        """A sensor for each point, called ``name.1``, ``name.2``, ...; ``noise`` is in the unit of the values."""
        return [
            ShapeSensor(name=f"{name}.{i}", shape=self, point=i, noise=noise) for i in range(1, len(self.points) + 1)
        ]

    def readings(self, name: str) -> dict[str, float]:
        """What `sensors` have measured: the real part of the values, by name; for a `Record`."""
        return {f"{name}.{i}": float(value) for i, value in enumerate(self.parts[:, 0], 1)}


class ModeSensor(Sensor):
    """Reads the natural frequency, in Hz, of the computed mode that resembles a measured shape most.

    No two measured shapes of a twin share a computed mode: the pair of highest assurance is made first. The reading
    is NaN where that of its pair is below the shape's ``least_mac``, so that a fit takes no step to such a point; the
    assurance and the number of the mode are in the statistics of every run, see `gemel.mode_pairs`.

    Args:
        name: its name.
        shape: the measured shape.
        noise: standard deviation in Hz or a `Noise`.
        unit: the unit it is shown in.
    """

    name: str = eqx.field(static=True)
    shape: MeasuredShape
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="Hz")


class ShapeSensor(Sensor):
    r"""Reads one component of the shape that resembles a measured one most, with the measured sign and scale.

    The computed shape is multiplied by the modal scale factor, so that over all points
    $\sum_i (y_i - \psi_i)^2 = (1 - \mathrm{MAC}) \sum_i \psi_i^2$ for a real $\psi$; of a complex one the real part is
    read, turned as in `MeasuredShape.parts`. NaN where a `ModeSensor` of the shape reads NaN.

    Args:
        name: its name.
        shape: the measured shape.
        point: which of its points, from 1.
        noise: standard deviation in the unit of the measured values, or a `Noise`.
        unit: the unit it is shown in.

    Raises:
        ValueError: for a point that the shape does not have.
    """

    name: str = eqx.field(static=True)
    shape: MeasuredShape
    point: int = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")

    def __check_init__(self) -> None:
        if not 1 <= self.point <= len(self.shape.points):
            raise ValueError(
                f"Sensor '{self.name}': the shape has the points 1 to {len(self.shape.points)}, not {self.point}."
            )


def modal_assurance(first: Inexact[Any, "n a"], second: Inexact[Any, "n b"]) -> Float[Array, "a b"]:
    """The modal assurance criterion of each column of one table of shapes with each of another, ``(a, b)``."""
    first, second = jnp.asarray(first), jnp.asarray(second)
    power = [jnp.sum(jnp.abs(shapes) ** 2, axis=0) for shapes in (first, second)]
    return jnp.abs(first.conj().T @ second) ** 2 / (power[0][:, None] * power[1])


def _vectors(directions: Directions, n: int, dim: int) -> tuple[tuple[float, ...], ...]:
    """A vector for each of ``n`` points. Raises `ValueError` for directions that are none in ``dim`` dimensions."""
    one = isinstance(directions, str) or all(isinstance(entry, int | float | np.number) for entry in directions)
    entries: list[Any] = [directions] * n if one else list(directions)
    if len(entries) != n:
        raise ValueError(f"A measured shape needs one direction for all points or {n}, not {len(entries)}.")
    return tuple(_vector(entry, dim) for entry in entries)


def _vector(direction: str | Sequence[float], dim: int) -> tuple[float, ...]:
    if isinstance(direction, str):
        if AXES.get(direction, dim) >= dim:
            allowed = ", ".join(list(AXES)[:dim])
            raise ValueError(f"The direction '{direction}' of a measured shape is not one of {allowed}, or a vector.")
        return tuple(np.eye(dim)[AXES[direction]].tolist())
    vector = np.asarray(direction, dtype=float)
    length = np.linalg.norm(vector)
    if vector.shape != (dim,) or not (np.isfinite(length) and length > 0):
        raise ValueError(f"The direction {direction} of a measured shape is no vector of {dim} numbers with a length.")
    return tuple((vector / length).tolist())
