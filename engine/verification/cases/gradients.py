"""Gradients: Taylor remainders of second order, and memory that does not grow."""

import gc
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine import (
    AddedMass,
    BodyForce,
    Convection,
    Dirichlet,
    Elasticity,
    Flux,
    FunctionSpace,
    Heat,
    Law,
    Modal,
    Normal,
    Ode,
    OdeSystem,
    Parameter,
    Pressure,
    Radiation,
    Steady,
    Traction,
    Transient,
    Vector,
    bind,
)
from gemel.engine.verification.case import Case, Check, bound, case, order
from gemel.engine.verification.tools import unit_mesh
from gemel.meshes import Mesh
from gemel.solvers import DenseDirect, SparseDirect

GROUP = "gradients"
SOURCE = "Farrell, Ham, Funke, Rognes, SIAM J. Sci. Comput. 35, 2013 (Taylor remainder test)"
_STEPS = np.array([2e-2, 1e-2])

Functional = Callable[[Mapping[str, Any], Any], Array]
"""A number from the values of parameters by name and the coordinates of the nodes."""


def remainder_checks(functional: Functional, values: Mapping[str, float], points: np.ndarray | None) -> list[Check]:
    """For each parameter, and the nodes together: the order of the remainder, and that both modes agree.

    Args:
        functional: pure; compiled once for its value, once for its gradient and once for its tangent.
        values: where the gradient is taken.
        points: coordinates of the nodes; None where there are none.
    """
    at = ({name: jnp.asarray(value) for name, value in values.items()}, None if points is None else jnp.asarray(points))
    value_of = jax.jit(functional)
    value, gradient = jax.jit(jax.value_and_grad(lambda x: functional(*x)))(at)
    tangent = jax.jit(lambda x, v: jax.jvp(lambda y: functional(*y), (x,), (v,))[1])
    checks = []
    for name, direction in _directions(at).items():
        slope = float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction))))
        gap = abs(float(tangent(at, direction)) - slope) / abs(slope)
        moved = [jax.tree.map(lambda x, v, h=h: x + h * v, at, direction) for h in _STEPS]
        rests = [abs(float(value_of(*x) - value) - h * slope) for x, h in zip(moved, _STEPS, strict=True)]
        checks.append(order(f"order of the remainder, {name}", 2, np.log2(rests[0] / rests[1])))
        checks.append(bound(f"gap of forward and reverse mode, {name}", 1e-7, gap))
    return checks


def _directions(at: Any) -> dict[str, Any]:
    """One direction for each parameter, and a random one for all nodes."""
    values, points = at
    zero = jax.tree.map(jnp.zeros_like, at)
    found = {name: ({**zero[0], name: values[name]}, zero[1]) for name in values}
    if points is not None:
        moves = 0.3 * np.random.default_rng(11).uniform(-1, 1, points.shape)
        found["node coordinates"] = (zero[0], jnp.asarray(moves))
    return found


def _moved(model: Any, points: Any) -> Any:
    """A model whose meshes have other points."""
    if points is None:
        return model

    def replace(node: Any) -> Any:
        return node.with_points(points) if isinstance(node, Mesh) else node

    return jax.tree.map(replace, model, is_leaf=lambda node: isinstance(node, Mesh))


def _parameter(name: str) -> Parameter:
    return Parameter(name, Normal(1.0, 1.0))


def _gradient_case(
    name: str,
    title: str,
    setup: str,
    build: Callable[[], Any],
    read: Callable[[Any], Array],
    values: Mapping[str, float],
    mesh: Mesh | None,
) -> Case:
    """A case for an analysis that holds parameters of the given values, and a number that is read from it."""

    @case(
        f"gradient-{name}",
        group=GROUP,
        title=f"Gradients of {title}",
        equations=r"$$ |J(m + h\,\delta m) - J(m) - h\,\nabla J\cdot\delta m| = O(h^2) $$",
        setup=f"{setup} Steps of 0.02 and 0.01 of each; forward and reverse mode must give the same slope.",
        source=SOURCE,
    )
    def run() -> Sequence[Check]:
        analysis = build()

        def functional(some: Mapping[str, Any], points: Any) -> Array:
            return read(_moved(bind(analysis, some), points))

        return remainder_checks(functional, values, None if mesh is None else np.asarray(mesh.points))

    return run


def _square() -> Mesh:
    return unit_mesh("quadrilateral", 3, 0.15)


def _steady(physics: Any, initial: float = 0.0) -> Steady:
    return Steady(physics, linear_solver=DenseDirect(rtol=1e-9), initial=initial)


def _sum_of_squares(analysis: Steady) -> Array:
    return jnp.sum(analysis.solve(None).value ** 2)


def _heat() -> Steady:
    loads = [Flux("top", _parameter("flux")), Convection("right", 2.0, 1.0), Dirichlet("left", _parameter("wall"))]
    return _steady(Heat(FunctionSpace(_square(), "Q2"), _parameter("conductivity"), conditions=loads))


def _nonlinear_heat() -> Steady:
    law = Law(lambda u, x, k: k * (1 + u**2 / 4), (_parameter("conductivity"),))
    emissivity = _parameter("emissivity")
    loads = [
        Flux("top", _parameter("flux")),
        Radiation("right", emissivity, 300.0),
        Dirichlet("left", _parameter("wall")),
    ]
    return _steady(Heat(FunctionSpace(_square(), "Q1"), law, conditions=loads), 300.0)


def _solid() -> Steady:
    pull = _parameter("traction")
    loads = [
        Traction("right", Vector((pull, 0.3, pull))),
        BodyForce("all", Vector((0.0, 0.2, _parameter("weight")))),
        Pressure("top", _parameter("pressure")),
        Dirichlet("left", _parameter("held at")),
    ]
    space = FunctionSpace(unit_mesh("tetrahedron", 2, 0.1), "P1", (3,))
    return _steady(Elasticity(space, _parameter("Young's modulus"), _parameter("Poisson's ratio"), conditions=loads))


def _plane() -> Steady:
    loads = [Traction("right", Vector((_parameter("traction"), 0.5))), Dirichlet("left", _parameter("held at"))]
    space = FunctionSpace(_square(), "Q2", (2,))
    constants = (_parameter("Young's modulus"), _parameter("Poisson's ratio"))
    return _steady(Elasticity(space, *constants, conditions=loads, kinematics="plane stress"))


def _modal() -> Modal:
    space = FunctionSpace(_square(), "Q1", (2,))
    constants = (_parameter("Young's modulus"), _parameter("Poisson's ratio"), _parameter("density"))
    masses = [AddedMass("right", _parameter("added mass"))]
    body = Elasticity(space, *constants, [Dirichlet("left")], masses, kinematics="plane stress")
    return Modal(body, 2, rtol=1e-10)


def _transient() -> Transient:
    loads = [Flux("top", _parameter("flux")), Convection("right", 2.0, 1.0), Dirichlet("left", _parameter("wall"))]
    heat = Heat(FunctionSpace(_square(), "Q1"), _parameter("conductivity"), _parameter("capacity"), loads)
    return Transient(heat, _parameter("start"), 0.05, linear_solver=DenseDirect(rtol=1e-9))


def _history(analysis: Transient) -> Array:
    grid = jnp.linspace(0.0, 0.5, 11)
    history, _ = analysis.solve(analysis.prepare(), {}, grid, lambda t, u: jnp.sum(u**2)).value
    return jnp.sum(history)


class _Pendulum(OdeSystem):
    """A damped pendulum under a constant moment."""

    damping: Any
    moment: Any
    angle: Any
    output_names: tuple[str, ...] = eqx.field(static=True, default=())

    def initial(self) -> Array:
        """Released at rest."""
        return jnp.stack([jnp.asarray(self.angle, float), jnp.zeros(())])

    def rate(self, t: Any, y: Array, inputs: Mapping[str, Any]) -> Array:
        """Newton's law."""
        return jnp.stack([y[1], self.moment - jnp.sin(y[0]) - self.damping * y[1]])

    def outputs(self, t: Any, y: Array, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """Nothing."""
        return {}


def _pendulum() -> Ode:
    damping, moment, angle = (_parameter(name) for name in ("damping", "moment", "angle"))
    return Ode(_Pendulum(damping=damping, moment=moment, angle=angle), 0.05)


def _swing(analysis: Ode) -> Array:
    return jnp.sum(analysis.solve({}, jnp.linspace(0.0, 2.0, 41)).value ** 2)


def _resident() -> float:
    """Resident memory of this process in MiB."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


@case(
    "gradient-memory",
    group=GROUP,
    title="Memory over a thousand gradients",
    equations="",
    setup="The gradient of heat conduction with respect to its conductivity, 1000 times at different values after "
    "50 to warm up, with a "
    "sparse direct solver, whose factors would be the first to pile up; growth of the resident memory.",
    source="a field of 961 unknowns kept 1000 times would be 7 MiB, its factors 300 MiB",
    slow=True,
)
def memory() -> Sequence[Check]:
    loads = [Flux("top", 1.0), Convection("right", 2.0, 1.0), Dirichlet("left", 0.4)]
    heat = Heat(FunctionSpace(unit_mesh("quadrilateral", 15, 0.15), "Q2"), _parameter("k"), conditions=loads)
    analysis = Steady(heat, linear_solver=SparseDirect(rtol=1e-9))

    @jax.jit
    @jax.value_and_grad
    def energy(k: Array) -> Array:
        return _sum_of_squares(bind(analysis, {"k": k}))

    def repeat(values: np.ndarray) -> float:
        for value in values:
            jax.block_until_ready(energy(jnp.asarray(value)))
        gc.collect()
        return _resident()

    before = repeat(np.linspace(1.0, 2.0, 50))
    after = repeat(np.linspace(1.0, 2.0, 1000))
    return [bound("growth of the resident memory", 20.0, after - before, "MiB")]


CASES = (
    _gradient_case(
        "heat",
        "steady heat conduction",
        "3 × 3 distorted quadrilaterals Q2; conductivity, flux, wall temperature, all nodes; J = Σ T².",
        _heat,
        _sum_of_squares,
        {"conductivity": 1.3, "flux": 0.7, "wall": 0.4},
        _square(),
    ),
    _gradient_case(
        "nonlinear-heat",
        "steady heat conduction with k(T) and radiation",
        "3 × 3 distorted quadrilaterals Q1, Newton's method; a factor of the conductivity, emissivity, flux, wall "
        "temperature, all nodes; J = Σ T².",
        _nonlinear_heat,
        _sum_of_squares,
        {"conductivity": 1e-3, "emissivity": 0.8, "flux": 2e4, "wall": 350.0},
        _square(),
    ),
    _gradient_case(
        "elasticity-solid",
        "elastostatics in space",
        "Distorted tetrahedra P1, 2 lattice cells a side; elastic constants, traction, pressure, weight, the "
        "displacement of "
        "the held side, all nodes; J = Σ |u|².",
        _solid,
        _sum_of_squares,
        {
            "Young's modulus": 1.3,
            "Poisson's ratio": 0.26,
            "traction": 0.7,
            "pressure": 0.4,
            "weight": -0.5,
            "held at": 0.3,
        },
        unit_mesh("tetrahedron", 2, 0.1),
    ),
    _gradient_case(
        "elasticity-plane-stress",
        "elastostatics in the plane",
        "3 × 3 distorted quadrilaterals Q2, plane stress; elastic constants, traction, the displacement of the "
        "held side, all "
        "nodes; J = Σ |u|².",
        _plane,
        _sum_of_squares,
        {"Young's modulus": 1.3, "Poisson's ratio": 0.26, "traction": 0.7, "held at": 0.3},
        _square(),
    ),
    _gradient_case(
        "modal",
        "a natural frequency",
        "3 × 3 distorted quadrilaterals Q1, plane stress; elastic constants, density, an added mass, all nodes; J "
        "= second "
        "frequency.",
        _modal,
        lambda analysis: analysis.solve().value[0][1],
        {"Young's modulus": 1.3, "Poisson's ratio": 0.26, "density": 0.7, "added mass": 0.2},
        _square(),
    ),
    _gradient_case(
        "transient-heat",
        "transient heat conduction",
        "3 × 3 distorted quadrilaterals Q1, ten steps of SDIRK2; conductivity, capacity, flux, wall temperature, "
        "start, all "
        "nodes; J = Σₙ Σ T².",
        _transient,
        _history,
        {"conductivity": 1.3, "capacity": 0.9, "flux": 0.7, "wall": 0.4, "start": 0.5},
        _square(),
    ),
    _gradient_case(
        "ode",
        "an ordinary differential equation",
        "A damped pendulum under a moment, 40 steps of Kvaerno's method; damping, moment, initial angle; J = Σₙ |y|².",
        _pendulum,
        _swing,
        {"damping": 0.3, "moment": 0.7, "angle": 0.4},
        None,
    ),
    memory,
)
"""The chapter."""
