"""Trusses, beams and frames against closed forms: statics, vibration, buckling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array
from scipy.special import jv

from gemel.engine import (
    Buckling,
    Frame,
    Heating,
    LineLoad,
    Modal,
    PointLoad,
    Release,
    Section,
    Support,
    buckle,
    member_forces,
    modes,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.cases.vibration import timoshenko_cantilever_frequencies
from gemel.engine.verification.tools import solved, zero_of
from gemel.meshes import Mesh, frame

GROUP = "frames"
E, NU, RHO = 210e9, 0.3, 7850.0
SECTION = Section.general(1e-2, 2e-5, 3e-5, 1e-5)
TIMOSHENKO = "Timoshenko, Strength of Materials, 3rd ed., 1955"
STABILITY = "Timoshenko, Gere, Theory of Elastic Stability, 2nd ed., 1961"


def _column(n: int, dim: int = 2, length: float = 4.0) -> Mesh:
    """A straight member along x of ``n`` intervals, its ends tagged."""
    joints = np.zeros((2, dim))
    joints[1, 0] = length
    return frame(joints, [[0, 1]], n, member_tags={"beam": [0]}, joint_tags={"left": [0], "right": [1]})


def _static(*arguments: Any, **options: Any) -> tuple[Frame, Array]:
    structure = Frame(*arguments, **options)
    return structure, solved(structure)


@case(
    "three-bar-truss",
    group=GROUP,
    title="Three bars that meet: once statically indeterminate",
    equations=r"$$ N_0 = \frac{P}{1 + 2\cos^3\alpha}, \qquad N_1 = N_0\cos^2\alpha $$",
    setup="A vertical bar of 2 m and two at α = 30° to it, equal sections of 1e-3 m², E = 210 GPa, 50 kN down at "
    "the joint.",
    source=f"{TIMOSHENKO}, part I, section 8",
)
def three_bar_truss() -> Sequence[Check]:
    height, angle, load = 2.0, np.pi / 6, 5e4
    side = height * np.tan(angle)
    joints = [[0.0, 0.0], [-side, height], [0.0, height], [side, height]]
    mesh = frame(joints, [[0, 1], [0, 2], [0, 3]], joint_tags={"tip": [0], "roof": [1, 2, 3]})
    conditions = [Support("roof", "displacements"), PointLoad("tip", (0.0, -load))]
    structure, u = _static(mesh, Section.bar(1e-3), E, conditions=conditions)
    forces = member_forces(structure, u)[:, 1, 0]
    middle = load / (1 + 2 * np.cos(angle) ** 3)
    return [
        relative("force in the vertical bar", middle, forces[1], 1e-9, "N"),
        relative("force in a slanted bar", middle * np.cos(angle) ** 2, forces[0], 1e-9, "N"),
        relative("sinking of the joint", 1e3 * middle * height / (E * 1e-3), -1e3 * u[0, 1], 1e-9, "mm"),
    ]


@case(
    "beam-deflections",
    group=GROUP,
    title="Deflections of a Timoshenko beam, exact with one element",
    equations=r"$$ w = \frac{P L^3}{3EI} + \frac{P L}{\kappa G A} \text{ (cantilever)}, \qquad "
    r"w = \frac{q L^4}{384 EI} + \frac{q L^2}{8\kappa G A} \text{ (clamped)} $$",
    setup="A cantilever of 4 m and 0.2 × 0.5 m, E = 210 GPa, ν = 0.3, under 10 kN at its tip, one element; the "
    "same beam clamped at "
    "both ends under 5 kN/m, two elements; κ of the section by Cowper.",
    source="Cowper, J. Appl. Mech. 33, 1966; Timoshenko, Phil. Mag. 41, 1921",
)
def beam_deflections() -> Sequence[Check]:
    length, width, height = 4.0, 0.2, 0.5
    section = Section.rectangle(width, height)
    bending, kappa = E * width * height**3 / 12, 10 * (1 + NU) / (12 + 11 * NU)
    shear = kappa * E / 2 / (1 + NU) * width * height
    _, tip = _static(_column(1), section, E, NU, conditions=[Support("left"), PointLoad("right", (0.0, -1e4))])
    ends = [Support("left"), Support("right"), LineLoad("beam", (0.0, -5e3))]
    structure, clamped = _static(_column(2), section, E, NU, conditions=ends)
    moment = member_forces(structure, clamped, (0.0,))[0, 0, 2]
    cantilever = 1e4 * length**3 / (3 * bending) + 1e4 * length / shear
    middle = 5e3 * length**4 / (384 * bending) + 5e3 * length**2 / (8 * shear)
    return [
        relative("deflection of the tip", 1e3 * cantilever, -1e3 * tip[1, 1], 1e-8, "mm"),
        relative("deflection of the middle, clamped", 1e3 * middle, -1e3 * clamped[2, 1], 1e-8, "mm"),
        relative("moment at the wall, q L²/12", 5e3 * length**2 / 12, abs(float(moment)), 1e-8, "N m"),
    ]


@case(
    "two-span-beam",
    group=GROUP,
    title="A beam over two equal spans",
    equations=r"$$ M = \frac{wL^2}{8}, \qquad R = \tfrac38 wL,\ \tfrac54 wL,\ \tfrac38 wL $$",
    setup="Spans of 3 m, two elements each, 2 kN/m.",
    source=f"{TIMOSHENKO}, part I, section 46 (theorem of three moments)",
)
def two_span_beam() -> Sequence[Check]:
    span, w = 3.0, 2e3
    tags = {"left": [0], "rest": [1, 2]}
    mesh = frame([[0.0, 0.0], [span, 0.0], [2 * span, 0.0]], [[0, 1], [1, 2]], 2, joint_tags=tags)
    conditions = [Support("left", "displacements"), Support("rest", "uy"), LineLoad("all", (0.0, -w))]
    structure, u = _static(mesh, SECTION, E, conditions=conditions)
    reactions = structure.problem.unconstrained(u.reshape(-1)).reshape(-1, 3)[:3, 1]
    moment = member_forces(structure, u, (1.0,))[1, 0, 2]
    return [
        relative("moment over the middle support", w * span**2 / 8, moment, 1e-8, "N m"),
        relative("outer reaction", 3 / 8 * w * span, reactions[0], 1e-8, "N"),
        relative("middle reaction", 10 / 8 * w * span, reactions[1], 1e-8, "N"),
    ]


@case(
    "portal-frame",
    group=GROUP,
    title="A portal frame with fixed feet under a horizontal force",
    equations=r"$$ M_{foot} = \frac{Ph}{2}\,\frac{3k + 1}{6k + 1}, \quad M_{corner} = \frac{Ph}{2}\,\frac{3k}{6k + "
    r"1}, \quad "
    r"k = \frac{I_b}{I_c}\frac{h}{l} $$",
    setup="Columns of 3 m, a beam of 5 m, P = 10 kN at a corner; very large areas and no shear deformation, as in "
    "the formulas.",
    source="Kleinlogel, Rigid Frame Formulas, 1952",
)
def portal_frame() -> Sequence[Check]:
    h, span, load = 3.0, 5.0, 1e4
    joints = [[0.0, 0.0], [0.0, h], [span, h], [span, 0.0]]
    tags = {"columns": [0, 2], "beam": [1]}
    mesh = frame(joints, [[0, 1], [1, 2], [3, 2]], member_tags=tags, joint_tags={"feet": [0, 3], "corner": [1]})
    sections = {"columns": Section.general(1e3, 2e-5, 1.0, 1.0), "beam": Section.general(1e3, 3e-5, 1.0, 1.0)}
    conditions = [Support("feet"), PointLoad("corner", (load, 0.0))]
    structure, u = _static(mesh, sections, E, conditions=conditions, theory="Euler-Bernoulli")
    moments = np.abs(member_forces(structure, u, (0.0, 1.0))[0, :, 2])
    k = 3e-5 / 2e-5 * h / span
    return [
        relative("moment at the foot", load * h / 2 * (3 * k + 1) / (6 * k + 1), moments[0], 1e-5, "N m"),
        relative("moment at the corner", load * h / 2 * 3 * k / (6 * k + 1), moments[1], 1e-5, "N m"),
    ]


@case(
    "bent-cantilever",
    group=GROUP,
    title="An L-shaped cantilever in space: bending and torsion",
    equations=r"$$ w = \frac{P(a^3 + b^3)}{3EI} + \frac{P a b^2}{GJ} $$",
    setup="Arms of a = 2 m from the wall and b = 1 m across it, 1 kN at the tip out of their plane; one "
    "Euler-Bernoulli element each.",
    source=f"{TIMOSHENKO}, part I, energy method",
)
def bent_cantilever() -> Sequence[Check]:
    a, b, load = 2.0, 1.0, 1e3
    joints = [[0.0, 0.0, 0.0], [a, 0.0, 0.0], [a, b, 0.0]]
    mesh = frame(joints, [[0, 1], [1, 2]], joint_tags={"wall": [0], "tip": [2]})
    conditions = [Support("wall"), PointLoad("tip", (0.0, 0.0, load))]
    structure, u = _static(mesh, SECTION, E, NU, conditions=conditions, theory="Euler-Bernoulli")
    sinking = load * (a**3 + b**3) / (3 * E * 2e-5) + load * a * b**2 / (E / 2 / (1 + NU) * 1e-5)
    torque = member_forces(structure, u)[0, 0, 3]
    return [
        relative("deflection of the tip", 1e3 * sinking, 1e3 * u[2, 2], 1e-8, "mm"),
        relative("torque in the first arm", load * b, abs(float(torque)), 1e-8, "N m"),
    ]


@case(
    "heated-beam",
    group=GROUP,
    title="A clamped beam that is heated unevenly",
    equations=r"$$ N = -EA\alpha\Delta T, \qquad M = -EI\alpha\,\frac{dT}{dz} $$",
    setup="4 m, four elements, ΔT = 30 K at the axis and 50 K/m across, α = 1.2e-5 /K.",
    source=f"{TIMOSHENKO}, part I, section 6",
)
def heated_beam() -> Sequence[Check]:
    heat = Heating("beam", 30.0, 1.2e-5, 50.0)
    conditions = [Support("left"), Support("right"), heat]
    structure, u = _static(_column(4), SECTION, E, conditions=conditions)
    forces = member_forces(structure, u)[1, 1]
    return [
        relative("axial force", -E * 1e-2 * 1.2e-5 * 30 / 1e3, forces[0] / 1e3, 1e-9, "kN"),
        relative("moment", E * 2e-5 * 1.2e-5 * 50, abs(float(forces[2])), 1e-7, "N m"),
    ]


@case(
    "gerber-beam",
    group=GROUP,
    title="A clamped beam with a hinge in its middle",
    equations=r"$$ w = \frac{q L^4}{128 EI}, \qquad M = \frac{q L^2}{8} $$",
    setup="4 m with a hinge in the middle, 1 kN/m; one Euler-Bernoulli element for each half, which is a cantilever.",
    source=f"{TIMOSHENKO}, part I",
)
def gerber_beam() -> Sequence[Check]:
    length, q = 4.0, 1e3
    joints = [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]
    tags = {"walls": [0, 2], "hinge": [1]}
    mesh = frame(joints, [[0, 1], [1, 2]], member_tags={"first": [0]}, joint_tags=tags)
    conditions = [Support("walls"), LineLoad("all", (0.0, -q))]
    hinge = [Release("first", at="hinge")]
    structure, u = _static(mesh, SECTION, E, conditions=conditions, releases=hinge, theory="Euler-Bernoulli")
    wall = member_forces(structure, u, (0.0,))[0, 0, 2]
    return [
        relative("sinking of the hinge", 1e3 * q * length**4 / (128 * E * 2e-5), -1e3 * u[1, 1], 1e-8, "mm"),
        relative("moment at the wall", q * length**2 / 8, abs(float(wall)), 1e-8, "N m"),
    ]


@case(
    "timoshenko-beam-frequencies",
    group=GROUP,
    title="Natural frequencies of deep beams",
    equations=r"$$ \text{simple supports, } k = \tfrac{n\pi}{L}: \quad \rho^2 A I\,\omega^4 - \left[\rho A (EI k^2 "
    r"+ \kappa G A) + "
    r"\rho I \kappa G A k^2\right]\omega^2 + \kappa G A\, EI k^4 = 0, \text{ the lower root} $$",
    setup="10 m × 0.5 m (cantilever) and 5 × 1 m (simple supports), unit width, E = 200 GPa, ν = 0.3, ρ = 8000 "
    "kg/m³, 40 elements; "
    "references from Timoshenko's frequency equations.",
    source="Timoshenko, Phil. Mag. 41, 1921; Cowper, J. Appl. Mech. 33, 1966",
)
def timoshenko_beam_frequencies() -> Sequence[Check]:
    young, density = 200e9, 8000.0
    deep = Frame(_column(40, length=10.0), Section.rectangle(1.0, 0.5), young, NU, density, [Support("left")])
    cantilever, _ = modes(Modal(deep, 4)).checked()
    exact = timoshenko_cantilever_frequencies(10.0, 0.5, 3)
    ends = [Support("left", "displacements"), Support("right", "uy")]
    short = Frame(_column(40, length=5.0), Section.rectangle(1.0, 1.0), young, NU, density, ends)
    supported, _ = modes(Modal(short, 4)).checked()
    checks = [
        relative(f"cantilever, frequency {i + 1}", f, _nearest(cantilever, f), 1e-3, "Hz") for i, f in enumerate(exact)
    ]
    for n in (1, 2):
        f = _supported_frequency(young, density, 1.0, 5.0, n)
        checks.append(relative(f"simple supports, frequency {n}", f, _nearest(supported, f), 2e-3, "Hz"))
    return checks


def _supported_frequency(young: float, density: float, height: float, length: float, n: int) -> float:
    """The lower branch of Timoshenko's beam on simple supports with n half waves, in Hz."""
    k, kappa = n * np.pi / length, 10 * (1 + NU) / (12 + 11 * NU)
    bending, shear = young * height**3 / 12, kappa * young / 2 / (1 + NU) * height
    mass, rotary = density * height, density * height**3 / 12
    a, c = mass * rotary, shear * bending * k**4
    b = -(mass * (bending * k**2 + shear) + rotary * shear * k**2)
    return float(np.sqrt((-b - np.sqrt(b**2 - 4 * a * c)) / (2 * a))) / (2 * np.pi)


def _nearest(values: Any, target: float) -> float:
    values = np.asarray(values)
    return float(values[np.argmin(np.abs(values - target))])


@case(
    "euler-buckling",
    group=GROUP,
    title="Euler's four columns",
    equations=r"$$ P = \frac{\pi^2 EI}{(KL)^2}, \quad K = 2,\ 1,\ \tfrac{\pi}{4.4934},\ \tfrac12 $$",
    setup="4 m, EI = 4.2 MN m², 16 Euler-Bernoulli elements: clamped and free, pinned at both ends, clamped and "
    "pinned, clamped at both "
    "ends but for the axial motion.",
    source=f"{STABILITY}, sections 2.1 and 2.2",
)
def euler_buckling() -> Sequence[Check]:
    unit = E * 2e-5 / 4.0**2
    fixed_pinned = zero_of(lambda x: np.tan(x) - x, 4.4, 4.6) ** 2
    ways = {
        "clamped and free": ([Support("left")], np.pi**2 / 4),
        "pinned": ([Support("left", "displacements"), Support("right", "uy")], np.pi**2),
        "clamped and pinned": ([Support("left"), Support("right", "uy")], fixed_pinned),
        "clamped": ([Support("left"), Support("right", ("uy", "rz"))], 4 * np.pi**2),
    }
    checks = []
    for name, (supports, factor) in ways.items():
        load = PointLoad("right", (-1.0, 0.0))
        column = Frame(_column(16), SECTION, E, conditions=[*supports, load], theory="Euler-Bernoulli")
        factors, _ = buckle(Buckling(column, 1)).checked()
        checks.append(relative(f"critical load, {name}", factor * unit / 1e3, factors[0] / 1e3, 1e-4, "kN"))
    return checks


@case(
    "heavy-column",
    group=GROUP,
    title="A column that buckles under its own weight",
    equations=r"$$ q_{cr} L = 7.8373\,\frac{EI}{L^2}: \quad J_{-1/3}\!\left(\tfrac23\sqrt{q L^3/EI}\right) = 0 $$",
    setup="4 m, clamped below, 32 Euler-Bernoulli elements under an axial load along their length.",
    source=f"{STABILITY}, section 2.12; zero of the Bessel function by scipy",
)
def heavy_column() -> Sequence[Check]:
    zero = zero_of(lambda x: jv(-1 / 3, x), 1.5, 2.2)
    conditions = [Support("left"), LineLoad("beam", (-1.0, 0.0))]
    column = Frame(_column(32), SECTION, E, conditions=conditions, theory="Euler-Bernoulli")
    factors, _ = buckle(Buckling(column, 1)).checked()
    expected = (1.5 * zero) ** 2 * E * 2e-5 / 4.0**3
    return [relative("critical weight per length", expected / 1e3, factors[0] / 1e3, 2e-3, "kN/m")]


@case(
    "swaying-portal",
    group=GROUP,
    title="A portal frame that buckles sideways",
    equations=r"$$ kh\cot kh = -6, \quad P = k^2 EI $$",
    setup="Equal members of 2 m with fixed feet, P on both columns, 6 Euler-Bernoulli elements a member, very "
    "large areas.",
    source=f"{STABILITY}, section 2.14",
)
def swaying_portal() -> Sequence[Check]:
    h = 2.0
    joints = [[0.0, 0.0], [0.0, h], [h, h], [h, 0.0]]
    mesh = frame(joints, [[0, 1], [1, 2], [3, 2]], 6, joint_tags={"feet": [0, 3], "tops": [1, 2]})
    conditions = [Support("feet"), PointLoad("tops", (0.0, -1.0))]
    structure = Frame(mesh, Section.general(10.0, 2e-5, 1.0, 1.0), E, conditions=conditions, theory="Euler-Bernoulli")
    factors, shapes = buckle(Buckling(structure, 1)).checked()
    kh = zero_of(lambda x: x / np.tan(x) + 6, 2.0, 3.1)
    tops = np.asarray(shapes[0, 1:3, 0])
    return [
        relative("critical load", kh**2 * E * 2e-5 / h**2 / 1e3, factors[0] / 1e3, 1e-3, "kN"),
        absolute("difference of the sway of both corners over it", 0.0, tops[0] / tops[1] - 1, 1e-4),
    ]


CASES = (
    three_bar_truss,
    beam_deflections,
    two_span_beam,
    portal_frame,
    bent_cantilever,
    heated_beam,
    gerber_beam,
    timoshenko_beam_frequencies,
    euler_buckling,
    heavy_column,
    swaying_portal,
)
"""The chapter."""
