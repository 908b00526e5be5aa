"""Gradients: Taylor remainders of second order, and memory that does not grow."""

import gc
import resource
import sys
from collections.abc import Mapping, Sequence
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
    Ode,
    OdeSystem,
    Pressure,
    Radiation,
    Steady,
    Traction,
    Transient,
    Vector,
    bind,
)
from gemel.engine.verification.case import Check, bound, case
from gemel.engine.verification.taylor import gradient_case, parameter
from gemel.engine.verification.tools import unit_mesh
from gemel.meshes import Mesh
from gemel.solvers import DenseDirect, SparseDirect

GROUP = "gradients"


def _square() -> Mesh:
    return unit_mesh("quadrilateral", 3, 0.15)


def _steady(physics: Any, initial: float = 0.0) -> Steady:
    return Steady(physics, linear_solver=DenseDirect(rtol=1e-9), initial=initial)


def _sum_of_squares(analysis: Steady) -> Array:
    return jnp.sum(analysis.solve(None).value ** 2)


def _heat() -> Steady:
    loads = [Flux("top", parameter("flux")), Convection("right", 2.0, 1.0), Dirichlet("left", parameter("wall"))]
    return _steady(Heat(FunctionSpace(_square(), "Q2"), parameter("conductivity"), conditions=loads))


def _nonlinear_heat() -> Steady:
    law = Law(lambda u, x, k: k * (1 + u**2 / 4), (parameter("conductivity"),))
    emissivity = parameter("emissivity")
    loads = [
        Flux("top", parameter("flux")),
        Radiation("right", emissivity, 300.0),
        Dirichlet("left", parameter("wall")),
    ]
    return _steady(Heat(FunctionSpace(_square(), "Q1"), law, conditions=loads), 300.0)


def _solid() -> Steady:
    pull = parameter("traction")
    loads = [
        Traction("right", Vector((pull, 0.3, pull))),
        BodyForce("all", Vector((0.0, 0.2, parameter("weight")))),
        Pressure("top", parameter("pressure")),
        Dirichlet("left", parameter("held at")),
    ]
    space = FunctionSpace(unit_mesh("tetrahedron", 2, 0.1), "P1", (3,))
    return _steady(Elasticity(space, parameter("Young's modulus"), parameter("Poisson's ratio"), conditions=loads))


def _plane() -> Steady:
    loads = [Traction("right", Vector((parameter("traction"), 0.5))), Dirichlet("left", parameter("held at"))]
    space = FunctionSpace(_square(), "Q2", (2,))
    constants = (parameter("Young's modulus"), parameter("Poisson's ratio"))
    return _steady(Elasticity(space, *constants, conditions=loads, kinematics="plane stress"))


def _modal() -> Modal:
    space = FunctionSpace(_square(), "Q1", (2,))
    constants = (parameter("Young's modulus"), parameter("Poisson's ratio"), parameter("density"))
    masses = [AddedMass("right", parameter("added mass"))]
    body = Elasticity(space, *constants, [Dirichlet("left")], masses, kinematics="plane stress")
    return Modal(body, 2, rtol=1e-10)


def _transient() -> Transient:
    loads = [Flux("top", parameter("flux")), Convection("right", 2.0, 1.0), Dirichlet("left", parameter("wall"))]
    heat = Heat(FunctionSpace(_square(), "Q1"), parameter("conductivity"), parameter("capacity"), loads)
    return Transient(heat, parameter("start"), 0.05, linear_solver=DenseDirect(rtol=1e-9))


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
    damping, moment, angle = (parameter(name) for name in ("damping", "moment", "angle"))
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
    heat = Heat(FunctionSpace(unit_mesh("quadrilateral", 15, 0.15), "Q2"), parameter("k"), conditions=loads)
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
    gradient_case(
        "heat",
        "steady heat conduction",
        "3 × 3 distorted quadrilaterals Q2; conductivity, flux, wall temperature, all nodes; J = Σ T².",
        _heat,
        _sum_of_squares,
        {"conductivity": 1.3, "flux": 0.7, "wall": 0.4},
        _square(),
    ),
    gradient_case(
        "nonlinear-heat",
        "steady heat conduction with k(T) and radiation",
        "3 × 3 distorted quadrilaterals Q1, Newton's method; a factor of the conductivity, emissivity, flux, wall "
        "temperature, all nodes; J = Σ T².",
        _nonlinear_heat,
        _sum_of_squares,
        {"conductivity": 1e-3, "emissivity": 0.8, "flux": 2e4, "wall": 350.0},
        _square(),
    ),
    gradient_case(
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
    gradient_case(
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
    gradient_case(
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
    gradient_case(
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
    gradient_case(
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
