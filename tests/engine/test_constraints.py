"""Prescribed values and ties: the affine map u = T q + g, its transpose, and condensed matrices."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm


def square(n=4, element="Q1", shape=(), cell="quadrilateral"):
    return gm.FunctionSpace(gm.rectangle(n, n, size=(1.0, 1.0), cell=cell), element, shape)


def stiffness(space, conditions, symmetric=True):
    """A problem with a tangent that fills its pattern: diffusion, or elasticity, with a reaction."""

    def integrand(u, v, point):
        skew = 0.0 if symmetric else jnp.sum(gm.grad(u)[..., 0] * v.value)
        return gm.inner(gm.grad(u), gm.grad(v)) + 2.0 * gm.inner(u.value, v.value) + skew

    form = gm.WeakForm(integrand, affine=True, symmetric=symmetric)
    return gm.DiscreteProblem.of(space, [gm.Term(form)], conditions)


CONDITIONS = {
    "prescribed": [gm.Dirichlet("left", 2.0), gm.Dirichlet("bottom", gm.Profile(lambda x: x[0]))],
    "a sum": [gm.MultiPoint((1.0, 1.0), [(0.5, (0.0, 0.0)), (-2.0, (0.5, 0.5))], 3.0)],
    "a chain": [
        gm.MultiPoint((1.0, 1.0), [(0.5, (0.0, 0.0)), (1.0, (0.5, 0.5))]),
        gm.MultiPoint((0.5, 0.5), [(2.0, (1.0, 0.0))], 1.0),
        gm.MultiPoint((1.0, 0.0), [(3.0, (0.0, 1.0))], -1.0),
        gm.Dirichlet("left", 2.0),
    ],
    "a side that moves as one": [gm.MultiPoint("right", [(1.0, (1.0, 0.0))])],
    "periodic": [gm.Periodic("right", "left", jump=(2.0, 1.0)), gm.Periodic("top", "bottom", jump=(2.0, 1.0))],
    "periodic and prescribed": [gm.Periodic("right", "left", jump=(2.0, 1.0)), gm.Dirichlet("bottom", 5.0)],
    "prescribed on the dependent side": [gm.Periodic("right", "left"), gm.Dirichlet("right", 5.0)],
    "antiperiodic": [gm.Periodic("right", "left", rotation=-np.eye(1)), gm.Periodic("top", "bottom")],
}


@eqx.filter_jit
def all_of_it(problem, r):
    """T by columns, g, the matrices before and after, and both maps applied to r."""
    constraint, zero = problem.constraint, jnp.zeros_like(r)
    t = jax.vmap(constraint.extend, 0, 1)(jnp.eye(len(r)))
    whole = problem.layout.operator(problem.matrix_values(zero), symmetric=False)
    return t, constraint.lift(zero), whole, problem.tangent(zero, 7.0), constraint.reduce(r), constraint.lift(r)


@pytest.mark.parametrize("name", CONDITIONS)
def test_condensed_matrices_are_those_of_dense_algebra(name):
    problem = stiffness(square(), CONDITIONS[name], symmetric=name == "periodic")
    r = jnp.asarray(np.random.default_rng(0).normal(size=problem.space.n_dofs))
    t, g, whole, condensed, reduced, lifted = all_of_it(problem, r)
    free = np.asarray(problem.constraint.free)
    expected = t.T @ whole.to_scipy().toarray() @ t + np.diag(np.where(free, 0.0, 7.0))
    np.testing.assert_allclose(condensed.to_scipy().toarray(), expected, atol=1e-13)
    np.testing.assert_allclose(reduced, t.T @ r, atol=1e-13)
    np.testing.assert_allclose(lifted, t @ r + g, atol=1e-13)
    assert np.linalg.matrix_rank(t) == free.sum() < len(r)


@pytest.mark.parametrize("name", ["a sum", "a chain", "periodic", "prescribed on the dependent side"])
def test_lifted_functions_meet_their_conditions(name):
    space = square()
    problem = stiffness(space, CONDITIONS[name])
    u = problem.constraint.lift(jnp.asarray(np.random.default_rng(1).normal(size=25)))
    at = {tuple(x): float(value) for x, value in zip(np.round(np.asarray(space.nodes()), 9), u, strict=True)}
    match name:
        case "a sum":
            assert at[1.0, 1.0] == pytest.approx(0.5 * at[0.0, 0.0] - 2.0 * at[0.5, 0.5] + 3.0)
        case "a chain":
            assert at[0.0, 1.0] == at[0.0, 0.0] == 2.0
            assert at[1.0, 0.0] == 5.0
            assert at[0.5, 0.5] == 11.0
            assert at[1.0, 1.0] == 12.0
        case "periodic":
            for s in np.linspace(0.0, 1.0, 5):
                assert at[1.0, s] == pytest.approx(at[0.0, s] + 2.0)
                assert at[s, 1.0] == pytest.approx(at[s, 0.0] + 1.0)
        case _:
            assert [at[0.0, s] for s in np.linspace(0.0, 1.0, 5)] == [5.0] * 5


def test_vector_fields_are_tied_by_component_and_turned():
    space = square(3, shape=(2,))
    q = np.array([[0.0, -1.0], [1.0, 0.0]])
    conditions = [
        gm.Periodic("right", "left", component=1),
        gm.MultiPoint((1.0, 0.0), [(1.0, (0.0, 0.0), 1)], component=0),
    ]
    u = stiffness(space, conditions).constraint.lift(jnp.arange(32.0)).reshape(-1, 2)
    left, right = space.nodes_on("left"), space.nodes_on("right")
    np.testing.assert_allclose(u[right, 1], u[left, 1])
    np.testing.assert_allclose(u[right[1:], 0], 2.0 * right[1:])
    assert u[right[0], 0] == u[left[0], 1]
    turned = gm.Periodic("right", "top", image=lambda x: np.stack([1.0 - x[:, 1], x[:, 0]], 1), rotation=q.T)
    u = stiffness(space, [turned]).constraint.lift(jnp.arange(32.0)).reshape(-1, 2)
    for node in right:
        x, y = np.asarray(space.nodes())[node]
        partner = int(np.argmin(np.linalg.norm(np.asarray(space.nodes()) - [1 - y, x], axis=1)))
        np.testing.assert_allclose(q @ u[node], u[partner], atol=1e-12)


MISTAKES: dict[str, tuple[Any, str]] = {
    "component": ([gm.MultiPoint((1.0, 1.0), [(1.0, (0.0, 0.0))], component=1)], "Component 1 .* components 0 to 0"),
    "no node": ([gm.MultiPoint((0.9, 0.9), [])], r"no node at \[0.9, 0.9\]: the nearest one lies at \[1.0, 1.0\]"),
    "coordinates": ([gm.Dirichlet((0.0, 0.0, 0.0))], "needs 2 coordinates"),
    "several masters": ([gm.MultiPoint((1.0, 1.0), [(1.0, "left")])], "one node for each master: 'left' has 5"),
    "master": ([gm.MultiPoint((1.0, 1.0), [(1.0,)])], "a master is"),
    "tag": ([gm.Periodic("right", "leftt")], "leftt"),
    "nodes": ([gm.Periodic("right", "boundary")], "'right' has 5 points and 'boundary' 16"),
    "partner": ([gm.Periodic("right", "top")], "points of 'right' have no partner on 'top'"),
    "translation": ([gm.Periodic("right", "left", translation=(0.9, 0.0))], "have no partner on 'left'"),
    "both": (lambda: gm.Periodic("right", "left", (1.0, 0.0), lambda x: x), "a translation or an image"),
    "rotated": (lambda: gm.Periodic("right", "left", component=0, rotation=np.eye(2)), "ties all components"),
    "rotation": ([gm.Periodic("right", "left", rotation=np.eye(2))], r"a rotation of shape \(1, 1\), not \(2, 2\)"),
    "cycle": (
        [
            gm.MultiPoint((1.0, 1.0), [(1.0, (0.0, 0.0))]),
            gm.MultiPoint((0.0, 0.0), [(1.0, (0.5, 0.5))]),
            gm.MultiPoint((0.5, 0.5), [(1.0, (1.0, 1.0))]),
        ],
        r"The tie of '\(0.5, 0.5\)' leads back to itself at node 12",
    ),
    "own master": ([gm.MultiPoint((0.5, 0.5), [(2.0, (0.5, 0.5))])], "leads back to itself at node 12"),
    "contradiction": (
        [gm.Periodic("right", "left", jump=(1.0, 0.0)), gm.MultiPoint((1.0, 0.5), [(1.0, (0.0, 0.5))], 4.0)],
        r"The tie of '\(1.0, 0.5\)' contradicts the other ties at node 14: they differ by 3",
    ),
}


def constrained(conditions: Any) -> gm.Constraint:
    """The constraint on a square; conditions that are refused when they are made come in a function."""
    made: Any = conditions() if callable(conditions) else conditions
    return gm.Constraint.of(square(), made)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    conditions, sentence = MISTAKES[name]
    with pytest.raises(ValueError, match=sentence):
        constrained(conditions)
