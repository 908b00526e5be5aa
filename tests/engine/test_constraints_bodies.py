"""Bodies that are tied, connected to a reference point, periodic or free, against exact solutions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm

DIRECT = gm.SparseDirect(rtol=1e-8)


def two_blocks(coarse, fine):
    """Two blocks on (0, 1)² and (1, 2) × (0, 1) that share no nodes, with facets "master" and "slave" between."""
    first = gm.rectangle(coarse, coarse, size=(1.0, 1.0))
    second = gm.rectangle(fine, fine, size=(1.0, 1.0), origin=(1.0, 0.0))
    points = np.concatenate([first.points, second.points])
    cells = np.concatenate([first.cells, np.asarray(second.cells) + first.n_points])
    shift = np.array([first.n_cells, 0])
    tags = {name: np.concatenate([first.facets(name), second.facets(name) + shift]) for name in ("bottom", "top")}
    tags |= {"left": first.facets("left"), "master": first.facets("right")}
    tags |= {"slave": second.facets("left") + shift, "right": second.facets("right") + shift}
    return gm.Mesh.of(points, cells, "quadrilateral", facet_tags=tags)


@pytest.mark.slow
def test_blocks_with_other_meshes_pass_the_patch_test():
    """Under uniaxial stress the displacement stays linear through the tie, where one mesh refines the other."""
    space = gm.FunctionSpace(two_blocks(2, 4), "Q1", (2,))
    conditions = [
        gm.Dirichlet("left", 0.0, 0),
        gm.Dirichlet((0.0, 0.0), 0.0, 1),
        gm.Tied("slave", "master"),
        gm.Traction("right", jnp.array([3.0, 0.0])),
    ]
    body = gm.Elasticity(space, 2.0, 0.25, conditions=conditions, kinematics="plane stress")
    u = gm.solve(gm.Steady(body, linear_solver=DIRECT)).checked()
    np.testing.assert_allclose(u, space.nodes() * jnp.array([1.5, -0.375]), atol=1e-8)
    assert float(gm.reactions(body.problem, u, "left")[0]) == pytest.approx(-3.0)


def test_a_tie_to_facets_elsewhere_is_a_mistake():
    space = gm.FunctionSpace(two_blocks(1, 1), "Q1")
    with pytest.raises(ValueError, match="'right' to 'left' finds a node that lies on no facet of 'left'"):
        gm.Constraint.of(space, [gm.Tied("right", "left")])


LENGTH, HEIGHT, MODULUS = 4.0, 0.5, 1e3


def bar(loads, stretch=1.0):
    """A bar in plane stress without Poisson effect, held by its left end, whose right end is one rigid section."""
    mesh = gm.rectangle(2, 1, size=(LENGTH, HEIGHT))
    mesh = mesh.with_node_tag("foot", np.array([0])).with_node_tag("head", np.array([3]))
    mesh = mesh.with_points(jnp.asarray(mesh.points) * jnp.array([stretch, 1.0]))
    field = gm.FunctionSpace(mesh, "Q2", (2,))
    space = gm.MixedSpace({"u": field, "end": gm.RealSpace(3)})

    def strain_energy(u, point):
        strain = gm.sym_grad(u)
        return 0.5 * MODULUS * gm.inner(strain, strain)

    conditions = [
        gm.Dirichlet("left", 0.0, 0, field="u"),
        gm.MultiPoint("foot", [(-1.0, "head")], component=1, field="u"),
        gm.RigidConnection("right", (LENGTH * stretch, HEIGHT / 2), "end"),
        *(condition for condition in loads if isinstance(condition, gm.Dirichlet)),
    ]
    terms = [gm.Term(gm.Energy(strain_energy, quadratic=True), fields="u")]
    terms += [load for load in loads if isinstance(load, gm.GeneralisedForce)]
    return gm.Formulation(space, terms, conditions), field


INERTIA = HEIGHT**3 / 12


def end_moment(body, field, u):
    """The moment about its middle of the forces on the rigid section."""
    forces = gm.nodal_reactions(body.problem, u, "right", "u")
    lever = np.asarray(field.nodes())[field.nodes_on("right"), 1] - HEIGHT / 2
    return float(-jnp.sum(forces[:, 0] * lever))


@pytest.mark.slow
def test_a_moment_on_the_reference_point_bends_the_bar():
    """Pure bending: u_x = −κ x y, u_y = κ x²/2 with κ = M / (E I), and the end turns by κ L."""
    moment = 2.0
    body, field = bar([gm.GeneralisedForce("end", (0.0, 0.0, moment))])
    u = gm.solve(gm.Steady(body)).checked()
    kappa = moment / (MODULUS * INERTIA)
    np.testing.assert_allclose(u["end"][0], [0.0, kappa * LENGTH**2 / 2, kappa * LENGTH], atol=1e-10)
    x, y = np.asarray(field.nodes()).T
    np.testing.assert_allclose(u["u"][:, 0], -kappa * x * (y - HEIGHT / 2), atol=1e-10)
    assert end_moment(body, field, u) == pytest.approx(moment)


@pytest.mark.slow
def test_a_prescribed_rotation_of_the_reference_point_needs_the_moment():
    body, field = bar([gm.Dirichlet("all", 0.01, 2, field="end")])
    u = gm.solve(gm.Steady(body)).checked()
    assert float(u["end"][0, 1]) == pytest.approx(0.01 * LENGTH / 2)
    assert end_moment(body, field, u) == pytest.approx(MODULUS * INERTIA * 0.01 / LENGTH)


@pytest.mark.slow
def test_the_gradient_of_a_rotation_reaches_the_place_of_the_reference_point():
    """θ = M s L / (E I) for a stretch s of the length."""

    def turn(stretch):
        body, _ = bar([gm.GeneralisedForce("end", (0.0, 0.0, 2.0))], stretch)
        return gm.Steady(body, linear_solver=DIRECT).solve(None).value[-1]

    value, slope = jax.jvp(turn, (1.0,), (1.0,))
    assert float(value) == pytest.approx(2.0 * LENGTH / (MODULUS * INERTIA), rel=1e-9)
    assert float(slope) == pytest.approx(2.0 * LENGTH / (MODULUS * INERTIA), rel=1e-9)


def test_rigid_connections_in_space_are_cross_products():
    field = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 2.0, 3.0)), "Q1", (3,))
    space = gm.MixedSpace({"u": field, "m": gm.RealSpace(6)})
    motion, centre = np.array([0.1, 0.2, 0.3, 1.0, -2.0, 0.5]), np.array([0.3, 0.1, -0.2])
    constraint = gm.Constraint.of(space, [gm.RigidConnection("top", tuple(centre), "m")])
    u = space.unflatten(constraint.lift(jnp.concatenate([jnp.zeros(24), jnp.asarray(motion)])))["u"]
    nodes = field.nodes_on("top")
    expected = motion[:3] + np.cross(motion[3:], np.asarray(field.nodes())[nodes] - centre)
    np.testing.assert_allclose(u[nodes], expected, atol=1e-14)
    assert int(np.sum(constraint.free)) == 24 + 6 - 12


@pytest.mark.slow
def test_a_clamped_node_holds_the_rigid_section_it_belongs_to():
    """Ties keep holding at prescribed nodes: a section with one clamped node can only turn about it."""
    body, field = bar([gm.Dirichlet((LENGTH, 0.0), 0.0, field="u")])
    constraint, n = body.problem.constraint, body.problem.space.n_dofs
    u = body.problem.space.unflatten(constraint.lift(jnp.arange(1.0, n + 1.0)))
    nodes = np.asarray(field.nodes())
    turn = float(u["end"][0, 2])
    section = field.nodes_on("right")
    expected = turn * np.stack([-nodes[section, 1], 0 * section], axis=1)
    np.testing.assert_allclose(u["u"][section], expected, atol=1e-9)
    assert turn != 0.0


def test_waves_in_a_periodic_cell_have_the_speed_of_shear():
    """Plane strain on a unit cell: two translations, then four shear waves of length 1, f = √(μ/ρ)."""
    space = gm.FunctionSpace(gm.rectangle(4, 4, size=(1.0, 1.0)), "Q2", (2,))
    sides = [gm.Periodic("right", "left"), gm.Periodic("top", "bottom")]
    body = gm.Elasticity(space, 2.5, 0.25, 4.0, sides, kinematics="plane strain")
    frequencies, shapes = gm.modes(gm.Modal(body, 6, shift_frequency=0.3)).checked()
    assert np.all(np.asarray(frequencies[:2]) < 1e-3)
    np.testing.assert_allclose(frequencies[2:], np.full(4, 0.5), rtol=5e-3)
    np.testing.assert_allclose(shapes[:, space.nodes_on("right")], shapes[:, space.nodes_on("left")], atol=1e-12)


MESHES = {2: gm.rectangle(2, 1, size=(2.0, 1.0)), 3: gm.box(1, 1, 1, size=(1.0, 1.0, 1.0))}
FREE = [
    (2, [], ("translation along x", "translation along y", "rotation about z")),
    (2, [gm.Dirichlet("left")], ()),
    (2, [gm.ElasticSupport("left", 1.0)], ()),
    (2, [gm.Dirichlet("left", 0.0, 0)], ("translation along y",)),
    (2, [gm.Dirichlet((2.0, 0.0))], ("rotation about z through (2, 0)",)),
    (2, [gm.Periodic("right", "left")], ("translation along x", "translation along y")),
    (3, [gm.Dirichlet("left", 0.0, 0)], ("translation along y", "translation along z", "rotation about x")),
    (
        3,
        [gm.Dirichlet((0.0, 0.0, 0.0)), gm.Dirichlet((1.0, 1.0, 0.0))],
        ("rotation about the direction (1, 1, 0) through (0.5, 0.5, 0)",),
    ),
]


@pytest.mark.parametrize(("dim", "conditions", "expected"), FREE)
def test_rigid_motions_that_nothing_holds_are_named(dim, conditions, expected):
    space = gm.FunctionSpace(MESHES[dim], "Q1", (dim,))
    kinematics = "solid" if dim == 3 else "plane stress"
    body = gm.Elasticity(space, 1e9, 0.3, conditions=conditions, kinematics=kinematics)
    tangent = eqx.filter_jit(body.problem.tangent)(jnp.zeros(space.n_dofs))
    assert gm.unconstrained_modes(body, tangent) == expected


def test_a_part_that_nothing_holds_is_named_with_its_place():
    space = gm.FunctionSpace(two_blocks(1, 1), "Q1", (2,))

    def found(tie):
        body = gm.Elasticity(space, 1e9, 0.3, conditions=[gm.Dirichlet("left"), *tie], kinematics="plane strain")
        return gm.unconstrained_modes(body, eqx.filter_jit(body.problem.tangent)(jnp.zeros(space.n_dofs)))

    assert found([gm.Tied("slave", "master")]) == ()
    names = "translation along x", "translation along y", "rotation about z"
    assert found([]) == tuple(f"{name} of the part around (1.5, 0.5)" for name in names)


def test_a_body_that_nothing_holds_is_a_mistake():
    body = gm.Elasticity(
        gm.FunctionSpace(MESHES[2], "Q1", (2,)),
        1e9,
        0.3,
        conditions=[gm.Dirichlet((0.0, 0.0), 0.0, 1), gm.Traction("right", jnp.array([1.0, 0.0]))],
        kinematics="plane strain",
    )
    with pytest.raises(ValueError, match=r"against translation along x and rotation about z: prescribe"):
        gm.solve(gm.Steady(body))


def test_reactions_balance_the_loads_and_differentiate():
    """A wall with a source: the heat q L leaves through both sides; the reaction's slope is the conductance."""
    k, q = 3.0, 5.0
    wall = gm.Parameter("wall", gm.Normal(0.0, 1.0), "K")
    conditions = [gm.Dirichlet("left", wall), gm.Dirichlet("right", 1.0), gm.HeatSource("all", q)]
    heat = gm.Heat(gm.FunctionSpace(gm.rectangle(4, 1, size=(2.0, 1.0)), "Q1"), k, conditions=conditions)
    space = heat.problem.space

    def flows(value):
        bound = gm.bind(gm.Steady(heat, linear_solver=DIRECT), {"wall": value})
        u = space.unflatten(bound.solve(None).value)
        return jnp.stack([gm.reactions(bound.physics.problem, u, on) for on in ("left", "right")])

    value, slope = jax.jit(lambda t: jax.jvp(flows, (t,), (jnp.ones(()),)))(jnp.asarray(4.0))
    np.testing.assert_allclose(value, [k * 3.0 / 2 - q, -k * 3.0 / 2 - q], rtol=1e-9)
    np.testing.assert_allclose(slope, [k / 2, -k / 2], rtol=1e-9)


@pytest.mark.slow
def test_taylor_remainders_through_ties_in_a_nonlinear_problem():
    """Heat in a ring with k(T): a reading against the jump, the prescribed value and the conductivity."""
    names = ("jump", "pin", "slope")
    jump, pin, slope = (gm.Parameter(name, gm.Normal(0.0, 1.0), "") for name in names)
    space = gm.FunctionSpace(gm.rectangle(3, 3, size=(1.0, 1.0)), "Q1")
    conditions = [
        gm.Periodic("right", "left", jump=(jump, 0.3)),
        gm.Periodic("top", "bottom", jump=(jump, 0.3)),
        gm.Dirichlet((1 / 3, 1 / 3), pin),
        gm.HeatSource("all", gm.Profile(lambda x: jnp.sin(2 * jnp.pi * x[0]))),
    ]
    heat = gm.Heat(space, gm.Law(lambda u, x, a: 1.0 + a * jnp.tanh(u), (slope,)), conditions=conditions)
    analysis = gm.Steady(heat, linear_solver=DIRECT, rtol=1e-13)

    @jax.jit
    def reading(z):
        bound = gm.bind(analysis, dict(zip(names, z, strict=True)))
        return jnp.sum(bound.solve(None).value ** 2)

    z, direction = jnp.array([0.5, 0.2, 0.3]), jnp.array([0.7, -0.4, 0.5])
    value, gradient = jax.jit(jax.value_and_grad(reading))(z)
    steps = np.array([0.1, 0.05, 0.025])
    moved = np.array([float(reading(z + s * direction)) for s in steps])
    first = np.abs(moved - float(value))
    second = np.abs(moved - float(value) - steps * float(gradient @ direction))
    assert np.all(np.log2(first[:-1] / first[1:]) > 0.8)
    assert np.all(np.log2(second[:-1] / second[1:]) > 1.8)
