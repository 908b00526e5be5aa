"""Small deformations of solids of any material, and what is recovered from them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.meshes import Mesh
from gemel.solvers import SparseDirect

E, NU = 200e9, 0.3
DIRECT = SparseDirect(1e-8)
LAMINA = gm.Orthotropic(140e9, 10e9, 9e9, 0.3, 0.25, 0.4, 5e9, 4e9, 3e9, gm.MaterialAxes(angle=0.4))


def distorted(mesh, amount=0.15, seed=0):
    """Interior points moved at random, by a share of the spacing."""
    points = np.array(mesh.points)
    inside = np.all((points > 1e-9) & (points < points.max(axis=0) - 1e-9), axis=1)
    spacing = 1.0 / round(len(points) ** (1 / mesh.dim) - 1)
    shift = np.random.default_rng(seed).uniform(-amount, amount, points.shape) * spacing
    points[inside] += shift[inside]
    return Mesh(points, mesh.blocks, mesh.degree, mesh.cell_tags, mesh.facet_tags, mesh.node_tags)


def solved(body):
    return gm.solve(gm.Steady(body, linear_solver=DIRECT)).checked()


def affine(gradient, mesh):
    matrix = jnp.asarray(gradient)
    return gm.Profile(lambda x, m: m @ x, (matrix,))


@pytest.mark.parametrize("kinematics", ["plane strain", pytest.param("plane stress", marks=pytest.mark.slow)])
def test_isotropic_solid_is_elasticity(kinematics):
    space = gm.FunctionSpace(distorted(gm.rectangle(3, 2)), "Q2", (2,))
    u = jnp.asarray(np.random.default_rng(1).normal(size=(space.n_nodes, 2)))
    bodies = [
        gm.Elasticity(space, E, NU, kinematics=kinematics),
        gm.Solid(space, gm.Isotropic(E, NU), kinematics=kinematics),
        gm.Elasticity(space, material=gm.Isotropic(E, NU), kinematics=kinematics),
    ]
    residuals = [body.problem.residual(u.ravel()) for body in bodies]
    stresses = [gm.stress_field(body, u).values[0] for body in bodies]
    strains = [gm.strain_field(body, u).values[0] for body in bodies]
    for other in (1, 2):
        np.testing.assert_allclose(residuals[other], residuals[0], atol=1e-11 * float(jnp.max(jnp.abs(residuals[0]))))
        np.testing.assert_allclose(stresses[other], stresses[0], atol=1e-11 * float(jnp.max(jnp.abs(stresses[0]))))
        np.testing.assert_allclose(strains[other], strains[0], atol=1e-12 * float(jnp.max(jnp.abs(strains[0]))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinematics", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("solid", "plane strain")), "plane stress"]
)
def test_patch_test_of_an_orthotropic_body(kinematics):
    dim = 3 if kinematics == "solid" else 2
    mesh = distorted(gm.box(2, 2, 2) if dim == 3 else gm.rectangle(3, 3))
    space = gm.FunctionSpace(mesh, "Q1", (dim,))
    gradient = np.array([[1e-3, 4e-4, 2e-4], [-3e-4, 7e-4, 1e-4], [5e-4, -2e-4, -6e-4]])[:dim, :dim]
    body = gm.Solid(space, LAMINA, conditions=[gm.Dirichlet("boundary", affine(gradient, mesh))], kinematics=kinematics)
    u = solved(body)
    np.testing.assert_allclose(u, np.asarray(space.nodes()) @ gradient.T, atol=1e-12)
    strain = np.zeros((3, 3))
    strain[:dim, :dim] = 0.5 * (gradient + gradient.T)
    law = gm.PlaneStress(LAMINA) if kinematics == "plane stress" else LAMINA
    exact, _ = law.update(jnp.asarray(strain), None, 0.0)
    at_nodes = gm.nodal_values(body, gm.stress_field(body, u))
    np.testing.assert_allclose(at_nodes, jnp.broadcast_to(exact, at_nodes.shape), atol=1e-8 * float(exact.max()))
    np.testing.assert_allclose(gm.volume_average(body, gm.stress_field(body, u)), exact, atol=1e-8 * float(exact.max()))
    assert float(gm.von_mises(at_nodes)[0]) == pytest.approx(float(gm.von_mises(exact)), rel=1e-8)


def ring(nr, nz, inner, outer, height):
    return gm.rectangle(nr, nz, size=(outer - inner, height), origin=(inner, 0.0))


@pytest.mark.slow
def test_lame_cylinder_in_axial_symmetry():
    """Thick cylinder under inner pressure, ends held: Timoshenko, Goodier, *Theory of Elasticity*, 3rd ed., § 28."""
    a, b, p = 1.0, 2.0, 1e6
    space = gm.FunctionSpace(ring(6, 1, a, b, 0.3), "Q2", (2,))
    held = [gm.Dirichlet("bottom", 0.0, 1), gm.Dirichlet("top", 0.0, 1)]
    body = gm.Elasticity(space, E, NU, conditions=[*held, gm.Pressure("left", p)], kinematics="axisymmetric")
    u = solved(body)
    r = np.asarray(space.nodes())[:, 0]
    k = p * a**2 / (b**2 - a**2)
    np.testing.assert_allclose(u[:, 0], (1 + NU) * k / E * ((1 - 2 * NU) * r + b**2 / r), rtol=2e-5)
    stress = gm.nodal_values(body, gm.stress_field(body, u))
    np.testing.assert_allclose(stress[:, 0, 0], k * (1 - b**2 / r**2), atol=0.02 * p)
    np.testing.assert_allclose(stress[:, 2, 2], k * (1 + b**2 / r**2), atol=0.02 * p)
    axial = float(gm.reaction(body, u, "top")[1])
    assert axial == pytest.approx(2 * NU * k * np.pi * (b**2 - a**2), rel=1e-6)


@pytest.mark.slow
def test_rotating_cylinder():
    r"""Solid, ends held: $u = \frac{\rho\omega^2 (1+\nu)(1-2\nu)}{8 E (1-\nu)}\, r\, ((3 - 2\nu) R^2 - r^2)$."""
    density, speed, radius = 7800.0, 100.0, 0.5
    space = gm.FunctionSpace(ring(4, 1, 0.0, radius, 0.2), "Q2", (2,))
    held = [gm.Dirichlet("bottom", 0.0, 1), gm.Dirichlet("top", 0.0, 1), gm.Dirichlet("left", 0.0, 0)]
    load = gm.Centrifugal(density, speed, axis=(0.0, 1.0, 0.0))
    body = gm.Solid(space, gm.Isotropic(E, NU), conditions=[*held, load], kinematics="axisymmetric")
    u, r = solved(body), np.asarray(space.nodes())[:, 0]
    scale = density * speed**2 * (1 + NU) * (1 - 2 * NU) / (8 * E * (1 - NU))
    exact = scale * r * ((3 - 2 * NU) * radius**2 - r**2)
    np.testing.assert_allclose(u[:, 0], exact, atol=4e-4 * exact.max())


@pytest.mark.slow
def test_hanging_bar():
    """Under its weight a bar without contraction grows by ρ g L² / (2 E), and its support carries the weight."""
    space = gm.FunctionSpace(gm.box(1, 1, 4, size=(0.1, 0.1, 2.0)), "Q2", (3,))
    density, g, modulus = 1000.0, 9.81, 1e6
    conditions = [
        gm.Dirichlet("top"),
        gm.Gravity(density, jnp.array([0.0, 0.0, -g])),
    ]
    body = gm.Solid(space, gm.Isotropic(modulus, 0.0), conditions=conditions)
    u = solved(body)
    lowest = np.asarray(space.nodes())[:, 2] < 1e-9
    np.testing.assert_allclose(u[lowest, 2], -density * g * 4.0 / (2 * modulus), rtol=1e-6)
    np.testing.assert_allclose(gm.reaction(body, u, "top"), [0, 0, density * g * 0.02], atol=1e-6)


@pytest.mark.slow
def test_temperature_field_in_a_clamped_bar():
    """Between walls, with free sides and a linear temperature: N = -E α ΔT_mean in every section."""
    mesh = gm.rectangle(4, 1, size=(1.0, 0.1))
    space = gm.FunctionSpace(mesh, "Q2", (2,))
    scalar = gm.FunctionSpace(mesh, "Q1")
    temperature = gm.FieldCoefficient(scalar, scalar.interpolate(lambda x: 293.0 + 100.0 * x[0]))
    material = gm.ThermalStrain(gm.Isotropic(E, 0.0), 12e-6, temperature, 293.0)
    walls = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("right", 0.0, 0), gm.Dirichlet("bottom", 0.0, 1)]
    body = gm.Elasticity(space, material=material, conditions=walls, kinematics="plane stress")
    u = solved(body)
    np.testing.assert_allclose(gm.reaction(body, u, "right")[0], -E * 12e-6 * 50.0 * 0.1, rtol=1e-8)


@pytest.mark.slow
def test_materials_by_tag():
    """Two layers in series: the stress is one, the strains are by modulus."""
    mesh = gm.rectangle(4, 1)
    halves = np.asarray(mesh.points)[np.asarray(mesh.cells)].mean(axis=1)[:, 0] < 0.5
    tags = {"soft": np.flatnonzero(halves), "stiff": np.flatnonzero(~halves)}
    mesh = Mesh(mesh.points, mesh.blocks, mesh.degree, tags, mesh.facet_tags)
    space = gm.FunctionSpace(mesh, "Q1", (2,))
    conditions = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("bottom", 0.0, 1), gm.Dirichlet("right", 0.01, 0)]
    body = gm.Solid(
        space, gm.Isotropic({"soft": 1e6, "stiff": 3e6}, 0.0), conditions=conditions, kinematics="plane strain"
    )
    u = solved(body)
    stress, strain = gm.stress_field(body, u), gm.strain_field(body, u)
    assert float(gm.volume_average(body, stress, "soft")[0, 0]) == pytest.approx(15e3, rel=1e-9)
    assert float(gm.volume_average(body, strain, "soft")[0, 0]) == pytest.approx(0.015, rel=1e-9)
    assert float(gm.volume_average(body, strain, "stiff")[0, 0]) == pytest.approx(0.005, rel=1e-9)


def varied_body(mesh):
    """A body whose numbers are parameters."""
    modulus, load, shift = (gm.Parameter(name, gm.Normal(0.0, 1.0)) for name in ("modulus", "load", "shift"))
    conditions = [
        gm.Dirichlet("left"),
        gm.Dirichlet("bottom", shift, 1),
        gm.Traction("right", gm.Vector((load, load))),
    ]
    material = gm.Orthotropic(modulus, 2.0, 2.0, 0.3, 0.3, 0.3, 0.6, 0.6, 0.6)
    space = gm.FunctionSpace(mesh, "Q1", (2,))
    return gm.Elasticity(space, material=material, conditions=conditions, kinematics="plane stress")


@pytest.mark.slow
def test_gradients_by_material_load_boundary_value_and_node_coordinates():
    mesh = gm.rectangle(2, 2)
    template, x = varied_body(mesh), jnp.asarray(mesh.points)

    @jax.jit
    @jax.value_and_grad
    def mean_stress(numbers):
        body = gm.bind(template, dict(zip(("modulus", "load", "shift"), numbers[:3], strict=True)))
        moved = x + numbers[3] * jnp.sin(3 * x[:, ::-1])
        body = eqx.tree_at(lambda b: b.problem.space.mesh.points, body, moved)
        u = gm.Steady(body, linear_solver=DIRECT).solve(None).value
        return gm.volume_average(body, jax.tree.map(gm.von_mises, gm.stress_field(body, u)))

    numbers = jnp.array([3.0, 0.5, 0.02, 0.05])
    value, gradient = mean_stress(numbers)
    for k in range(4):
        direction = jnp.zeros(4).at[k].set(numbers[k])
        steps = np.array([0.04, 0.02, 0.01])
        values = np.array([mean_stress(numbers + h * direction)[0] for h in steps])
        remainders = np.abs(values - float(value) - steps * float(gradient[k] * numbers[k]))
        orders = np.log2(remainders[:-1] / remainders[1:])
        assert np.all(orders > 1.8), (k, remainders)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda s: gm.Solid(s, gm.Isotropic(E, NU)), "Kinematics 'solid' does not fit a 2-D mesh"),
        (
            lambda s: gm.Elasticity(s, -1.0, NU, kinematics="plane strain"),
            "Young's modulus must be positive, not -1.",
        ),
        (
            lambda s: gm.Solid(s, gm.Isotropic(E, NU), -7800.0, kinematics="plane strain"),
            "The density must be positive, not -7800.",
        ),
        (lambda s: gm.Elasticity(s, kinematics="plane strain"), "needs Young's modulus and Poisson's ratio"),
        (
            lambda s: gm.Elasticity(s, E, NU, material=gm.Isotropic(E, NU), kinematics="plane strain"),
            "either a material or Young's modulus",
        ),
        (
            lambda s: gm.Elasticity(s, material=gm.J2Plasticity(E, NU, 1e6), kinematics="plane strain"),
            "takes a linear material, not J2Plasticity: use Solid",
        ),
        (
            lambda s: gm.Solid(s, gm.Isotropic(E, NU), masses=[], density=1.0, kinematics="axisymmetric",
                               conditions=[gm.AddedMass("left", 1.0)]),
            "on 'left' per area or volume, not as a total",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(build, sentence):
    space = gm.FunctionSpace(gm.rectangle(1, 1), "Q1", (2,))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build(space)
    assert sentence in str(caught.value)


def test_a_radius_below_zero_is_named():
    space = gm.FunctionSpace(gm.rectangle(1, 1, origin=(-0.5, 0.0)), "Q1", (2,))
    with pytest.raises(ValueError, match=r"reaches -0.5, below 0"):
        gm.Solid(space, gm.Isotropic(E, NU), kinematics="axisymmetric")
