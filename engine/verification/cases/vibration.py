"""Natural frequencies against closed forms and published values."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gemel.engine import Dirichlet, Elasticity, FunctionSpace, Modal, modes
from gemel.engine.verification.case import Check, case, count, relative
from gemel.engine.verification.tools import mapped, zero_of
from gemel.meshes import box, rectangle

GROUP = "vibration"
E, NU, RHO = 200e9, 0.3, 8000.0


def _frequencies(body: Elasticity, number: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and the share of each mode's kinetic energy along each axis."""
    modal = Modal(body, number, shift_frequency=shift)
    frequencies, shapes = modes(modal).checked()
    share = modal.participation(shapes.reshape(number, -1).T)
    return np.asarray(frequencies), np.asarray(share)


@case(
    "nafems-fv32",
    group=GROUP,
    title="Cantilevered tapered membrane",
    equations="",
    setup="10 m long, 5 to 1 m wide, plane stress, E = 200 GPa, ν = 0.3, ρ = 8000 kg/m³, clamped at the wide end; "
    "16 × 8 "
    "quadrilaterals Q2.",
    source="NAFEMS, The Standard NAFEMS Benchmarks, rev. 3, 1990, FV32",
)
def nafems_fv32() -> Sequence[Check]:
    taper = lambda s: np.stack([10 * s[:, 0], (s[:, 1] - 0.5) * (5 - 4 * s[:, 0])], axis=1)  # noqa: E731
    space = FunctionSpace(mapped(rectangle(16, 8), taper), "Q2", (2,))
    found, _ = _frequencies(Elasticity(space, E, NU, RHO, [Dirichlet("left")], kinematics="plane stress"), 6)
    published = (44.623, 130.03, 162.70, 246.05, 379.90, 391.44)
    return [relative(f"frequency {i + 1}", f, found[i], 2e-3, "Hz") for i, f in enumerate(published)]


@case(
    "free-bar",
    group=GROUP,
    title="Longitudinal waves in a free bar",
    equations=r"$$ f_n = \frac{n c}{2L}, \quad c = \sqrt{\frac{E}{\rho}\frac{1-\nu}{(1+\nu)(1-2\nu)}} $$",
    setup="10 × 0.1 m, plane strain, top and bottom on rollers (so that c is the speed of plane pressure waves), "
    "the ends "
    "free; 40 × 1 quadrilaterals Q2, spectrum shifted for the rigid motion.",
    source="Graff, Wave Motion in Elastic Solids, 1975, section 2.3",
)
def free_bar() -> Sequence[Check]:
    space = FunctionSpace(rectangle(40, 1, size=(10.0, 0.1)), "Q2", (2,))
    rollers = [Dirichlet(side, 0.0, component=1) for side in ("bottom", "top")]
    found, _ = _frequencies(Elasticity(space, E, NU, RHO, rollers, kinematics="plane strain"), 4, shift=100.0)
    speed = np.sqrt(E / RHO * (1 - NU) / (1 + NU) / (1 - 2 * NU))
    rigid = count("frequencies below 1 % of the first elastic one", 1, np.sum(found < 0.01 * speed / 20))
    return [rigid, *(relative(f"frequency {n}", n * speed / 20, found[n], 1e-5, "Hz") for n in (1, 2, 3))]


def _rayleigh_lamb(k: float, half: float, pressure: float, shear: float) -> float:
    """The lowest frequency in Hz of antisymmetric waves of wave number k in a layer of half thickness ``half``."""

    def balance(omega: float) -> float:
        p = np.emath.sqrt((omega / pressure) ** 2 - k**2)
        q = np.emath.sqrt((omega / shear) ** 2 - k**2)
        value = (q**2 - k**2) ** 2 * np.sin(p * half) * np.cos(q * half) / p
        return float(np.real(value + 4 * k**2 * q * np.cos(p * half) * np.sin(q * half)))

    grid = np.linspace(1e-3, 1.0, 400) * k * shear
    signs = np.sign([balance(omega) for omega in grid])
    first = int(np.flatnonzero(signs[1:] != signs[:-1])[0])
    return zero_of(balance, grid[first], grid[first + 1]) / (2 * np.pi)


@case(
    "supported-beam",
    group=GROUP,
    title="Deep beam on simple supports, by the theory of elasticity",
    equations=r"$$ \frac{\tan qh}{\tan ph} = -\frac{(q^2 - k^2)^2}{4k^2pq}, \quad p^2 = "
    r"\frac{\omega^2}{c_P^2} - k^2,"
    r"\ q^2 = \frac{\omega^2}{c_S^2} - k^2,\ k = \frac{n\pi}{L} $$",
    setup="5 × 1 m, plane stress, ends held against deflection and free to move along (so that the modes are standing "
    "Rayleigh-Lamb waves, exact at any depth); 20 × 4 quadrilaterals Q2; the modes that move mostly up and down.",
    source="Graff, Wave Motion in Elastic Solids, 1975, section 8.1",
)
def supported_beam() -> Sequence[Check]:
    space = FunctionSpace(rectangle(20, 4, size=(5.0, 1.0)), "Q2", (2,))
    ends = [Dirichlet(side, 0.0, component=1) for side in ("left", "right")]
    found, share = _frequencies(Elasticity(space, E, NU, RHO, ends, kinematics="plane stress"), 4, shift=50.0)
    pressure, shear = np.sqrt(E / RHO / (1 - NU**2)), np.sqrt(E / RHO / 2 / (1 + NU))
    bending = found[share[:, 1] > 0.5]
    return [
        relative(
            f"bending frequency {n}", _rayleigh_lamb(n * np.pi / 5, 0.5, pressure, shear), bending[n - 1], 2e-4, "Hz"
        )
        for n in (1, 2)
    ]


@case(
    "supported-plate",
    group=GROUP,
    title="Thick square plate on simple supports, by the theory of elasticity",
    equations=r"As supported-beam with $k^2 = \pi^2 (m^2 + n^2)/a^2$ and the wave speeds of a solid.",
    setup="10 × 10 × 1 m, E = 200 GPa, ν = 0.3, ρ = 8000 kg/m³; sides held vertically and along themselves (hard "
    "supports); "
    "8 × 8 × 2 hexahedra Q2; modes (1, 1), (1, 2), (2, 1) among those that move mostly vertically.",
    source="Srinivas, Joga Rao, Rao, J. Sound Vib. 12, 1970; Rayleigh-Lamb equation: Graff, 1975, section 8.1",
)
def supported_plate() -> Sequence[Check]:
    space = FunctionSpace(box(8, 8, 2, size=(10.0, 10.0, 1.0)), "Q2", (3,))
    sides = [Dirichlet(side, 0.0, component=i) for side in ("left", "right") for i in (1, 2)]
    sides += [Dirichlet(side, 0.0, component=i) for side in ("front", "back") for i in (0, 2)]
    found, share = _frequencies(Elasticity(space, E, NU, RHO, sides), 3)
    pressure = np.sqrt(E / RHO * (1 - NU) / (1 + NU) / (1 - 2 * NU))
    shear = np.sqrt(E / RHO / 2 / (1 + NU))
    bending = found[share[:, 2] > 0.5]
    exact = [_rayleigh_lamb(np.pi / 10 * np.sqrt(s), 0.5, pressure, shear) for s in (2, 5, 5)]
    names = ("(1, 1)", "(1, 2)", "(2, 1)")
    return [
        relative(f"mode {name}", f, bending[i], 3e-3, "Hz")
        for i, (name, f) in enumerate(zip(names, exact, strict=True))
    ]


@case(
    "cantilever-beam",
    group=GROUP,
    title="Slender cantilever: Timoshenko's beam",
    equations=r"Timoshenko's frequency equation, from the determinant of the four end conditions with "
    r"$\kappa = 10(1+\nu)/(12+11\nu)$.",
    setup="10 × 0.5 m, plane stress, 40 × 2 quadrilaterals Q2, clamped at the left. The clamp of a plane body "
    "holds its sides as "
    "well, which beam theory leaves out.",
    source="Timoshenko, Phil. Mag. 41, 1921; shear coefficient: Cowper, J. Appl. Mech. 33, 1966",
)
def cantilever_beam() -> Sequence[Check]:
    space = FunctionSpace(rectangle(40, 2, size=(10.0, 0.5)), "Q2", (2,))
    body = Elasticity(space, E, NU, RHO, [Dirichlet("left")], kinematics="plane stress")
    found, share = _frequencies(body, 4)
    bending = found[share[:, 1] > 0.5]
    exact = timoshenko_cantilever_frequencies(10.0, 0.5, 3)
    return [relative(f"bending frequency {i + 1}", exact[i], bending[i], 5e-3, "Hz") for i in range(3)]


def timoshenko_cantilever_frequencies(length: float, height: float, number: int) -> list[float]:
    """The roots of the determinant of a clamped-free beam of rectangular section and unit width, in Hz."""
    kappa = 10 * (1 + NU) / (12 + 11 * NU)
    bending, shear = E * height**3 / 12, kappa * E / 2 / (1 + NU) * height
    mass, rotary = RHO * height, RHO * height**3 / 12

    def waves(omega: float) -> Any:
        """Deflection w = exp(s x) and rotation ψ = g w of the four waves: columns of the end conditions."""
        a = bending * shear
        b = omega**2 * (bending * mass + shear * rotary)
        c = omega**2 * mass * (rotary * omega**2 - shear)
        squares = np.roots([a, b, c])
        s = np.concatenate([np.emath.sqrt(squares), -np.emath.sqrt(squares)])
        return s, s + mass * omega**2 / (shear * s)

    def determinant(omega: float) -> complex:
        s, g = waves(omega)
        grown = np.exp(s * length)
        rows = np.stack([np.ones(4), g / s[0], g * s * grown / s[0] ** 2, (s - g) * grown / s[0]])
        return np.linalg.det(rows)

    return _roots(determinant, np.sqrt(bending / mass) / length**2, number)


def _roots(determinant: Callable[[float], complex], scale: float, number: int) -> list[float]:
    """The first zeros of a determinant that is real up to a constant phase."""
    omegas = scale * np.linspace(1.0, 80.0, 1600)
    values = np.array([determinant(omega) for omega in omegas])
    phase = values[0] / abs(values[0])
    real = lambda omega: float(np.real(determinant(omega) / phase))  # noqa: E731
    signs = np.sign(np.real(values / phase))
    starts = np.flatnonzero(signs[1:] != signs[:-1])[:number]
    return [zero_of(real, omegas[i], omegas[i + 1]) / (2 * np.pi) for i in starts]


@case(
    "shear-layer",
    group=GROUP,
    title="Horizontal shear of a layer on rock",
    equations=r"$$ f_n = \frac{(2n-1) c_S}{4H} $$",
    setup="A column of 1 × 1 × 20 m, ρ = 1900 kg/m³, c_S = 200 m/s, ν = 0.35, held below and kept to move along x "
    "only on all sides; "
    "1 × 1 × 10 hexahedra Q2.",
    source="Kramer, Geotechnical Earthquake Engineering, 1996, section 7.2",
)
def shear_layer() -> Sequence[Check]:
    space = FunctionSpace(box(1, 1, 10, size=(1.0, 1.0, 20.0)), "Q2", (3,))
    shear = 1900.0 * 200.0**2
    sides = [Dirichlet(side, 0.0, component=i) for side in ("left", "right", "front", "back") for i in (1, 2)]
    body = Elasticity(space, 2.7 * shear, 0.35, 1900.0, [*sides, Dirichlet("bottom")])
    found, share = _frequencies(body, 2)
    assert np.all(share[:, 0] > 0.9)
    return [relative(f"frequency {n}", (2 * n - 1) * 2.5, found[n - 1], 1e-4, "Hz") for n in (1, 2)]


CASES = (nafems_fv32, free_bar, supported_beam, supported_plate, cantilever_beam, shear_layer)
"""The chapter."""
