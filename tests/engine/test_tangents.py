"""Tangents are the derivatives of residuals, also where a form leaves parts out that it says do not matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm
from gemel.engine.zeros import with_known_zeros

MESH = gm.rectangle(2, 2, size=(1.0, 1.0), cell="triangle")
SCALAR = gm.FunctionSpace(MESH, "P2")
VECTOR = gm.FunctionSpace(MESH, "P2", (2,))
RISING = gm.Law(lambda u, x: 2.0 + x[0] + 0.3 * jnp.sum(u) ** 2)


def heat(conductivity, **options):
    return gm.Heat(SCALAR, conductivity, 1.0, [gm.Convection("left", 2.0, 1.0)], **options)


PHYSICS = {
    "diffusion": heat(2.0),
    "anisotropic diffusion": heat(np.array([[2.0, 0.3], [0.3, 1.0]])),
    "diffusion that sees the field": heat(RISING),
    "diffusion around an axis": heat(2.0, axisymmetric=True),
    "linear elasticity": gm.Elasticity(VECTOR, 3.0, 0.3, 1.0, kinematics="plane stress"),
    "elasticity that sees the field": gm.Elasticity(VECTOR, RISING, 0.3, 1.0, kinematics="plane strain"),
    "plasticity": gm.Solid(VECTOR, gm.J2Plasticity(3.0, 0.3, 0.1, 0.5), 1.0, kinematics="plane strain"),
    "a solid around an axis": gm.Solid(VECTOR, gm.Isotropic(3.0, 0.3), 1.0, kinematics="axisymmetric"),
    "a solid that sees the field": gm.Solid(VECTOR, gm.Isotropic(RISING, 0.3), 1.0, kinematics="plane strain"),
    "large strains": gm.Hyperelasticity(VECTOR, gm.NeoHookean(3.0, 0.3), 1.0, kinematics="plane strain"),
    "large strains around an axis": gm.Hyperelasticity(VECTOR, gm.NeoHookean(3.0, 0.3), kinematics="axisymmetric"),
    "large strains that see the field": gm.Hyperelasticity(
        VECTOR, gm.NeoHookean(RISING, 0.3), kinematics="plane strain"
    ),
}


@pytest.mark.parametrize("name", PHYSICS)
@pytest.mark.fast(
    "anisotropic diffusion",
    "diffusion that sees the field",
    "linear elasticity",
    "plasticity",
    "large strains that see the field",
)
def test_the_tangent_is_the_derivative_of_the_residual(name):
    physics = PHYSICS[name]
    rng = np.random.default_rng(0)
    for problem in (physics.problem, physics.inertia):
        if problem is None:
            continue
        u, v = (jnp.asarray(0.01 * rng.standard_normal(problem.space.n_dofs)) for _ in range(2))
        _, slope = jax.jvp(problem.residual, (u,), (v,))
        np.testing.assert_allclose(problem.tangent(u).mv(v), slope, atol=1e-10 * float(jnp.abs(slope).max()))


HEX = gm.box(3, 2, 2)
LINEAR = {
    "heat on a lattice": gm.Heat(
        gm.FunctionSpace(HEX, "Q1"),
        2.0,
        1.0,
        [gm.Dirichlet("left", 300.0), gm.Convection("right", 2.0, 280.0), gm.HeatSource("all", 5.0)],
    ),
    "heat on triangles": heat(2.0),
    "elasticity": gm.Elasticity(
        VECTOR, 3.0, 0.3, 1.0, [gm.Dirichlet("left", 0.1), gm.Traction("right", (0.0, 1.0))], kinematics="plane stress"
    ),
    "a transport of mathematics": gm.Formulation(
        SCALAR,
        [
            gm.Term(
                gm.WeakForm(
                    lambda u, v, point: gm.inner(gm.grad(u), gm.grad(v)) + gm.grad(u)[0] * v.value - 2.0 * v.value,
                    affine=True,
                )
            )
        ],
        [gm.Dirichlet("left", 3.0)],
    ),
    "sides tied": gm.Heat(
        gm.FunctionSpace(MESH, "P1"),
        2.0,
        1.0,
        [gm.Periodic("left", "right"), gm.Dirichlet("bottom", 2.0), gm.Flux("top", 1.0)],
    ),
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.fast("heat on a lattice", "sides tied")
def test_a_linear_problem_is_linearised_as_its_tangent_and_residual_say(name):
    problem = LINEAR[name].problem
    rng = np.random.default_rng(1)
    u, v = (jnp.asarray(rng.standard_normal(problem.space.n_dofs)) for _ in range(2))
    operator, residual = problem.linearised(u, 1.7)
    expected = problem.residual(u, 1.7)
    np.testing.assert_allclose(residual, expected, atol=1e-12 * float(jnp.abs(expected).max()))
    np.testing.assert_allclose(operator.mv(v), problem.tangent(u, 1.7).mv(v), rtol=1e-12)


def test_what_is_zero_whatever_is_given_is_known():
    def some(x):
        return {
            "zeros": jnp.zeros_like(x),
            "broadcast": jnp.broadcast_to(jnp.zeros(3), (2, 3)),
            "one": jnp.ones_like(x),
            "product": 0.0 * x,
            "given": x,
        }

    expected = {"zeros": True, "broadcast": True, "one": False, "product": False, "given": False}
    for function in (some, jax.vmap(some), jax.vmap(jax.vmap(some), in_axes=1, out_axes=1)):
        results, zeros = with_known_zeros(function, jnp.ones((4, 2)))
        assert zeros == expected
        for name, result in function(jnp.ones((4, 2))).items():
            np.testing.assert_array_equal(results[name], result)
    slope = jax.vmap(jax.grad(lambda v, x: x * v[0], argnums=0))
    assert with_known_zeros(slope, jnp.ones((4, 2)), jnp.ones(4))[1] is False
    assert with_known_zeros(jax.vmap(jax.grad(lambda v, x: x**2)), jnp.ones(4), jnp.ones(4))[1] is True
