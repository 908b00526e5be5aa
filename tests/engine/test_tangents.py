"""Tangents are the derivatives of residuals, also where a form leaves parts out that it says do not matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm

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
def test_the_tangent_is_the_derivative_of_the_residual(name):
    physics = PHYSICS[name]
    rng = np.random.default_rng(0)
    for problem in (physics.problem, physics.inertia):
        if problem is None:
            continue
        u, v = (jnp.asarray(0.01 * rng.standard_normal(problem.space.n_dofs)) for _ in range(2))
        _, slope = jax.jvp(problem.residual, (u,), (v,))
        np.testing.assert_allclose(problem.tangent(u).mv(v), slope, atol=1e-10 * float(jnp.abs(slope).max()))
