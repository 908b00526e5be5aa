r"""Frames: bars and beams in a plane or in space, joined at nodes.

The unknowns at a node are its displacements and rotations in global axes, $(u_x, u_y, u_z, \theta_x, \theta_y,
\theta_z)$ in space and $(u_x, u_y, \theta_z)$ in the plane. Members are straight and uniform between the nodes of
the mesh, displacements small. Source: Przemieniecki, *Theory of Matrix Structural Analysis*, 1968.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.chunks import Chunks
from gemel.engine.coefficients import PerCell, drive
from gemel.engine.constraints import Condition, Dirichlet
from gemel.engine.elementgroups import ElementGroup
from gemel.engine.physics.physics import Physics
from gemel.engine.problems import Contribution, DiscreteProblem, Summand, Term, discretise
from gemel.engine.signals import Series, at_time
from gemel.engine.spaces import FunctionSpace
from gemel.engine.structures.conditions import MOTIONS, MemberCondition, Release, RigidOffset, SelfWeight, Support
from gemel.engine.structures.joints import ends_at, idle_rotations, release_masks
from gemel.engine.structures.kernels import MemberForce, MemberLumpedMass, MemberMass, MemberStiffness, MemberStress
from gemel.engine.structures.loads import section_forces
from gemel.engine.structures.points import PointElement
from gemel.engine.structures.regions import Material, Members, offset_rows, orientation_rows, sort
from gemel.engine.structures.sections import Section
from gemel.meshes import Mesh

_IDLE = "idle "
"""Begins the names of the facets whose rotations nothing resists."""


class Frame(Physics):
    r"""A frame of bars and beams.

    Args:
        mesh: intervals of degree 1 in a plane or in space; a node joins its members rigidly unless they are released.
        section: a `Section`, or one for each tag of cells. Members with `Section.bar` are trusses.
        youngs_modulus: $E$ in Pa: a number or parameter, or one for each tag of cells.
        poisson_ratio: $\nu$, likewise; $G = E/2(1+\nu)$.
        density: $\rho$ in kg/m³, likewise; needed for modal and dynamic analyses.
        conditions: `Support`, `LineLoad`, `SelfWeight`, `Heating`, `PointLoad`, `PointSpring`,
            `Dirichlet` and ties.
        masses: `PointMass`.
        dampings: `PointDashpot`.
        theory: "Timoshenko", "Euler-Bernoulli" or "truss", or one for each tag of cells.
        releases: hinges.
        offsets: rigid arms at the ends of members.
        orientation: a direction ``(3,)`` that the local $z$ axis leans to, or one for each of some tags of cells; see
            `default_orientation` for the rest. In the plane the local $z$ axis points to the left of the member, so
            that $I_y$ and the height $h$ of a section count.
        lumped: diagonal instead of consistent mass, as explicit time integration needs.

    Rotations of nodes where nothing resists them, as in a truss, are held at zero.

    Raises:
        ValueError: for a mesh that is no frame, tags that are unknown or leave members out, an orientation along a
            member, and releases that leave a member or a node without support.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None

    def __init__(
        self,
        mesh: Mesh,
        section: Section | Mapping[str, Section],
        youngs_modulus: Any | Mapping[str, Any],
        poisson_ratio: Any | Mapping[str, Any] = 0.3,
        density: Any | Mapping[str, Any] = None,
        conditions: Sequence[Summand | Condition | Support | MemberCondition] = (),
        masses: Sequence[Summand] = (),
        dampings: Sequence[Summand] = (),
        theory: str | Mapping[str, str] = "Timoshenko",
        releases: Sequence[Release] = (),
        offsets: Sequence[RigidOffset] = (),
        orientation: Any | Mapping[str, Any] = None,
        lumped: bool = False,
    ) -> None:
        if mesh.cell_dim != 1 or mesh.dim not in MOTIONS or mesh.degree != 1:
            raise ValueError(
                f"A frame needs a mesh of straight intervals in 2-D or 3-D, not of {mesh.blocks[0].cell_type}s "
                f"of degree {mesh.degree} in {mesh.dim}-D."
            )
        arms, masks = offset_rows(mesh, offsets), release_masks(mesh, releases)
        directions, axes = orientation_rows(mesh, orientation, arms)
        material = Material(youngs_modulus, poisson_ratio, density)
        regions, theories = sort(mesh, section, theory, material, directions, arms, masks)
        supported = any(isinstance(each, Support | Dirichlet) and _turns(each, mesh.dim) for each in conditions)
        turning = [each for each in conditions if isinstance(each, PointElement) and each.rotational is not None]
        idle = idle_rotations(mesh, masks, theories, axes, strict=not (supported or turning))
        idle = _without_springs(mesh, idle, turning)
        mesh, held = _holding(mesh, idle, [each.on for each in conditions if isinstance(each, Support)])
        terms: list[Summand] = [Members(MemberStiffness(part.numbers), part.cells) for part in regions]
        essential: list[Condition] = [*held]
        for each in conditions:
            if isinstance(each, Support):
                essential += each.conditions(mesh.dim)
            elif isinstance(each, Condition):
                essential.append(each)
            elif isinstance(each, SelfWeight) and density is None:
                raise ValueError(f"Self-weight '{each.on}' needs the density of the frame.")
            elif isinstance(each, MemberCondition):
                terms += [term for part in regions for term in part.under(each, mesh)]
            elif isinstance(each, Summand) and not isinstance(each, Term):
                terms.append(each)
            else:
                raise ValueError(
                    f"A frame cannot take one {type(each).__name__} as a condition: it takes Support and what acts on "
                    "members and nodes, such as SelfWeight, LineLoad and PointLoad; Traction, Gravity and other "
                    "integrals are for solids."
                )
        inertia = MemberLumpedMass if lumped else MemberMass
        inert = [] if density is None else [Members(inertia(part.numbers), part.cells) for part in regions]
        storage: list[Summand] = [*inert, *masses]
        space = FunctionSpace(mesh, "P1", (len(MOTIONS[mesh.dim]),))
        self.problem, inertia, damping = discretise(space, essential, terms, storage, dampings)
        self.inertia = inertia if storage else None
        self.damping = damping if dampings else None

    def near_nullspace(self) -> np.ndarray | None:
        """The rigid motions at the nodes, ``(n_dofs, 3)`` in the plane and ``(n_dofs, 6)`` in space.

        Rotations that nothing resists do not take part.
        """
        space = self.problem.space
        assert isinstance(space, FunctionSpace)
        x = np.asarray(space.mesh.points)
        n, dim = x.shape
        x = x - x.mean(axis=0)
        if dim == 2:
            modes = np.zeros((n, 3, 3))
            modes[:] = np.eye(3)
            modes[:, 0, 2], modes[:, 1, 2] = -x[:, 1], x[:, 0]
        else:
            modes = np.zeros((n, 6, 6))
            modes[:] = np.eye(6)
            modes[:, :3, 3:] = np.cross(np.eye(3)[None], x[:, None]).transpose(0, 2, 1)
        for component, motion in enumerate(MOTIONS[dim]):
            if f"{_IDLE}{motion}" in space.mesh.facet_tags:
                modes[space.nodes_on(f"{_IDLE}{motion}"), component] = 0.0
        return modes.reshape(n * modes.shape[1], -1)


@eqx.filter_jit
def member_forces(
    frame: Frame,
    u: Array,
    positions: Sequence[float] = (0.0, 0.5, 1.0),
    inputs: Mapping[str, Series] | None = None,
) -> Float[Array, "n k forces"]:
    r"""The forces in the sections of every member at $\xi = x/L$, in N and N·m.

    In space $N, V_y, V_z, T, M_y, M_z$ in the local axes of the member, see `section_forces`; in the plane $N, V, M$
    with $V$ along the direction to the left of the member, $M' = V$, and $M > 0$ stretching the left side.
    ``u (n_nodes, components)`` is a static solution; inertia along the members does not enter. Inputs
    are taken at time 0.
    """
    problem = drive(frame.problem, at_time(inputs, 0.0))
    flat, points = jnp.asarray(u).reshape(-1), jnp.asarray(problem.space.mesh.points)
    places = jnp.asarray(positions, float)
    total = jnp.zeros((problem.space.mesh.n_cells, len(positions), 6))
    for part in problem.contributions:
        if isinstance(part, ElementGroup) and isinstance(part.kernel, MemberStiffness | MemberForce):
            total = total.at[part.cells].add(part.each(_forces(places), flat, points))
    return total if points.shape[1] == 3 else total[:, :, jnp.array([0, 2, 4])]


def _forces(places: Array) -> Any:
    def one(kernel: Any, u: Array, x: Array) -> Array:
        member, corners, embed = kernel.numbers.member(x)
        if isinstance(kernel, MemberForce):  # what the load adds where the nodes do not move
            return section_forces(member, corners, jnp.zeros(12), places, kernel.load.along(member, x))
        return section_forces(member, corners, embed @ u, places)

    return one


@eqx.filter_jit
def stress_stiffness(frame: Frame, u: Array) -> Float[Array, "..."]:
    """The values of the geometric stiffness under the axial forces of a static solution ``u``."""
    problem = frame.problem
    points = jnp.asarray(problem.space.mesh.points)
    axial = member_forces(frame, u, (0.5,))[:, 0, 0]
    zero = jnp.zeros(problem.space.n_dofs)

    def stressed(part: Contribution) -> list[Chunks] | None:
        if not (isinstance(part, ElementGroup) and isinstance(part.kernel, MemberStiffness)):
            return None
        kernel = MemberStress(part.kernel.numbers, PerCell(axial[part.cells]))
        return ElementGroup(kernel, part.unknowns, part.corners, part.cells).tangents(zero, points)

    return problem.to_matrix([stressed(part) for part in problem.contributions])


def _turns(condition: Support | Dirichlet, dim: int) -> bool:
    """Whether a condition holds rotations."""
    if isinstance(condition, Support):
        return len(set(condition.names(dim)) - set(MOTIONS[dim][:dim])) > 0
    return condition.component is None or condition.component >= dim


def _without_springs(
    mesh: Mesh, idle: Mapping[str, np.ndarray], turning: Sequence[PointElement]
) -> dict[str, np.ndarray]:
    """The idle rotations that no spring resists. Raises `ValueError` for a moment on one of them."""
    for element in turning:
        if isinstance(element.at, str):
            nodes = np.asarray(mesh.nodes_of(element.at))
            if element.resists:
                idle = {motion: np.setdiff1d(found, nodes) for motion, found in idle.items()}
    for element in turning:
        for motion, found in idle.items():
            if isinstance(element.at, str) and np.isin(mesh.nodes_of(element.at), found).any():
                raise ValueError(
                    f"The moment at '{element.at}' acts on a node whose rotation '{motion}' nothing resists, as in a "
                    "truss: leave the moment out, or join a beam there."
                )
    return dict(idle)


def _holding(mesh: Mesh, idle: Mapping[str, np.ndarray], tags: Sequence[str]) -> tuple[Mesh, list[Dirichlet]]:
    """The mesh with facets at the nodes that conditions name, and the conditions that hold idle rotations."""
    for tag in dict.fromkeys(tags):
        if tag in mesh.node_tags and tag not in mesh.facet_tags:
            mesh = mesh.with_facet_tag(tag, ends_at(mesh, np.asarray(mesh.nodes_of(tag))))
    held = []
    for motion, nodes in idle.items():
        if len(nodes):
            mesh = mesh.with_facet_tag(f"{_IDLE}{motion}", ends_at(mesh, nodes))
            held.append(Dirichlet(f"{_IDLE}{motion}", 0.0, MOTIONS[mesh.dim].index(motion)))
    return mesh, held
