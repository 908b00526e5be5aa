"""Every element reaches its rate on a manufactured solution, in L2 and in H1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gemel as gm

# u = Π t(1 − t) e^{2t}: not an eigenfunction of any discrete Laplacian.
CASES = [
    ("triangle", "P1", 6),
    ("triangle", "P2", 4),
    ("quadrilateral", "Q1", 6),
    ("quadrilateral", "Q2", 4),
    ("tetrahedron", "P1", 4),
    ("tetrahedron", "P2", 5),
    ("hexahedron", "Q1", 4),
    ("hexahedron", "Q2", 2),
]


def exact(x):
    return jnp.prod(x * (1 - x) * jnp.exp(2 * x))


def skewed(cell, n):
    """A unit square or cube with its inner points moved, so that no symmetry helps."""
    if cell in ("triangle", "quadrilateral"):
        mesh = gm.rectangle(n, n, size=(1.0, 1.0), cell=cell)
    else:
        mesh = gm.box(n, n, n, size=(1.0, 1.0, 1.0), cell=cell)
    x = np.asarray(mesh.points)
    bubble = np.prod(np.sin(np.pi * x), axis=1, keepdims=True)
    return mesh.with_points(x + 0.08 * bubble)


def errors(cell, element, n):
    space = gm.FunctionSpace(skewed(cell, n), element)
    k = lambda x: 1.0 + x[0]  # noqa: E731
    load = gm.Profile(lambda x: -jnp.trace(jax.jacfwd(lambda y: k(y) * jax.grad(exact)(y))(x)))
    heat = gm.Heat(space, gm.Profile(k), conditions=[gm.Dirichlet("boundary", 0.0), gm.HeatSource("all", load)])
    u = gm.solve(gm.Steady(heat, linear_solver=gm.SparseDirect(rtol=1e-8))).checked()
    value = gm.integrate(space, lambda u, p: (u.value - exact(p.x)) ** 2, u, degree=6)
    slope = gm.integrate(space, lambda u, p: jnp.sum((u.grad - jax.grad(exact)(p.x)) ** 2), u, degree=6)
    return np.sqrt([float(value), float(slope)])


@pytest.mark.parametrize(("cell", "element", "n"), CASES, ids=lambda case: str(case))
def test_rates_of_the_poisson_problem(cell, element, n):
    degree = int(element[1])
    rates = np.log2(errors(cell, element, n) / errors(cell, element, 2 * n))
    assert rates[0] > degree + 1 - 0.3
    assert rates[1] > degree - 0.2
