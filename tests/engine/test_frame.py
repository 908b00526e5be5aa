"""Frames against closed forms and textbook solutions: statics, vibration, buckling, gradients, twins."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import gemel as gm
from gemel import meshes

E, NU, RHO = 210e9, 0.3, 7850.0
G = E / (2 * (1 + NU))
SLENDER = gm.Section.general(1e-2, 2e-5, 3e-5, 1e-5)


def frame(joints, members, n: Any = 1, **tags):
    return meshes.frame(np.asarray(joints, float), members, n, **tags)


def beam(length=4.0, n=4, dim=3, **tags):
    """A straight member along x, its ends tagged."""
    joints = np.zeros((2, dim))
    joints[1, 0] = length
    return frame(joints, [[0, 1]], n, member_tags={"beam": [0]}, joint_tags={"left": [0], "right": [1], **tags})


def solved(*arguments, **options):
    structure = gm.Frame(*arguments, **options)
    return structure, gm.solve(gm.Steady(structure)).checked()


@pytest.mark.slow
def test_portal_frame_in_the_plane():
    """Fixed feet, a force at the beam: M = (Ph/2)(3k+1)/(6k+1) and (Ph/2) 3k/(6k+1); Kleinlogel, 1952."""
    h, span, load = 3.0, 5.0, 1e4
    mesh = frame(
        [[0, 0], [0, h], [span, h], [span, 0]],
        [[0, 1], [1, 2], [3, 2]],
        member_tags={"columns": [0, 2], "beam": [1]},
        joint_tags={"feet": [0, 3], "corner": [1]},
    )
    shapes = {"columns": gm.Section.general(10.0, 2e-5, 1.0, 1.0), "beam": gm.Section.general(10.0, 3e-5, 1.0, 1.0)}
    structure, u = solved(mesh, shapes, E, conditions=[gm.Support("feet"), gm.PointLoad("corner", (load, 0.0))])
    k = 3e-5 / 2e-5 * h / span
    base, top = load * h / 2 * (3 * k + 1) / (6 * k + 1), load * h / 2 * 3 * k / (6 * k + 1)
    moments = gm.member_forces(structure, u, (0.0, 1.0))[:, :, 2]
    np.testing.assert_allclose(np.abs(moments), [[base, top], [top, top], [base, top]], rtol=1e-4)
    reactions = structure.problem.unconstrained(u.reshape(-1)).reshape(-1, 3)
    np.testing.assert_allclose(reactions[:, 0].sum(), -load, rtol=1e-9)


@pytest.mark.slow
def test_a_bent_cantilever_in_space():
    """An L of arms a and b under P across its plane: δ = P(a³ + b³)/3EI + P a b²/GJ; Roark, Formulas, section 8."""
    a, b, load = 2.0, 1.0, 1e3
    mesh = frame([[0, 0, 0], [a, 0, 0], [a, b, 0]], [[0, 1], [1, 2]], joint_tags={"wall": [0], "tip": [2]})
    structure, u = solved(mesh, SLENDER, E, conditions=[gm.Support("wall"), gm.PointLoad("tip", (0.0, 0.0, load))])
    bent = load * (a**3 + b**3) / (3 * E * 2e-5)
    assert float(u[2, 2]) == pytest.approx(bent + load * a * b**2 / (G * 1e-5), rel=1e-6)
    assert float(gm.member_forces(structure, u)[0, 0, 3]) == pytest.approx(load * b, rel=1e-6)


@pytest.mark.slow
def test_a_beam_over_two_spans():
    """Uniform load: M = wL²/8 over the middle support, reactions 3, 10, 3 of wL/8."""
    span, w = 3.0, 2e3
    mesh = frame([[0, 0], [span, 0], [2 * span, 0]], [[0, 1], [1, 2]], 2, joint_tags={"left": [0], "rest": [1, 2]})
    conditions = [gm.Support("left", "displacements"), gm.Support("rest", "uy"), gm.LineLoad("all", (0.0, -w))]
    structure, u = solved(mesh, SLENDER, E, conditions=conditions)
    reactions = structure.problem.unconstrained(u.reshape(-1)).reshape(-1, 3)
    np.testing.assert_allclose(reactions[:3, 1], w * span / 8 * np.array([3, 10, 3]), rtol=1e-6)
    forces = gm.member_forces(structure, u, (0.0, 1.0))
    assert float(forces[1, 1, 2]) == pytest.approx(w * span**2 / 8, rel=1e-6)  # the upper, left side is stretched
    assert float(forces[0, 0, 2]) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.slow
def test_a_hinge_in_a_beam_that_is_clamped_at_both_ends():
    """Each half is a cantilever: the hinge sinks by wL⁴/128EI and M = wL²/8 at the walls."""
    length, w = 4.0, 1e3
    joints = {"walls": [0, 2], "hinge": [1]}
    mesh = frame([[0, 0, 0], [2, 0, 0], [4, 0, 0]], [[0, 1], [1, 2]], joint_tags=joints)
    mesh = mesh.with_cell_tag("first", np.array([0]))
    structure, u = solved(
        mesh,
        SLENDER,
        E,
        conditions=[gm.Support("walls"), gm.LineLoad("all", (0.0, 0.0, -w))],
        releases=[gm.Release("first", at="hinge")],
    )
    assert float(u[1, 2]) == pytest.approx(-w * length**4 / (128 * E * 2e-5), rel=1e-6)
    forces = gm.member_forces(structure, u)
    np.testing.assert_allclose(forces[0, :, 4], [w * length**2 / 8, w * length**2 / 32, 0.0], atol=1e-4)


@pytest.mark.slow
def test_a_plane_truss_by_the_method_of_joints():
    """Two bars at 30° under P at their tip: N = P in both, upper in tension; nodes need no rotations."""
    load = 5e4
    mesh = frame([[0, 0], [0, 2], [np.sqrt(3), 1]], [[0, 2], [1, 2]], joint_tags={"wall": [0, 1], "tip": [2]})
    area = 1e-3
    structure, u = solved(
        mesh,
        gm.Section.bar(area),
        E,
        conditions=[gm.Support("wall", "displacements"), gm.PointLoad("tip", (0.0, -load))],
    )
    forces = gm.member_forces(structure, u)
    np.testing.assert_allclose(forces[:, 1, 0], [-load, load], rtol=1e-9)
    assert float(u[2, 1]) == pytest.approx(-2 * load * 2.0 / (E * area), rel=1e-9)  # Σ N²L/PEA
    np.testing.assert_allclose(u[:, 2], 0.0)


@pytest.mark.slow
def test_a_cantilever_with_a_tie():
    """Beam and bar in one model: X/EA L_c = (P - X) L³/3EI."""
    length, height, load, area = 3.0, 2.0, 1e4, 1e-5
    mesh = frame(
        [[0, 0, 0], [length, 0, 0], [length, 0, height]],
        [[0, 1], [1, 2]],
        member_tags={"beam": [0], "tie": [1]},
        joint_tags={"wall": [0], "tip": [1], "roof": [2]},
    )
    structure, u = solved(
        mesh,
        {"beam": SLENDER, "tie": gm.Section.bar(area)},
        E,
        conditions=[
            gm.Support("wall"),
            gm.Support("roof", "displacements"),
            gm.PointLoad("tip", (0.0, 0.0, -load)),
        ],
    )
    soft, stiff = length**3 / (3 * E * 2e-5), height / (E * area)
    pull = load * soft / (soft + stiff)
    assert float(gm.member_forces(structure, u)[1, 1, 0]) == pytest.approx(pull, rel=1e-7)
    assert float(u[1, 2]) == pytest.approx(-pull * stiff, rel=1e-7)


@pytest.mark.slow
def test_weight_temperature_springs_and_a_settling_support():
    """A beam on a spring at its tip: weight and a support that moves; a heated beam between walls."""
    length, k = 4.0, 1e5
    mesh = beam(length)
    bending = 3 * E * 2e-5 / length**3
    weight = RHO * 1e-2 * 9.81
    conditions = [gm.Support("left"), gm.SelfWeight((0.0, 0.0, -9.81)), gm.PointSpring("right", (0.0, 0.0, k))]
    _, u = solved(mesh, SLENDER, E, density=RHO, conditions=conditions)
    assert float(u[1, 2]) == pytest.approx(-3 / 8 * weight * length / (bending + k), rel=1e-6)
    conditions = [gm.Support("left"), gm.Support("right", "uz", -0.01)]
    structure, u = solved(mesh, SLENDER, E, conditions=conditions)
    assert float(gm.member_forces(structure, u)[0, 0, 4]) == pytest.approx(0.01 * 3 * E * 2e-5 / length**2, rel=1e-6)
    heated = [gm.Support("left"), gm.Support("right"), gm.Heating("beam", 30.0, 1.2e-5, (0.0, 50.0))]
    structure, u = solved(mesh, SLENDER, E, conditions=heated)
    forces = gm.member_forces(structure, u)
    np.testing.assert_allclose(forces[:, :, 0], -E * 1e-2 * 1.2e-5 * 30, rtol=1e-9)
    np.testing.assert_allclose(forces[:, :, 4], -E * 2e-5 * 1.2e-5 * 50, rtol=1e-7)


def test_orientation_turns_the_section():
    """A flat upright bends less than one lying: I = bh³/12 either way round."""
    section, load = gm.Section.rectangle(0.05, 0.2), gm.PointLoad("right", (0.0, 0.0, 1e3))
    for direction, inertia in ((None, 0.05 * 0.2**3 / 12), ((0.0, 1.0, 0.0), 0.2 * 0.05**3 / 12)):
        _, u = solved(
            beam(n=1),
            section,
            E,
            conditions=[gm.Support("left"), load],
            theory="Euler-Bernoulli",
            orientation={"beam": direction},
        )
        assert float(u[1, 2]) == pytest.approx(1e3 * 4.0**3 / (3 * E * inertia), rel=1e-6)


# Vibration and buckling.


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 3])
def test_frequencies_of_a_cantilever(dim):
    """(βL)² = 3.5160, 22.034; Blevins, Formulas for Natural Frequency, 1979, table 8-1."""
    thin = gm.Section.general(1e-2, 2e-7, 5e-7, 1e-6)
    structure = gm.Frame(beam(n=8, dim=dim), thin, E, density=RHO, conditions=[gm.Support("left")])
    found, _ = gm.modes(gm.Modal(structure, 4)).checked()
    unit = np.sqrt(E * 2e-7 / (RHO * 1e-2)) / (2 * np.pi * 4.0**2)
    both = [3.5160, 22.034] if dim == 2 else [3.5160, 3.5160 * np.sqrt(2.5)]
    np.testing.assert_allclose(found[:2], unit * np.array(both), rtol=1e-3)


@pytest.mark.slow
def test_a_mass_on_a_column_and_its_lumped_self():
    """f = √(3EI/L³(m + 33/140 ρAL))/2π by Rayleigh; Blevins, 1979, table 8-8; lumped masses agree."""
    mesh = beam(2.0, n=6, dim=2)
    heavy, own = 200.0, RHO * 1e-2 * 2.0
    expected = np.sqrt(3 * E * 2e-7 / 2.0**3 / (heavy + 33 / 140 * own)) / (2 * np.pi)
    for lumped in (False, True):
        structure = gm.Frame(
            mesh,
            gm.Section.general(1e-2, 2e-7, 2e-7, 1e-6),
            E,
            density=RHO,
            conditions=[gm.Support("left")],
            masses=[gm.PointMass("right", heavy)],
            lumped=lumped,
        )
        found, _ = gm.modes(gm.Modal(structure, 1)).checked()
        assert float(found[0]) == pytest.approx(expected, rel=3e-3)


@pytest.mark.slow
def test_buckling_of_a_portal_that_sways():
    """Fixed feet, P on both columns: kh cot kh = -6 for equal members; Timoshenko and Gere, 1961, section 2.14."""
    h = 2.0
    mesh = frame(
        [[0, 0], [0, h], [h, h], [h, 0]], [[0, 1], [1, 2], [3, 2]], 6, joint_tags={"feet": [0, 3], "tops": [1, 2]}
    )
    section = gm.Section.general(1.0, 2e-5, 1.0, 1.0)
    structure = gm.Frame(mesh, section, E, conditions=[gm.Support("feet"), gm.PointLoad("tops", (0.0, -1.0))])
    factors, shapes = gm.buckle(gm.Buckling(structure, 2)).checked()
    kh: Any = brentq(lambda x: x / np.tan(x) + 6, 2.0, 3.1)
    assert float(factors[0]) == pytest.approx(kh**2 * E * 2e-5 / h**2, rel=1e-3)
    assert float(factors[1]) > float(factors[0])
    tops = np.asarray(shapes[0, 1:3, 0])
    assert tops[0] == pytest.approx(tops[1], rel=1e-4)


def test_a_frame_in_tension_never_buckles():
    structure = gm.Frame(
        beam(dim=2, n=2), SLENDER, E, conditions=[gm.Support("left"), gm.PointLoad("right", (1.0, 0.0))]
    )
    factors, _ = gm.buckle(gm.Buckling(structure, 1)).checked()
    assert np.isinf(float(factors[0]))


# Gradients and twins.


def quantities(points, modulus, load, size):
    """A load factor, which holds a static solution and its forces, and a frequency, from all that may vary."""
    top = gm.PointLoad("top", jnp.array([0.2, 0.1, -1.0]) * load)
    tripod = gm.Frame(
        TRIPOD.with_points(points),
        gm.Section.rectangle(size, 0.1),
        modulus,
        density=RHO,
        conditions=[gm.Support("feet"), top],
    )
    factors, _ = gm.Buckling(tripod, 1).solve().value
    frequencies, _ = gm.Modal(tripod, 2).solve().value
    return 1e-3 * factors[0] - 0.02 * frequencies[0]


TRIPOD = frame(
    [[0, 0, 0], [2, 0, 0], [1.0, 0.3, 2.5], [0.8, 2.0, 0]],
    [[0, 2], [1, 2], [3, 2]],
    [2, 1, 1],
    joint_tags={"feet": [0, 1, 3], "top": [2]},
)


@pytest.mark.slow
def test_taylor_remainders():
    """In coordinates, modulus, load and a size of the section at once."""
    start = (jnp.asarray(TRIPOD.points), jnp.array(E), jnp.array(2e4), jnp.array(0.08))
    rng = np.random.default_rng(3)
    change = [jnp.asarray(rng.standard_normal(part.shape)) * 0.1 * jnp.abs(part).max() for part in start]
    function = jax.jit(jax.value_and_grad(lambda x: quantities(*x)))
    value, gradient = function(start)
    slope = sum(float(jnp.vdot(g, d)) for g, d in zip(gradient, change, strict=True))
    steps = 0.02 * 0.5 ** np.arange(3)
    moved = [float(function(tuple(a + e * d for a, d in zip(start, change, strict=True)))[0]) for e in steps]
    remainders = np.abs(np.array(moved) - float(value) - steps * slope)
    assert np.all(np.log2(remainders[:-1] / remainders[1:]) > 1.9)


def tower(modulus_of_bracing, wind=None, modes=4):
    """A square lattice tower of three bays: legs that bend, diagonals that do not, an antenna on top."""
    side, bay, bays = 1.0, 1.5, 3
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    joints = [[*corner, level * bay] for level in range(bays + 1) for corner in corners]
    at = lambda level, corner: 4 * level + corner % 4  # noqa: E731
    legs = [(at(level, c), at(level + 1, c)) for level in range(bays) for c in range(4)]
    rings = [(at(level, c), at(level, c + 1)) for level in range(1, bays + 1) for c in range(4)]
    diagonals = [(at(level, c), at(level + 1, c + 1)) for level in range(bays) for c in range(4)]
    n, m = len(legs), len(legs) + len(rings)
    mesh = frame(
        joints,
        [*legs, *rings, *diagonals],
        member_tags={"legs": range(n), "rings": range(n, m), "diagonals": range(m, m + len(diagonals))},
        joint_tags={"ground": range(4), "top": range(len(joints) - 4, len(joints))},
    )
    conditions: list[Any] = [gm.Support("ground")]
    if wind is not None:
        conditions.append(gm.PointLoad("top", (wind, 0.0, 0.0)))
    return gm.Frame(
        mesh,
        {
            "legs": gm.Section.tube(0.08, 0.005),
            "rings": gm.Section.tube(0.05, 0.003),
            "diagonals": gm.Section.bar(2e-4),
        },
        {"legs": E, "rings": E, "diagonals": modulus_of_bracing},
        density=RHO,
        conditions=conditions,
        masses=[gm.PointMass("top", 20.0)],
    )


@pytest.mark.slow
def test_a_tower_is_calibrated_by_its_frequencies():
    """The stiffness of the bracing from three measured frequencies: the true one comes back, well determined."""
    bracing = gm.Parameter("bracing", gm.LogNormal(100e9, 4.0), "Pa")
    sensors = [gm.FrequencySensor(name=f"f{k}", mode=k, noise=0.02) for k in (1, 3)]
    twin = gm.Twin("tower", gm.Modal(tower(bracing), 3), sensors)
    truth = gm.simulate(twin, parameters={"bracing": 60e9})
    fit = gm.calibrate(twin, gm.Record(None, dict(truth.readings)))
    row = fit.table()[0]
    assert row.value == pytest.approx(60e9, rel=1e-3)
    assert row.determined > 0.99


@pytest.mark.slow
def test_sensors_read_a_frame_under_inputs():
    """Static readings at the top of the tower are proportional to the wind, and turn with no load."""
    structure = tower(E, gm.Input("wind"))
    sensor = gm.PointSensor(name="top", position=(0.0, 0.0, 4.5), noise=1e-4, component=0)
    twin = gm.Twin("tower", gm.Steady(structure), [sensor])
    readings = []
    for wind in (500.0, 1000.0):
        signal = gm.Series(np.array([0.0, 1.0]), np.full(2, wind))
        readings.append(float(gm.simulate(twin, {"wind": signal}).readings["top"]))
    assert readings[0] > 0
    assert readings[1] == pytest.approx(2 * readings[0], rel=1e-9)


# Mistakes.

TAGS = {"columns": [0], "beam": [1]}
ANGLE = frame(
    [[0, 0, 0], [0, 0, 2], [2, 1, 2]], [[0, 1], [1, 2]], member_tags=TAGS, joint_tags={"foot": [0], "tip": [2]}
)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"section": {"columns": SLENDER}}, "1 of 2 cells lie in none of the regions"),
        ({"section": {"column": SLENDER}}, "no cell tag 'column'"),
        ({"youngs_modulus": -1.0}, "Young's modulus of a frame must be positive, not -1.0"),
        ({"poisson_ratio": {"columns": 0.3, "beam": 0.6}}, "Poisson's ratio of a frame must lie between -1 and 0.5"),
        ({"theory": "Reissner"}, "not 'Reissner'"),
        ({"conditions": [gm.Support("foot", ("ux", "phi"))]}, "Support 'foot': 'phi' is none of the motions"),
        ({"conditions": [gm.Support("feet")]}, "feet"),
        (
            {"conditions": [gm.Traction("tip", (1.0, 0.0, 0.0))]},
            "A frame cannot take one Term as a condition: it takes",
        ),
        ({"conditions": [gm.SelfWeight((0.0, 0.0, -9.81))]}, "Self-weight 'all' needs the density of the frame"),
        ({"conditions": [gm.LineLoad("beams", (0, 0, 1.0))]}, "beams"),
        ({"conditions": [gm.PointLoad("tip", (1.0, 0.0))]}, "at 'tip' needs 3 numbers for the displacements, not 2"),
        ({"orientation": (0.0, 0.0, 1.0)}, "of member 0 lies along it"),
        ({"releases": [gm.Release("beam", ("axial",)), gm.Release("columns", ("axial",))]}, "Releasing axial at the"),
        ({"releases": [gm.Release("beam", at="foot")]}, "no end of these members lies at 'foot'"),
        ({"releases": [gm.Release("all", ("moment_y", "moment_z"))]}, "can turn freely about"),
        ({"offsets": [gm.RigidOffset("beam", (0.1,), (0.0, 0.0, 0.0))]}, "needs 3 numbers, not"),
    ],
)
def test_mistakes_are_named(options, sentence):
    arguments = {"mesh": ANGLE, "section": SLENDER, "youngs_modulus": E} | options
    with pytest.raises(ValueError, match=sentence):
        gm.Frame(**arguments)


def test_a_frame_that_nothing_holds_is_refused():
    truss = frame([[0, 0], [1, 0], [0, 1]], [[0, 1], [1, 2], [2, 0]], joint_tags={"foot": [0]})
    loose = gm.Frame(truss, gm.Section.bar(1e-3), E, conditions=[gm.Support("foot", "displacements")])
    with pytest.raises(ValueError, match="Nothing holds the body against rotation about z"):
        gm.solve(gm.Steady(loose))
    with pytest.raises(ValueError, match="The moment at 'foot' acts on a node whose rotation 'rz' nothing resists"):
        gm.Frame(truss, gm.Section.bar(1e-3), E, conditions=[gm.PointLoad("foot", (1.0, 0.0), 5.0)])
    loose = gm.Frame(beam(), SLENDER, E, conditions=[gm.Support("left", "displacements"), gm.Support("left", "rx")])
    with pytest.raises(ValueError, match=r"against rotation about y.* and rotation about z"):
        gm.solve(gm.Steady(loose))


def test_mistakes_of_other_kinds_are_named():
    with pytest.raises(ValueError, match="A frame needs a mesh of straight intervals in 2-D or 3-D, not of quadrilat"):
        gm.Frame(gm.rectangle(1, 1, size=(1.0, 1.0)), SLENDER, E)
    with pytest.raises(ValueError, match="'bending' is not one of axial"):
        gm.Release("beam", ("bending",))
    with pytest.raises(ValueError, match="no Law"):
        gm.LineLoad("beam", gm.Law(lambda u, x: u))
    column = gm.Frame(beam(), SLENDER, E, conditions=[gm.Support("left")])
    with pytest.raises(ValueError, match="Buckling cannot find 90 modes: 24 unknowns are free"):
        gm.Buckling(column, 90)
    with pytest.raises(ValueError, match="its outputs are load_factor_1"):
        gm.Twin("column", gm.Buckling(column, 1), [gm.FrequencySensor(name="f", mode=1, noise=1.0)])
