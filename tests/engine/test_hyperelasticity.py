"""Large deformations: exact homogeneous and radial solutions, near incompressibility, loads that follow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.meshes import Mesh
from gemel.solvers import SparseDirect

DIRECT = SparseDirect(1e-8)


def solved(body):
    return gm.solve(gm.Steady(body, linear_solver=DIRECT)).checked()


def spaces(mesh, mixed):
    """The space of unknowns, and that of displacements."""
    dim = mesh.dim
    u = gm.FunctionSpace(mesh, "Q2", (dim,))
    return (gm.MixedSpace({"u": u, "p": gm.FunctionSpace(mesh, "Q1")}) if mixed else u), u


def distorted(mesh, amount=0.05):
    points = np.array(mesh.points)
    inside = np.all((points > 1e-9) & (points < points.max(axis=0) - 1e-9), axis=1)
    points[inside] += np.random.default_rng(0).uniform(-amount, amount, points.shape)[inside]
    return Mesh(points, mesh.blocks, mesh.degree, facet_tags=mesh.facet_tags)


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
def test_patch_test_of_a_large_affine_deformation(mixed):
    """Affine displacements on the boundary of a distorted mesh are followed inside, with one stress."""
    mesh = distorted(gm.rectangle(3, 3))
    gradient = np.array([[0.3, 0.2], [-0.1, -0.15]])
    material = gm.MooneyRivlin(0.3, 0.1, 50.0)
    push = gm.Profile(lambda x, m, share: share * (m @ x), (jnp.asarray(gradient), gm.Input("share")))
    space, displacements = spaces(mesh, mixed)
    body = gm.Hyperelasticity(space, material, conditions=[gm.Dirichlet("boundary", push)], kinematics="plane strain")
    path = gm.follow(
        gm.Quasistatic(body, linear_solver=DIRECT), [0.0, 1.0], {"share": gm.Series([0.0, 1.0], [0.0, 1.0])}
    )
    found = jax.tree.map(lambda values: values[-1], gm.checked_path(path).records)
    u = found["u"] if mixed else found
    nodes = displacements.nodes()
    np.testing.assert_allclose(u, np.asarray(nodes) @ gradient.T, atol=1e-9)
    deformation = jnp.eye(3).at[:2, :2].add(gradient)
    exact = material.cauchy(deformation)
    stress = gm.stress_field(body, found).values[0]
    np.testing.assert_allclose(stress, jnp.broadcast_to(exact, stress.shape), atol=1e-7)
    green = gm.volume_average(body, gm.strain_field(body, found))
    np.testing.assert_allclose(green, 0.5 * (deformation.T @ deformation - jnp.eye(3)), atol=1e-9)


@pytest.mark.slow
def test_large_prescribed_motions_are_spread_before_the_first_step():
    """Compression by 30 % in one step, more than the layer of cells next to the support is thick."""
    space = gm.FunctionSpace(gm.rectangle(1, 8), "Q1", (2,))
    held = [gm.Dirichlet("bottom", 0.0, 1), gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("right", 0.0, 0)]
    body = gm.Hyperelasticity(
        space, gm.NeoHookean(1.0, 0.3), conditions=[*held, gm.Dirichlet("top", -0.3, 1)], kinematics="plane strain"
    )
    u = solved(body)
    np.testing.assert_allclose(u[:, 1], -0.3 * np.asarray(space.nodes())[:, 1], atol=1e-9)


@pytest.mark.slow
def test_uniaxial_tension_with_free_sides():
    r"""The side stretch solves $\mu (b^2 - 1) + \lambda \ln(\ell b^2) = 0$; the force is $\mu(\ell^2 - b^2)/\ell$."""
    mu, lame, stretch = 1.0, 2.0, 1.6
    space = gm.FunctionSpace(gm.box(1, 1, 2), "Q1", (3,))
    conditions = [
        gm.Dirichlet("left", 0.0, 0),
        gm.Dirichlet("front", 0.0, 1),
        gm.Dirichlet("bottom", 0.0, 2),
        gm.Dirichlet("top", stretch - 1, 2),
    ]
    body = gm.Hyperelasticity(space, gm.NeoHookean(mu, lame), conditions=conditions)
    u = solved(body)
    side = 0.9
    for _ in range(30):
        side -= (mu * (side**2 - 1) + lame * np.log(stretch * side**2)) / (2 * mu * side + 2 * lame / side)
    right = np.asarray(space.nodes())[:, 0] > 1 - 1e-9
    np.testing.assert_allclose(u[right, 0], side - 1, rtol=1e-8)
    force = mu * (stretch**2 - side**2) / stretch
    np.testing.assert_allclose(gm.reaction(body, u, "top")[2], force, rtol=1e-8)


def cooks(n, mixed, element="Q2"):
    """Cook's membrane in plane strain, nearly incompressible, total shear 100 N/mm on a side of 16 mm."""
    mesh = gm.rectangle(n, n)
    s, t = np.asarray(mesh.points).T
    points = np.stack([48 * s, 44 * s + t * (44 - 28 * s)], axis=1)
    mesh = Mesh(points, mesh.blocks, mesh.degree, facet_tags=mesh.facet_tags)
    space, displacements = spaces(mesh, mixed)
    if element != "Q2":
        space = displacements = gm.FunctionSpace(mesh, element, (2,))
    material = gm.MooneyRivlin(80.1938 / 2, 0.0, 400889.806)
    load = gm.Traction("right", jnp.array([0.0, 100.0 / 16.0]))
    body = gm.Hyperelasticity(space, material, conditions=[gm.Dirichlet("left"), load], kinematics="plane strain")
    found = solved(body)
    u = found["u"] if mixed else found
    nodes = np.asarray(displacements.nodes())
    return float(u[np.argmin(np.linalg.norm(nodes - [48.0, 60.0], axis=1)), 1])


@pytest.mark.slow
def test_cooks_membrane_does_not_lock_with_a_pressure_field():
    """The mixed form agrees with itself on a finer mesh, where bilinear displacements alone are far too stiff."""
    fine = cooks(5, True)
    assert cooks(2, True) == pytest.approx(fine, rel=0.05)
    assert cooks(5, False, "Q1") < 0.75 * fine


@pytest.mark.slow
def test_inflated_cylinder_of_incompressible_rubber():
    r"""$r^2 = R^2 + c$ and $p = \mu \int_{r_a}^{r_b} \big(\frac{r^2}{R^2} - \frac{R^2}{r^2}\big) \frac{dr}{r}$, the
    pressure on the deformed inner surface (Rivlin 1949)."""
    mu, inner, outer, reached = 1.0, 1.0, 2.0, 1.4
    c = reached**2 - inner**2
    r, w = np.polynomial.legendre.leggauss(30)
    ends = np.sqrt(np.array([inner, outer]) ** 2 + c)
    r = ends.mean() + 0.5 * np.ptp(ends) * r
    square = r**2 / (r**2 - c)
    pressure = mu * np.sum(0.5 * np.ptp(ends) * w * (square - 1 / square) / r)
    mesh = gm.rectangle(5, 1, size=(outer - inner, 0.3), origin=(inner, 0.0))
    space, displacements = spaces(mesh, True)
    held = [gm.Dirichlet("bottom", 0.0, 1), gm.Dirichlet("top", 0.0, 1)]
    load = gm.FollowerPressure("left", gm.Input("load", pressure))
    body = gm.Hyperelasticity(
        space, gm.MooneyRivlin(mu / 2, 0.0, 1e6), conditions=[*held, load], kinematics="axisymmetric"
    )
    path = gm.follow(
        gm.Quasistatic(body, linear_solver=DIRECT),
        [0.0, 0.5, 1.0],
        {"load": gm.Series([0.0, 1.0], [0.0, 1.0], hold=False)},
    )
    u = gm.checked_path(path).records["u"]
    radius = np.asarray(displacements.nodes())[:, 0]
    np.testing.assert_allclose(u[-1, :, 0], np.sqrt(radius**2 + c) - radius, rtol=2e-3)


def test_pressure_that_follows_does_no_work_on_a_turned_body():
    """The resultant on a closed surface vanishes in any deformation; a dead pressure's does not turn with it."""
    space = gm.FunctionSpace(gm.rectangle(2, 2), "Q1", (2,))
    u = jnp.asarray(np.random.default_rng(3).uniform(-0.1, 0.1, (space.n_nodes, 2)))
    body = gm.Hyperelasticity(
        space, gm.NeoHookean(1e-12, 0.0), conditions=[gm.FollowerPressure("boundary", 2.0)], kinematics="plane strain"
    )
    forces = body.problem.unconstrained(u.ravel()).reshape(-1, 2)
    np.testing.assert_allclose(jnp.sum(forces, axis=0), 0, atol=1e-11)
    place = space.nodes() + u
    np.testing.assert_allclose(jnp.sum(place[:, 0] * forces[:, 1] - place[:, 1] * forces[:, 0]), 0, atol=1e-11)


@pytest.mark.slow
def test_gradients_by_material_load_boundary_value_and_node_coordinates():
    mesh = gm.rectangle(2, 1)
    shear, load, shift = (gm.Parameter(name, gm.Normal(0.0, 1.0)) for name in ("shear", "load", "shift"))
    conditions = [
        gm.Dirichlet("left"),
        gm.Dirichlet("bottom", shift, 1),
        gm.FollowerPressure("right", load),
    ]
    space = gm.FunctionSpace(mesh, "Q1", (2,))
    template = gm.Hyperelasticity(
        space, gm.Ogden([shear, -0.1], [1.7, -2.0], 3.0), conditions=conditions, kinematics="plane strain"
    )
    x = jnp.asarray(mesh.points)

    @jax.jit
    @jax.value_and_grad
    def mean_stress(numbers):
        body = gm.bind(template, dict(zip(("shear", "load", "shift"), numbers[:3], strict=True)))
        moved = x + numbers[3] * jnp.sin(3 * x[:, ::-1])
        body = eqx.tree_at(lambda b: b.problem.space.mesh.points, body, moved)
        u = gm.Steady(body, linear_solver=DIRECT).solve(None).value
        return gm.volume_average(body, jax.tree.map(gm.von_mises, gm.stress_field(body, u)))

    numbers = jnp.array([1.0, 0.2, 0.05, 0.05])
    value, gradient = mean_stress(numbers)
    for k in range(4):
        steps = np.array([0.04, 0.02, 0.01])
        direction = jnp.zeros(4).at[k].set(numbers[k])
        values = np.array([mean_stress(numbers + h * direction)[0] for h in steps])
        remainders = np.abs(values - float(value) - steps * float(gradient[k] * numbers[k]))
        orders = np.log2(remainders[:-1] / remainders[1:])
        assert np.all(orders > 1.8), (k, remainders)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda mesh: gm.Hyperelasticity(
                gm.FunctionSpace(mesh, "Q1", (2,)), gm.NeoHookean(1.0, 1.0), kinematics="plane stress"
            ),
            "allowed are 'plane strain' and 'axisymmetric'",
        ),
        (
            lambda mesh: gm.Hyperelasticity(spaces(mesh, True)[0], gm.NeoHookean(1.0, 1.0), kinematics="plane strain"),
            "needs a material with a bulk modulus of its own (MooneyRivlin, Ogden), not NeoHookean",
        ),
        (
            lambda mesh: gm.Hyperelasticity(
                gm.MixedSpace({"v": gm.FunctionSpace(mesh, "Q2", (2,)), "p": gm.FunctionSpace(mesh, "Q1")}),
                gm.MooneyRivlin(1.0, 0.0, 1.0),
            ),
            "has the fields 'u' and 'p', not v, p",
        ),
        (
            lambda mesh: gm.Hyperelasticity(
                gm.MixedSpace({"u": gm.FunctionSpace(mesh, "Q1", (2,)), "p": gm.FunctionSpace(mesh, "Q1")}),
                gm.MooneyRivlin(1.0, 0.0, 1.0),
            ),
            "of lower degree than the displacement",
        ),
    ],
)
def test_mistakes_are_named(build, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build(gm.rectangle(1, 1))
    assert sentence in str(caught.value)
