"""Derivatives of marches: starts of their solves from earlier ones, and operators differentiated for many steps."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from jaxtyping import Array

from gemel.solvers import (
    BDF2,
    CG,
    GMRES,
    SDIRK2,
    CrankNicolson,
    DenseDirect,
    DenseOperator,
    FirstOrderSystem,
    ImplicitEuler,
    Jacobi,
    Lattice,
    LinearOperator,
    Newton,
    SparseOperator,
    StencilOperator,
    integrate,
)
from gemel.solvers.krylov.common import KrylovSolver
from gemel.solvers.linear_solver import Preconditioner
from gemel.solvers.trail import Trail

N = 40
X = jnp.linspace(0.0, 1.0, N)
LAPLACE = sp.csr_array(2 * np.eye(N) - np.eye(N, k=1) - np.eye(N, k=-1))
SOLVER = CG(Jacobi(), 1e-13, 0.0, 400)
METHODS = {
    "sdirk2": SDIRK2(SOLVER),
    "bdf2": BDF2(SOLVER),
    "crank-nicolson": CrankNicolson(SOLVER),
    "implicit euler": ImplicitEuler(SOLVER),
}


class Conduction(FirstOrderSystem):
    """c M u̇ + k K u (+ k β u³) = f sin 3t."""

    stiffness: SparseOperator
    inertia: SparseOperator
    linear: bool = eqx.field(static=True, default=True)

    def mass(self, args) -> LinearOperator:
        return self.inertia.scaled(args["c"])

    def residual(self, t: Array, u: Array, args) -> Array:
        bent = 0.0 if self.linear else args["k"] * u**3
        return self.stiffness.scaled(args["k"]).mv(u) + bent - args["f"] * jnp.sin(3 * t)

    def tangent(self, t: Array, u: Array, args) -> LinearOperator:
        if self.linear:
            return self.stiffness.scaled(args["k"])
        return DenseOperator(jax.jacfwd(lambda v: self.residual(t, v, args))(u), True)


SYSTEM = Conduction(
    stiffness=SparseOperator.from_scipy(400 * LAPLACE, True),
    inertia=SparseOperator.from_scipy(sp.csr_array(np.eye(N)) - LAPLACE / 6, True),
)
ARGS = {"k": jnp.asarray(1.1), "f": jnp.asarray(2.0), "c": jnp.asarray(1.5)}
NOISE = np.random.default_rng(0).normal(size=101)


def misfit(args, method, steps=37, noise=1.0, **options):
    """The squares of noisy residuals of two sensors: the adjoint's right-hand sides jump from step to step."""

    def read(t, u):
        return jnp.stack([u[3], jnp.mean(u[20:25])])

    options = {"uniform": True} | options  # under jit it cannot be seen
    times = jnp.linspace(0, 1, steps + 1)
    run = integrate(SYSTEM, jnp.sin(3 * X), times, args, method, save=read, **options)
    return jnp.sum((run.value - noise * NOISE[: steps + 1, None]) ** 2)


def test_a_start_is_the_best_combination_of_what_was_solved():
    random = np.random.default_rng(1)
    matrix = sp.csr_array(400 * LAPLACE).toarray() + np.eye(N)
    trail = Trail.none(4, jnp.zeros(N), 1)
    assert not np.any(trail.start(jnp.ones(N)))
    sides = [np.asarray(jnp.sin(3 * X + 0.01 * n)) * (1 + 0.02 * n) + 1e-3 * n**3 * X for n in range(7)]
    for b in sides[:6]:
        trail = trail.extended(jnp.asarray(b), jnp.asarray(np.linalg.solve(matrix, b)))
    for b in (sides[6], random.normal(size=N), sides[5] - 2 * sides[3]):
        best = np.linalg.lstsq(np.transpose(sides[2:6]), b, rcond=None)[0] @ np.asarray(sides[2:6])
        left = np.linalg.norm(b - matrix @ np.asarray(trail.start(jnp.asarray(b))))
        assert left <= np.linalg.norm(b - best) + 1e-7 * np.linalg.norm(b)


@pytest.mark.parametrize(
    ("method", "noise", "share"),
    [("sdirk2", 0, 0.5), *(pytest.param("bdf2", *rest, marks=pytest.mark.slow) for rest in [(0, 0.5), (1, 0.9)])],
)
def test_an_adjoint_sweep_starts_from_what_it_has_solved(method, noise, share, monkeypatch):
    """The first solve starts from zero, as all would; with noisy sensors the others gain less, but lose nothing."""
    taken = []
    compute = KrylovSolver.compute

    def counted(self, state, operator, b, x0=None, transpose=False):
        solution = compute(self, state, operator, b, x0, transpose)
        if transpose:
            jax.debug.callback(lambda steps: taken.append(int(steps)), solution.statistics["steps"])
        return solution

    monkeypatch.setattr(KrylovSolver, "compute", counted)
    coarse = eqx.tree_at(lambda m: m.solver.rtol, METHODS[method], 1e-8)
    jax.block_until_ready(jax.jit(jax.grad(lambda args: misfit(args, coarse, 100, noise)))(ARGS))
    jax.effects_barrier()
    solves = 200 if method == "sdirk2" else 100
    assert len(taken) == solves
    assert sum(taken) < share * solves * taken[0]
    assert max(taken) <= taken[0] + 2


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_first_and_second_derivatives_of_a_noisy_misfit(method):
    def value(args):
        return misfit(args, METHODS[method])

    direction = {"k": 0.7, "f": -0.4, "c": 0.3}
    moved = [{name: ARGS[name] + h * direction[name] for name in ARGS} for h in (0.0, 0.02, 0.01)]
    both = jax.jit(jax.value_and_grad(value))
    (start, gradient), (far, _), (near, _) = (both(args) for args in moved)
    slope = sum(gradient[name] * direction[name] for name in ARGS)
    rests = [abs(far - start - 0.02 * slope), abs(near - start - 0.01 * slope)]
    assert abs(np.log2(rests[0] / rests[1]) - 2) < 0.1

    def along(args, value=value):
        return jax.jvp(value, (args,), ({name: jnp.asarray(d) for name, d in direction.items()},))[1]

    np.testing.assert_allclose(jax.jit(along)(ARGS), slope, rtol=1e-9)
    one_by_one = partial(misfit, method=METHODS[method], uniform=False)
    backward_over_forward = jax.jit(jax.grad(lambda args: along(args, one_by_one)))(ARGS)
    tangent = {name: jnp.asarray(d) for name, d in direction.items()}
    forward_over_backward = jax.jit(lambda args: jax.jvp(jax.grad(value), (args,), (tangent,))[1])(ARGS)
    twice_forward = jax.jit(lambda args: jax.jvp(along, (args,), (tangent,))[1])(ARGS)
    both_ways = sum(forward_over_backward[name] * direction[name] for name in ARGS)
    np.testing.assert_allclose(twice_forward, both_ways, rtol=1e-8)
    h = 1e-4
    ends = [both({name: ARGS[name] + s * h * direction[name] for name in ARGS})[1] for s in (1, -1)]
    for name in ARGS:
        np.testing.assert_allclose(forward_over_backward[name], backward_over_forward[name], rtol=1e-7)
        np.testing.assert_allclose(backward_over_forward[name], (ends[0][name] - ends[1][name]) / (2 * h), rtol=1e-4)


@pytest.mark.slow
def test_second_derivatives_by_a_load_alone():
    """The operator has no derivative then, nor has what the solves start from."""

    class Hummed(Conduction):
        def residual(self, t: Array, u: Array, args) -> Array:
            return self.stiffness.mv(u) - jnp.sin(args["f"] * t)

        def tangent(self, t: Array, u: Array, args) -> LinearOperator:
            return self.stiffness

    system = Hummed(stiffness=SYSTEM.stiffness, inertia=SYSTEM.inertia)

    def value(f, uniform):
        args, times = ARGS | {"f": f}, jnp.linspace(0, 1, 13)
        run = integrate(system, jnp.sin(X), times, args, METHODS["bdf2"], save=lambda t, u: u[3], uniform=uniform)
        return jnp.sum(run.value**2)

    for uniform in (True, False):
        slope = jax.jit(jax.grad(partial(value, uniform=uniform)))
        found = jax.jit(jax.jacfwd(slope))(2.0)
        np.testing.assert_allclose(found, (slope(2.001) - slope(1.999)) / 0.002, rtol=1e-5)


class Exact(Preconditioner):
    """The inverse itself: conjugate gradients end after one step, of which nothing can be differentiated."""

    def init(self, operator: LinearOperator) -> Array:
        return jnp.linalg.inv(jax.vmap(operator.mv)(jnp.eye(operator.n)))

    def update(self, state: Array, operator: LinearOperator) -> Array:
        return self.init(operator)

    def apply(self, state: Array, r: Array) -> Array:
        return state @ r


@pytest.mark.slow
def test_second_derivatives_do_not_go_through_iterations():
    """Forward over reverse through a loop of solves, beside direct ones; also a gradient of a batch of marches."""

    def slopes(solver):
        method = BDF2(solver)

        def batch(values):
            return jnp.sum(jax.vmap(lambda k: misfit(ARGS | {"k": k}, method))(values))

        def gradient(args):
            return jax.grad(lambda args: misfit(args, method, 12))(args)

        ones = {name: jnp.ones(()) for name in ARGS}
        second = jax.jit(lambda args: jax.jvp(gradient, (args,), (ones,))[1])(ARGS)
        return second, jax.jit(jax.grad(batch))(jnp.array([1.1, 1.4]))

    (found, batched), (expected, one_by_one) = slopes(CG(Exact(), 1e-13, 0.0, 9)), slopes(DenseDirect(1e-9))
    for name in ARGS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8)
    np.testing.assert_allclose(batched, one_by_one, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"segment": 10}, {"steps": 20, "substeps": 2}, {"steps": 64}])
def test_pieces_and_segments_change_no_derivative(options):
    def value(args, **more):
        return misfit(args, METHODS["sdirk2"], **options, **more)

    together = jax.jit(jax.grad(value))(ARGS)
    one_by_one = jax.jit(jax.grad(lambda args: value(args, uniform=False)))(ARGS)
    many = jax.jit(jax.vmap(jax.grad(lambda k: value(ARGS | {"k": k}))))(jnp.array([0.9, 1.1]))
    for name in ARGS:
        np.testing.assert_allclose(together[name], one_by_one[name], rtol=1e-8)
    np.testing.assert_allclose(many[1], together["k"], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("linear_solver", [CG(Jacobi(), 1e-12, 0.0, 200), GMRES(Jacobi(), 1e-12, 0.0, 200, 50)])
def test_nonlinear_marches_agree_in_both_modes(linear_solver):
    system = Conduction(stiffness=SYSTEM.stiffness, inertia=SYSTEM.inertia, linear=False)
    method = BDF2(Newton(linear_solver, 1e-12, 1e-13, 25, None, 1e-13))
    times = jnp.linspace(0, 1, 31) ** 1.5

    def value(k):
        run = integrate(system, jnp.sin(3 * X), times, ARGS | {"k": k}, method, save=lambda t, u: u[3])
        return jnp.sum((run.value - NOISE[:31]) ** 2)

    backward, forward = jax.jit(jax.grad(value))(1.1), jax.jit(jax.jacfwd(value))(1.1)
    np.testing.assert_allclose(backward, forward, rtol=1e-9)


def test_the_derivative_of_many_products_is_one_sum_of_outer_products():
    random = np.random.default_rng(2)
    y, x = random.normal(size=(2, 37, 4 * 5 * 3 * 2))
    lattice = Lattice((4, 5, 3), 2, (1.0, 1.0, 1.0))
    stencil = StencilOperator(lattice, jnp.asarray(random.normal(size=lattice.shape)), False).transpose()
    rows = SparseOperator.from_scipy(stencil.to_scipy())
    whole = y.T @ x
    for operator in (stencil, rows):

        def total(operator):
            return jnp.vdot(y, jax.vmap(operator.mv)(x))

        found = eqx.filter_grad(total)(operator)
        np.testing.assert_allclose(total(operator), np.vdot(y @ stencil.to_scipy().toarray(), x), rtol=1e-12)
        filled = eqx.tree_at(lambda a: a.values, operator, found.values).to_scipy().toarray()
        pattern = stencil.to_scipy().toarray() != 0
        np.testing.assert_allclose(filled[pattern], whole[pattern], rtol=1e-10)


def test_direct_solvers_need_no_start():
    method = SDIRK2(DenseDirect(1e-9))
    memory, _ = method.start(SYSTEM, None, None, X[0], X, ARGS)
    assert method.trail(memory) is None
