"""Parameters, loads and boundary values are arguments: other values compile nothing anew."""

import jax
import jax.monitoring
import jax.numpy as jnp
import pytest

import gemel as gm
from gemel.engine.assembly import RowLayout
from gemel.engine.compiling import sharing

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations():
    """A list that grows by one entry with each compiled program."""
    found: list[str] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILED:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.clear_event_listeners()


def heat(k, load, edge):
    space = gm.FunctionSpace(gm.rectangle(4, 4), "Q1")
    return gm.Heat(space, k, conditions=[gm.Dirichlet("left", edge), gm.HeatSource("all", load)])


def nonlinear(k, load, edge):
    return heat(gm.Law(_conductivity, (k,)), load, edge)


def _conductivity(u, x, k):
    return k * (1 + 0.01 * u)


def elasticity(k, load, edge):
    space = gm.FunctionSpace(gm.rectangle(4, 4), "Q1", (2,))
    conditions = [gm.Dirichlet("left", edge), gm.Traction("right", jnp.array([0.0, 1.0]) * load)]
    return gm.Elasticity(space, k, 0.3, conditions=conditions, kinematics="plane strain")


@pytest.mark.parametrize("build", [heat, nonlinear, elasticity])
@pytest.mark.fast("nonlinear", "elasticity")
def test_other_values_compile_nothing(build, compilations):
    direct = gm.SparseDirect(rtol=1e-8)

    def solved(*values):
        return gm.solve(gm.Steady(build(*map(jnp.asarray, values)), linear_solver=direct)).checked()

    first = solved(2.0, 1.0, 0.0)
    assert len(compilations) > 0  # the listener hears
    compilations.clear()
    second = solved(3.0, -2.0, 0.5)
    assert compilations == []
    assert float(jnp.max(jnp.abs(second - first))) > 1e-3


def test_other_parameters_and_inputs_of_a_twin_compile_nothing(compilations):
    conductivity = gm.Parameter("k", gm.LogNormal(2.0, 2.0), "W/(m K)")
    body = heat(conductivity, gm.Input("load"), gm.Input("edge"))
    sensor = gm.PointSensor("T", position=(0.9, 0.5), noise=gm.Noise(0.1))
    twin = gm.Twin("plate", gm.Steady(body, linear_solver=gm.SparseDirect(rtol=1e-8)), [sensor])

    def reading(k, load, edge):
        inputs = {"load": gm.Series([0.0, 1.0], [load, load]), "edge": gm.Series([0.0, 1.0], [edge, edge])}
        return float(gm.simulate(twin, inputs, parameters={"k": k}).readings["T"])

    first = reading(2.0, 1.0, 0.0)
    compilations.clear()
    assert reading(4.0, 3.0, 1.0) != first
    assert compilations == []


def test_results_share_what_they_take_over_from_the_arguments():
    """An operator has the sparsity of its problem, not a copy of it; everything else is as under ``jit``."""
    problem = heat(2.0, 1.0, 0.0).problem
    calls = []

    @sharing
    def assembled(problem, u):
        calls.append(1)
        return problem.tangent(u), {"twice": 2 * u, "same": u, "text": "K", "number": 3}

    u = jnp.linspace(0.0, 1.0, problem.space.n_dofs)
    operator, others = assembled(problem, u)
    assert isinstance(problem.layout, RowLayout)
    ours, theirs = operator.pattern, problem.layout.pattern
    assert all(a is b for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    assert others["same"] is u
    assert (others["text"], others["number"]) == ("K", 3)
    assert jnp.array_equal(others["twice"], 2 * u)
    assert abs(operator.to_scipy() - problem.tangent(u).to_scipy()).max() < 1e-12
    again, _ = assembled(problem, u + 1)
    assert len(calls) == 1
    assert again.pattern.forward.columns[0] is theirs.forward.columns[0]

    def energy(u):
        operator, others = assembled(problem, u)
        return others["same"] @ operator.mv(others["twice"]) / 4

    assert jnp.allclose(jax.grad(energy)(u), operator.mv(u))
