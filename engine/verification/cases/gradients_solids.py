"""Gradients of deformable bodies, structures and coupled heat: Taylor remainders of second order."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gemel.engine import (
    Buckling,
    Convection,
    Dirichlet,
    Dynamic,
    Elasticity,
    Flux,
    FollowerPressure,
    Frame,
    FunctionSpace,
    Harmonic,
    Heat,
    Hyperelasticity,
    Input,
    J2Plasticity,
    MixedSpace,
    MooneyRivlin,
    NeoHookean,
    PhaseChange,
    PointLoad,
    Prony,
    Quasistatic,
    Section,
    Series,
    Solid,
    Steady,
    Support,
    Thermoelasticity,
    Traction,
    Transient,
    Vector,
)
from gemel.engine.verification.taylor import gradient_case, parameter
from gemel.engine.verification.tools import unit_mesh
from gemel.meshes import Mesh, frame, rectangle
from gemel.solvers import DenseDirect

_DIRECT = DenseDirect(rtol=1e-9)
_RISING = Series(np.array([0.0, 10.0]), np.array([0.0, 10.0]), hold=False)
"""The time as an input: loads and prescribed values of it grow from zero."""


def _square(n: int = 3) -> Mesh:
    return unit_mesh("quadrilateral", n, 0.15)


def _ring_mesh() -> Mesh:
    square = _square()
    return square.with_points(np.asarray(square.points) + np.array([0.5, 0.0]))


def _steady(physics: Any, initial: Any = 0.0) -> Steady:
    return Steady(physics, linear_solver=_DIRECT, initial=initial, rtol=1e-12)


def _sum_of_squares(analysis: Steady) -> Array:
    return jnp.sum(analysis.solve(None).value ** 2)


def _bent() -> Mesh:
    """A post and an arm in space, two intervals each."""
    tags = {"foot": [0], "tip": [2]}
    return frame([[0.0, 0.0, 0.0], [0.1, 0.0, 2.0], [2.0, 0.3, 2.2]], [[0, 1], [1, 2]], 2, joint_tags=tags)


def _frame() -> Steady:
    load = parameter("load")
    conditions = [Support("foot", "all", parameter("support")), PointLoad("tip", (0.2, load, load))]
    section = Section.rectangle(0.3, parameter("height"))
    return _steady(Frame(_bent(), section, parameter("Young's modulus"), 0.3, conditions=conditions))


def _post() -> Mesh:
    tags = {"foot": [0], "tip": [1]}
    return frame([[0.0, 0.0], [0.1, 2.0]], [[0, 1]], 3, joint_tags=tags)


def _column() -> Buckling:
    conditions = [Support("foot"), PointLoad("tip", (1e-4, parameter("load")))]
    section = Section.rectangle(0.3, parameter("height"))
    return Buckling(Frame(_post(), section, parameter("Young's modulus"), 0.3, conditions=conditions), 1, rtol=1e-9)


def _strip() -> Mesh:
    return rectangle(4, 1, size=(3.0, 0.5))


def _rubber_column() -> Buckling:
    space = FunctionSpace(_strip(), "Q2", (2,))
    conditions = [Dirichlet("left"), Traction("right", Vector((parameter("load"), 0.0)))]
    material = NeoHookean(parameter("shear modulus"), parameter("first Lamé parameter"))
    return Buckling(Hyperelasticity(space, material, conditions=conditions, kinematics="plane strain"), 1, rtol=1e-9)


def _first_factor(analysis: Buckling) -> Array:
    return analysis.solve().value[0][0] ** 2


def _lattice() -> Mesh:
    return unit_mesh("triangle", 2, 0.15)


def _rubber() -> Steady:
    mesh = _lattice()
    space = MixedSpace({"u": FunctionSpace(mesh, "P2", (2,)), "p": FunctionSpace(mesh, "P1")})
    load = parameter("traction")
    conditions = [
        Dirichlet("left"),
        Dirichlet("right", parameter("pull"), 0),
        Traction("top", Vector((load, load))),
        FollowerPressure("bottom", parameter("pressure")),
    ]
    material = MooneyRivlin(parameter("c10"), 0.1, parameter("bulk modulus"))
    return _steady(Hyperelasticity(space, material, conditions=conditions, kinematics="plane strain"))


def _followed(analysis: Quasistatic) -> Array:
    """The sums of squares of the displacements along three steps of a path."""
    times = jnp.array([0.0, 0.5, 1.0, 1.5])
    solution = analysis.follow(None, {"time": _RISING}, times, lambda problem, u: jnp.sum(u**2))
    return jnp.sum(solution.value.records)


def _path(material: Any) -> Quasistatic:
    held = [Dirichlet("left"), Dirichlet("right", Input("time", parameter("pull")), 0)]
    load = Traction("top", Vector((Input("time", parameter("traction")), 0.0)))
    body = Solid(FunctionSpace(_square(2), "Q1", (2,)), material, conditions=[*held, load], kinematics="plane strain")
    return Quasistatic(body, rtol=1e-12, linear_solver=_DIRECT, max_steps=2)


def _plastic() -> Quasistatic:
    return _path(J2Plasticity(200.0, 0.3, parameter("yield stress"), parameter("hardening")))


def _relaxing() -> Quasistatic:
    terms = ((parameter("share"), parameter("relaxation time")),)
    return _path(Prony(parameter("Young's modulus"), 0.3, shear=terms, bulk=((0.2, 0.7),)))


def _vibrating() -> Dynamic:
    pull = Traction("right", Vector((parameter("traction"), 0.5)))
    held = Dirichlet("left", Input("time", parameter("support")))
    constants = (parameter("Young's modulus"), 0.3, parameter("density"))
    body = Elasticity(FunctionSpace(_square(), "Q1", (2,)), *constants, [pull, held], kinematics="plane stress")
    return Dynamic(body, 0.0, 0.0, 0.1, rayleigh=(parameter("damping"), 0.02), linear_solver=_DIRECT)


def _motion(analysis: Dynamic) -> Array:
    grid = jnp.linspace(0.0, 1.0, 11)
    history, _ = analysis.solve(None, {"time": _RISING}, grid, lambda t, motion: jnp.sum(motion.u**2)).value
    return jnp.sum(history)


def _shaken() -> Harmonic:
    pull = Traction("right", Vector((parameter("traction"), 0.5)))
    held = Dirichlet("left", parameter("support"))
    constants = (parameter("Young's modulus"), 0.3, parameter("density"))
    body = Elasticity(FunctionSpace(_square(), "Q1", (2,)), *constants, [pull, held], kinematics="plane stress")
    return Harmonic(body, np.array([0.1, 0.25]), (0.0, 0.05), parameter("structural damping"))


def _amplitudes(analysis: Harmonic) -> Array:
    return jnp.sum(jnp.abs(analysis.solve().value) ** 2)


def _warm() -> Transient:
    mesh = _square(2)
    space = MixedSpace({"T": FunctionSpace(mesh, "Q1"), "u": FunctionSpace(mesh, "Q2", (2,))})
    body = Thermoelasticity(
        space, parameter("Young's modulus"), 0.3, parameter("expansion"), 1.0, parameter("conductivity"), 0.8,
        [Dirichlet("left", parameter("wall")), Flux("top", parameter("flux"))],
        [Dirichlet("left", 0.0), Traction("right", Vector((parameter("traction"), 0.0)))],
    )  # fmt: skip
    return Transient(body, {"T": 1.0, "u": 0.0}, 0.1, rtol=1e-12, linear_solver=_DIRECT)


def _ring() -> Steady:
    loads = [Flux("top", parameter("flux")), Convection("right", 2.0, 1.0), Dirichlet("left", parameter("wall"))]
    space = FunctionSpace(_ring_mesh(), "Q2")
    return _steady(Heat(space, parameter("conductivity"), conditions=loads, axisymmetric=True))


def _melting() -> Transient:
    enthalpy = PhaseChange(1.0, parameter("liquid"), parameter("latent heat"), parameter("melting"), 1.0)
    loads = [Flux("top", parameter("flux")), Dirichlet("left", parameter("wall"))]
    heat = Heat(FunctionSpace(_square(), "Q1"), parameter("conductivity"), conditions=loads, enthalpy=enthalpy)
    return Transient(heat, 0.1, 0.1, rtol=1e-12, linear_solver=_DIRECT)


def _history(analysis: Transient) -> Array:
    grid = jnp.linspace(0.0, 0.5, 6)
    history, _ = analysis.solve(None, {}, grid, lambda t, u: jnp.sum(u**2)).value
    return jnp.sum(history)


CASES = (
    gradient_case(
        "frame",
        "a frame",
        "A post and an arm in space, two Timoshenko beams each, rectangles 0.3 wide; Young's modulus, height of the "
        "section, load at the tip, motion of the foot, all nodes; J = Σ u² + θ².",
        _frame,
        _sum_of_squares,
        {"Young's modulus": 1.3, "height": 0.4, "load": 1e-3, "support": 0.2},
        _bent(),
    ),
    gradient_case(
        "buckling-frame",
        "the buckling factor of a column",
        "A leaning post in the plane of three Timoshenko beams, clamped at its foot; Young's modulus, height of the "
        "section, load, all nodes; J = λ₁².",
        _column,
        _first_factor,
        {"Young's modulus": 1.3, "height": 0.1, "load": -1e-3},
        _post(),
    ),
    gradient_case(
        "buckling-body",
        "the buckling factor of a body",
        "A neo-Hookean strip of 3 × 0.5 in plane strain, 4 × 1 quadrilaterals Q2, clamped at one end and pressed at "
        "the other; constants of the material, load, all nodes; J = λ₁².",
        _rubber_column,
        _first_factor,
        {"shear modulus": 1.3, "first Lamé parameter": 2.0, "load": -0.01},
        _strip(),
        slow=True,
    ),
    gradient_case(
        "rubber",
        "nearly incompressible rubber",
        "Mooney-Rivlin under large strains in plane strain, 2 distorted lattice cells a side in two triangles each, P2 "
        "for the displacement and P1 for the pressure, Newton's method; constants of the material, traction, pressure "
        "on the deformed surface, displacement of a side, all nodes; J = Σ u² + p².",
        _rubber,
        _sum_of_squares,
        {"c10": 0.4, "bulk modulus": 100.0, "traction": 0.1, "pressure": 0.15, "pull": 0.15},
        _lattice(),
        slow=True,
    ),
    gradient_case(
        "plasticity",
        "a path of plastic flow",
        "J2 plasticity in plane strain, E = 200, 2 × 2 distorted quadrilaterals Q1, pulled in three steps to "
        "about 25 times the strain of first yield, so that all of it flows from the first step on; yield stress, "
        "hardening modulus, pull, traction, all nodes; J = Σₙ Σ u².",
        _plastic,
        _followed,
        {"yield stress": 0.25, "hardening": 5.0, "pull": 0.02, "traction": 0.03},
        _square(2),
        slow=True,
    ),
    gradient_case(
        "viscoelasticity",
        "a path of viscoelastic flow",
        "A Prony series in plane strain, 2 × 2 distorted quadrilaterals Q1, pulled in three steps; Young's modulus, "
        "share and time of relaxation of the shear modulus, pull, traction, all nodes; J = Σₙ Σ u².",
        _relaxing,
        _followed,
        {"Young's modulus": 1.3, "share": 0.6, "relaxation time": 0.5, "pull": 0.1, "traction": 0.2},
        _square(2),
        slow=True,
    ),
    gradient_case(
        "elastodynamics",
        "elastodynamics",
        "3 × 3 distorted quadrilaterals Q1, plane stress, ten steps of the generalised-alpha method; Young's modulus, "
        "density, damping α, traction, velocity of the held side, all nodes; J = Σₙ Σ u².",
        _vibrating,
        _motion,
        {"Young's modulus": 1.3, "density": 0.7, "damping": 0.4, "traction": 0.7, "support": 0.3},
        _square(),
        slow=True,
    ),
    gradient_case(
        "harmonic",
        "a harmonic response",
        "3 × 3 distorted quadrilaterals Q1, plane stress, at 0.1 and 0.25 Hz with β = 0.05 s; Young's modulus, "
        "density, structural damping, traction, amplitude of the held side, all nodes; J = Σ |û|².",
        _shaken,
        _amplitudes,
        {"Young's modulus": 1.3, "density": 0.7, "structural damping": 0.2, "traction": 0.7, "support": 0.3},
        _square(),
    ),
    gradient_case(
        "thermoelasticity",
        "temperature and displacement together",
        "2 × 2 distorted quadrilaterals in plane strain, Q2 for the displacement and Q1 for the temperature, five "
        "steps of SDIRK2, coupled both ways; Young's modulus, expansion, conductivity, wall temperature, flux, "
        "traction, all nodes; J = Σₙ Σ T² + u².",
        _warm,
        _history,
        {
            "Young's modulus": 1.3,
            "expansion": 0.2,
            "conductivity": 1.5,
            "wall": 1.4,
            "flux": 0.7,
            "traction": 0.3,
        },
        _square(2),
        slow=True,
    ),
    gradient_case(
        "axisymmetric-heat",
        "heat conduction in axial symmetry",
        "A ring of radii 0.5 and 1.5, 3 × 3 distorted quadrilaterals Q2; conductivity, flux, wall temperature, all "
        "nodes; J = Σ T².",
        _ring,
        _sum_of_squares,
        {"conductivity": 1.3, "flux": 0.7, "wall": 0.4},
        _ring_mesh(),
    ),
    gradient_case(
        "phase-change",
        "melting by enthalpy",
        "3 × 3 distorted quadrilaterals Q1, five steps of SDIRK2, melting over an interval of 1 K around the melting "
        "temperature; capacity of the liquid, latent heat, melting temperature, conductivity, flux, wall temperature, "
        "all nodes; J = Σₙ Σ T².",
        _melting,
        _history,
        {"liquid": 1.6, "latent heat": 2.0, "melting": 0.5, "conductivity": 1.3, "flux": 0.7, "wall": 0.9},
        _square(),
        slow=True,
    ),
)
"""The second part of the chapter."""
