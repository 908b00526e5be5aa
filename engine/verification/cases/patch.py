"""Patch tests: fields that an element holds exactly come back exactly on distorted meshes."""

from collections.abc import Sequence

import jax.numpy as jnp

from gemel.engine import BodyForce, Dirichlet, Elasticity, Flux, FunctionSpace, Heat, HeatSource, Profile, Traction
from gemel.engine.physics import lame
from gemel.engine.verification.case import Case, Check, absolute, case
from gemel.engine.verification.exact import Polynomial, body_force, stress
from gemel.engine.verification.tools import PLANE_CELLS, nodal_values, slug, solved, spoken, unit_mesh

GROUP = "patch"
SOURCE = "Irons, Razzaque, 1972; Hughes, The Finite Element Method, 2000, section 4.6"
ELEMENTS = (
    ("triangle", "P1"),
    ("triangle", "P2"),
    ("triangle", "P3"),
    ("quadrilateral", "Q1"),
    ("quadrilateral", "Q2"),
    ("quadrilateral", "Q3"),
    ("tetrahedron", "P1"),
    ("tetrahedron", "P2"),
    ("tetrahedron", "P3"),
    ("hexahedron", "Q1"),
    ("hexahedron", "Q2"),
    ("hexahedron", "Q3"),
    ("prism", "P1"),
    ("prism", "P2"),
    ("prism", "P3"),
    ("quadrilateral+triangle", "P2"),
    ("hexahedron+prism", "P2"),
)
"""Every solid element with its cell."""

_DISTORTION = 0.2
_NORMAL = 1  # the free side looks along y


def _cells(cell: str) -> int:
    return 3 if cell in PLANE_CELLS else 2


def _sides(cell: str) -> tuple[str, list[str]]:
    others = ["right", "bottom"] if cell in PLANE_CELLS else ["right", "bottom", "top", "front"]
    return ("top" if cell in PLANE_CELLS else "back"), ["left", *others]


def _heat(cell: str, element: str) -> Check:
    """A full polynomial of the element's degree, with a flux on one side and values on the others."""
    space = FunctionSpace(unit_mesh(cell, _cells(cell), _DISTORTION), element)
    field = Polynomial.random(space.mesh.dim, 1, int(element[1]), 1)
    free, fixed = _sides(cell)
    value = Profile(lambda x: field.value(x)[0])
    load = Profile(lambda x: -3.0 * jnp.trace(field.hessian(x)[0]))
    flux = Profile(lambda x: 3.0 * field.gradient(x)[0, _NORMAL])
    conditions = [HeatSource("all", load), Flux(free, flux), *(Dirichlet(side, value) for side in fixed)]
    u = solved(Heat(space, 3.0, conditions=conditions))
    off = jnp.max(jnp.abs(u - nodal_values(space, lambda x: field.value(x)[0]))) / jnp.max(jnp.abs(u))
    return absolute("heat: largest error over the largest value", 0.0, off, 1e-11)


def _elastic(cell: str, element: str, kinematics: str) -> Check:
    dim = 2 if cell in PLANE_CELLS else 3
    space = FunctionSpace(unit_mesh(cell, _cells(cell), _DISTORTION), element, (dim,))
    field = Polynomial.random(dim, dim, int(element[1]), 2)
    first, shear = lame(2.0, 0.3, kinematics)
    free, fixed = _sides(cell)
    force = Profile(lambda x: body_force(field, first, shear, x))
    pull = Profile(lambda x: stress(field, first, shear, x)[:, _NORMAL])
    held = [Dirichlet(side, Profile(field.value)) for side in fixed]
    conditions = [BodyForce("all", force), Traction(free, pull), *held]
    u = solved(Elasticity(space, 2.0, 0.3, conditions=conditions, kinematics=kinematics))
    off = jnp.max(jnp.abs(u - nodal_values(space, field.value))) / jnp.max(jnp.abs(u))
    return absolute(f"elasticity, {kinematics}: largest error over the largest value", 0.0, off, 1e-11)


def _patch(cell: str, element: str) -> Case:
    kinematics = ("plane strain",) if cell in PLANE_CELLS else ("solid",)
    if (cell, element) == ("quadrilateral", "Q2"):
        kinematics += ("plane stress",)

    @case(
        f"patch-{slug(cell)}-{element.lower()}",
        group=GROUP,
        title=f"Patch test of {element} on the {spoken(cell)}",
        equations=r"$$ u_h = u \text{ for every polynomial } u \in P_k $$",
        setup=f"Unit {'square' if cell in PLANE_CELLS else 'cube'} of {_cells(cell)} cells a side, inner points "
        f"and those "
        "within sides moved by 0.2 of a spacing; a full polynomial of the element's degree with random "
        "coefficients: its load "
        "in the cells, its flux or traction on one side, its values on the others.",
        source=SOURCE,
    )
    def run() -> Sequence[Check]:
        return [_heat(cell, element), *(_elastic(cell, element, some) for some in kinematics)]

    return run


CASES = tuple(_patch(cell, element) for cell, element in ELEMENTS)
"""The chapter."""
