"""Stress, strain, reactions and averages of a deformed body, all differentiable.

Stress lives at quadrature points, where it is most accurate and where history is; nodal values are a fit in each cell,
averaged over the cells that meet.

Source: Zienkiewicz, Taylor, Zhu, *The Finite Element Method: Its Basis and Fundamentals*, 6th ed., 2005, section 13.5;
Hinton, Campbell, *Local and global smoothing of discontinuous finite element functions using a least squares method*,
Int. J. Numer. Methods Eng. 8, 1974.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.assembly import GatherSum
from gemel.engine.coefficients import QuadratureField
from gemel.engine.compiling import one_program
from gemel.engine.constraints.selection import nodes_at
from gemel.engine.domains import Domain
from gemel.engine.elements import LagrangeElement
from gemel.engine.fields import Point
from gemel.engine.kernels import Frame, at_points
from gemel.engine.physics.kinematics import StressForm, weight
from gemel.engine.physics.physics import Physics
from gemel.engine.problems import DiscreteProblem, Integral
from gemel.engine.spaces import FunctionSpace, MixedSpace, field_of
from gemel.meshes import quadrature


def stress_field(body: Physics, u: Any, step: DiscreteProblem | None = None) -> QuadratureField:
    """The Cauchy stress in Pa at the quadrature points, ``(n_elements, n_points, 3, 3)`` for each group of cells.

    Args:
        body: `Elasticity`, `Solid` or `Hyperelasticity`.
        u: the solution as `solve` returns it, or flat.
        step: the problem of the step that led to ``u``, as `follow` gives it: with its inputs and its history. That
            of the body, with virgin material, when None.
    """
    return _evaluate(body, u, _stress, step)


def strain_field(body: Physics, u: Any, step: DiscreteProblem | None = None) -> QuadratureField:
    """The strain (Green-Lagrange under large deformations) at the quadrature points, as `stress_field`."""
    return _evaluate(body, u, _strain, step)


def _stress(form: StressForm, jet: Any, point: Point) -> Array:
    return form.stress(jet, point)


def _strain(form: StressForm, jet: Any, point: Point) -> Array:
    return form.strain(jet, point)


def _evaluate(body: Physics, u: Any, function: Callable[..., Array], step: DiscreteProblem | None) -> QuadratureField:
    problem = body.problem if step is None else step
    points = jnp.asarray(problem.space.mesh.points)
    return _evaluated(_internal(problem), function, _flat(problem, u), points)


@one_program
def _evaluated(part: Integral, function: Callable[..., Array], u: Array, points: Array) -> QuadratureField:
    return part.evaluate(function, u, points)


def _internal(problem: DiscreteProblem) -> Integral:
    """The internal forces of a body. Raises `ValueError` where there are none."""
    for part in problem.contributions:
        if isinstance(part, Integral) and isinstance(part.form, StressForm):
            return part
    raise ValueError("Stress is known for Solid and Hyperelasticity: this problem has no stress.")


def _flat(problem: DiscreteProblem, u: Any) -> Array:
    if isinstance(u, Array) and u.shape == (problem.space.n_dofs,):
        return u
    space: Any = problem.space
    return space.flatten(u)


def nodal_values(body: Physics, field: QuadratureField) -> Float[Array, "n_nodes *value"]:
    """A field at quadrature points carried to the nodes of the displacement.

    In each cell a polynomial one degree below the displacement's (at least linear) is fitted by least squares;
    its values at the nodes are averaged over the cells that meet, also across regions of different material.
    """
    internal, space = _internal(body.problem), _displacement_space(body.problem)
    rows, nodes = [], []
    for domain, values in zip(internal.domains, field.values, strict=True):
        block = int(np.searchsorted(space.mesh.offsets, int(np.asarray(domain.cells)[0]), side="right")) - 1
        fit = jnp.asarray(_fit(space.elements[block], domain))
        at_nodes = jnp.einsum("aq,eq...->ea...", fit, values)
        rows.append(at_nodes.reshape(-1, *at_nodes.shape[2:]))
        nodes.append(np.asarray(domain.tables[0].nodes).ravel())
    numbers = np.concatenate(nodes)
    summed = GatherSum.plan(numbers, space.n_nodes)(jnp.concatenate(rows))
    counts = np.maximum(np.bincount(numbers, minlength=space.n_nodes), 1)
    return summed / counts.reshape(-1, *([1] * (summed.ndim - 1)))


def _fit(element: LagrangeElement, domain: Domain) -> np.ndarray:
    """Nodal values from quadrature values by a least-squares polynomial, ``(n_nodes, n_points)``."""
    smooth = LagrangeElement(element.cell_type, max(element.degree - 1, 1))
    basis = np.asarray(domain.tables[0].basis)[0]
    samples = next(
        points
        for points, weights in (quadrature(element.cell_type, degree) for degree in range(1, 40))
        if len(points) == len(basis) and np.allclose(element.tabulate(points)[0], basis)
    )
    return smooth.tabulate(element.node_points)[0] @ np.linalg.pinv(smooth.tabulate(samples)[0])


def _displacement_space(problem: DiscreteProblem) -> FunctionSpace:
    space = problem.space
    found = space["u"] if isinstance(space, MixedSpace) else space
    assert isinstance(found, FunctionSpace)
    return found


def volume_average(body: Physics, field: QuadratureField, on: str = "all") -> Array:
    """The mean of a field at quadrature points over the cells called ``on`` (over the volume of the reference body).

    Raises `ValueError` for an unknown tag.
    """
    internal, mesh = _internal(body.problem), body.problem.space.mesh
    form = internal.form
    assert isinstance(form, StressForm)
    chosen = np.zeros(mesh.n_cells, dtype=bool)
    chosen[np.asarray(mesh.cells_of(on))] = True
    points = jnp.asarray(mesh.points)
    blank = jnp.zeros(body.problem.space.n_dofs)

    def measures(_: Any, local: tuple[Array, ...], frame: Frame) -> Array:
        return frame.measure * at_points(
            lambda _, jet, point: jnp.asarray(weight(form.kinematics, point)), None, frame, ()
        )

    total: Any = 0.0
    volume: Any = 0.0
    for domain, values in zip(internal.domains, field.values, strict=True):
        inside = jnp.asarray(chosen[np.asarray(domain.cells)])
        shares = domain.map(measures, None, blank, points) * inside[:, None]
        total = total + jnp.einsum("eq,eq...->...", shares, values)
        volume = volume + jnp.sum(shares)
    return total / volume


def reaction(
    body: Physics, u: Any, on: str, step: DiscreteProblem | None = None, field: str | None = None
) -> Float[Array, " components"]:
    """The force in N that the supports called ``on`` exert on the body: the sum of its residuals there.

    It holds loads that act on the same nodes as well. In two dimensions it is per unit thickness, in axial
    symmetry that of the whole circumference.

    Args:
        body: any physics on a space with values.
        u: the solution as `solve` returns it, or flat.
        on: a tag of facets or nodes.
        step: as in `stress_field`.
        field: which field of a mixed space; "u" where there is one.

    Raises:
        ValueError: for an unknown tag or field.
    """
    problem = body.problem if step is None else step
    space = body.problem.space
    if field is None and isinstance(space, MixedSpace) and "u" in space.names:
        field = "u"
    part, first = field_of(space, field)
    assert isinstance(part, FunctionSpace)
    residual = problem.unconstrained(_flat(problem, u))[first : first + part.n_dofs]
    return jnp.sum(residual.reshape(part.n_nodes, part.n_components)[nodes_at(part, on, "A reaction")], axis=0)
