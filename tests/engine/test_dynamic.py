"""Dynamic analysis: free vibration, wave speed, driven supports, damping, restart, sensors, derivatives."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import gemel as gm
from gemel.engine.analyses.motion import structural_matrices
from gemel.engine.initial import initial_field
from gemel.solvers import DenseDirect

LENGTH, E, RHO = 2.0, 8.0, 2.0  # wave speed 2 m/s
SPEED = np.sqrt(E / RHO)
DIRECT = DenseDirect(1e-8)


def bar(cells=16, conditions: Any = (), density: Any = RHO, youngs: Any = E, degree="Q1", dampings: Any = ()):
    """A strip with ν = 0: waves along x are those of a bar."""
    mesh = gm.rectangle(cells, 1, size=(LENGTH, 0.1))
    space = gm.FunctionSpace(mesh, degree, shape=(2,))
    side = [gm.Dirichlet("bottom", 0.0, component=1), gm.Dirichlet("top", 0.0, component=1)]
    return gm.Elasticity(
        space, youngs, 0.0, density, [*side, *conditions], kinematics="plane strain", dampings=dampings
    )


FIXED = gm.Dirichlet("left", 0.0)
TIP = gm.PointSensor(name="tip", position=(LENGTH, 0.05), noise=1e-3)


def quarter_wave():
    """The first mode of a bar that is fixed at x = 0 and free at x = L: sin(πx/2L), period 4L/c."""
    return gm.Profile(lambda x: jnp.stack([jnp.sin(jnp.pi * x[0] / (2 * LENGTH)), 0.0 * x[0]]))


def tip_of(analysis, times, inputs=None, sensors=(TIP,)):
    observation = analysis.observe(sensors)
    grid = analysis.grid(times)
    return grid, _run(analysis, analysis.prepare(), observation, inputs or {}, grid)


@eqx.filter_jit
def _run(analysis, prepared, observation, inputs, grid):
    return analysis.run(prepared, observation, inputs, grid)


PERIOD = 4 * LENGTH / SPEED
METHODS = {
    "generalized_alpha": gm.GeneralizedAlpha(0.8),
    "newmark": gm.Newmark(0.25, 0.5),
    "central_difference": gm.CentralDifference(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["generalized_alpha", "central_difference"])
def test_free_vibration_of_a_bar(name: str):
    """u = sin(πx/2L) cos(πct/2L): after one period the tip is back, after a quarter it passes zero."""
    analysis = gm.Dynamic(
        bar(conditions=[FIXED]), quarter_wave(), 0.0, PERIOD / 80, METHODS[name], linear_solver=DIRECT
    )
    times, solution = tip_of(analysis, np.array([0.0, PERIOD]))
    readings, state = solution.checked()
    np.testing.assert_allclose(readings[:, 0], np.cos(2 * np.pi * times / PERIOD), atol=0.012)
    np.testing.assert_allclose(state["u"].reshape(-1, 2)[:, 1], 0.0, atol=1e-14)


@pytest.mark.slow
def test_velocity_and_acceleration_are_read():
    speed, shake = gm.MotionSensor(TIP, 1), gm.MotionSensor(TIP, 2)
    analysis = gm.Dynamic(bar(conditions=[FIXED]), quarter_wave(), 0.0, PERIOD / 80, linear_solver=DIRECT)
    times, solution = tip_of(analysis, np.array([0.0, 0.5 * PERIOD]), sensors=(shake, TIP, speed))
    readings = solution.checked()[0]
    omega = 2 * np.pi / PERIOD
    np.testing.assert_allclose(readings[:, 2], -omega * np.sin(omega * times), atol=0.02 * omega)
    np.testing.assert_allclose(readings[:, 0], -(omega**2) * np.cos(omega * times), atol=0.03 * omega**2)
    steady = gm.Steady(analysis.physics)
    with pytest.raises(ValueError, match="'tip' reads a motion, which only a dynamic analysis has"):
        steady.observe([speed])


@pytest.mark.slow
def test_a_wave_travels_with_the_speed_of_sound():
    """A force that sets in at the end sends σ = −p along the bar: the tip moves at p c / E, and at x the motion
    begins at x/c. With Δt = h/c and a lumped mass the discrete wave is exact.
    """
    cells, p = 40, 0.1
    body = bar(cells, [gm.Traction("right", (p, 0.0)), FIXED])
    analysis = gm.Dynamic(body, 0.0, 0.0, LENGTH / cells / SPEED * (1 - 1e-9), gm.CentralDifference())
    middle = gm.PointSensor(name="middle", position=(LENGTH / 2, 0.05), noise=1.0)
    times, solution = tip_of(analysis, np.array([0.0, 0.9 * LENGTH / SPEED]), sensors=(TIP, middle))
    tip, inside = np.asarray(solution.checked()[0]).T
    grown = p * SPEED / E
    np.testing.assert_allclose(tip, grown * times, atol=grown * LENGTH / cells / SPEED)
    arrival = LENGTH / 2 / SPEED
    np.testing.assert_allclose(inside, grown * np.maximum(times - arrival, 0), atol=grown * LENGTH / cells / SPEED)
    # Consistent with theory: the stable step of a bar of linear elements with lumped mass is h / c.
    np.testing.assert_allclose(jax.jit(lambda: analysis.stable_step())(), LENGTH / cells / SPEED, rtol=2e-3)


def test_an_explicit_step_that_is_too_long_is_a_divergence():
    body = bar(10, [gm.Traction("right", (0.1, 0.0)), FIXED])
    analysis = gm.Dynamic(body, 0.0, 0.0, 1.1 * LENGTH / 10 / SPEED, gm.CentralDifference())
    _, solution = tip_of(analysis, np.array([0.0, 0.5]))
    assert solution.status.worst() == gm.Code.DIVERGENCE


@pytest.mark.slow
def test_a_moving_support():
    """The left end moves as A sin ωt. Steady response of the free end: A cos(kx − kL)/cos kL at x = L with k = ω/c."""
    omega, amplitude = 1.0, 0.3
    t = np.linspace(-0.1, 8.1, 1641)
    inputs = {"base": gm.Series(t, amplitude * np.sin(omega * t), hold=False)}
    k = omega / SPEED
    gain = 1 / np.cos(k * LENGTH)

    def shape(x):
        return jnp.stack([amplitude * omega * jnp.cos(k * (LENGTH - x[0])) * gain, 0.0 * x[0]])

    conditions = [gm.Dirichlet("left", 0.0, component=1), gm.Dirichlet("left", gm.Input("base"), component=0)]
    body = bar(24, conditions)
    analysis = gm.Dynamic(body, 0.0, gm.Profile(shape), 0.05, linear_solver=DIRECT)
    ends = (TIP, gm.MotionSensor(gm.PointSensor(name="base", position=(0.0, 0.05), noise=1.0), 2))
    times, solution = tip_of(analysis, np.array([0.0, 8.0]), inputs, ends)
    tip, base = np.asarray(solution.checked()[0]).T
    np.testing.assert_allclose(tip, amplitude * gain * np.sin(omega * times), atol=0.01 * amplitude * gain)
    np.testing.assert_allclose(base[1:-2], -amplitude * omega**2 * np.sin(omega * times[1:-2]), atol=2e-3)


@pytest.mark.slow
def test_rayleigh_damping_of_a_mode():
    """The ratio of damping of a mode is α/2ω + βω/2; the envelope falls as e^(−ζωt)."""
    omega, alpha, beta = 2 * np.pi / PERIOD, 0.08, 0.03
    ratio = alpha / (2 * omega) + beta * omega / 2
    free = omega * np.sqrt(1 - ratio**2)
    for method in ("newmark", "central_difference"):
        analysis = gm.Dynamic(
            bar(8, [FIXED]), quarter_wave(), 0.0, 0.02, METHODS[method], (alpha, beta), linear_solver=DIRECT
        )
        times, solution = tip_of(analysis, np.array([0.0, PERIOD]))
        exact = np.exp(-ratio * omega * times) * (np.cos(free * times) + ratio * omega / free * np.sin(free * times))
        np.testing.assert_allclose(solution.checked()[0][:, 0], exact, atol=0.02)


@pytest.mark.slow
def test_dashpots_swallow_a_wave():
    """An end with dashpots of ρc reflects nothing: once the wave has passed, the bar rests."""
    pulse = gm.Profile(lambda x: jnp.stack([jnp.exp(-40 * (x[0] - 1.0) ** 2), 0.0 * x[0]]))
    quiet = [gm.Dashpots("left", RHO * SPEED), gm.Dashpots("right", RHO * SPEED)]
    for dampings, rests in ((quiet, True), ((), False)):
        body = bar(50, dampings=dampings)
        analysis = gm.Dynamic(body, pulse, 0.0, 0.02, gm.Newmark(), linear_solver=gm.CG(gm.Jacobi(), 1e-9, 0.0, 500))
        _, solution = tip_of(analysis, np.array([0.0, 2 * LENGTH / SPEED]))
        state = solution.checked()[1]
        assert (np.max(np.abs(state["v"])) < 0.02) == rests


@pytest.mark.slow
def test_reactions_of_an_explicit_run_with_dashpots_are_of_order_two():
    """Support, dashpots and tip of a damped bar against the matrix exponential of the same matrices."""
    body, beta, end = bar(6, [FIXED], dampings=[gm.Dashpots("right", 0.5 * RHO * SPEED)]), 0.01, 1.0
    space: Any = body.problem.space
    damping: Any = body.damping
    zero = jnp.zeros(space.n_dofs)
    matrices: Any = structural_matrices(body, (0.0, beta), zero, True)
    m, c = (np.asarray(jax.jacfwd(matrix.mv)(zero)) for matrix in matrices[:2])
    k, dashpots = (np.asarray(jax.jacfwd(one.unconstrained)(zero)) for one in (body.problem, damping))
    free = np.asarray(body.problem.constraint.free, bool)
    inside = np.ix_(free, free)
    rates = [-np.linalg.solve(m[inside], part[inside]) for part in (k, c)]
    matrix = np.block([[0 * rates[0], np.eye(free.sum())], rates])
    start = np.asarray(initial_field(space, quarter_wave()))[free]
    u, v = np.zeros((2, space.n_dofs))
    u[free], v[free] = np.split(scipy.linalg.expm(end * matrix) @ np.concatenate([start, 0 * start]), 2)
    left, right = (2 * np.asarray(space.nodes_on(on)) for on in ("left", "right"))
    exact = {"left": (k @ u + c @ v)[left].sum(), "right": -(dashpots @ v)[right].sum(), "tip": u[right[0]]}
    sensors = [gm.ReactionSensor(name=on, on=on, component=0, noise=1.0) for on in ("left", "right")]
    errors = []
    for step in (0.025, 0.0125):
        analysis = gm.Dynamic(body, quarter_wave(), 0.0, step, gm.CentralDifference(), (0.0, beta))
        run = gm.simulate(gm.Twin("bar", analysis, [*sensors, TIP]), {}, [0.0, end]).checked()
        errors.append(np.array([float(run.readings[name][-1]) - value for name, value in exact.items()]))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2.0, atol=0.2)


@pytest.mark.slow
def test_gyroscopic_forces_are_solved_without_being_told():
    """Ω × u̇ across the velocity does no work; its matrix is not symmetric, which the default solver must notice."""
    space = gm.FunctionSpace(gm.rectangle(4, 1, size=(LENGTH, 0.5)), "Q1", shape=(2,))
    turning = gm.WeakForm(lambda u, v, p: 40.0 * (u.value[1] * v.value[0] - u.value[0] * v.value[1]), affine=True)
    body = gm.Elasticity(space, E, 0.3, RHO, [FIXED], kinematics="plane strain", dampings=[gm.Term(turning)])
    runs = []
    for solver in (None, DIRECT):
        analysis = gm.Dynamic(body, quarter_wave(), 0.0, 0.2, gm.Newmark(0.25, 0.5), linear_solver=solver)
        _, solution = tip_of(analysis, np.array([0.0, 1.0]))
        runs.append(solution.checked()[0])
    np.testing.assert_allclose(runs[0], runs[1], atol=1e-6)


@pytest.mark.slow
def test_a_run_is_continued_from_its_state(tmp_path: Path):
    body, method = bar(4, [FIXED]), METHODS["generalized_alpha"]
    zero = jnp.zeros(body.problem.space.n_dofs)
    rest = {"u": zero, "v": jnp.sin(jnp.arange(1.0, zero.size + 1)) * body.problem.constraint.free, "a": zero}
    times = np.linspace(0.0, 1.0, 21)

    def march(state, span, velocity=0.0):
        return tip_of(gm.Dynamic(body, state, velocity, 0.05, method, linear_solver=DIRECT), span)[1].checked()

    whole, end = march(rest, times)
    first, middle = march(rest, times[:11])
    gm.save_state(tmp_path / "bar.npz", middle)
    second, last = march(gm.load_state(tmp_path / "bar.npz", rest), times[10:])
    np.testing.assert_allclose(jnp.concatenate([first, second[1:]]), whole, rtol=0, atol=1e-12)
    np.testing.assert_allclose(last["a"], end["a"], atol=1e-10)
    with pytest.raises(ValueError, match="leave 'velocity' at 0"):
        march(middle, times[10:], 1.0)


def parameters():
    """Young's modulus, density, load and α, as parameters."""
    return [gm.Parameter(name, gm.Uniform(0.01, 20.0)) for name in ("E", "rho", "load", "alpha")]


@pytest.mark.slow
def test_gradient_by_taylor_remainder():
    youngs, density, load, alpha = parameters()
    body = bar(4, [FIXED, gm.Traction("right", gm.Vector((load, 0.0)))], density, youngs)
    solver = gm.CG(gm.Jacobi(), 1e-13, 0.0, 200)
    analysis = gm.Dynamic(body, quarter_wave(), 0.0, 0.1, rayleigh=(alpha, 0.01), linear_solver=solver)
    observation, grid = analysis.observe((TIP, gm.MotionSensor(TIP, 1))), analysis.grid(np.array([0.0, 1.0]))

    def objective(values, analysis):
        bound = gm.bind(analysis, dict(zip(("E", "rho", "load", "alpha"), values, strict=True)))
        return jnp.sum(bound.run(None, observation, {}, grid).value[0] ** 2)

    point, direction = jnp.array([E, RHO, 0.5, 0.1]), jnp.array([0.8, -0.1, 0.2, 0.05])
    value, gradient = eqx.filter_jit(jax.value_and_grad(objective))(point, analysis)
    moved = eqx.filter_jit(objective)
    errors = [
        abs(float(moved(point + h * direction, analysis) - value - h * gradient @ direction)) for h in (0.1, 0.05)
    ]
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.15


def saint_venant_kirchhoff(u, point):
    strain = 0.5 * (u.grad + u.grad.T + u.grad.T @ u.grad)
    return 0.5 * 1e3 * jnp.sum(strain**2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["newmark", "central_difference"])
def test_a_body_that_spins_freely(name: str):
    """Large rotations: a stiff strip that turns about its middle at 1 rad/s stays all but rigid."""
    space = gm.FunctionSpace(gm.rectangle(4, 1, size=(2.0, 0.2)), "Q1", (2,))
    mass = gm.Term(gm.WeakForm(lambda u, v, p: gm.inner(u.value, v.value), affine=True))
    body = gm.Formulation(space, [gm.Term(gm.Energy(saint_venant_kirchhoff))], masses=[mass])
    spin = gm.Profile(lambda x: jnp.stack([0.1 - x[1], x[0] - 1.0]))
    step = {"newmark": 0.02, "central_difference": 0.005}[name]
    analysis = gm.Dynamic(body, 0.0, spin, step, METHODS[name], linear_solver=gm.SparseDirect(1e-6))
    end = [gm.PointSensor(name=str(k), position=(2.0, 0.1), noise=1.0, component=k) for k in range(2)]
    run = gm.simulate(gm.Twin("strip", analysis, end), {}, [0.0, 1.0, 3.0])
    assert run.status.worst() == gm.Code.SUCCESS
    for k, exact in enumerate((np.cos([0.0, 1.0, 3.0]) - 1, np.sin([0.0, 1.0, 3.0]))):
        np.testing.assert_allclose(run.readings[str(k)], exact, atol=4e-3)


@pytest.mark.slow
def test_a_mast_swings_at_its_natural_frequency():
    """A cantilever beam from its first mode shape, by implicit steps: f = 1.8751² √(EI / ρA) / (2π L²)."""
    mesh = gm.meshes.frame(
        np.array([[0.0, 0.0], [4.0, 0.0]]), np.array([[0, 1]]), 4, joint_tags={"foot": [0], "top": [1]}
    )
    section = gm.Section.general(1e-2, 2e-5, 3e-5, 1e-5)
    load = gm.PointLoad("top", (0.0, gm.Input("push")))
    mast = gm.Frame(mesh, section, 210e9, 0.3, 7850.0, [gm.Support("foot"), load], theory="Euler-Bernoulli")
    frequencies, shapes = gm.modes(gm.Modal(mast, 1)).checked()
    frequency = 1.875104**2 / (2 * np.pi * 16.0) * np.sqrt(210e9 * 2e-5 / (7850.0 * 1e-2))
    np.testing.assert_allclose(frequencies[0], frequency, rtol=1e-3)
    top = gm.PointSensor(name="top", position=(4.0, 0.0), noise=1.0, component=1)
    still = {"push": gm.Series([0.0], [0.0])}
    analysis = gm.Dynamic(mast, shapes[0], 0.0, 1 / (60 * frequency), linear_solver=gm.SparseDirect(1e-6))
    swing = gm.simulate(gm.Twin("mast", analysis, [top]), still, np.array([0.0, 0.25, 0.5, 1.0]) / frequency)
    relative = swing.readings["top"] / swing.readings["top"][0]
    np.testing.assert_allclose(relative, [1.0, 0.0, -1.0, 1.0], atol=0.01)


@pytest.mark.slow
def test_lumped_mass_keeps_the_mass_and_is_positive():
    for degree in ("Q1", "Q2"):
        body = bar(4, degree=degree)
        assert body.inertia is not None
        lumped = np.asarray(eqx.filter_jit(gm.lumped_mass)(body.inertia)).reshape(-1, 2)
        assert np.all(lumped > 0)
        np.testing.assert_allclose(lumped.sum(axis=0), RHO * LENGTH * 0.1, rtol=1e-12)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="A dynamic analysis needs a density"):
        gm.Dynamic(bar(density=None), 0.0, 0.0, 0.1)
    with pytest.raises(ValueError, match="must be positive, not 0"):
        gm.Dynamic(bar(), 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="A dynamic analysis needs 'times'"):
        gm.Dynamic(bar(), 0.0, 0.0, 0.1).grid(None)
    with pytest.raises(ValueError, match=r"derivative 3 is neither 1 \(velocity\) nor 2"):
        gm.MotionSensor(TIP, 3)
