"""Members between two nodes against closed forms, on small dense frames put together here."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from gemel.engine import structures
from gemel.engine.structures import (
    Member,
    MemberLoad,
    Section,
    default_orientation,
    local_axes,
    lumped_mass,
    planar,
    planar_corners,
    planar_orientation,
)

stiffness: Any = eqx.filter_jit(structures.stiffness)
mass: Any = eqx.filter_jit(structures.mass)
geometric_stiffness: Any = eqx.filter_jit(structures.geometric_stiffness)
nodal_loads: Any = eqx.filter_jit(structures.nodal_loads)
end_forces: Any = eqx.filter_jit(structures.end_forces)
section_forces: Any = eqx.filter_jit(structures.section_forces)
section_motions: Any = eqx.filter_jit(structures.section_motions)

E, NU, RHO = 210e9, 0.3, 7850.0
G = E / (2 * (1 + NU))
BOX = Section.rectangle(0.2, 0.3)
UP = (0.0, 0.0, 1.0)
THEORIES = ["Timoshenko", "Euler-Bernoulli"]
UX, UY, UZ, RX, RY, RZ = range(6)


def member(theory="Timoshenko", section=BOX, orientation=UP, **more):
    return Member(section.constants(NU), E, G, jnp.array(orientation), RHO, theory=theory, **more)


def dofs_of(cell):
    return 6 * np.repeat(np.array(cell), 6) + np.tile(np.arange(6), 2)


def assembled(kernel, members, points, cells):
    """The dense matrix of several members, six unknowns a node."""
    total = np.zeros((6 * len(points), 6 * len(points)))
    for one, cell in zip(members, cells, strict=True):
        total[np.ix_(dofs_of(cell), dofs_of(cell))] += kernel(one, points[np.array(cell)])
    return total


def chain(n, one, start=(0.0, 0.0, 0.0), end=(1.0, 0.0, 0.0)):
    """A straight line of n equal members: members, points, cells."""
    points = np.linspace(start, end, n + 1)
    return [one] * n, points, [(i, i + 1) for i in range(n)]


def solved(matrix, loads, fixed):
    u, free = np.zeros(len(loads)), np.setdiff1d(np.arange(len(loads)), fixed)
    u[free] = np.linalg.solve(matrix[np.ix_(free, free)], loads[free])
    return u


def force(n, *entries):
    """A vector of n numbers, zero but for (place, value)."""
    vector = np.zeros(n)
    for place, value in entries:
        vector[place] = value
    return vector


def lowest(stiff, other, fixed, count):
    """The lowest eigenvalues of stiff x = λ other x on the unknowns that are not fixed, other perhaps indefinite."""
    free = np.setdiff1d(np.arange(len(stiff)), fixed)
    k, m = (np.asarray(matrix)[np.ix_(free, free)] for matrix in (stiff, other))
    inverse = scipy.linalg.eigh(m, k, eigvals_only=True)
    return 1 / inverse[::-1][:count]


# Rigid motions and statics.


@pytest.mark.parametrize("theory", THEORIES)
@pytest.mark.parametrize("offset", [False, True])
def test_six_rigid_motions_cost_nothing(theory, offset):
    corners = np.array([[0.3, -0.2, 0.5], [1.1, 0.9, 1.7]])
    offsets = np.array([[0.0, 0.1, -0.2], [0.05, 0.0, 0.3]]) if offset else None
    matrix = np.asarray(stiffness(member(theory, orientation=(0.2, -0.3, 1.0), offsets=offsets), corners))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9 * np.abs(matrix).max())
    rigid = np.zeros((12, 6))
    for end, x in enumerate(np.asarray(corners)):
        rigid[6 * end : 6 * end + 6, :3] = np.eye(6)[:, :3]
        for axis in range(3):
            rigid[6 * end : 6 * end + 3, 3 + axis] = np.cross(np.eye(3)[axis], x)
            rigid[6 * end + 3 + axis, 3 + axis] = 1.0
    np.testing.assert_allclose(matrix @ rigid, 0.0, atol=1e-10 * np.abs(matrix).max())
    assert np.sum(np.linalg.eigvalsh(matrix) > 1e-6 * np.abs(matrix).max()) == 6


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("theory", THEORIES)
def test_cantilever_in_any_direction(theory, direction):
    """Tip: N L/EA, V L³/3EI + V L/GAs in both planes, T L/GJ, M L/EI; Gere and Timoshenko, Mechanics of Materials."""
    length, constants = 1.7, BOX.constants(NU)
    along = np.array(direction) / np.linalg.norm(direction)
    corners = jnp.stack([jnp.zeros(3), jnp.array(along) * length])
    orientation = default_orientation(jnp.array(along))
    axes, found = local_axes(corners, orientation)
    assert float(found) == pytest.approx(length)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-14)
    turn = np.kron(np.eye(2), np.asarray(axes))
    matrix = stiffness(member(theory, orientation=orientation), corners)
    forces = np.array([2e5, 3e3, -5e3, 7e2, 1.1e3, -1.3e3])  # local
    tip = turn @ np.linalg.solve(np.asarray(matrix)[6:, 6:], turn.T @ forces)
    shear = theory == "Timoshenko"
    i_y, i_z = constants.inertia_y, constants.inertia_z
    n, v, w, t, m_y, m_z = forces
    soft_y = length**3 / (3 * E * i_z) + shear * length * constants.flexibility_y / G
    soft_z = length**3 / (3 * E * i_y) + shear * length * constants.flexibility_z / G
    expected = [
        n * length / (E * constants.area),
        v * soft_y + m_z * length**2 / (2 * E * i_z),
        w * soft_z - m_y * length**2 / (2 * E * i_y),
        t * length / (G * float(constants.torsion)),
        m_y * length / (E * i_y) - w * length**2 / (2 * E * i_y),
        m_z * length / (E * i_z) + v * length**2 / (2 * E * i_z),
    ]
    np.testing.assert_allclose(tip, np.array(expected, float), rtol=1e-9)


def test_a_slender_timoshenko_member_does_not_lock():
    """At L/h = 10⁴ one element gives Euler-Bernoulli's deflection."""
    slender = Section.rectangle(1e-3, 1e-3)
    matrix = np.asarray(stiffness(member(section=slender), np.array([[0.0, 0, 0], [10.0, 0, 0]])))
    tip = np.linalg.solve(matrix[6:, 6:], np.eye(6)[UZ])[UZ]
    assert tip == pytest.approx(10.0**3 / (3 * E * 1e-12 / 12), rel=1e-6)


def test_space_truss():
    """A tripod under a weight: N = -P/(3 cos α) in each bar, and the apex sinks by P L/(3 E A cos² α)."""
    area, height, radius, load = 4e-4, 2.0, 1.5, 3e4
    angles = 2 * np.pi * np.arange(3) / 3
    feet = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(3)], axis=1)
    points = np.vstack([feet, [[0, 0, height]]])
    bars, cells = [member("truss", Section.bar(area))] * 3, [(i, 3) for i in range(3)]
    matrix = assembled(stiffness, bars, points, cells)
    fixed = np.setdiff1d(np.arange(24), 18 + np.arange(3))
    u = solved(matrix, force(24, (18 + UZ, -load)), fixed)
    length = np.hypot(height, radius)
    cosine = height / length
    assert float(u[18 + UZ]) == pytest.approx(-load * length / (3 * E * area * cosine**2), rel=1e-12)
    for cell in cells:
        motions = u[dofs_of(cell)]
        forces = section_forces(bars[0], points[np.array(cell)], motions, np.array([0.0, 0.5, 1.0]))
        np.testing.assert_allclose(forces[:, 0], -load / (3 * cosine), rtol=1e-12)
        np.testing.assert_allclose(forces[:, 1:], 0.0, atol=1e-6)


def test_portal_frame():
    """Fixed feet, a force P at the beam: base M = (Ph/2)(3k+1)/(6k+1), top M = (Ph/2) 3k/(6k+1), k = (I_b/I_c)(h/l).

    Kleinlogel, Rigid Frame Formulas, 1952, for members rigid axially (here by a large area).
    """
    h, span, load = 3.0, 5.0, 1e4
    column = member("Euler-Bernoulli", Section.general(10.0, 2e-5, 2e-5, 1e-5), (1.0, 0.0, 0.0))
    beam = member("Euler-Bernoulli", Section.general(10.0, 3e-5, 3e-5, 1e-5))
    points = np.array([[0.0, 0, 0], [0, 0, h], [span, 0, h], [span, 0, 0]])
    members, cells = [column, beam, column], [(0, 1), (1, 2), (3, 2)]
    matrix = assembled(stiffness, members, points, cells)
    fixed = np.concatenate([np.arange(6), 18 + np.arange(6)])
    u = solved(matrix, force(24, (6 + UX, load)), fixed)
    k = 3e-5 / 2e-5 * h / span
    motions = u[:12]
    moments = section_forces(column, points[:2], motions, np.array([0.0, 1.0]))[:, 4]
    base, top = load * h / 2 * (3 * k + 1) / (6 * k + 1), load * h / 2 * 3 * k / (6 * k + 1)
    np.testing.assert_allclose(np.abs(moments), [base, top], rtol=2e-4)
    assert float(moments[0] * moments[1]) < 0


# Loads, temperature, releases.


def uniform(w, heating=0.0, gradient=(0.0, 0.0)):
    q = force(6, (UZ, w))
    return MemberLoad(q, q, 1.2e-5, heating, gradient)


@pytest.mark.parametrize("theory", THEORIES)
def test_a_clamped_beam_under_a_uniform_load(theory):
    """Ends: wL²/12 and wL/2; middle: wL²/24; deflection at the middle by two elements: wL⁴/384EI + wL²/8GAs."""
    length, w, constants = 4.0, -5e3, BOX.constants(NU)
    members, points, cells = chain(2, member(theory), end=(length, 0, 0))
    matrix = assembled(stiffness, members, points, cells)
    loads = np.zeros(18)
    for cell in cells:
        loads[dofs_of(cell)] += nodal_loads(members[0], points[np.array(cell)], uniform(w))
    u = solved(matrix, loads, np.concatenate([np.arange(6), 12 + np.arange(6)]))
    shear = w * length**2 * constants.flexibility_z / (8 * G) if theory == "Timoshenko" else 0.0
    assert float(u[6 + UZ]) == pytest.approx(w * length**4 / (384 * E * constants.inertia_y) + shear, rel=1e-10)
    forces = section_forces(members[0], points[:2], u[:12], np.array([0.0, 0.5, 1.0]), uniform(w))
    x = length / 2 * np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(forces[:, 2], w * (length / 2 - x), atol=1e-6)
    np.testing.assert_allclose(forces[:, 4], w * (length * x - x**2) / 2 - w * length**2 / 12, atol=1e-6)


def test_a_linear_load_and_spread_moments():
    """A cantilever under q = q₀(1 - x/L): tip q₀L⁴/30EI; under a moment m per length: tip mL³/3EI."""
    length, q0, i_y = 3.0, 2e3, BOX.constants(NU).inertia_y
    corners = np.array([[0.0, 0, 0], [length, 0, 0]])
    one = member("Euler-Bernoulli")
    soft = np.linalg.inv(stiffness(one, corners)[6:, 6:])
    triangle = MemberLoad(force(6, (UZ, q0)), jnp.zeros(6))
    tip = soft @ np.asarray(nodal_loads(one, corners, triangle))[6:]
    assert float(tip[UZ]) == pytest.approx(q0 * length**4 / (30 * E * i_y), rel=1e-9)
    forces = section_forces(one, corners, np.concatenate([np.zeros(6), tip]), np.array([0.0, 0.4, 1.0]), triangle)
    rest = length * (1 - np.array([0.0, 0.4, 1.0]))
    np.testing.assert_allclose(forces[:, 2], q0 * rest**2 / (2 * length), atol=1e-8)
    np.testing.assert_allclose(forces[:, 4], -q0 * rest**3 / (6 * length), atol=1e-8)
    turning = force(6, (RY, -q0))
    tip = soft @ np.asarray(nodal_loads(one, corners, MemberLoad(turning, turning)))[6:]
    assert float(tip[UZ]) == pytest.approx(q0 * length**3 / (3 * E * i_y), rel=1e-9)


def test_temperature():
    """Held at both ends: N = -EAαΔT and M = -EIαT'; free at one: the tip moves by αΔT L and αT'L²/2, forces vanish."""
    length, constants = 2.0, BOX.constants(NU)
    corners = np.array([[0.0, 0, 0], [length, 0, 0]])
    warm = uniform(0.0, heating=50.0, gradient=(30.0, 80.0))
    held = section_forces(member(), corners, np.zeros(12), np.array([0.0, 1.0]), warm)
    expected = np.zeros(6)
    expected[[0, 4, 5]] = (
        -E * constants.area * 1.2e-5 * 50,
        -E * constants.inertia_y * 1.2e-5 * 80,
        E * constants.inertia_z * 1.2e-5 * 30,
    )
    np.testing.assert_allclose(held, np.stack([expected, expected]), rtol=1e-12)
    tip = np.linalg.solve(stiffness(member(), corners)[6:, 6:], nodal_loads(member(), corners, warm)[6:])
    moved = [1.2e-5 * 50 * length, -1.2e-5 * 30 * length**2 / 2, -1.2e-5 * 80 * length**2 / 2]
    np.testing.assert_allclose(tip[:3], moved, rtol=1e-9)
    free = section_forces(member(), corners, np.concatenate([np.zeros(6), tip]), np.array([0.3]), warm)
    np.testing.assert_allclose(free, 0.0, atol=1e-6)


def released(*dofs):
    return np.isin(np.arange(12), dofs)


def test_releases_carry_no_moment():
    """Clamped nodes with hinges at the member's ends: wL²/8 in the middle; with one hinge: wL²/8 at the other end."""
    length, w = 4.0, -5e3
    corners = np.array([[0.0, 0, 0], [length, 0, 0]])
    both = member("Euler-Bernoulli", released=released(RY, RZ, 6 + RY, 6 + RZ))
    forces = section_forces(both, corners, np.zeros(12), np.array([0.0, 0.5, 1.0]), uniform(w))
    np.testing.assert_allclose(forces[:, 4], [0.0, w * length**2 / 8, 0.0], atol=1e-8)
    one = member("Euler-Bernoulli", released=released(6 + RY))
    forces = end_forces(one, corners, np.zeros(12), uniform(w))
    assert float(forces[4]) == pytest.approx(w * length**2 / 8)
    assert float(forces[2]) == pytest.approx(-5 * w * length / 8)
    assert float(forces[10]) == pytest.approx(0.0, abs=1e-8)


def test_a_member_with_hinges_is_a_bar():
    """Bending released at both ends and torsion at one: the stiffness is EA/L alone, the mass that of linear shapes."""
    corners = np.array([[0.0, 0.2, 0.1], [1.5, 1.0, 0.7]])
    hinged = member(released=released(RX, RY, RZ, 6 + RY, 6 + RZ))
    bar = member("truss")
    np.testing.assert_allclose(
        stiffness(hinged, corners), stiffness(bar, corners), atol=1e-9 * float(stiffness(bar, corners).max())
    )
    moved = np.ix_([0, 1, 2, 6, 7, 8], [0, 1, 2, 6, 7, 8])
    total = np.asarray(mass(hinged, corners))[moved].reshape(2, 3, 2, 3).sum(axis=(0, 2))
    expected = np.asarray(mass(bar, corners))[moved].reshape(2, 3, 2, 3).sum(axis=(0, 2))
    np.testing.assert_allclose(total, expected, atol=1e-9)


def test_an_offset_is_a_rigid_arm():
    """A column loaded at an arm e beside its axis: tip rotation P e L/EI, tip moves sideways by P e L²/2EI."""
    length, e, load, i_y = 3.0, 0.4, 1e4, BOX.constants(NU).inertia_y
    offsets = np.array([[-e, 0.0, 0.0], [-e, 0.0, 0.0]])
    corners = np.array([[e, 0.0, 0.0], [e, 0.0, length]])
    column = member("Euler-Bernoulli", orientation=(1.0, 0.0, 0.0), offsets=offsets)
    tip = np.linalg.solve(stiffness(column, corners)[6:, 6:], force(6, (UZ, -load)))
    assert float(tip[RY]) == pytest.approx(load * e * length / (E * i_y), rel=1e-9)
    assert float(tip[UX]) == pytest.approx(load * e * length**2 / (2 * E * i_y), rel=1e-9)
    sunk = load * length / (E * BOX.constants(NU).area) + load * e**2 * length / (E * i_y)
    assert float(tip[UZ]) == pytest.approx(-sunk, rel=1e-9)


# Vibration and buckling.

PINNED = [UX, UY, UZ, RX]


def pinned_ends(n):
    return np.array([*PINNED, 6 * n + UY, 6 * n + UZ])


def analytic_frequency(mode, length, section, theory):
    """ω² of a simply supported beam: the lower root of Timoshenko's equation, of Rayleigh's for a beam rigid in shear.

    Timoshenko, Young, Weaver, Vibration Problems in Engineering, 4th ed., 1974, chapter 5.
    """
    wave, i, area = mode * np.pi / length, float(section.inertia_y), float(section.area)
    if theory == "Euler-Bernoulli":
        return E * i * wave**4 / (RHO * area + RHO * i * wave**2)
    soft = area * float(section.flexibility_z) / G  # 1/κG
    linear = RHO * area + RHO * i * wave**2 * (1 + E * soft)
    return (linear - np.sqrt(linear**2 - 4 * RHO**2 * i * soft * E * i * wave**4)) / (2 * RHO**2 * i * soft)


@pytest.mark.parametrize("theory", THEORIES)
def test_frequencies_of_a_simply_supported_beam(theory):
    length, constants = 2.0, Section.rectangle(0.5, 0.3).constants(NU)  # bending about y is the softer

    def errors(n):
        members, points, cells = chain(n, member(theory, Section.rectangle(0.5, 0.3)), end=(length, 0, 0))
        k, m = (assembled(kernel, members, points, cells) for kernel in (stiffness, mass))
        out = 6 * np.arange(n + 1)[:, None] + np.array([UX, UY, RX, RZ])  # the x-z plane alone
        found = lowest(k, m, np.union1d(pinned_ends(n), out.ravel()), 3)
        return np.abs(found / [analytic_frequency(mode, length, constants, theory) for mode in (1, 2, 3)] - 1)

    coarse, fine = errors(6), errors(12)
    slender = theory == "Euler-Bernoulli"
    assert np.all(fine < (2e-3 if slender else 2e-2))
    # Where members are shorter than a few depths, Timoshenko's inertia converges as that of linear shapes.
    assert np.all(np.log2(coarse / fine) > (3.6 if slender else 1.9))


@pytest.mark.parametrize(
    ("fixed", "factor"),
    [
        ([*PINNED, 48 + UY, 48 + UZ], np.pi**2),
        ([*range(6)], np.pi**2 / 4),
        ([*range(6), *(48 + np.array([UY, UZ, RX, RY, RZ]))], 4 * np.pi**2),
        ([*range(6), *(48 + np.array([UY, UZ]))], 20.1907),
    ],
    ids=["pinned-pinned", "fixed-free", "fixed-fixed", "fixed-pinned"],
)
def test_euler_loads(fixed, factor):
    """P = c EI/L²; Timoshenko and Gere, Theory of Elastic Stability, 1961, chapter 2."""
    length, section = 2.0, Section.rectangle(0.05, 0.02)
    members, points, cells = chain(8, member("Euler-Bernoulli", section), end=(length, 0, 0))
    k = assembled(stiffness, members, points, cells)
    g = assembled(lambda one, corners: geometric_stiffness(one, corners, -1.0), members, points, cells)
    load = lowest(k, -g, np.array(fixed), 1)[0]
    assert load == pytest.approx(factor * E * section.constants(NU).inertia_y / length**2, rel=1e-3)


def test_shear_lowers_the_buckling_load():
    """Engesser: P = P_E/(1 + P_E/GA_s); Timoshenko and Gere, 1961, section 2.17."""
    section = Section.general(0.01, 1e-5, 2e-5, 1e-5, 1e-3, 1e-3)
    members, points, cells = chain(16, member("Timoshenko", section), end=(1.0, 0, 0))
    k = assembled(stiffness, members, points, cells)
    g = assembled(lambda one, corners: geometric_stiffness(one, corners, -1.0), members, points, cells)
    euler = np.pi**2 * E * 1e-5
    assert lowest(k, -g, pinned_ends(16), 1)[0] == pytest.approx(euler / (1 + euler / (G * 1e-3)), rel=1e-3)


def test_a_stretched_chain_of_bars_swings_like_a_string():
    """ω = π/L √(N/ρA)."""
    n, pull = 24, 1e5
    members, points, cells = chain(n, member("truss", Section.bar(1e-4)))
    k = assembled(lambda one, corners: geometric_stiffness(one, corners, pull), members, points, cells)
    m = assembled(mass, members, points, cells)
    moving = 6 * np.arange(1, n) + UZ
    values = lowest(k, m, np.setdiff1d(np.arange(6 * n + 6), moving), 1)
    assert np.sqrt(values[0]) == pytest.approx(np.pi * np.sqrt(pull / (RHO * 1e-4)), rel=2e-3)


@pytest.mark.parametrize("theory", ["Timoshenko", "Euler-Bernoulli", "truss"])
def test_masses_hold_the_inertia_of_the_member(theory):
    corners = np.array([[0.0, 0.2, 0.1], [1.5, 1.0, 0.7]])
    along = corners[1] - corners[0]
    length, constants = float(jnp.linalg.norm(along)), BOX.constants(NU)
    one = member(theory)
    matrix = mass(one, corners)
    total = RHO * constants.area * length
    for axis in range(3):
        push = force(12, (axis, 1.0), (6 + axis, 1.0))
        assert float(push @ matrix @ push) == pytest.approx(total)
        assert float(jnp.sum(push * lumped_mass(one, length))) == pytest.approx(total)
    if theory != "truss":  # turning about the middle: ρAL³/12 + ρI L
        middle, axis = corners.mean(axis=0), local_axes(jnp.asarray(corners), jnp.array(UP))[0][1]
        turn = jnp.concatenate([jnp.concatenate([jnp.cross(axis, x - middle), axis]) for x in corners])
        expected = total * length**2 / 12 + RHO * constants.inertia_y * length
        assert float(turn @ matrix @ turn) == pytest.approx(expected)


# Plane members, shapes between nodes, gradients.


def test_a_plane_member_bends_about_its_y_axis():
    corners = np.array([[0.0, 0.0], [1.2, 0.9]])
    space = planar_corners(jnp.asarray(corners))
    one = member(orientation=planar_orientation(space))
    plane = planar().T @ stiffness(one, space) @ planar()
    axes, length = local_axes(space, planar_orientation(space))
    tip = np.linalg.solve(plane[3:, 3:], jnp.concatenate([axes[2, :2], jnp.zeros(1)]))
    constants = BOX.constants(NU)
    soft = length**3 / (3 * E * constants.inertia_y) + length * constants.flexibility_z / G
    assert float(tip[:2] @ axes[2, :2]) == pytest.approx(float(soft))
    assert float(tip[2]) == pytest.approx(float(length**2 / (2 * E * constants.inertia_y)))


def test_motions_between_the_nodes_of_a_cantilever():
    """w = P x²(3L - x)/6EI."""
    length, load, corners = 2.0, 1e3, np.array([[0.0, 0, 0], [0, 2.0, 0]])
    one = member("Euler-Bernoulli")
    tip = np.linalg.solve(stiffness(one, corners)[6:, 6:], force(6, (UZ, load)))
    x = np.linspace(0, length, 5)
    found = section_motions(one, corners, np.concatenate([np.zeros(6), tip]), x / length)
    expected = load * x**2 * (3 * length - x) / (6 * E * BOX.constants(NU).inertia_y)
    np.testing.assert_allclose(found[:, UZ], expected, atol=1e-15)


def compliance(arguments):
    points, modulus, size = arguments
    section = Section.rectangle(size[0], size[1]).constants(NU)
    hinge = released(6 + RY)
    members = [
        Member(section, modulus, modulus / 2.6, jnp.array([1.0, 0.3, 0.0])),
        Member(section, modulus, modulus / 2.6, jnp.array(UP), released=hinge),
        Member(section, modulus, modulus / 2.6, jnp.array(UP), theory="truss"),
    ]
    matrix = jnp.zeros((18, 18))
    for one, cell in zip(members, [(0, 1), (1, 2), (0, 2)], strict=True):
        dofs = dofs_of(cell)
        matrix = matrix.at[dofs[:, None], dofs].add(structures.stiffness(one, points[np.array(cell)]))
    q = jnp.array([0.0, 2e3, -5e3, 0, 0, 0])
    push = structures.nodal_loads(members[1], points[1:], MemberLoad(q, 0.5 * q))[:6]
    return push @ jnp.linalg.solve(matrix[6:12, 6:12], push)


@pytest.mark.slow
def test_taylor_remainders():
    """Of the compliance, in coordinates, modulus and section at once and one by one."""
    points = jnp.array([[0.0, 0, 0], [0.1, 0.0, 2.0], [2.0, 0.3, 2.2]])
    start = (points, jnp.array(210e9), jnp.array([0.1, 0.15]))
    rng = np.random.default_rng(0)
    directions = [jnp.asarray(rng.standard_normal(part.shape)) * part.max() * 0.1 for part in start]
    value, gradient = jax.jit(jax.value_and_grad(compliance))(start)
    compiled = jax.jit(compliance)
    for chosen in range(3):
        change = [part if i == chosen else jnp.zeros_like(part) for i, part in enumerate(directions)]
        slope = sum(float(jnp.sum(g * d)) for g, d in zip(gradient, change, strict=True))
        steps = [0.1 * 0.5**k for k in range(4)]
        moved = [compiled(tuple(a + e * d for a, d in zip(start, change, strict=True))) for e in steps]
        remainders = np.array([abs(float(m - value) - e * slope) for m, e in zip(moved, steps, strict=True)])
        assert np.all(np.log2(remainders[:-1] / remainders[1:]) > 1.9)


def test_default_orientation_never_lies_along_the_member():
    rng = np.random.default_rng(1)
    directions = np.vstack([rng.standard_normal((50, 3)), np.eye(3), -np.eye(3), [[1e-3, 0, 1.0], [0.05, 0, 1.0]]])
    for direction in directions:
        reference = default_orientation(jnp.array(direction))
        assert abs(float(reference @ direction)) / np.linalg.norm(direction) <= 0.9991


def test_an_unknown_theory_is_named():
    with pytest.raises(ValueError, match="not 'Vlasov'"):
        dataclasses.replace(member(), theory="Vlasov")
