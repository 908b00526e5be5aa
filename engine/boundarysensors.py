"""Sensors of what goes through the boundary of a body, heat or force, and how it is found from the balance."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.noise import Noise, as_noise
from gemel.engine.observations import FieldObservation, MotionObservation, SparseRows, places_of
from gemel.engine.problems import DiscreteProblem, Integral
from gemel.engine.sensors import LaggedSensor, Sensor
from gemel.engine.spaces import FunctionSpace
from gemel.solvers import Motion


class BoundarySensor(LaggedSensor):
    r"""A sensor of what the conditions on facets put into a body, or of what leaves it there.

    With the residual $r$ before constraints, $a$ the nodes of those of the facets $\Gamma$ that are held, by prescribed
    values or ties, and $s$ the source of each condition on $\Gamma$ itself (convection, radiation, a flux, a traction,
    an elastic support),

    $$ Q = \sum_a w_a \big(r(u) + M\dot u\big)_a - \int_\Gamma s(u), $$

    where $w_a$ is one but at nodes that other held facets share: there the share of $\Gamma$ by number. So readings
    of all facets add up to what all conditions put in, in balance with the loads to the tolerance of the solver, and
    their error falls twice as fast as that of an integral of the field's gradient. At the rim of $\Gamma$ inside a
    larger held surface the distribution over facets is known to about an element.
    Source: Hughes, *The Finite Element Method*, 2000, section 2.12.
    """

    on: eqx.AbstractVar[str]
    field: eqx.AbstractVar[str | None]

    @property
    @abstractmethod
    def axis(self) -> int:
        """The component of the field whose balance is meant."""

    @property
    @abstractmethod
    def sign(self) -> float:
        """1 for what is put into the body, -1 for what leaves it."""


class FluxSensor(BoundarySensor):
    """A heat-flux meter or calorimeter: reads the heat in W that leaves a body through facets; see `BoundarySensor`.

    For steady and transient analyses, in 2-D for one metre of depth. Facets without any condition let nothing through.
    In a transient analysis the rate of what nodes of prescribed temperatures store is that of differences over steps.

    Args:
        name: its name.
        on: a tag of facets that have a condition.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.
    """

    name: str = eqx.field(static=True)
    on: str = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="W")
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    @property
    def axis(self) -> int:
        """The one there is."""
        return 0

    @property
    def sign(self) -> float:
        """What leaves."""
        return -1.0


class ReactionSensor(BoundarySensor):
    """A load cell: reads the force in N that the conditions on facets put into a body; see `BoundarySensor`.

    For steady (static), quasi-static and dynamic analyses, in 2-D for one metre of depth. In a dynamic analysis the
    inertia and the damping of the nodes of supports count.

    Args:
        name: its name.
        on: a tag of facets that have a condition: a support, or a load.
        component: the direction of the force, 0 for x.
        noise: standard deviation (SI) or a `Noise`.
        unit: the unit it is shown in.
        lag: time constant in s of the sensor itself; a number or parameter; none when None.
        offset: what the sensor reads too high (SI); a number or parameter; none when None.
        drift: likewise for each second since the time zero, in runs over time.
        field: which field of a mixed space.
    """

    name: str = eqx.field(static=True)
    on: str = eqx.field(static=True)
    component: int = eqx.field(static=True)
    noise: Noise = eqx.field(converter=as_noise)
    unit: str = eqx.field(static=True, default="N")
    lag: Any = None
    offset: Any = None
    drift: Any = None
    field: str | None = eqx.field(static=True, default=None)

    @property
    def axis(self) -> int:
        """The direction."""
        return self.component

    @property
    def sign(self) -> float:
        """What is put in."""
        return 1.0


class _Pushed(eqx.Module):
    """What conditions on facets put in: rows over all numbers of the element residuals of some contributions."""

    rows: SparseRows
    chosen: tuple[int, ...] = eqx.field(static=True)

    @staticmethod
    def of(problem: DiscreteProblem, sensors: Sequence[BoundarySensor]) -> tuple["_Pushed", list[bool]]:
        """The rows, and for each sensor whether there is any condition."""
        parts = enumerate(problem.contributions)
        chosen = [i for i, part in parts if isinstance(part, Integral) and part.domains[0].is_facets]
        rows = [_pushed_row(problem, chosen, sensor) for sensor in sensors]
        return _Pushed(SparseRows.of(rows), tuple(chosen)), [bool(len(columns)) for columns, _ in rows]

    def read(self, problem: DiscreteProblem, u: Float[Array, " n"]) -> Float[Array, " n_sensors"]:
        """What they put in at a flat field."""
        points = jnp.asarray(problem.space.mesh.points)
        local = [one.ravel() for i in self.chosen for one in problem.contributions[i].residuals(u, points)]
        return self.rows.read(jnp.concatenate([jnp.zeros(0), *local]))


def _pushed_row(problem: DiscreteProblem, chosen: Sequence[int], sensor: BoundarySensor) -> tuple[np.ndarray, Any]:
    """Minus one at each element residual on the sensor's facets, of its unknowns."""
    mine, (field, start) = _numbered(np.asarray(problem.space.mesh.facets(sensor.on))), _part(problem, sensor)
    own = np.zeros(problem.space.n_dofs, dtype=bool)
    own[start + sensor.axis : start + field.n_dofs : field.n_components] = True
    found, first = [], 0
    for i in chosen:
        part: Any = problem.contributions[i]
        for domain, dofs in zip(part.domains, part.dofs(), strict=True):
            here = np.isin(_numbered(domain.facets()), mine)
            found.append(first + np.flatnonzero((here[:, None] & own[dofs]).ravel()))
            first += dofs.size
    columns = np.concatenate([np.zeros(0, int), *found])
    return columns, np.full(len(columns), -sensor.sign)


def _numbered(facets: np.ndarray) -> np.ndarray:
    """Facets ``(n, 2)``, each a cell and its facet there, as one number each."""
    return facets[:, 0].astype(np.int64) * 8 + facets[:, 1]


def _part(problem: DiscreteProblem, sensor: BoundarySensor) -> tuple[FunctionSpace, int]:
    """The space of the field that a sensor reads, and its first unknown. Raises `ValueError` for a wrong one."""
    part, first = places_of(problem.space, sensor)
    if isinstance(sensor, FluxSensor) != (part.shape == ()):
        raise ValueError(
            f"Sensor '{sensor.name}' is a {type(sensor).__name__} of a field of shape {part.shape}: a FluxSensor reads "
            "heat where the field is a temperature, a ReactionSensor forces where it is a displacement."
        )
    if not 0 <= sensor.axis < part.n_components:
        raise ValueError(
            f"Sensor '{sensor.name}' reads component {sensor.axis}: the field has 0 to {part.n_components - 1}."
        )
    return part, first


def _held_row(
    problem: DiscreteProblem, sensor: BoundarySensor, conditions: Sequence[np.ndarray], tied: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The share of the sensor's facets in each prescribed or tied unknown of theirs.

    A condition holds a facet where it holds all of its nodes, ties hold it, together with the conditions, where they
    have a node of it. A node is shared evenly among the facets that conditions hold, of which there are none among
    those that ties hold.
    """
    part, first = _part(problem, sensor)
    mine = np.asarray(part.mesh.facets(sensor.on))
    facets = np.concatenate([mine, np.asarray(part.mesh.facets("boundary"))])
    facets = facets[np.unique(_numbered(facets), return_index=True)[1]]
    own = np.isin(_numbered(facets), _numbered(mine))
    all_, ours = np.zeros((2, part.n_nodes)), np.zeros((2, part.n_nodes))
    for rows, nodes in part.facet_nodes(facets):
        unknowns = first + nodes * part.n_components + sensor.axis
        held = np.zeros(len(nodes), dtype=bool)
        for condition in conditions:
            held |= condition[unknowns].all(axis=1)
        by_ties = np.zeros(len(nodes), dtype=bool)
        if tied is not None:
            by_ties = np.any([tied, *conditions], axis=0)[unknowns].all(axis=1) & tied[unknowns].any(axis=1)
        for kind, facets_held in enumerate((held, by_ties)):
            np.add.at(all_[kind], nodes[facets_held], 1.0)
            np.add.at(ours[kind], nodes[facets_held & own[rows]], 1.0)
    share = np.where(all_[0] > 0, ours[0] / np.maximum(all_[0], 1.0), ours[1] / np.maximum(all_[1], 1.0))
    chosen = np.flatnonzero(share)
    return first + chosen * part.n_components + sensor.axis, sensor.sign * share[chosen]


def _held(problem: DiscreteProblem) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Which unknowns ``(n_dofs,)`` each condition prescribes, and which ones are tied or others are tied to."""

    def marked(*tables: Any) -> np.ndarray:
        held = np.zeros(problem.space.n_dofs, dtype=bool)
        for table in tables:
            held[np.asarray(table)] = True
        return held

    ties = problem.constraint.ties
    tied = None if ties is None else marked(ties.unknowns, ties.masters)
    return [marked(group.dofs) for group in problem.constraint.groups], tied


class BoundaryObservation(eqx.Module):
    """From the state of a body to what its conditions put in, for several sensors."""

    held: SparseRows
    pushed: _Pushed
    dashpots: _Pushed | None
    any_held: bool = eqx.field(static=True)

    @staticmethod
    def of(
        problem: DiscreteProblem, sensors: Sequence[BoundarySensor], damping: DiscreteProblem | None = None
    ) -> "BoundaryObservation":
        """Find the conditions. Raises `ValueError` for facets without any, and a field or component not there."""
        conditions = _held(problem)
        held = [_held_row(problem, sensor, *conditions) for sensor in sensors]
        pushed, acts = _Pushed.of(problem, sensors)
        dashpots, damps = (None, [False] * len(sensors)) if damping is None else _Pushed.of(damping, sensors)
        for sensor, (columns, _), *others in zip(sensors, held, acts, damps, strict=True):
            if not len(columns) and not any(others):
                raise ValueError(
                    f"Sensor '{sensor.name}' reads what goes through '{sensor.on}', but no condition acts there: name "
                    "facets with a prescribed value, or with a flux, a load, a convection or a support."
                )
        return BoundaryObservation(
            SparseRows.of(held), pushed, dashpots, any(bool(len(columns)) for columns, _ in held)
        )

    def read(self, problem: DiscreteProblem, u: Float[Array, " n"], inertia: Any = 0.0) -> Float[Array, " n_sensors"]:
        """The readings of a solution; ``inertia`` is what $M\\ddot u + C\\dot u$ adds to $r(u)$."""
        pushed = self.pushed.read(problem, u)
        return pushed + self.held.read(problem.unconstrained(u) + inertia) if self.any_held else pushed

    def damped(self, damping: DiscreteProblem, v: Float[Array, " n"]) -> Float[Array, " n_sensors"]:
        """What the dampings on the facets put in at a velocity."""
        assert self.dashpots is not None
        return self.dashpots.read(damping, v)

    def content(self, inertia: DiscreteProblem, u: Float[Array, " n"]) -> Float[Array, " n_sensors"]:
        """What the nodes of prescribed values hold: its rate adds to the readings."""
        return self.held.read(inertia.unconstrained(u))


class BodyObservation(eqx.Module):
    """The raw readings of all sensors of a body, from its field and its balance; ``order`` puts them back."""

    fields: FieldObservation | MotionObservation
    boundary: BoundaryObservation | None
    order: np.ndarray | Array

    @staticmethod
    def of(
        problem: DiscreteProblem,
        sensors: Sequence[Sensor],
        moving: bool = False,
        damping: DiscreteProblem | None = None,
    ) -> "BodyObservation":
        """Collect what sensors read, of a dynamic analysis with ``moving``.

        Raises `ValueError` for a sensor that reads neither a field nor a boundary.
        """
        at = [isinstance(sensor, BoundarySensor) for sensor in sensors]
        order = np.argsort(np.argsort(at, kind="stable"), kind="stable")
        kind: Any = MotionObservation if moving else FieldObservation
        fields = kind.of(problem.space, [sensor for sensor in sensors if not isinstance(sensor, BoundarySensor)])
        boundary = [sensor for sensor in sensors if isinstance(sensor, BoundarySensor)]
        found = BoundaryObservation.of(problem, boundary, damping) if boundary else None
        return BodyObservation(fields, found, order.astype(np.int32))

    def read(self, problem: DiscreteProblem, u: Float[Array, " n"]) -> Float[Array, " n_sensors"]:
        """The readings of a field in equilibrium, or, without its rate of storage, of one in time."""
        assert isinstance(self.fields, FieldObservation)
        return self.joined(self.fields.read(u), None if self.boundary is None else self.boundary.read(problem, u))

    def moving(self, motion: Motion, boundary: Array | None) -> Float[Array, " n_sensors"]:
        """The readings of a motion, with those of the boundary."""
        assert isinstance(self.fields, MotionObservation)
        return self.joined(self.fields.read(motion), boundary)

    def joined(self, fields: Array, boundary: Array | None) -> Array:
        """All readings ``(..., n)`` in the order of the sensors."""
        return fields if boundary is None else jnp.concatenate([fields, boundary], axis=-1)[..., self.order]


def rates(values: Float[Array, "m n"], times: Float[Array, " m"]) -> Float[Array, "m n"]:
    """The derivative in time of equally spaced samples, by differences of order 2; of two samples, of order 1."""
    step = times[1] - times[0]
    if len(times) == 2:
        return jnp.broadcast_to((values[1] - values[0]) / step, values.shape)
    inner = (values[2:] - values[:-2]) / 2
    first = -1.5 * values[0] + 2 * values[1] - 0.5 * values[2]
    last = 1.5 * values[-1] - 2 * values[-2] + 0.5 * values[-3]
    return jnp.concatenate([first[None], inner, last[None]]) / step
