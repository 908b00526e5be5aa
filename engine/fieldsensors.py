"""Sensors that read integrals and values of fields: what they weigh, on a space."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from gemel.engine.compiling import one_program
from gemel.engine.domains import Domain
from gemel.engine.fields import Jet, Point
from gemel.engine.integrals import integral_over
from gemel.engine.noise import Noise, as_noise
from gemel.engine.physics.kinematics import require_half_plane
from gemel.engine.sensors import FieldSensor, Sensor, floats
from gemel.engine.spaces import FunctionSpace
from gemel.engine.tabulation import domains


class Basis(NamedTuple):
    """What is known of a field at samples: ``nodes (q, k)``, basis ``values (q, k)`` and ``gradients (q, k, dim)``, all
    zero where a sample does not lie ``inside (q,)`` the mesh.
    """

    nodes: np.ndarray
    values: Any
    gradients: Any
    inside: np.ndarray


class SampledSensor(FieldSensor):
    """A sensor that reads the field at a few samples, found together with those of others: see `functionals`.

    The first sample must lie in the mesh.
    """

    @abstractmethod
    def samples(self, space: FunctionSpace) -> Float[np.ndarray, "q dim"]:
        """Where it reads the field, in m. Raises `ValueError` for a field, or a mesh, that it cannot read."""

    @abstractmethod
    def weigh(self, space: FunctionSpace, basis: Basis) -> tuple[np.ndarray, np.ndarray | Array]:
        """The functional, from the basis at the samples; a sample outside the mesh has zeros."""

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The functional. Raises `ValueError` outside the mesh, or where the field is not one that it reads."""
        return functionals([self], space)[0]


class PointSensor(SampledSensor):
    """Reads the field at one point.

    Args:
        name: its name.
        position: in m, inside the mesh.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        component: which component of a vector field.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.
    """

    name: str = eqx.field(static=True)
    position: tuple[float, ...] = eqx.field(static=True, converter=floats)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    component: int = eqx.field(static=True, default=0)
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def samples(self, space: FunctionSpace) -> Float[np.ndarray, "q dim"]:
        """The point. Raises `ValueError` for a component that is not there, or coordinates of another dimension."""
        check_component(self, space)
        return sample_points(self, space, [self.position])

    def weigh(self, space: FunctionSpace, basis: Basis) -> tuple[np.ndarray, np.ndarray | Array]:
        """Evaluation at the point."""
        return value_functional(space, basis, self.component, np.ones(1))


class StrainSensor(SampledSensor):
    r"""A strain gauge: reads $n \cdot \varepsilon\, n$ of a displacement $u$ at one point.

    $\varepsilon = \tfrac12(\nabla u + \nabla u^\top)$, also where the deformation is large.

    Args:
        name: its name.
        position: in m, inside the mesh; on a facet between cells one of them is read.
        direction: $n$, of any length.
        noise: standard deviation (of the strain) or a `Noise`.
        unit: the unit it is shown in.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high; a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.

    Raises:
        ValueError: for a direction without length.
    """

    name: str = eqx.field(static=True)
    position: tuple[float, ...] = eqx.field(static=True, converter=floats)
    direction: tuple[float, ...] = eqx.field(static=True, converter=floats)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        check_direction(self)

    def samples(self, space: FunctionSpace) -> Float[np.ndarray, "q dim"]:
        """The point. Raises `ValueError` where the field is no displacement of a solid."""
        check_strain(self, space)
        return sample_points(self, space, [self.position])

    def weigh(self, space: FunctionSpace, basis: Basis) -> tuple[np.ndarray, np.ndarray | Array]:
        """The derivative along the direction."""
        return strain_functional(space, basis, self.direction, np.ones(1))


class AverageSensor(FieldSensor):
    """Reads the mean of the field over cells, or over facets, called ``on``.

    Args:
        name: its name.
        on: a tag of cells, or of facets when ``facets`` is true.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        facets: whether ``on`` names facets.
        component: which component of a vector field.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.
    """

    name: str = eqx.field(static=True)
    on: str = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    facets: bool = eqx.field(static=True, default=False)
    component: int = eqx.field(static=True, default=0)
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The normalised integral. Raises `ValueError` for an unknown tag."""
        points, parts = jnp.asarray(space.mesh.points), domains(space, self.on, self.facets)
        owners = [np.asarray(domain.tables[0].nodes).ravel() for domain in parts]
        nodes, rows = np.unique(np.concatenate(owners), return_inverse=True)
        shares = jnp.concatenate([domain.loads(points).ravel() for domain in parts])
        if isinstance(shares, Tracer):
            weights = jnp.zeros(len(nodes)).at[rows].add(shares)
        else:
            weights = np.bincount(rows, np.asarray(shares))
        check_component(self, space)
        return nodes * space.n_components + self.component, weights / weights.sum()


class IntegralSensor(FieldSensor):
    r"""Reads $w \int u$ over cells, or over facets, called ``on``: a displaced volume, a heat content.

    A 2-D mesh is one metre deep, and a half plane that turns around its axis one whole turn.

    Args:
        name: its name.
        on: a tag of cells, or of facets when ``facets`` is true.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        facets: whether ``on`` names facets.
        component: which component of a vector field; on facets also "normal", $u \cdot n$ with $n$ outward.
        weight: $w$; a number or parameter, such as a heat capacity.
        axisymmetric: whether the mesh is a half plane (r, z) that turns around the axis r = 0.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.

    Raises:
        ValueError: for a normal component in cells.
    """

    name: str = eqx.field(static=True)
    on: str = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="")
    facets: bool = eqx.field(static=True, default=False)
    component: int | Literal["normal"] = eqx.field(static=True, default=0)
    weight: Any = 1.0
    axisymmetric: bool = eqx.field(static=True, default=False)
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.component == "normal" and not self.facets:
            raise ValueError(f"Sensor '{self.name}' reads the normal component, which only facets have, not cells.")

    def functional(self, space: FunctionSpace) -> tuple[np.ndarray, np.ndarray | Array]:
        """The integral, without its weight. Raises `ValueError` for an unknown tag, or a field it cannot read."""
        if self.component != "normal":
            check_component(self, space)
        elif space.shape != (space.mesh.dim,):
            raise ValueError(
                f"Sensor '{self.name}' reads the normal component of a vector with {space.mesh.dim} components on this "
                f"mesh, not of a field of shape {space.shape}."
            )
        if self.axisymmetric:
            require_half_plane(space.mesh)
        parts = domains(space, self.on, self.facets)
        zero, points = jnp.zeros(space.n_dofs), jnp.asarray(space.mesh.points)
        weights = _integral_weights(parts, self.component, self.axisymmetric, zero, points)
        unknowns = np.unique(np.concatenate([domain.tables[0].dofs().ravel() for domain in parts]))
        chosen = weights[unknowns]
        return unknowns, chosen if isinstance(chosen, Tracer) else np.asarray(chosen)


@one_program
def _integral_weights(
    parts: tuple[Domain, ...], component: int | str, axisymmetric: bool, zero: Float[Array, " n"], points: Array
) -> Float[Array, " n"]:
    """The derivative of an integral by the unknowns, in which it is linear."""

    def integrand(u: Jet, point: Point) -> Array:
        value = u.value @ point.normal if isinstance(component, str) else u.value.reshape(-1)[component]
        return 2 * jnp.pi * point.x[0] * value if axisymmetric else value

    return jax.grad(lambda u: integral_over(parts, integrand, u, points))(zero)


def functionals(sensors: Sequence[SampledSensor], space: FunctionSpace) -> list[tuple[np.ndarray, np.ndarray | Array]]:
    """The functionals of sensors whose samples are found in the mesh at once.

    Raises `ValueError` for a field that one does not read, and one that lies outside the mesh.
    """
    points = [sensor.samples(space) for sensor in sensors]
    basis = Basis(*space.basis_at(np.concatenate(points), strict=False))
    ends = np.cumsum([0, *(len(part) for part in points)])
    for sensor, part, first in zip(sensors, points, ends, strict=False):
        if not basis.inside[first]:
            where = ", ".join(f"{x:.6g}" for x in part[0])
            raise ValueError(f"Sensor '{sensor.name}' at ({where}) m lies outside the mesh.")
    parts = [Basis(*(table[first:last] for table in basis)) for first, last in pairwise(ends)]
    return [sensor.weigh(space, part) for sensor, part in zip(sensors, parts, strict=True)]


def sample_points(sensor: Sensor, space: FunctionSpace, places: Any) -> Float[np.ndarray, "q dim"]:
    """Positions as an array. Raises `ValueError` where they have another number of coordinates than the mesh."""
    points = np.asarray(places, dtype=float)
    if points.shape[1] != space.mesh.dim:
        raise ValueError(
            f"Sensor '{sensor.name}' has a position of {points.shape[1]} coordinates on a {space.mesh.dim}-D mesh."
        )
    if not np.all(np.isfinite(points)):
        raise ValueError(f"Sensor '{sensor.name}' has a position that is not finite: {points.tolist()} m.")
    return points


def value_functional(
    space: FunctionSpace, basis: Basis, component: int, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray | Array]:
    """The sum of a component at samples, each with its share ``(q,)``."""
    return (basis.nodes * space.n_components + component).ravel(), (shares[:, None] * basis.values).ravel()


def strain_functional(
    space: FunctionSpace, basis: Basis, direction: Sequence[float], shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray | Array]:
    r"""The sum of $n \cdot \varepsilon\, n$ at samples, each with its share ``(q,)``."""
    n = np.asarray(direction) / np.linalg.norm(direction)
    weights = shares[:, None, None] * (basis.gradients @ n)[:, :, None] * n
    return (basis.nodes[:, :, None] * space.mesh.dim + np.arange(space.mesh.dim)).ravel(), weights.ravel()


def check_component(sensor: Any, space: FunctionSpace) -> None:
    """Raise `ValueError` for a component that the field does not have."""
    if not 0 <= sensor.component < space.n_components:
        raise ValueError(
            f"Sensor '{sensor.name}' reads component {sensor.component}: the field has 0 to {space.n_components - 1}."
        )


def check_direction(sensor: Any) -> None:
    """Raise `ValueError` for a direction without length."""
    length = np.linalg.norm(sensor.direction)
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"Sensor '{sensor.name}': the direction {sensor.direction} has no length.")


def check_strain(sensor: Any, space: FunctionSpace) -> None:
    """Raise `ValueError` where a field is no displacement of a solid, or a direction does not fit it."""
    dim = space.mesh.dim
    if space.mesh.cell_dim != dim:
        raise ValueError(
            f"Sensor '{sensor.name}' reads strains in solids, not on {space.mesh.cell_dim}-D cells in {dim}-D space."
        )
    if space.shape != (dim,) or len(sensor.direction) != dim:
        raise ValueError(
            f"Sensor '{sensor.name}' needs displacements and a direction of {dim} components on this mesh, not a "
            f"field of shape {space.shape} and {len(sensor.direction)} components."
        )
