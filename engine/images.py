"""Images of fields: one instrument with many readings, such as a camera or a fibre."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.fieldsensors import (
    Basis,
    SampledSensor,
    check_component,
    check_direction,
    check_strain,
    sample_points,
    strain_functional,
    value_functional,
)
from gemel.engine.noise import Noise, as_noise
from gemel.engine.sensors import DerivedSensor, Sensor
from gemel.engine.spaces import FunctionSpace

_HERMITE = np.array([0.0, -np.sqrt(3.0), np.sqrt(3.0)]), np.array([4.0, 1.0, 1.0]) / 6.0
"""Gauss's rule for the normal distribution, exact to degree 5; the centre first."""


_PARALLEL = 1e-9
"""The sine of an angle between rows and columns that is none."""


class PixelSensor(SampledSensor):
    """One pixel of an image: reads a weighted mean over a few points; made by `ImageSensor.sensors`.

    Args:
        name: its name.
        image: the name of the image.
        points: in m; the first one must lie in the mesh, others outside are left out.
        shares: the weight of each.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        component: which component of a vector field.
        direction: along which the strain of a displacement is read; the field itself when None.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.
        shape: rows and columns of the image, or the number of its points.
    """

    name: str = eqx.field(static=True)
    image: str = eqx.field(static=True)
    points: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    shares: tuple[float, ...] = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    component: int = eqx.field(static=True, default=0)
    direction: tuple[float, ...] | None = eqx.field(static=True, default=None)
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)
    shape: tuple[int, ...] = eqx.field(static=True, default=())

    def samples(self, space: FunctionSpace) -> Float[np.ndarray, "q dim"]:
        """The points. Raises `ValueError` for a field that it cannot read."""
        if self.direction is None:
            check_component(self, space)
        else:
            check_strain(self, space)
        return sample_points(self, space, self.points)

    def weigh(self, space: FunctionSpace, basis: Basis) -> tuple[np.ndarray, np.ndarray | Array]:
        """The mean over the points inside the mesh."""
        shares = np.where(basis.inside, self.shares, 0.0)
        shares = shares / shares.sum()
        if self.direction is None:
            return value_functional(space, basis, self.component, shares)
        return strain_functional(space, basis, self.direction, shares)


class ImageSensor(eqx.Module):
    r"""An infrared camera, an image correlation, a row of thermocouples, a fibre: many readings of one field.

    It stands for one sensor a pixel, called ``name.1``, ``name.2``, ..., row by row: ``gm.Twin(..., [*camera.sensors(),
    ...])``. Verdicts and tables give the figures of all pixels together.

    Args:
        name: its name.
        points: where the pixels look, ``(n, dim)``, or ``(rows, columns, dim)`` as `pixel_grid` gives them, in m.
        noise: of each pixel, standard deviation (SI) or a `Noise`; pixels are independent.
        unit: the unit it is shown in.
        component: which component of a vector field.
        direction: of a fibre that reads the strain of a displacement, along it; the field itself is read when None.
        blur: the standard deviation in m of a Gaussian point spread along rows and columns; each pixel is then a mean
            over 3 points along each of them, exact for polynomials of degree 5. Points outside the mesh are left out.
        lag: time constant in s of each pixel; a number or parameter; none when None.
        offset: what each pixel reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.

    Raises:
        ValueError: for points of another shape, a direction without length, or a blur that is negative, of points
            without rows and columns, or of rows that run along the columns.
    """

    name: str = eqx.field(static=True)
    points: Float[np.ndarray, "*shape dim"] = eqx.field(converter=lambda points: np.asarray(points, dtype=float))
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    component: int = eqx.field(static=True, default=0)
    direction: tuple[float, ...] | None = eqx.field(static=True, default=None)
    blur: float = eqx.field(static=True, default=0.0)
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.points.ndim not in (2, 3) or not self.points.size:
            raise ValueError(
                f"Image '{self.name}' needs points (n, dim) or (rows, columns, dim), not an array of shape "
                f"{self.points.shape}."
            )
        if self.direction is not None:
            check_direction(self)
        if not (np.isfinite(self.blur) and self.blur >= 0):
            raise ValueError(f"The blur of image '{self.name}' must be a length in m, not {self.blur}.")
        if self.blur > 0 and (self.points.ndim == 2 or max(self.shape) < 2):
            raise ValueError(f"Image '{self.name}' is blurred along its rows and columns: give the points in a grid.")
        if self.blur > 0:
            self._axes()

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, or the number of points."""
        return self.points.shape[:-1]

    def sensors(self) -> list[PixelSensor]:
        """A sensor for each pixel, row by row."""
        steps, shares = self._spread()
        centres = self.points.reshape(-1, 1, self.points.shape[-1])
        places = (centres + steps.reshape(-1, *steps.shape[-2:])).tolist()
        return [
            PixelSensor(
                name=f"{self.name}.{number}",
                image=self.name,
                points=tuple(map(tuple, points)),
                shares=tuple(shares.tolist()),
                noise=self.noise,
                unit=self.unit,
                component=self.component,
                direction=self.direction,
                lag=self.lag,
                offset=self.offset,
                drift=self.drift,
                field=self.field,
                shape=self.shape,
            )
            for number, points in enumerate(places, 1)
        ]

    def _axes(self) -> list[np.ndarray]:
        """Unit vectors ``(*shape, dim)`` along each row, and across the rows in the plane of both.

        Raises `ValueError` where two neighbours are in one place, or rows run along columns.
        """
        found: list[np.ndarray] = []
        for axis in (1, 0):
            if self.shape[axis] < 2:
                continue
            along = np.gradient(self.points, axis=axis)
            across = along
            for other in found:
                across = along - np.sum(along * other, axis=-1, keepdims=True) * other
            length, size = (np.linalg.norm(vectors, axis=-1, keepdims=True) for vectors in (across, along))
            if np.any(length <= _PARALLEL * size):
                raise ValueError(
                    f"Image '{self.name}' is blurred along its rows and columns: they must run in different "
                    "directions, and no two neighbouring pixels may lie in one place."
                )
            found.append(across / length)
        return found

    def _spread(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the points of each pixel lie from its centre ``(*shape, q, dim)`` (one pixel for all), and shares."""
        steps, shares = np.zeros((1, 1, self.points.shape[-1])), np.ones(1)
        if self.blur == 0:
            return steps, shares
        for axis in self._axes():
            moves = self.blur * _HERMITE[0][:, None] * axis[..., None, :]
            steps = (steps[..., :, None, :] + moves[..., None, :, :]).reshape(*self.shape, -1, steps.shape[-1])
            shares = np.outer(shares, _HERMITE[1]).ravel()
        return steps, shares

    def readings(self, values: Any) -> dict[str, np.ndarray]:
        """What the pixels measured, by name, for a `Record`.

        Args:
            values: one image in SI, of the shape of the image, or several ``(n_times, *shape)``; NaN where a pixel is
                missing.

        Raises:
            ValueError: for another shape.
        """
        table = np.asarray(values, dtype=float)
        if table.shape[-len(self.shape) :] != self.shape or table.ndim > len(self.shape) + 1:
            raise ValueError(f"Image '{self.name}' has the shape {self.shape}, not {table.shape}.")
        columns = table.reshape(*table.shape[: table.ndim - len(self.shape)], -1)
        return {f"{self.name}.{i + 1}": columns[..., i] for i in range(columns.shape[-1])}

    def values(self, readings: Mapping[str, Any]) -> np.ndarray:
        """The image ``shape``, or images ``(n_times, *shape)``, from readings by name, such as those of a `Run`."""
        count = int(np.prod(self.shape))
        columns = np.stack([np.asarray(readings[f"{self.name}.{i}"]) for i in range(1, count + 1)], axis=-1)
        return columns.reshape(*columns.shape[:-1], *self.shape)


def pixel_grid(first: Any, right: Any, below: Any, rows: int, columns: int) -> Float[np.ndarray, "rows columns dim"]:
    """Where the pixels of a flat image look.

    Args:
        first: the centre of the first pixel, ``(dim,)`` in m.
        right: that of the last pixel in the first row.
        below: that of the first pixel in the last row; None for one row.
        rows: how many.
        columns: how many.

    Raises:
        ValueError: for less than one row or column, or several rows without ``below``; where a row or column of one
            pixel has two different ends, or one of several pixels has both ends in one place.
    """
    if rows < 1 or columns < 1 or (below is None and rows > 1):
        raise ValueError(f"An image of {rows} rows and {columns} columns needs one of each, and a corner for rows.")
    start = np.asarray(first, dtype=float)
    across = np.asarray(right, dtype=float) - start
    down = np.zeros_like(start) if below is None else np.asarray(below, dtype=float) - start
    for count, what, line, way in ((columns, "column", "row", across), (rows, "row", "column", down)):
        if (count > 1) != bool(np.any(way)):
            number = f"{count} {what}{'s' * (count > 1)}"
            where = "one place, not in two" if count == 1 else "two places, not in one"
            raise ValueError(f"An image of {number} has the first and the last pixel of a {line} in {where}.")
    i, j = np.linspace(0, 1, rows)[:, None, None], np.linspace(0, 1, columns)[:, None]
    return start + i * down + j * across


def image_by_pixel(images: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The image that each pixel is of, from the names of the pixels of each image."""
    return {pixel: image for image, pixels in images.items() for pixel in pixels}


def images_of(sensors: Sequence[Sensor]) -> dict[str, tuple[str, ...]]:
    """The names of the pixels of each image among some sensors."""
    return {image: tuple(sensor.name for sensor, _ in pixels) for image, pixels in _pixels_of(sensors).items()}


def layouts_of(sensors: Sequence[Sensor]) -> dict[str, Float[np.ndarray, "..."]]:
    """Where the pixels of each image among some sensors look, in m: ``(rows, columns, dim)``, or ``(n, dim)`` for
    points without rows, and where pixels are missing.
    """
    found = {}
    for image, pixels in _pixels_of(sensors).items():
        centres, shape = np.asarray([pixel.points[0] for _, pixel in pixels]), pixels[0][1].shape
        found[image] = centres.reshape(*shape, -1) if len(centres) == np.prod(shape) else centres
    return found


def _pixels_of(sensors: Sequence[Sensor]) -> dict[str, list[tuple[Sensor, PixelSensor]]]:
    found: dict[str, list[tuple[Sensor, PixelSensor]]] = {}
    for sensor in sensors:
        origin = sensor.sensor if isinstance(sensor, DerivedSensor) else sensor
        if isinstance(origin, PixelSensor):
            found.setdefault(origin.image, []).append((sensor, origin))
    return found
