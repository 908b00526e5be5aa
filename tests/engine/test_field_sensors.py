"""Sensors that read integrals, fluxes and reactions: exact integrals, balances, closed forms, gradients, mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.observations import FieldObservation

DIRECT = gm.SparseDirect(rtol=1e-10)


def test_integrals_of_polynomials_are_exact():
    """Over cells, facets and a ring, and the volume that a boundary moves through, by the divergence theorem."""
    flat = gm.FunctionSpace(gm.rectangle(3, 2, size=(2.0, 1.0), cell="triangle"), "P2")
    sensors = [
        gm.IntegralSensor(name="body", on="all", noise=1.0),
        gm.IntegralSensor(name="edge", on="right", facets=True, noise=1.0),
        gm.IntegralSensor(name="ring", on="all", axisymmetric=True, noise=1.0),
        gm.PointSensor(name="point", position=(0.3, 0.7), noise=1.0),
    ]
    field = flat.interpolate(lambda x: x[0] ** 2 + x[0] * x[1])
    found = FieldObservation.of(flat, sensors).read(flat.flatten(field))
    np.testing.assert_allclose(found, [8 / 3 + 1, 4 + 1, 2 * np.pi * (4 + 4 / 3), 0.3], rtol=1e-13)
    solid = gm.FunctionSpace(gm.box(2, 2, 1, size=(1.0, 2.0, 3.0)), "Q1", (3,))
    moved = solid.interpolate(lambda x: jnp.stack([2 * x[0] + x[1], -x[1], 5 * x[2] + 1]))
    swept = gm.IntegralSensor(name="V", on="boundary", facets=True, component="normal", noise=1.0)
    along = gm.IntegralSensor(name="x", on="top", facets=True, component=0, noise=1.0)
    read = FieldObservation.of(solid, [swept, along]).read(solid.flatten(moved))
    np.testing.assert_allclose(read, [(2 - 1 + 5) * 6.0, 4.0], rtol=1e-12)


def slab(conductivity, film, source, size=(0.2, 0.5, 0.4)):
    """300 K on the left, convection to 280 K on the right, a source inside."""
    space = gm.FunctionSpace(gm.box(3, 1, 1, size=size), "Q1")
    conditions = [gm.Dirichlet("left", 300.0), gm.Convection("right", film, 280.0), gm.HeatSource("all", source)]
    sensors = [gm.FluxSensor(name=on, on=on, noise=1.0) for on in ("left", "right")]
    content = gm.IntegralSensor(name="content", on="all", weight=gm.Parameter("c", gm.LogNormal(2e3, 2.0)), noise=1.0)
    heat = gm.Heat(space, conductivity, conditions=conditions)
    return gm.Twin("slab", gm.Steady(heat, linear_solver=DIRECT), [sensors[0], content, sensors[1]])


@pytest.mark.slow
def test_the_heat_through_a_slab():
    """k T'' = −q: what leaves on both sides is the source, on the right h (T − 280) A with T by hand."""
    k, h = gm.Parameter("k", gm.LogNormal(3.0, 2.0)), gm.Parameter("h", gm.LogNormal(40.0, 2.0))
    twin = slab(k, h, 5e3)
    area, length = 0.2, 0.2

    def by_hand(k, h):
        # T = 300 + b x − q x²/2k with k T'(L) = −h (T(L) − 280)
        b = (5e3 * length + h * (5e3 * length**2 / (2 * k) - 20)) / (k + h * length)
        end = 300 + b * length - 5e3 * length**2 / (2 * k)
        return jnp.stack([k * b * area, h * (end - 280) * area])

    def read(k, h):
        readings = gm.simulate(twin, parameters={"k": k, "h": h}).readings
        return jnp.stack([readings["left"], readings["right"]])

    np.testing.assert_allclose(read(2.0, 50.0), by_hand(2.0, 50.0), rtol=1e-9)
    assert float(read(2.0, 50.0).sum()) == pytest.approx(5e3 * area * length, rel=1e-11)
    np.testing.assert_allclose(jax.jacfwd(read, (0, 1))(2.0, 50.0), jax.jacfwd(by_hand, (0, 1))(2.0, 50.0), rtol=1e-8)
    heat, slope = jax.value_and_grad(lambda c: gm.simulate(twin, parameters={"c": c}).readings["content"])(5.0)
    assert float(heat) == pytest.approx(5.0 * float(slope), rel=1e-12)
    assert float(slope) > 300 * area * length


@pytest.mark.slow
def test_supports_carry_what_is_loaded():
    """A clamp, springs and the loaded face itself, each in balance with the load."""
    space = gm.FunctionSpace(gm.box(4, 1, 1, size=(2.0, 0.3, 0.2)), "Q1", (3,))
    load = gm.Traction("right", gm.Vector((gm.Parameter("p", gm.Normal(0.0, 1e3)), 0.0, -4e3)))
    sensors = [
        gm.ReactionSensor(name=f"{on}.{i}", on=on, component=i, noise=1.0) for on in ("left", "right") for i in (0, 2)
    ]
    for support in (gm.Dirichlet("left", 0.0), gm.ElasticSupport("left", 1e9)):
        body = gm.Elasticity(space, 1e9, 0.3, conditions=[support, load])
        twin = gm.Twin("beam", gm.Steady(body, linear_solver=DIRECT), sensors)
        found = gm.simulate(twin, parameters={"p": 1e4}).stacked()
        np.testing.assert_allclose(found, [-600.0, 240.0, 600.0, -240.0], rtol=1e-7)


@pytest.mark.slow
def test_heat_past_periodic_sides():
    """A gradient of (3, 1) over a doubly periodic square, and a strip between two temperatures: what goes in comes out,
    and ties take nothing from what prescribed sides read.
    """
    space = gm.FunctionSpace(gm.rectangle(8, 8), "Q1")
    cell = [gm.Periodic("right", "left", jump=(3.0, 1.0)), gm.Periodic("top", "bottom", jump=(3.0, 1.0))]
    strip = [gm.Periodic("top", "bottom"), gm.Dirichlet("left", 0.0), gm.Dirichlet("right", 1.0)]
    sensors = [gm.FluxSensor(name=on, on=on, noise=1.0) for on in ("left", "right")]
    for conditions, flux, close in (([*cell, gm.Dirichlet((0.0, 0.0), 0.0)], 6.0, 0.07), (strip, 2.0, 1e-8)):
        body = gm.Heat(space, 2.0, conditions=conditions)
        found = gm.simulate(
            gm.Twin("sides", gm.Steady(body, linear_solver=gm.SparseDirect(rtol=1e-10)), sensors)
        ).readings
        assert float(found["left"]) == pytest.approx(flux, rel=close)
        assert float(found["right"]) == pytest.approx(-float(found["left"]), rel=1e-8)


@pytest.mark.slow
def test_heat_through_a_wall_over_time():
    """T = sin πx between faces at 0: π e^{-π² t} A leaves through each; what has left is what it held."""
    space = gm.FunctionSpace(gm.rectangle(8, 1, size=(1.0, 0.25)), "Q2")
    body = gm.Heat(space, 1.0, 1.0, conditions=[gm.Dirichlet("left", 0.0), gm.Dirichlet("right", 0.0)])
    sensors = [
        gm.FluxSensor(name="right", on="right", noise=1.0),
        gm.IntegralSensor(name="heat", on="all", weight=1.0, noise=1.0),
        gm.FluxSensor(name="left", on="left", noise=1.0, lag=0.02, offset=0.5),
    ]
    start = jnp.sin(jnp.pi * space.nodes()[:, 0])
    twin = gm.Twin("wall", gm.Transient(body, start, 2e-3, linear_solver=DIRECT), sensors)
    times = np.linspace(0.0, 0.1, 51)
    run = gm.simulate(twin, times=times)
    flux, held = np.asarray(run.readings["right"]), np.asarray(run.readings["heat"])
    np.testing.assert_allclose(flux, 0.25 * np.pi * np.exp(-(np.pi**2) * times), rtol=2e-4)
    left = np.concatenate([[0.0], np.cumsum(flux[1:] + flux[:-1]) * 2e-3])
    np.testing.assert_allclose(held + left, held[0], rtol=5e-5)
    assert float(run.readings["left"][0]) == pytest.approx(flux[0] + 0.5)
    stepped = gm.Transient(body, start, 2e-3, method=gm.SDIRK4(), control=gm.ErrorControl(1e-4, 1e-4, 1e-3, 100))
    with pytest.raises(ValueError, match="equal steps: leave the control"):
        gm.Twin("wall", stepped, sensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "support",
    [
        pytest.param(gm.Dirichlet("left", 0.0), id="clamp", marks=pytest.mark.slow),
        pytest.param(gm.ElasticSupport("left", 1e7), id="spring"),
    ],
)
def test_a_moving_body_keeps_its_momentum(support):
    """Support + load = d/dt of the momentum, with the damping of the mass as a force from outside."""
    space = gm.FunctionSpace(gm.rectangle(4, 2, size=(1.0, 0.2)), "Q1", (2,))
    load = gm.BodyForce("all", (0.0, 3e3))
    body = gm.Elasticity(space, 1e7, 0.3, 1e3, conditions=[support, load], kinematics="plane strain")
    momentum = gm.IntegralSensor(name="p", on="all", component=1, weight=1e3, noise=1.0)
    force = gm.IntegralSensor(name="f", on="all", component=1, weight=1e3, noise=1.0)
    sensors = [
        gm.MotionSensor(momentum, 1),
        gm.ReactionSensor(name="R", on="left", component=1, noise=1.0),
        gm.MotionSensor(force, 2),
    ]
    alpha, beta = 3.0, 1e-3
    analysis = gm.Dynamic(body, 0.0, 0.0, 1e-3, gm.Newmark(), (alpha, beta), linear_solver=DIRECT)
    run = gm.simulate(gm.Twin("beam", analysis, sensors), times=np.arange(0.0, 0.05, 1e-3))
    outside = 3e3 * 0.2 - alpha * run.readings["p"]
    assert float(jnp.ptp(run.readings["R"])) > 200
    np.testing.assert_allclose(run.readings["R"] + outside, run.readings["f"], atol=1e-5)


@pytest.mark.slow
def test_a_bar_yields_at_its_yield_stress():
    space = gm.FunctionSpace(gm.box(1, 1, 1, size=(1.0, 0.5, 0.2)), "Q1", (3,))
    ends = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("front", 0.0, 1), gm.Dirichlet("bottom", 0.0, 2)]
    pull = gm.Dirichlet("right", gm.Input("pull"), 0)
    solid = gm.Solid(space, gm.J2Plasticity(1e5, 0.3, 100.0), conditions=[*ends, pull])
    cell = gm.ReactionSensor(name="F", on="right", component=0, noise=1.0)
    twin = gm.Twin("bar", gm.Quasistatic(solid), [cell])
    inputs = {"pull": gm.Series([0.0, 2.0], [0.0, 4e-3], hold=False)}
    force = gm.simulate(twin, inputs, [0.25, 1.0, 2.0]).checked().readings["F"]
    np.testing.assert_allclose(force, [5e-4 * 1e5 * 0.1, 10.0, 10.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("sensor", "sentence"),
    [
        (lambda: gm.FluxSensor(name="q", on="top", noise=1.0), "'q' reads what goes through 'top', but no condition"),
        (lambda: gm.FluxSensor(name="q", on="lid", noise=1.0), "'lid'"),
        (
            lambda: gm.ReactionSensor(name="q", on="left", component=1, noise=1.0),
            "is a ReactionSensor of a field of shape",
        ),
        (lambda: gm.IntegralSensor(name="q", on="all", component="normal", noise=1.0), "which only facets have"),
        (
            lambda: gm.IntegralSensor(name="q", on="left", facets=True, component="normal", noise=1.0),
            "normal component of a vector with 3 components",
        ),
        (lambda: gm.IntegralSensor(name="q", on="all", axisymmetric=True, noise=1.0), "not a 3-D one"),
        (
            lambda: gm.PointSensor(name="q", position=(float("nan"), 0.0, 0.0), noise=1.0),
            "'q' has a position that is not finite",
        ),
        (lambda: gm.OutputSensor(name="q", output="x", noise=1.0), "cannot read a field: use a point"),
    ],
)
def test_mistakes_are_named(sensor, sentence):
    with pytest.raises(ValueError, match=sentence):
        gm.Twin("slab", slab(1.0, 1.0, 1.0).analysis, [sensor()])


PAN = """
name = "pan"
mesh.box = { size = ["20 mm", "10 mm"], cells = [4, 2] }
model = { physics = "heat", element = "Q1", analysis = "steady", axisymmetric = true }
materials.all = { conductivity = "2 W/m/K" }
conditions = [
  { kind = "source", on = "all", value = "1 MW/m^3" },
  { kind = "convection", on = "top", coefficient = "50 W/m^2/K", ambient = "20 degC" },
  { kind = "temperature", on = "bottom", value = "40 degC" },
]
sensors.top = { kind = "flux", on = "top", unit = "mW", noise = "1 mW" }
sensors.bottom = { kind = "flux", on = "bottom", unit = "W", noise = "1 mW", offset = "1 W" }
sensors.content = { kind = "integral", on = "all", weight = "$c", unit = "kJ", noise = "1 J" }
sensors.mean = { kind = "integral", on = "top", facets = true, unit = "K*m^2", noise = "1 K*mm^2" }
parameters.c = { median = "2 MJ/m^3/K", factor = 2 }
"""

TESTER = """
name = "tester"
mesh.box = { size = ["2 m", "1 m"], cells = [4, 2] }
model = { physics = "elasticity", element = "Q1", analysis = "static", kinematics = "plane stress" }
materials.all = { youngs_modulus = "100 MPa", poisson_ratio = 0.25 }
conditions = [ { kind = "clamp", on = "left" }, { kind = "force", on = "right", value = ["$F", "0 N"] } ]
parameters.F = { median = "3 kN", factor = 2 }
sensors.cell = { kind = "reaction", on = "left", component = "x", unit = "kN", noise = "1 N" }
sensors.bulge = { kind = "integral", on = "boundary", facets = true, component = "normal", unit = "l", noise = "1 ml" }
"""


@pytest.mark.slow
def test_a_twin_file_has_fluxes_integrals_and_reactions(tmp_path):
    """In axial symmetry both faces give off what is released in π r² h; stretched by σ/E a volume grows by 1 - ν."""
    volume = np.pi * 0.02**2 * 0.01
    twin = gm.TwinFile.parse(PAN, tmp_path).build()
    run = gm.simulate(twin)
    assert float(run.readings["top"] + run.readings["bottom"]) == pytest.approx(1e6 * volume + 1.0, rel=1e-9)
    assert float(run.readings["top"]) == pytest.approx(50 * float(run.readings["mean"] - 293.15 * volume / 0.01))
    assert 2e6 * 313.15 * volume < float(run.readings["content"]) < 2e6 * 350 * volume
    run = gm.simulate(gm.TwinFile.parse(TESTER, tmp_path).build())
    assert float(run.readings["cell"]) == pytest.approx(-3e3, rel=1e-9)
    assert float(run.readings["bulge"]) == pytest.approx(2 * 3e3 / 1e8 * 0.75, rel=0.1)


@pytest.mark.parametrize(
    ("text", "old", "new", "sentence"),
    [
        (PAN, 'unit = "mW"', 'unit = "W/m^2"', "sensors.top.unit: this sensor reads a quantity in W, not in 'W/m^2'"),
        (PAN, '"flux", on = "top"', '"flux", on = "lid"', "sensors.top.on: "),
        (PAN, '"flux", on = "top"', '"flux", on = "right"', "'top' reads what goes through 'right', but no condition"),
        (PAN, '"$c"', '"2 MJ/K"', "sensors.content.weight: '2 MJ/K' has the wrong unit"),
        (PAN, 'weight = "$c", unit = "kJ"', 'unit = "kJ"', "a quantity in K*m^3, not in 'kJ'"),
        (PAN, 'flux", on = "top", unit = "mW"', 'reaction", on = "top", component = "x", unit = "N"', "kind 'flux'"),
        (TESTER, '"reaction", on = "left", component = "x"', '"flux", on = "left"', "use the kind 'reaction'"),
        (TESTER, 'component = "x"', 'component = "z"', "sensors.cell.component: 'z' does not exist on a 2-D mesh"),
        (TESTER, ', component = "x"', "", "sensors.cell.component: the key 'component' is missing"),
        (TESTER, '["$F", "0 N"]', '"2 kN"', "conditions.1.value: a list of 2 quantities in N is needed."),
        (TESTER, '["$F", "0 N"]', '["2 kPa", "0 N"]', "conditions.1.value.0: '2 kPa' has the wrong unit"),
        (TESTER, 'on = "right"', 'on = "all"', "conditions.1.on: The mesh has no facet tag 'all'"),
        (TESTER, 'on = "right"', 'facets = false, on = "right"', "but 'right' names facets. Give 'facets = true'."),
        (
            TESTER,
            "plane stress",
            "axisymmetric",
            "In axial symmetry give the load or mass on 'right' per area or volume",
        ),
        (
            TESTER,
            'facets = true, component = "normal"',
            'component = "normal"',
            "sensors.bulge.unit: this sensor reads a quantity in m*m^3",
        ),
    ],
)
def test_a_mistake_in_a_twin_file_is_one_sentence(tmp_path, text, old, new, sentence):
    assert old in text
    with pytest.raises(gm.TwinFileError) as caught:
        gm.TwinFile.parse(text.replace(old, new, 1), tmp_path).build()
    assert sentence in str(caught.value)
