"""Section constants against published values and independent integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.engine.structures import Section


@pytest.mark.parametrize(("ratio", "factor"), [(1.0, 0.1406), (1.5, 0.196), (2.0, 0.229), (4.0, 0.281), (10.0, 0.312)])
def test_torsion_of_rectangles(ratio, factor):
    """Timoshenko, Goodier, Theory of Elasticity, 3rd ed., table 10.1: J = k₁ (2a)³ 2b."""
    short = 0.02
    for section in (Section.rectangle(short, ratio * short), Section.rectangle(ratio * short, short)):
        constants = section.constants(0.3)
        assert float(constants.torsion) == pytest.approx(factor * short**4 * ratio, rel=3e-3)


@pytest.mark.parametrize(
    ("section", "factor"),
    [
        (Section.rectangle(0.1, 0.3), 0.850),
        (Section.circle(0.2), 0.886),
        (Section.tube(1.0, 1e-4), 0.531),
        (Section.box(1.0, 1.0, 1e-4), 0.436),
    ],
    ids=["rectangle", "circle", "thin tube", "thin square tube"],
)
def test_shear_factors_of_cowper(section, factor):
    """Cowper, J. Appl. Mech. 33, 1966: the factors at ν = 0.3."""
    constants = section.constants(0.3)
    for flexibility in (constants.flexibility_y, constants.flexibility_z):
        assert 1 / float(flexibility * constants.area) == pytest.approx(factor, abs=1e-3)


def shear_flow_flexibility(walls, force):
    """1/A_s = ∫ Q²/t ds / I² over thin walls: mid-lines as dense polylines, thickness, Q where they start."""
    inertia = sum(t * trapezoid(points[:, force] ** 2, points) for points, t, _ in walls)
    total = 0.0
    for points, t, start in walls:
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        middle = 0.5 * (points[1:, force] + points[:-1, force])
        moment = start + t * np.concatenate([[0.0], np.cumsum(steps * middle)])
        total += trapezoid(moment**2, points) / t
    return total / inertia**2


def trapezoid(values, points):
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return float(np.sum(steps * (values[1:] + values[:-1]) / 2))


def line(a, b, n=4001):
    return np.linspace(a, b, n)


def test_shear_of_thin_walls_agrees_with_their_shear_flow():
    """At ν = 0 Cowper's factor is the one of the energy of the shear flow, for a box and an I."""
    b, h, t = 0.4, 0.7, 1e-5
    corner = t * b / 2 * h / 2
    half = [
        (line((0, h / 2), (b / 2, h / 2)), t, 0.0),  # from the axis of symmetry to the corner
        (line((b / 2, h / 2), (b / 2, -h / 2)), t, corner),
        (line((0, -h / 2), (b / 2, -h / 2)), t, 0.0),
    ]
    box = Section.box(b + t, h + t, t).constants(0.0)
    assert float(box.flexibility_z) == pytest.approx(shear_flow_flexibility(half, 1) / 2, rel=1e-3)

    tf, tw = 2e-5, 1e-5
    flange = [(line((s * b / 2, e * h / 2), (0, e * h / 2)), tf, 0.0) for s in (-1, 1) for e in (-1, 1)]
    web = (line((0, h / 2), (0, -h / 2)), tw, 2 * tf * b / 2 * h / 2)
    i_section = Section.i_section(b, h + tf, tf, tw).constants(0.0)
    assert float(i_section.flexibility_z) == pytest.approx(shear_flow_flexibility([*flange, web], 1), rel=1e-3)
    assert float(i_section.flexibility_y) == pytest.approx(shear_flow_flexibility(flange, 0), rel=1e-3)


def test_moments_of_inertia_of_hollow_shapes():
    """Sums of rectangles with Steiner's term; a tube without a hole is a circle."""
    b, h, tf, tw = 0.1, 0.2, 0.0085, 0.0056
    constants = Section.i_section(b, h, tf, tw).constants()
    strong = 2 * (b * tf**3 / 12 + b * tf * (h / 2 - tf / 2) ** 2) + tw * (h - 2 * tf) ** 3 / 12
    assert constants.inertia_y == pytest.approx(strong)
    assert constants.inertia_z == pytest.approx(2 * tf * b**3 / 12 + (h - 2 * tf) * tw**3 / 12)
    assert constants.area == pytest.approx(2 * b * tf + (h - 2 * tf) * tw)
    box = Section.box(b, h, 0.01).constants()
    side = 2 * (0.08 * 0.01**3 / 12 + 0.08 * 0.01 * 0.095**2) + 2 * 0.01 * h**3 / 12
    assert box.inertia_y == pytest.approx(side)
    thick, solid = Section.tube(0.2, 0.1 * (1 - 1e-9)).constants(), Section.circle(0.2).constants()
    for left, right in zip(jax.tree.leaves(thick), jax.tree.leaves(solid), strict=True):
        assert float(left) == pytest.approx(float(right), rel=1e-6)


def test_constants_differentiate_by_dimensions():
    def torsion(size):
        return Section.rectangle(size[0], size[1]).constants(0.3).torsion

    for size in (jnp.array([0.1, 0.1]), jnp.array([0.1, 0.25]), jnp.array([0.3, 0.1])):
        gradient = jax.grad(torsion)(size)
        direction = jnp.array([0.6, 0.8])
        change = [
            abs(float(torsion(size + e * direction) - torsion(size) - e * gradient @ direction)) for e in (1e-3, 5e-4)
        ]
        assert change[0] / change[1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Section.rectangle(0.1, -0.2), "The h of a rectangle must be a positive number, not -0.2"),
        (lambda: Section.circle(float("nan")), "The d of a circle must be a positive number, not nan"),
        (lambda: Section.tube(0.1, 0.05), "The t = 0.05 of a tube must be below half of its d = 0.1"),
        (lambda: Section.i_section(0.1, 0.2, 0.01, 0.3), "The t_web = 0.3 of a I-section must be below its b = 0.1"),
        (lambda: Section.general(1.0, 1.0, 0.0, 1.0), "The inertia_z of a general section must be a positive number"),
        (lambda: Section.bar(0), "The area of a bar must be a positive number, not 0"),
    ],
)
def test_mistakes_are_named(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
