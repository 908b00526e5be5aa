"""Manufactured solutions: the observed orders of elements, physics and integrators against theory."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gemel.engine import (
    BodyForce,
    Convection,
    Dirichlet,
    Elasticity,
    Flux,
    FunctionSpace,
    Heat,
    HeatSource,
    Input,
    Law,
    Modal,
    Profile,
    Series,
    Traction,
    Transient,
    modes,
)
from gemel.engine.physics import lame
from gemel.engine.verification.case import Case, Check, case, order
from gemel.engine.verification.exact import Exponential, body_force, stress
from gemel.engine.verification.tools import PLANE_CELLS, errors, observed_order, slug, solved, spoken, unit_mesh
from gemel.meshes import Mesh, rectangle
from gemel.solvers import DenseDirect

GROUP = "convergence"
CIARLET = "Ciarlet, The Finite Element Method for Elliptic Problems, 1978, chapter 3"
_DISTORTION = 0.12

# Cells a side of the coarser of two meshes; the finer has twice as many.
_ELEMENTS = (
    ("interval", "P1", 8),
    ("interval", "P2", 8),
    ("interval", "P3", 4),
    ("triangle", "P1", 12),
    ("triangle", "P2", 6),
    ("triangle", "P3", 4),
    ("quadrilateral", "Q1", 12),
    ("quadrilateral", "Q2", 6),
    ("quadrilateral", "Q3", 4),
    ("tetrahedron", "P1", 6),
    ("tetrahedron", "P2", 4),
    ("tetrahedron", "P3", 3),
    ("hexahedron", "Q1", 6),
    ("hexahedron", "Q2", 3),
    ("hexahedron", "Q3", 3),
    ("prism", "P1", 4),
    ("prism", "P2", 3),
    ("prism", "P3", 3),
    ("quadrilateral+triangle", "P2", 6),
    ("hexahedron+prism", "P1", 4),
)


_FIELD = {1: "exp(0.9 x)", 2: "exp(0.9 x − 0.7 y)", 3: "exp(0.9 x − 0.7 y + 0.4 z)"}


def _dimension(cell: str) -> int:
    return 1 if cell == "interval" else 2 if cell in PLANE_CELLS else 3


def _shares(cell: str) -> str:
    return f"the unit {('interval', 'square', 'cube')[_dimension(cell) - 1]}"


def _conduction(cell: str, element: str, n: int, law: bool = False) -> np.ndarray:
    """Errors with k = 1 + x₁ x_d, or with k = 1 + u²."""
    space = FunctionSpace(unit_mesh(cell, n, _DISTORTION), element)
    field = Exponential.of(space.mesh.dim, 1)
    exact = lambda x: field.value(x)[0]  # noqa: E731
    conductivity = lambda x: 1 + x[0] * x[-1]  # noqa: E731

    def source(x: Any) -> Any:
        u, slope, laplacian = exact(x), field.gradient(x)[0], jnp.trace(field.hessian(x)[0])
        if law:
            return -(1 + u**2) * laplacian - 2 * u * jnp.sum(slope**2)
        return -conductivity(x) * laplacian - jax.grad(conductivity)(x) @ slope

    k = Law(lambda u, x: 1 + u**2) if law else Profile(conductivity)
    conditions = [HeatSource("all", Profile(source)), Dirichlet("boundary", Profile(exact))]
    u = solved(Heat(space, k, conditions=conditions), 1.0 if law else 0.0)
    return errors(space, u, exact, lambda x: field.gradient(x)[0])


def _element(cell: str, element: str, n: int) -> Case:
    degree = int(element[1])

    @case(
        f"order-{slug(cell)}-{element.lower()}",
        group=GROUP,
        title=f"Orders of {element} on distorted meshes of the {spoken(cell)}",
        equations=r"$$ -\nabla\cdot\big((1 + x_1 x_d)\nabla u\big) = f, \quad \|u - u_h\|_{L_2} = O(h^{"
        + str(degree + 1)
        + r"}), \quad |u - u_h|_{H^1} = O(h^{"
        + str(degree)
        + r"}) $$",
        setup=f"{_shares(cell).capitalize()} with {n} and {2 * n} cells a side, points moved by {_DISTORTION} of a "
        f"spacing to and fro; "
        f"u = {_FIELD[_dimension(cell)]} on the boundary, f from it.",
        source=CIARLET,
    )
    def run() -> Sequence[Check]:
        value, slope = observed_order(_conduction(cell, element, n), _conduction(cell, element, 2 * n))
        return [order("L2", degree + 1, value), order("H1", degree, slope)]

    return run


def _elastic(cell: str, element: str, kinematics: str, n: int) -> np.ndarray:
    dim = 2 if cell in PLANE_CELLS else 3
    space = FunctionSpace(unit_mesh(cell, n, _DISTORTION), element, (dim,))
    field = Exponential.of(dim, dim)
    first, shear = lame(2.0, 0.3, kinematics)
    sides = ("left", "right", "bottom") if dim == 2 else ("left", "right", "bottom", "top", "front")
    pull = Profile(lambda x: stress(field, first, shear, x)[:, 1])
    force = Profile(lambda x: body_force(field, first, shear, x))
    loads = [BodyForce("all", force), Traction("top" if dim == 2 else "back", pull)]
    held = [Dirichlet(side, Profile(field.value)) for side in sides]
    body = Elasticity(space, 2.0, 0.3, conditions=[*loads, *held], kinematics=kinematics)
    return errors(space, solved(body), field.value, field.gradient)


def _elasticity(kinematics: str, cell: str, element: str, n: int) -> Case:
    degree = int(element[1])

    @case(
        f"order-elasticity-{kinematics.replace(' ', '-')}",
        group=GROUP,
        title=f"Orders of elasticity, {kinematics}",
        equations=r"$$ -\nabla\cdot\sigma(u) = f, \quad E = 2,\ \nu = 0.3 $$",
        setup=f"{_shares(cell).capitalize()}, {n} and {2 * n} distorted {cell} cells a side, {element}; a smooth "
        f"displacement on all "
        "sides but one, its traction there.",
        source=CIARLET,
    )
    def run() -> Sequence[Check]:
        coarse, fine = (_elastic(cell, element, kinematics, m) for m in (n, 2 * n))
        value, slope = observed_order(coarse, fine)
        return [order("L2", degree + 1, value), order("H1", degree, slope)]

    return run


@case(
    "order-nonlinear-conduction",
    group=GROUP,
    title="Orders of conduction with a conductivity that depends on temperature",
    equations=r"$$ -\nabla\cdot\big((1 + u^2)\nabla u\big) = f $$",
    setup="Unit square, 6 and 12 distorted quadrilaterals Q2 a side, Newton's method; u as for the elements.",
    source=CIARLET,
)
def nonlinear_conduction() -> Sequence[Check]:
    coarse, fine = (_conduction("quadrilateral", "Q2", n, law=True) for n in (6, 12))
    value, slope = observed_order(coarse, fine)
    return [order("L2", 3, value), order("H1", 2, slope)]


@case(
    "order-eigenvalues",
    group=GROUP,
    title="Order of natural frequencies",
    equations=r"$$ f_h - f = O(h^{2k}) $$",
    setup="The free bar of the case free-bar, 2 × 0.1 m, 8 and 16 quadrilaterals Q2 along it: third longitudinal "
    "frequency.",
    source="Strang, Fix, An Analysis of the Finite Element Method, 1973, chapter 6",
)
def eigenvalues() -> Sequence[Check]:
    def off(n: int) -> float:
        space = FunctionSpace(rectangle(n, 1, size=(2.0, 0.1)), "Q2", (2,))
        rollers = [Dirichlet(side, 0.0, component=1) for side in ("bottom", "top")]
        body = Elasticity(space, 1.0, 0.0, 1.0, rollers, kinematics="plane strain")
        frequencies, _ = modes(Modal(body, 4, rtol=1e-10, shift_frequency=0.3)).checked()
        return abs(float(frequencies[3]) - 0.75)

    return [order("third frequency", 4, observed_order(off(8), off(16)))]


@case(
    "order-re-entrant-corner",
    group=GROUP,
    title="Order at a re-entrant corner",
    equations=r"$$ u = r^{2/3}\sin\tfrac{2\theta}{3}: \quad |u - u_h|_{H^1} = O(h^{2/3}) \text{ for every degree} $$",
    setup="The square (−1, 1)² without its lower right quarter, 8 and 16 quadrilaterals Q2 a side of a quarter, "
    "uniform; the exact "
    "values on the boundary.",
    source="Strang, Fix, An Analysis of the Finite Element Method, 1973, chapter 8",
)
def re_entrant_corner() -> Sequence[Check]:
    def exact(x: Any) -> Any:
        angle = jnp.arctan2(x[1], x[0])
        angle = jnp.where(angle < -1e-9, angle + 2 * jnp.pi, angle)
        return jnp.sum(x**2) ** (1 / 3) * jnp.sin(2 * angle / 3)

    def off(n: int) -> float:
        space = FunctionSpace(_l_shape(n), "Q2")
        return errors(space, solved(Heat(space, 1.0, conditions=[Dirichlet("boundary", Profile(exact))])), exact)[1]

    return [order("H1", 2 / 3, observed_order(off(8), off(16)), 0.05)]


def _l_shape(n: int) -> Mesh:
    """The square (−1, 1)² without its lower right quarter, of n cells to a unit."""
    whole = rectangle(2 * n, 2 * n, size=(2.0, 2.0), origin=(-1.0, -1.0))
    points, cells = np.asarray(whole.points), np.asarray(whole.cells)
    middle = points[cells].mean(axis=1)
    used, numbers = np.unique(cells[(middle[:, 0] < 0) | (middle[:, 1] > 0)], return_inverse=True)
    return Mesh.of(points[used], numbers.reshape(-1, 4), "quadrilateral")


def _marched(step: float, build: Callable[[FunctionSpace], Heat], inputs: dict, start: Profile | float) -> float:
    """The sum of squares over the nodes at 0.4 s after a run with a given step."""
    space = FunctionSpace(unit_mesh("quadrilateral", 2, _DISTORTION), "Q2")
    analysis = Transient(build(space), start, step, rtol=1e-12, linear_solver=DenseDirect(1e-9))
    grid = analysis.grid(np.array([0.0, 0.4]))
    run = eqx.filter_jit(lambda some: some.solve(None, inputs, grid, lambda t, u: jnp.sum(u**2)))
    history, _ = run(analysis).checked()
    return float(history[-1])


def _time_order(build: Callable[[FunctionSpace], Heat], inputs: dict, start: Profile | float) -> float:
    values = [_marched(step, build, inputs, start) for step in (0.02, 0.01, 0.005)]
    return float(np.log2(abs(values[0] - values[1]) / abs(values[1] - values[2])))


@case(
    "order-sdirk2",
    group=GROUP,
    title="Order of transient heat conduction in time",
    equations=r"$$ M\dot u + r(t, u) = 0: \quad \|u_{\Delta t} - u\| = O(\Delta t^2) $$",
    setup="Heat in a square of 2 × 2 distorted quadrilaterals Q2, Alexander's SDIRK2: linear with convection; with "
    "a prescribed "
    "temperature that moves; with k = 1 + u/2 and a flux, from a state at rest (data that are not smooth cost a "
    "nonlinear problem "
    "its order). Steps of 0.02, 0.01 and 0.005 s to 0.4 s; the order of successive differences.",
    source="Alexander, SIAM J. Numer. Anal. 14, 1977",
    slow=True,
)
def sdirk2() -> Sequence[Check]:
    times = np.linspace(0.0, 0.4, 801)
    swing = {"wall": Series(times, 1.0 + np.sin(5 * times) ** 2, hold=False)}
    bent = Profile(lambda x: 1.0 + x[0] * x[1])
    loss, push = Convection("right", 2.0, 0.0), Flux("top", Input("push"))
    law = Law(lambda u, x: 1 + u / 2)
    rising = {"push": Series(times, 4 * np.sin(5 * times) ** 2, hold=False)}
    return [
        order("linear", 2, _time_order(lambda s: Heat(s, 1.0, 1.0, [loss]), {}, bent)),
        order("moving boundary value", 2, _time_order(_moving, swing, bent)),
        order(
            "nonlinear", 2, _time_order(lambda s: Heat(s, law, 1.0, [Convection("right", 2.0, 1.0), push]), rising, 1.0)
        ),
    ]


def _moving(space: FunctionSpace) -> Heat:
    return Heat(space, 1.0, 1.0, [Dirichlet("left", Input("wall"))])


CASES = (
    *(_element(*some) for some in _ELEMENTS),
    _elasticity("plane stress", "quadrilateral", "Q2", 5),
    _elasticity("plane strain", "triangle", "P2", 5),
    _elasticity("solid", "tetrahedron", "P2", 3),
    nonlinear_conduction,
    eigenvalues,
    re_entrant_corner,
    sdirk2,
)
"""The chapter."""
