r"""Small deformations of a solid of any material, with or without history.

$$ \rho \ddot u - \nabla\cdot\sigma(\varepsilon, z) = f, \quad \varepsilon = \tfrac12(\nabla u + \nabla u^\top) $$

Source: Simo, Hughes, *Computational Inelasticity*, 1998, chapter 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gemel.engine.constraints import Condition
from gemel.engine.materials import SmallStrainMaterial
from gemel.engine.physics.elasticity import known_places, rigid_body_modes
from gemel.engine.physics.kinematics import (
    AXISYMMETRIC,
    PLANE_STRAIN,
    PLANE_STRESS,
    SOLID,
    revolved,
)
from gemel.engine.physics.physics import Physics, divide
from gemel.engine.physics.smallstrain import inertia_terms, require_displacements, small_strain_term
from gemel.engine.problems import DiscreteProblem, Summand, discretise
from gemel.engine.spaces import FunctionSpace


class Solid(Physics):
    """A solid body under small deformations.

    Args:
        space: a space of shape ``(dim,)``; the field is the displacement in m.
        material: any `SmallStrainMaterial`; its numbers may be parameters, inputs, `Law`, `Profile`,
            `FieldCoefficient`, or mappings from tags of cells to numbers or parameters.
        density: in kg/m³, needed for modal and dynamic analyses; likewise.
        conditions: `Dirichlet` displacements and loads: `Traction`, `Force`, `Pressure`, `ElasticSupport`, `BodyForce`,
            `Gravity`, `Centrifugal`.
        masses: `AddedMass` terms.
        kinematics: "solid" in 3-D; "plane strain", "plane stress" (unit thickness) or "axisymmetric" in 2-D,
            the last with coordinates (r, z) and loads per area or volume of the whole ring.
        dampings: terms whose tangent is the damping matrix, such as `Dashpots`.

    A material with history is followed over time by `Quasistatic`; other analyses take one step from the virgin
    state.

    Raises:
        ValueError: for a space of another shape, unknown kinematics or tags, or a mesh with r < 0.
    """

    problem: DiscreteProblem
    inertia: DiscreteProblem | None
    damping: DiscreteProblem | None

    def __init__(
        self,
        space: FunctionSpace,
        material: SmallStrainMaterial,
        density: Any | Mapping[str, Any] = None,
        conditions: Sequence[Summand | Condition] = (),
        masses: Sequence[Summand] = (),
        kinematics: str = SOLID,
        dampings: Sequence[Summand] = (),
    ) -> None:
        require_displacements(space, kinematics, (SOLID, PLANE_STRAIN, PLANE_STRESS, AXISYMMETRIC))
        inner = small_strain_term(space, material, kinematics)
        loads, essential = divide("Solid", conditions)
        storage = inertia_terms(space.mesh, density, masses)
        self.problem, inertia, damping = discretise(
            space,
            essential,
            [inner, *revolved(kinematics, loads)],
            *(revolved(kinematics, g) for g in (storage, dampings)),
        )
        self.inertia = inertia if storage else None
        self.damping = damping if dampings else None

    def near_nullspace(self) -> np.ndarray | None:
        """The rigid-body motions at the nodes, ``(n_dofs, 3)`` in 2-D and ``(n_dofs, 6)`` in 3-D."""
        space = self.problem.space
        assert isinstance(space, FunctionSpace)
        return rigid_body_modes(known_places(space))
