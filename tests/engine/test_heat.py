"""Heat conduction, steady and transient, against published values and exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


def bar(n=8, length=1.0, element="Q1"):
    return gm.FunctionSpace(gm.rectangle(n, 1, size=(length, 0.1)), element)


@pytest.mark.slow
def test_a_wall_between_two_fluids():
    """q = (T1 − T2) / (1/h1 + L/k + 1/h2), Incropera et al., 7th ed., section 3.1."""
    space = bar(length=0.2)
    heat = gm.Heat(space, 1.5, conditions=[gm.Convection("left", 25.0, 350.0), gm.Convection("right", 8.0, 280.0)])
    u = gm.solve(gm.Steady(heat)).checked()
    flux = gm.integrate(space, lambda u, p: -1.5 * gm.grad(u) @ p.normal, u, "right", facets=True) / 0.1
    assert float(flux) == pytest.approx((350 - 280) / (1 / 25 + 0.2 / 1.5 + 1 / 8), rel=1e-8)


@pytest.mark.slow
def test_power_is_a_total_and_leaves_through_the_only_way_out():
    mesh = gm.box(4, 4, 2, size=(0.1, 0.2, 0.05)).tag_cells("core", lambda x: x[:, 0] < 0.05)
    mesh = mesh.tag_cells("rest", lambda x: x[:, 0] > 0.05)
    space = gm.FunctionSpace(mesh, "Q1")
    ways = [gm.Power("core", 7.0), gm.Convection("top", 10.0, 0.0)]
    heat = gm.Heat(space, {"core": 5.0, "rest": 1.0}, conditions=ways)
    u = gm.solve(gm.Steady(heat)).checked()
    out = gm.integrate(space, lambda u, p: 10.0 * u.value, u, "top", facets=True)
    assert float(out) == pytest.approx(7.0, rel=1e-8)


@pytest.mark.slow
def test_a_total_is_spread_by_its_shape_and_a_law_counts_by_its_mean():
    """In the unit square, where the powers of x have the means 1/2, 1/3, 1/4: what is put in, and its first moment."""
    space = gm.FunctionSpace(gm.rectangle(3, 2, size=(1.0, 1.0)), "Q2")
    x = np.asarray(space.nodes())[:, 0]
    ramp = gm.Profile(lambda x: 4.0 * x[0])
    field = gm.FieldCoefficient(space, 3.0 * x)

    def moments(value, u=0.0, **how) -> list[float]:
        heat = gm.Heat(space, 1.0, conditions=[gm.Convection("left", 1.0, 0.0), gm.Power("all", value, **how)])
        bare = gm.Heat(space, 1.0, conditions=[gm.Convection("left", 1.0, 0.0)])
        at = jnp.full(space.n_dofs, u)
        load = np.asarray(bare.problem.unconstrained(at) - heat.problem.unconstrained(at))
        return [float(load.sum()), float(load @ x)]

    assert moments(7.0) == pytest.approx([7.0, 3.5])
    for shape in (ramp, field):
        assert moments(7.0, shape=shape) == pytest.approx([7.0, 7.0 * (1 / 3) / (1 / 2)])
    assert moments(ramp) == pytest.approx([2.0, 4.0 / 3])
    assert moments(gm.Law(lambda u, x, k: k * u * x[0], (2.0,)), 3.0) == pytest.approx([3.0, 2.0])
    assert moments(ramp, shape=field) == pytest.approx([4.0 * (1 / 3) / (1 / 2), 4.0 * (1 / 4) / (1 / 2)])
    with pytest.raises(ValueError, match="a number by place alone, not Law"):
        gm.Power("all", 7.0, shape=gm.Law(lambda u, x: u))
    with pytest.raises(ValueError, match=r"one number at each place, not an array of \(2,\)"):
        moments(7.0, shape=gm.Profile(lambda x: x))


@pytest.mark.slow
def test_the_shape_of_a_total_has_parameters_and_its_integral_moves_with_the_mesh():
    """A beam of heat exp(-x/w) on an edge of length L: what is put in stays, its mean place w - L / (exp(L/w) - 1)."""

    def mean_place(width, length):
        mesh = gm.rectangle(40, 1, size=(1.0, 1.0))
        mesh = mesh.with_points(jnp.asarray(mesh.points) * jnp.array([length, 1.0]))
        space = gm.FunctionSpace(mesh, "Q2")
        beam = gm.Profile(lambda x, w: jnp.exp(-x[0] / w), (width,))
        conditions = [gm.Convection("top", 1.0, 0.0), gm.Power("bottom", 5.0, facets=True, shape=beam)]
        load = -gm.Heat(space, 1.0, conditions=conditions).problem.unconstrained(jnp.zeros(space.n_dofs))
        return jnp.sum(load), load @ space.nodes()[:, 0] / 5.0

    for width, length in ((0.3, 1.0), (0.3, 1.5)):
        put_in, place = mean_place(width, length)
        assert float(put_in) == pytest.approx(5.0)
        assert float(place) == pytest.approx(width - length / np.expm1(length / width), rel=1e-6)
    slope = jax.grad(lambda w: mean_place(w, 1.0)[1])(0.3)
    e = np.exp(1 / 0.3)
    assert float(slope) == pytest.approx(1 - e / (e - 1) ** 2 / 0.3**2, rel=1e-5)


FOIL = """
name = "bar"
mesh.grid = { x = ["0 mm", "100 mm", "200 mm"], y = ["0 mm", "2 mm", "10 mm"] }
model = { physics = "heat", element = "Q1", analysis = "steady" }
materials.all = { conductivity = "20 W/m/K" }
conditions = [
  { kind = "power", on = "left", facets = true, value = "$P" },
  { kind = "convection", on = "right", coefficient = "50 W/m^2/K", ambient = "300 K" },
]
parameters.P = { median = "10 W", factor = 30 }
sensors.T = { kind = "average", on = "left", facets = true, unit = "K", noise = "0.01 K" }
sensors.in = { kind = "flux", on = "left", unit = "W", noise = "1 W" }
sensors.out = { kind = "flux", on = "right", unit = "W", noise = "1 W" }
data.values.T = "390 K"
calibration.sensors = ["T"]
"""


@pytest.mark.slow
def test_a_power_through_facets_is_a_total_that_is_found(tmp_path):
    """A bar heated at one end, cooled at the other: T = 300 K + Q (1/h + L/k) / A, of a foil on two unlike facets."""
    file = gm.TwinFile.parse(FOIL, tmp_path)
    twin, rise = file.build(), (1 / 50 + 0.2 / 20) / 0.01  # K for each W, one metre deep
    run = gm.simulate(twin, parameters={"P": 7.0})
    assert float(run.readings["T"]) == pytest.approx(300 + 7 * rise, rel=1e-9)
    assert float(run.readings["in"]) == pytest.approx(-7.0, rel=1e-9)
    assert float(run.readings["out"]) == pytest.approx(7.0, rel=1e-9)
    (row,) = gm.calibrate(twin, file.record(), sensors=["T"]).table()
    assert row.value == pytest.approx(90 / rise, rel=1e-4)
    assert row.interval[1] - row.interval[0] == pytest.approx(2 * 1.96 * 0.01 / rise, rel=1e-3)  # by the derivative
    for old, new, sentence in (
        (", facets = true, value", ", value", "acts on cells, but 'left' names facets. Give 'facets = true'."),
        ('on = "right", co', 'on = "right", facets = true, co', "does not take 'facets': it takes ambient"),
    ):
        with pytest.raises(gm.TwinFileError, match=sentence):
            gm.TwinFile.parse(FOIL.replace(old, new), tmp_path).build()


@pytest.mark.slow
def test_conductivity_that_depends_on_temperature():
    """k = 1 + T: with Kirchhoff's transform T + T²/2 is linear between the ends."""
    space = bar(16)
    heat = gm.Heat(
        space,
        gm.Law(lambda u, x: 1.0 + u),
        conditions=[gm.Dirichlet("left", 0.0), gm.Dirichlet("right", 2.0)],
    )
    u = gm.solve(gm.Steady(heat)).checked()
    x = space.nodes()[:, 0]
    exact = jnp.sqrt(1 + 8 * x) - 1
    np.testing.assert_allclose(u, exact, atol=3e-3)


@pytest.mark.slow
def test_radiation_balances_a_source():
    """A small body with uniform power: q A = ε σ A (T⁴ − T∞⁴)."""
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(0.01, 0.01, 0.01)), "Q1")
    heat = gm.Heat(space, 1e4, conditions=[gm.Radiation("boundary", 0.8, 300.0), gm.Power("all", 0.5)])
    steady = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-8))
    with pytest.raises(gm.SolveError):  # at T = 0 the tangent is singular: no constant start can do
        gm.solve(steady).checked()
    started = gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-8), initial=300.0)
    u = gm.solve(started).checked()
    expected = (0.5 / (0.8 * 5.670374419e-8 * 6e-4) + 300.0**4) ** 0.25
    np.testing.assert_allclose(u, expected, rtol=1e-4)


@pytest.mark.slow
def test_nafems_t3_transient_conduction():
    """NAFEMS T3: wall of 0.1 m, T(0.1, t) = 100 sin(πt/40): T(0.08 m, 32 s) = 36.60 °C."""
    times = np.linspace(0, 32, 129)
    swing = gm.Series(times, 100 * np.sin(np.pi * times / 40), hold=False)
    space = gm.FunctionSpace(gm.rectangle(20, 1, size=(0.1, 0.01)), "Q2")
    heat = gm.Heat(space, 35.0, 440.5 * 7200, [gm.Dirichlet("left", 0.0), gm.Dirichlet("right", gm.Input("swing"))])
    twin = gm.Twin("wall", gm.Transient(heat, 0.0, 0.5), [gm.PointSensor(name="T", position=(0.08, 0.005), noise=1.0)])
    run = gm.simulate(twin, {"swing": swing}, [0.0, 32.0])
    assert float(run.readings["T"][-1]) == pytest.approx(36.60, abs=0.03)


def lumped(step, lag=None):
    """A well conducting block that cools: T = T∞ + (T0 − T∞) e^{−hA/C t}."""
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 1.0, 1.0)), "Q1")
    heat = gm.Heat(space, 1e6, 50.0, [gm.Convection("boundary", 10.0, 0.0)], [gm.Capacitance("all", 50.0)])
    sensors = [
        gm.AverageSensor(name="mean", on="all", noise=1.0),
        gm.PointSensor(name="slow", position=(0.5, 0.5, 0.5), noise=1.0, lag=lag),
    ]
    return gm.Twin("block", gm.Transient(heat, 1.0, step), sensors)


@pytest.mark.slow
def test_second_order_in_time():
    def error(step):
        run = gm.simulate(lumped(step), times=[0.0, 2.0])
        return abs(float(run.readings["mean"][-1]) - np.exp(-60 / 100 * 2.0))

    assert np.log2(error(0.2) / error(0.1)) > 1.9


@pytest.mark.slow
def test_a_lagging_sensor_follows_its_differential_equation():
    times = np.linspace(0.0, 4.0, 81)
    run = gm.simulate(lumped(0.05, lag=0.7), times=times)
    rate, lag = 0.6, 0.7
    # τ y' + y = e^{−rt}, y(0) = 1
    exact = (np.exp(-rate * times) - rate * lag * np.exp(-times / lag)) / (1 - rate * lag)
    np.testing.assert_allclose(run.readings["slow"], exact, atol=2e-4)


def test_a_ring_conducts_with_a_logarithm():
    """Axial symmetry: T = 100 ln(r/r₁)/ln(r₂/r₁) between r₁ and r₂, and 2π k h · 100 / ln(r₂/r₁) W through the ring."""
    inner, outer, height, k = 1.0, 2.0, 0.5, 3.0
    space = gm.FunctionSpace(gm.rectangle(12, 1, size=(outer - inner, height), origin=(inner, 0.0)), "Q2")
    ends = [gm.Dirichlet("left", 0.0), gm.Dirichlet("right", 100.0)]
    ring = gm.Heat(space, k, conditions=ends, axisymmetric=True)
    u = gm.solve(gm.Steady(ring, linear_solver=gm.SparseDirect(1e-8))).checked()
    np.testing.assert_allclose(u, 100 * np.log(space.nodes()[:, 0] / inner) / np.log(outer / inner), atol=1e-4)
    power = gm.reactions(ring.problem, u, "right")
    assert float(power) == pytest.approx(2 * np.pi * k * height * 100 / np.log(outer / inner), rel=1e-6)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda s: gm.Heat(gm.FunctionSpace(s.mesh, "Q1", (2,)), 1.0), "scalar function space"),
        (lambda s: gm.Heat(s, {"core": 1.0}), "cell tag 'core'"),
        (lambda s: gm.Heat(s, 1.0, conditions=[gm.Flux("topp", 1.0)]), "topp"),
        (lambda s: gm.Heat(gm.FunctionSpace(gm.box(1, 1, 1), "Q1"), 1.0, axisymmetric=True), "not a 3-D one"),
        (lambda s: gm.Transient(gm.Heat(s, 1.0), 0.0, 1.0), "needs a capacity"),
        (lambda s: gm.Transient(gm.Heat(s, 1.0, 1.0), 0.0, -1.0), "must be positive"),
        (lambda s: gm.FunctionSpace(s.mesh, "P2"), "allowed are Q1, Q2, Q3"),
    ],
)
def test_mistakes_are_named(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(bar(2))


def test_a_law_of_one_region_need_not_be_finite_in_another():
    """The power of the flux g sqrt(u - 300) in a field that rises through 300 K in the other region, in closed form."""
    mesh = gm.line(40, length=2.0).tag_cells("cold", lambda x: x[:, 0] < 1.0).tag_cells("hot", lambda x: x[:, 0] > 1.0)
    root = gm.Law(lambda u, x, g: g * jnp.sqrt(u - 300.0), (gm.Parameter("g", gm.LogNormal(2.0, 2.0)),))
    conductivity = {"cold": gm.Parameter("k", gm.LogNormal(3.0, 2.0)), "hot": root}
    losses = [gm.Convection("left", gm.by_tag(mesh, {"cold": 5.0, "hot": root}), 260.0)]
    space = gm.FunctionSpace(mesh, "P2")
    problem = gm.Heat(space, conductivity, conditions=losses).problem
    x = jnp.asarray(space.nodes())[:, 0]

    @jax.value_and_grad
    def power(values):
        u = 250.0 + 100.0 * values["s"] * x
        return (1.0 + x) @ gm.bind(problem, values).unconstrained(u)

    found, slopes = power({"g": jnp.asarray(2.0), "k": jnp.asarray(3.0), "s": jnp.asarray(1.0)})
    rise = 2 / 3 * (150.0**1.5 - 50.0**1.5)  # of the integral of sqrt(u - 300)
    assert float(found) == pytest.approx(100.0 * 3.0 + 2.0 * rise + 5.0 * (250.0 - 260.0), rel=1e-7)
    assert float(slopes["k"]) == pytest.approx(100.0, rel=1e-9)
    assert float(slopes["g"]) == pytest.approx(rise, rel=1e-7)
    end = 3.0 * 100.0 + 2.0 * (200.0 * 150.0**0.5 - 100.0 * 50.0**0.5)
    assert float(slopes["s"]) == pytest.approx(end, rel=1e-6)
    assert np.isfinite(np.asarray(gm.bind(problem, {"g": 2.0, "k": 3.0}).matrix_values(250.0 + 100.0 * x))).all()
