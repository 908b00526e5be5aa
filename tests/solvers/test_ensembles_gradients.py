"""Derivatives of ensembles: Taylor remainders, both modes against each other and another code, failed members."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gemel.solvers import Code, ForwardMode, PIControl, ReverseMode, Rodas4, Rodas5P, Tsit5, integrate_ensemble


def van_der_pol(t, y, p):
    return jnp.stack([y[1], p * (1 - y[0] ** 2) * y[1] - y[0]])


def robertson(t, y, p):
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return jnp.stack([-slow + back, slow - back - fast, fast])


def lorenz(t, y, p):
    return jnp.stack([p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]])


SEED = np.random.default_rng(3)
MEMBERS = 5
CASES = {
    "van der Pol, Rodas5P": (
        van_der_pol,
        SEED.uniform(-2, 2, (2, MEMBERS)),
        SEED.uniform(4.5, 5.5, MEMBERS),
        4.0,
        Rodas5P(),
        PIControl(1e-9, 1e-10, 3000),
        (2.0, 5.0),
    ),
    "van der Pol, Rodas4": (
        van_der_pol,
        SEED.uniform(-2, 2, (2, MEMBERS)),
        SEED.uniform(4.5, 5.5, MEMBERS),
        2.0,
        Rodas4(),
        PIControl(1e-8, 1e-10, 3000),
        (2.0, 5.0),
    ),
    "Robertson, Rodas5P": (
        robertson,
        np.tile([[1.0], [0.0], [0.0]], MEMBERS),
        np.array([[0.04], [1e4], [3e7]]) * SEED.uniform(0.7, 1.3, (3, MEMBERS)),
        40.0,
        Rodas5P(),
        PIControl(1e-9, 1e-13, 3000),
        (1.0, 4e-5, 0.5),
    ),
    "Lorenz, Tsit5": (
        lorenz,
        SEED.uniform(5, 15, (3, MEMBERS)),
        np.array([[10.0], [28.0], [8 / 3]]) * SEED.uniform(0.9, 1.1, (3, MEMBERS)),
        1.0,
        Tsit5(),
        PIControl(1e-10, 1e-10, 3000),
        (20.0, 25.0, 40.0),
    ),
}


def functional(case, derivatives, lanes=3, saves=4):
    """J(y₀, p, s): of the final and of the saved states; s scales the rate of all members."""
    rate, _, _, end, method, control, scale = CASES[case]
    size = np.array(scale)[:, None]
    times = np.linspace(0, end, saves + 1)[1:] - 0.05 * end

    def value(initial, p, s):
        scaled = lambda t, y, p: s * rate(t, y, p)  # noqa: E731
        solution = integrate_ensemble(scaled, initial, (0.0, end), p, method, control, times, lanes, derivatives)
        return jnp.sum(jnp.sin(solution.value.final / size)) + jnp.mean((solution.value.saved / size) ** 2)

    return value


def point(case):
    _, initial, p, *_ = CASES[case]
    rng = np.random.default_rng(1)
    at = (jnp.asarray(initial), jnp.asarray(p), jnp.asarray(1.0))
    direction = (
        jnp.asarray(rng.normal(size=initial.shape) * np.abs(initial).max() * (initial != 0)),
        at[1] * jnp.asarray(rng.normal(size=p.shape)),
        jnp.asarray(0.7),
    )
    return at, direction


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_taylor_remainders_and_both_modes(case):
    """The gradient leaves a remainder of second order, and forward mode gives the same number to rounding.

    Steps differ between the runs compared: tolerances are so tight that this lies far below the remainders.
    """
    at, direction = point(case)
    value, gradient = jax.jit(jax.value_and_grad(functional(case, ReverseMode()), argnums=(0, 1, 2)))(*at)
    forward = jax.jit(lambda *x: jax.jvp(functional(case, ForwardMode()), x, direction))
    same, slope = forward(*at)
    along = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))
    np.testing.assert_allclose(slope, along, rtol=1e-9)
    np.testing.assert_allclose(value, same, rtol=1e-12)

    def remainder(size):
        moved, _ = forward(*(x + size * d for x, d in zip(at, direction, strict=True)))
        return abs(float(moved - value - size * along))

    size = 1e-4 if "Pol" in case else 1e-3  # the phase of an oscillator bends J sooner
    coarse, fine = remainder(4 * size), remainder(size)
    assert fine > 1e-8  # far above the noise of the steps
    assert np.log(coarse / fine) / np.log(4) == pytest.approx(2.0, abs=0.15)


@pytest.mark.slow
def test_gradient_against_another_code():
    rate, initial, p, end, method, _, _ = CASES["van der Pol, Rodas5P"]
    initial, p = jnp.asarray(initial), jnp.asarray(p)
    control = PIControl(1e-10, 1e-12, 5000)

    def ours(p):
        return jnp.sum(integrate_ensemble(rate, initial, (0.0, end), p, method, control).value.final ** 2)

    def theirs(p):
        def one(y, p):
            steps = diffrax.PIDController(rtol=1e-10, atol=1e-12)
            term, method = diffrax.ODETerm(van_der_pol), diffrax.Dopri8()
            found = diffrax.diffeqsolve(term, method, 0.0, end, None, y, p, stepsize_controller=steps)
            return found.ys[0]  # pyright: ignore[reportOptionalSubscript]

        return jnp.sum(jax.vmap(one, in_axes=(1, 0))(initial, p) ** 2)

    np.testing.assert_allclose(*(jax.jit(jax.grad(f))(p) for f in (ours, theirs)), rtol=1e-6)


@pytest.mark.slow
def test_gradients_do_not_depend_on_the_rounds():
    """One lane and a limit of steps so near that the stored rounds are short and many, against all members at once."""
    case = "Lorenz, Tsit5"
    at, _ = point(case)
    one, all_ = (jax.jit(jax.grad(functional(case, ReverseMode(), lanes), argnums=(0, 1, 2)))(*at) for lanes in (1, 5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), one, all_)


def test_a_failed_member_leaves_the_gradients_of_the_others_alone():
    """ẏ = p y²: a NaN parameter, a blow-up and a good one; the loss looks at the good one only, s is shared by all."""
    p, initial = jnp.array([-1.0, jnp.nan, 3.0]), jnp.array([[1.0, 1.0, 1.0]])

    def loss(initial, p, s):
        solution = integrate_ensemble(
            lambda t, y, p: s * p * y**2, initial, (0.0, 1.0), p, Tsit5(), PIControl(1e-10, 1e-12, 2000), None, 2
        )
        good = solution.status.code == Code.SUCCESS
        return jnp.sum(jnp.where(good, solution.value.final[0], 0.0)), good

    (dy, dp, ds), good = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(initial, p, 1.0)
    np.testing.assert_array_equal(good, [True, False, False])
    np.testing.assert_allclose(dy[0], [0.25, 0.0, 0.0], rtol=1e-8)  # y = y₀ / (1 − s p y₀ t)
    np.testing.assert_allclose(dp, [0.25, 0.0, 0.0], rtol=1e-8)
    np.testing.assert_allclose(ds, -0.25, rtol=1e-8)


@pytest.mark.slow
def test_second_derivatives_are_forward_over_reverse():
    """ẏ = −p y: y(1) = e^(−p)."""

    def value(p):
        decay = lambda t, y, p: -p * y  # noqa: E731
        control = PIControl(1e-10, 1e-12, 500)
        return jnp.sum(integrate_ensemble(decay, jnp.ones((1, 2)), (0.0, 1.0), p, Rodas5P(), control).value.final)

    p = jnp.array([0.5, 2.0])
    hessian = jax.jit(jax.hessian(value))(p)
    np.testing.assert_allclose(hessian, np.diag(np.exp(-p)), atol=1e-7)


def test_parameters_that_are_whole_numbers_stay_out_of_the_gradient():
    p = {"k": jnp.array([1.0, 2.0]), "power": jnp.array([1, 2])}

    def loss(k):
        rate = lambda t, y, p: -p["k"] * y ** p["power"]  # noqa: E731
        control = PIControl(1e-10, 1e-12, 500)
        return jnp.sum(
            integrate_ensemble(rate, jnp.ones((1, 2)), (0.0, 1.0), p | {"k": k}, Tsit5(), control).value.final
        )

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(p["k"]), [-np.exp(-1.0), -1 / 9], rtol=1e-7)


@pytest.mark.slow
def test_reverse_mode_of_a_run_backwards_in_time():
    def final(p, mode):
        control = PIControl(1e-10, 1e-12, 500)
        times = np.array([0.5])
        value = integrate_ensemble(
            lambda t, y, p: -p * y, jnp.ones((1, 2)), (1.0, 0.0), p, Tsit5(), control, times, None, mode
        ).value
        assert value.saved is not None
        return value.final[0] + value.saved[0, 0]

    p = jnp.array([0.5, 1.5])
    found = jax.jit(jax.jacrev(lambda p: final(p, ReverseMode())))(p)
    np.testing.assert_allclose(found, np.diag(np.exp(p) + 0.5 * np.exp(0.5 * p)), rtol=1e-7)
    np.testing.assert_allclose(found, jax.jit(jax.jacfwd(lambda p: final(p, ForwardMode())))(p), rtol=1e-12)
