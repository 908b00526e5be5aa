"""Ensembles: accuracy, the queue, saved values, and members that fail without touching the others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from gemel.solvers import Code, PIControl, Rodas4, Rodas5P, Tsit5, integrate_ensemble

TIGHT = PIControl(1e-9, 1e-12)


def van_der_pol(t, y, p):
    return jnp.stack([y[1], p * (1 - y[0] ** 2) * y[1] - y[0]])


def robertson(t, y, p):
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return jnp.stack([-slow + back, slow - back - fast, fast])


def growth(t, y, p):
    """ẏ = p y²: y = y₀ / (1 − p y₀ t)."""
    return p * y**2


@functools.partial(jax.jit, static_argnums=(0, 4, 6))
def solve(rate, initial, span, p, method, control, lanes=None, times=None):
    return integrate_ensemble(rate, initial, span, p, method, control, times, lanes)


@pytest.mark.parametrize("method", [Tsit5(), Rodas4(), Rodas5P()], ids=lambda m: type(m).__name__)
def test_members_against_an_independent_code(method):
    """Van der Pol, every member with its own μ, start, span and number of steps, more members than lanes."""
    mu = np.array([0.5, 5.0, 2.0, 1.0, 4.0])
    initial = np.array([[1.0, -2.0, 0.3, 2.0, -0.5], [0.0, 1.0, 0.5, -3.0, 0.1]])
    ends = np.array([3.0, 8.0, 4.0, 1.0, 6.0])
    span = (0.0, jnp.asarray(ends))
    solution = solve(van_der_pol, jnp.asarray(initial), span, jnp.asarray(mu), method, TIGHT, 2)
    found = np.asarray(solution.checked().final)
    np.testing.assert_array_equal(solution.statistics["reached"], ends)
    for b in range(5):
        reference = solve_ivp(
            lambda t, y, m=mu[b]: [y[1], m * (1 - y[0] ** 2) * y[1] - y[0]],
            (0.0, ends[b]),
            initial[:, b],
            "DOP853",
            rtol=1e-13,
            atol=1e-14,
        )
        np.testing.assert_allclose(found[:, b], reference.y[:, -1], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("method", [Rodas4(), Rodas5P()], ids=lambda m: type(m).__name__)
def test_robertson_over_eleven_decades(method):
    """Published reference at t = 1e11: Mazzia, Magherini, Test Set for IVP Solvers 2.4 (2008), problem ROBER."""
    p = jnp.array([[0.04], [1e4], [3e7]])
    solution = solve(robertson, jnp.array([[1.0], [0.0], [0.0]]), (0.0, 1e11), p, method, PIControl(1e-8, 1e-20))
    expected = [0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050]
    np.testing.assert_allclose(solution.checked().final[:, 0], expected, rtol=1e-6)
    assert solution.statistics["accepted"][0] < 2000


def test_the_error_follows_the_tolerance():
    p, initial = jnp.linspace(0.5, 5.0, 6), jnp.tile(jnp.array([[2.0], [0.0]]), 6)

    def final(rtol):
        return solve(van_der_pol, initial, (0.0, 5.0), p, Rodas5P(), PIControl(rtol, rtol, max_steps=20_000)).checked()

    reference = final(1e-12).final
    errors = [float(jnp.max(jnp.abs(final(rtol).final - reference))) for rtol in (1e-4, 1e-6, 1e-8)]
    assert errors[0] < 1e-2
    assert errors[1] < errors[0] / 20
    assert errors[2] < errors[1] / 20


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_lanes():
    rng = np.random.default_rng(0)
    p, initial = jnp.asarray(rng.uniform(0.1, 6.0, 23)), jnp.asarray(rng.uniform(-2, 2, (2, 23)))
    times = jnp.linspace(0.0, 6.0, 7)
    control = PIControl(1e-6, 1e-8)
    few, many = (solve(van_der_pol, initial, (0.0, 6.0), p, Tsit5(), control, n, times) for n in (4, 23))
    np.testing.assert_allclose(few.checked().final, many.checked().final, rtol=1e-9)
    np.testing.assert_allclose(few.value.saved, many.value.saved, rtol=1e-9)
    np.testing.assert_array_equal(few.statistics["accepted"], many.statistics["accepted"])
    np.testing.assert_array_equal(few.statistics["rejected"], many.statistics["rejected"])


@pytest.mark.parametrize("method", [Tsit5(), Rodas4(), Rodas5P()], ids=lambda m: type(m).__name__)
def test_saved_values_follow_the_solution(method):
    """ẏ = −p (y − cos t): dense between the steps, exact at the start, the state itself at the end."""
    p, t = jnp.array([1.0, 3.0, 30.0]), np.linspace(0.0, 2.0, 41)
    solution = solve(
        lambda t, y, p: -p * (y - jnp.cos(t)), jnp.full((1, 3), 2.0), (0.0, 2.0), p, method, TIGHT, 2, jnp.asarray(t)
    )
    k, saved = np.asarray(p), solution.checked().saved
    forced = (k**2 * np.cos(t[:, None]) + k * np.sin(t[:, None])) / (1 + k**2)
    exact = forced + (2 - k**2 / (1 + k**2)) * np.exp(-k * t[:, None])
    np.testing.assert_allclose(saved[:, 0], exact, atol=2e-7)
    np.testing.assert_array_equal(saved[0, 0], 2.0)
    np.testing.assert_allclose(saved[-1], solution.value.final, rtol=1e-14)
    assert int(jnp.min(solution.statistics["accepted"])) != 40  # no step ends at the times


def test_times_outside_a_members_span_are_nan():
    times, span = jnp.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0]), (0.5, jnp.array([1.0, 3.0]))
    run = jax.jit(lambda: integrate_ensemble(growth, jnp.ones((1, 2)), span, -jnp.ones(2), Tsit5(), TIGHT, times))
    saved = np.asarray(run().checked().saved)[:, 0]
    np.testing.assert_array_equal(np.isnan(saved), [[1, 1], [0, 0], [0, 0], [1, 0], [1, 0], [1, 1]])
    np.testing.assert_allclose(saved[1:5, 1], 1 / (1 + np.array([0.0, 0.5, 1.5, 2.5])), rtol=1e-7)


@pytest.mark.parametrize("method", [Tsit5(), Rodas5P()], ids=lambda m: type(m).__name__)
@pytest.mark.fast("Rodas5P")
def test_time_runs_backwards_where_the_span_does(method):
    p, initial = jnp.array([0.2, 1.0]), jnp.array([[1.0, -1.0], [0.5, 1.0]])
    there = solve(van_der_pol, initial, (0.0, 2.0), p, method, TIGHT).checked().final
    times = jnp.array([2.0, 1.0, 0.0])
    back = solve(van_der_pol, there, (2.0, 0.0), p, method, TIGHT, None, times).checked()
    np.testing.assert_allclose(back.final, initial, atol=1e-7)
    np.testing.assert_allclose(back.saved[2], initial, atol=1e-7)
    np.testing.assert_array_equal(back.saved[0], there)


def test_one_member_one_unknown_and_a_span_of_zero_length():
    times = jnp.array([1.0])
    one = solve(growth, jnp.full((1, 1), 3.0), (1.0, 1.0), jnp.ones(1), Tsit5(), TIGHT, None, times)
    np.testing.assert_array_equal(one.checked().final, [[3.0]])
    np.testing.assert_array_equal(one.checked().saved, [[[3.0]]])


def failures():
    """Growth ẏ = p y²; members 1, 3, 4, 5 fail in different ways, 0, 2 and 6 do not."""
    p = jnp.array([-1.0, jnp.nan, -2.0, 2.0, -1.0, 1e-9, 0.3])
    initial = jnp.array([[1.0, 1.0, 1.0, 1.0, jnp.inf, 1e300, 1.0]])
    return initial, p, [0, 2, 6]


@pytest.mark.parametrize("method", [Tsit5(), Rodas5P()], ids=lambda m: type(m).__name__)
def test_failing_members_say_so_and_touch_no_other(method):
    initial, p, good = failures()
    times = jnp.array([0.25, 1.0])
    control = PIControl(1e-9, 1e-12, max_steps=3000)
    solution = solve(growth, initial, (0.0, 1.0), p, method, control, 3, times)
    code = np.asarray(solution.status.code)
    assert list(code[good]) == [Code.SUCCESS] * 3
    assert code[1] == code[4] == code[5] == Code.NOT_FINITE
    assert code[3] == Code.STAGNATION  # blows up at t = 1/2
    assert float(solution.statistics["reached"][3]) == pytest.approx(0.5, abs=1e-6)
    final, saved = np.asarray(solution.value.final)[0], np.asarray(solution.value.saved)[:, 0]
    exact = np.asarray(initial[0] / (1 - p * initial[0]))
    np.testing.assert_allclose(final[good], exact[good], rtol=1e-7)
    assert np.isnan(np.delete(final, good)).all()
    assert saved[0, 3] == pytest.approx(2.0, rel=1e-6)
    assert np.isnan(saved[1, 3])
    assert np.isnan(saved[:, [1, 4, 5]]).all()


def test_a_stiff_member_exhausts_an_explicit_method():
    p = jnp.array([1.0, 1e7])
    solution = solve(
        lambda t, y, p: -p * (y - jnp.cos(t)), jnp.ones((1, 2)), (0.0, 1.0), p, Tsit5(), PIControl(1e-6, 1e-6, 500)
    )
    assert list(np.asarray(solution.status.code)) == [Code.SUCCESS, Code.MAX_STEPS]
    statistics = solution.statistics
    assert int(statistics["accepted"][1] + statistics["rejected"][1]) == 500
    assert 0 < float(statistics["reached"][1]) < 1


def test_a_rate_that_leaves_its_domain():
    """ẏ = −1 − √y ends at y = 0, where the rate is not a number."""
    solution = solve(
        lambda t, y, p: -1 - jnp.sqrt(y - p), jnp.ones((1, 2)), (0.0, 1.0), jnp.array([-5.0, 0.5]), Tsit5(), TIGHT
    )
    assert list(np.asarray(solution.status.code)) == [Code.SUCCESS, Code.NOT_FINITE]


def test_no_member_can_start():
    solution = solve(growth, jnp.full((1, 3), jnp.nan), (0.0, 1.0), jnp.ones(3), Rodas5P(), TIGHT)
    assert np.all(np.asarray(solution.status.code) == Code.NOT_FINITE)
    assert np.isnan(solution.value.final).all()


def test_a_larger_linear_system():
    """n = 12 with eigenvalues from −1 to −10⁴, two matrices: the loop form of the factorisation."""
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    rates = -np.logspace(0, 4, 12)[:, None] * np.array([1.0, 1.7])
    matrices = jnp.asarray(np.einsum("ik,kb,jk->ijb", basis, rates, basis))
    initial = rng.normal(size=(12, 2))
    solution = solve(lambda t, y, a: a @ y, jnp.asarray(initial), (0.0, 0.5), matrices, Rodas5P(), TIGHT)
    exact = basis @ (np.exp(0.5 * rates) * (basis.T @ initial))
    np.testing.assert_allclose(solution.checked().final, exact, atol=1e-8)


@pytest.mark.slow
def test_vmap_and_parameters_of_any_structure():
    """A second ensemble axis; parameters in a dictionary, with whole numbers; a rate with leaves of its own."""
    p = {"k": jnp.array([1.0, 2.0]), "power": jnp.array([1, 2])}

    def final(scale):
        rate = lambda t, y, p: -scale * p["k"] * y ** p["power"]  # noqa: E731
        return integrate_ensemble(rate, jnp.ones((1, 2)), (0.0, 1.0), p, Tsit5(), TIGHT).value.final

    found = jax.jit(jax.vmap(final))(jnp.array([1.0, 3.0]))
    exact = [[np.exp(-1.0), 1 / 3], [np.exp(-3.0), 1 / 7]]
    np.testing.assert_allclose(found[:, 0], exact, rtol=1e-7)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"initial": jnp.ones(3)}, r"shape \(3,\): it must be \(n, B\)"),
        ({"initial": jnp.ones((0, 3))}, "neither of them zero"),
        ({"span": (0.0, jnp.ones(2))}, r"The end of the span has shape \(2,\): allowed are \(\) and \(3,\)"),
        (
            {"parameters": {"k": jnp.ones(2)}},
            r"parameters\['k'\] has shape \(2,\): its last axis must have the 3",
        ),
        ({"parameters": 1.0}, r"parameters has shape \(\)"),
        ({"times": np.array([0.5, 0.2])}, "The times must be in order"),
        ({"times": np.array([])}, "they must be a list of at least one"),
        ({"span": (1.0, 0.0), "times": np.array([0.2, 0.5])}, "The times must be in order"),
        ({"rate": lambda t, y, p: y[0]}, r"The rate returned \(\): it must return an array of shape \(1,\)"),
        ({"rate": lambda t, y, p: [y]}, "it must return an array"),
        ({"initial": jnp.ones((1, 3), jnp.float32)}, "The rate returned float64 for a state of float32"),
        ({"lanes": 0}, "lanes = 0"),
    ],
)
def test_mistakes_are_one_sentence(change, sentence):
    arguments = {
        "rate": growth,
        "initial": jnp.ones((1, 3)),
        "span": (0.0, 1.0),
        "parameters": jnp.ones(3),
        "method": Tsit5(),
        "control": TIGHT,
    }
    with pytest.raises(ValueError, match=sentence):
        integrate_ensemble(**(arguments | change))


@pytest.mark.parametrize("change", [{"rtol": 0.0}, {"atol": -1.0}, {"max_steps": 0}, {"first": 0.0}])
def test_a_control_that_cannot_work_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        PIControl(**({"rtol": 1e-6, "atol": 1e-6} | change))


@pytest.mark.parametrize("method", [Tsit5(), Rodas4()], ids=lambda m: type(m).__name__)
def test_single_precision_stays_single(method):
    p = jnp.array([1.0, 2.0], jnp.float32)
    control, times = PIControl(1e-4, 1e-5), jnp.array([0.5], jnp.float32)
    initial = jnp.ones((1, 2), jnp.float32)
    value = solve(lambda t, y, p: -p * y, initial, (0.0, 1.0), p, method, control, None, times).checked()
    assert value.final.dtype == value.saved.dtype == jnp.float32
    np.testing.assert_allclose(value.final[0], np.exp(-np.asarray(p)), rtol=1e-3)
    np.testing.assert_allclose(value.saved[0, 0], np.exp(-0.5 * np.asarray(p)), rtol=1e-3)


def test_whole_numbers_are_no_state():
    with pytest.raises(TypeError, match="floating-point"):
        integrate_ensemble(growth, jnp.ones((1, 3), int), (0.0, 1.0), None, Tsit5(), TIGHT)
