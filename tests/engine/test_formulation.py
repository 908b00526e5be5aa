"""Physics written as mathematics: weak forms and energies of one's own."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gemel as gm


def diffusion(u, v, point, k):
    return k * gm.inner(gm.grad(u), gm.grad(v)) - v.value


def energy(u, point, k):
    return 0.5 * k * gm.inner(gm.grad(u), gm.grad(u)) - u.value


def solved(term, element="P2", cell="triangle"):
    space = gm.FunctionSpace(gm.rectangle(6, 6, size=(1.0, 1.0), cell=cell), element)
    body = gm.Formulation(space, [term], [gm.Dirichlet("boundary")])
    return gm.solve(gm.Steady(body)).checked()


@pytest.mark.slow
def test_a_weak_form_and_its_energy_give_what_the_heat_equation_gives():
    space = gm.FunctionSpace(gm.rectangle(6, 6, size=(1.0, 1.0), cell="triangle"), "P2")
    heat = gm.Heat(space, 3.0, conditions=[gm.Dirichlet("boundary"), gm.HeatSource("all", 1.0)])
    reference = gm.solve(gm.Steady(heat)).checked()
    weak = gm.WeakForm(diffusion, (3.0,), affine=True, symmetric=True)
    quadratic = gm.Energy(energy, (3.0,), quadratic=True)
    for term in (gm.Term(weak), gm.Term(quadratic), gm.Term(gm.WeakForm(diffusion, (3.0,)))):
        np.testing.assert_allclose(solved(term), reference, atol=1e-9)


def test_transport_has_the_boundary_layer_of_its_exact_solution():
    """−ε u'' + u' = 1 on (0, 1), u(0) = u(1) = 0: u = x − (e^{(x−1)/ε} − e^{−1/ε}) / (1 − e^{−1/ε})."""
    eps = 0.1
    space = gm.FunctionSpace(gm.rectangle(24, 1, size=(1.0, 0.1)), "Q2")
    form = gm.WeakForm(
        lambda u, v, point: eps * gm.inner(gm.grad(u), gm.grad(v)) + (gm.grad(u)[0] - 1.0) * v.value, affine=True
    )
    body = gm.Formulation(space, [gm.Term(form)], [gm.Dirichlet("left"), gm.Dirichlet("right")])
    u = gm.solve(gm.Steady(body)).checked()
    x = space.nodes()[:, 0]
    exact = x - (jnp.exp((x - 1) / eps) - jnp.exp(-1 / eps)) / (1 - jnp.exp(-1 / eps))
    np.testing.assert_allclose(u, exact, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("element", ["Q1", pytest.param("Q2", marks=pytest.mark.slow)])
def test_strong_convection_is_solved_in_tens_of_steps(element: str):
    """With the coarsest matrix inverted as if it were symmetric, 300 steps were not enough."""
    square = gm.FunctionSpace(gm.rectangle(32, 32), element)
    wind = jnp.array([20.0, 10.0])
    form = gm.WeakForm(
        lambda u, v, point: 0.1 * gm.inner(gm.grad(u), gm.grad(v)) + (wind @ gm.grad(u)) * v.value - v.value,
        affine=True,
    )
    solution = gm.solve(gm.Steady(gm.Formulation(square, [gm.Term(form)], [gm.Dirichlet("boundary", 0.0)])))
    solution.checked()
    assert int(solution.statistics["steps"]) < 100


@pytest.mark.slow
def test_hyperelastic_traction_matches_the_energy_it_came_from():
    """A neo-Hookean bar under small load is linear elastic; under large load it is not."""
    e, nu = 1000.0, 0.3
    first, mu = gm.lame(e, nu)

    def neo_hooke(u, point):
        f = jnp.eye(3) + gm.grad(u)
        volume = jnp.linalg.det(f)
        return 0.5 * mu * (gm.inner(f, f) - 3.0) - mu * jnp.log(volume) + 0.5 * first * jnp.log(volume) ** 2

    space = gm.FunctionSpace(gm.box(3, 1, 1, size=(3.0, 1.0, 1.0)), "Q1", (3,))
    fixed = [gm.Dirichlet("left", 0.0, 0), gm.Dirichlet("front", 0.0, 1), gm.Dirichlet("bottom", 0.0, 2)]

    def stretch(load):
        terms = [gm.Term(gm.Energy(neo_hooke)), gm.Traction("right", jnp.array([load, 0.0, 0.0]))]
        body = gm.Formulation(space, terms, fixed)
        u = gm.solve(gm.Steady(body, linear_solver=gm.SparseDirect(rtol=1e-6), rtol=1e-10)).checked()
        return float(jnp.max(u[:, 0])) / 3.0

    assert stretch(0.1) == pytest.approx(0.1 / e, rel=1e-3)

    def balance(stretches):
        """Nominal stress along the bar and across it, for its stretches along and across."""
        along, across = stretches
        log_volume = np.log(along * across**2)
        return [mu * (x - 1 / x) + first * log_volume / x - p for x, p in ((along, 200.0), (across, 0.0))]

    exact = scipy.optimize.fsolve(balance, [1.2, 0.95])[0] - 1.0
    assert stretch(200.0) == pytest.approx(exact, rel=1e-6)


def test_no_terms_is_a_mistake():
    with pytest.raises(ValueError, match="at least one term"):
        gm.Formulation(gm.FunctionSpace(gm.rectangle(1, 1, size=(1.0, 1.0)), "Q1"), [])


def test_modes_of_a_form_that_is_not_symmetric_are_refused():
    """A convective term would give frequencies of another problem without a word."""
    space = gm.FunctionSpace(gm.rectangle(3, 3, size=(1.0, 1.0)), "Q1")
    mass = gm.Term(gm.WeakForm(lambda u, v, p: u.value * v.value, affine=True, symmetric=True))
    drift = gm.WeakForm(lambda u, v, p: gm.inner(gm.grad(u), gm.grad(v)) + gm.grad(u)[0] * v.value, affine=True)
    model = gm.Formulation(space, [gm.Term(drift)], [gm.Dirichlet("left")], masses=[mass])
    with pytest.raises(ValueError, match="symmetric=True"):
        gm.Modal(model, 2)
