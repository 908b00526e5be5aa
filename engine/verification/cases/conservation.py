"""Conservation and symmetry: balances of heat and force, reciprocity, energy."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from gemel.engine import (
    BodyForce,
    Convection,
    Dirichlet,
    Elasticity,
    Flux,
    FunctionSpace,
    Heat,
    HeatSource,
    Law,
    Power,
    Profile,
    Radiation,
    Traction,
    Transient,
)
from gemel.engine.verification.case import Check, absolute, case, relative
from gemel.engine.verification.tools import solved, total, unit_mesh
from gemel.solvers import CG, Jacobi

GROUP = "conservation"
STEFAN_BOLTZMANN = 5.670374419e-8


@case(
    "heat-balance",
    group=GROUP,
    title="What enters a body leaves it, nonlinear and steady",
    equations=r"$$ \int_\Omega q + \int_{\Gamma_q} q_n = \int_{\Gamma_h} h(T - T_\infty) + \int_{\Gamma_\varepsilon} "
    r"\varepsilon\sigma(T^4 - T_\infty^4) + Q_D $$",
    setup="Distorted unit cube of 3³ hexahedra Q2, k = 10 (1 + T/500) W/(m K), 20 kW/m³ in the cells, 5 kW/m² on "
    "the right, convection "
    "on top, radiation in front, 300 K on the left. The heat Q_D through the fixed side is the sum of nodal "
    "reactions.",
    source="conservation of energy: the test function 1 is in the space",
)
def heat_balance() -> Sequence[Check]:
    space = FunctionSpace(unit_mesh("hexahedron", 3, 0.15), "Q2")
    conditions = [
        HeatSource("all", 2e4),
        Flux("right", 5e3),
        Convection("top", 50.0, 290.0),
        Radiation("front", 0.9, 280.0),
        Dirichlet("left", 300.0),
    ]
    heat = Heat(space, Law(lambda u, x: 10.0 * (1 + u / 500)), conditions=conditions)
    u = solved(heat, 400.0)
    through = -jnp.sum(heat.problem.unconstrained(u.reshape(-1)))
    lost = total(space, lambda u, p: 50.0 * (u.value - 290.0), u, "top", facets=True)
    degree = 7
    lost += total(
        space,
        lambda u, p: 0.9 * STEFAN_BOLTZMANN * (u.value**4 - 280.0**4),
        u,
        "front",
        facets=True,
        degree=degree,
    )
    return [relative("heat out, where 25 kW enter", 25e3, lost + through, 1e-8, "W")]


@case(
    "stored-heat",
    group=GROUP,
    title="Heat that is stored is the heat that came in less what left, at every step",
    equations=r"$$ \int_\Omega \rho c\,(T(t) - T(0)) = P t - \int_0^t\!\int_\Gamma h\,T $$",
    setup="Distorted unit square of 4 × 4 quadrilaterals Q1, ρc = 7, k = 3, 11 W released in it, all sides "
    "insulated in a first run; in a "
    "second the left side convects with h = 2 and the loss is integrated along the steps by Simpson's rule.",
    source="conservation of energy",
)
def stored_heat() -> Sequence[Check]:
    space = FunctionSpace(unit_mesh("quadrilateral", 4, 0.15), "Q1")
    solver = CG(Jacobi(), rtol=1e-13, atol=0.0, max_steps=2000)

    def march(conditions: list) -> tuple[np.ndarray, np.ndarray]:
        start = Profile(lambda x: jnp.sin(3 * x[0]) + x[1])
        analysis = Transient(Heat(space, 3.0, 7.0, conditions), start, 0.01, linear_solver=solver)
        grid = analysis.grid(np.array([0.0, 1.0]))

        def keep(t: jnp.ndarray, u: jnp.ndarray) -> jnp.ndarray:
            stored = total(space, lambda u, p: 7.0 * u.value, u)
            return jnp.stack([stored, total(space, lambda u, p: 2.0 * u.value, u, "left", facets=True)])

        history, _ = analysis.solve(analysis.prepare(), {}, grid, keep).checked()
        return np.asarray(history)[:, 0], np.asarray(history)[:, 1]

    stored, _ = march([Power("all", 11.0)])
    leaking, loss = march([Power("all", 11.0), Convection("left", 2.0, 0.0)])
    weights = 0.01 / 3 * np.array([1.0, *([4.0, 2.0] * 50)[:-1], 1.0])
    return [
        relative("heat stored after 1 s, insulated", 11.0, stored[-1] - stored[0], 1e-10, "J"),
        relative("heat stored after 1 s, leaking", 11.0 - weights @ loss, leaking[-1] - leaking[0], 1e-4, "J"),
    ]


@case(
    "reactions",
    group=GROUP,
    title="Reactions balance loads: forces and moments",
    equations=r"$$ \sum_a R_a + \int_\Omega f + \int_\Gamma t = 0, \qquad \sum_a x_a \times R_a + \int_\Omega "
    r"x\times f + "
    r"\int_\Gamma x\times t = 0 $$",
    setup="Distorted unit cube of 3³ hexahedra Q1, held on the left; a body force that varies in space and a "
    "traction on the right, "
    "integrated with the same rule. Reactions are the nodal residual before constraints.",
    source="equilibrium: rigid motions are in the space",
)
def reactions() -> Sequence[Check]:
    space = FunctionSpace(unit_mesh("hexahedron", 3, 0.15), "Q1", (3,))
    force = lambda x: jnp.stack([1.0 + x[1], x[0] * x[2], -2.0 + 0 * x[0]])  # noqa: E731
    pull = lambda x: jnp.stack([3.0 * x[2], 0 * x[0] + 1.0, x[1]])  # noqa: E731
    loads = [BodyForce("all", Profile(force)), Traction("right", Profile(pull))]
    body = Elasticity(space, 1e3, 0.3, conditions=[*loads, Dirichlet("left")])
    u = solved(body)
    nodal = np.asarray(body.problem.unconstrained(u.reshape(-1))).reshape(-1, 3)
    held = np.abs(np.asarray(space.nodes())[:, 0]) < 1e-12
    nodal = nodal * held[:, None]
    whole = total(space, lambda u, p: force(p.x)) + total(space, lambda u, p: pull(p.x), on="right", facets=True)
    moment = total(space, lambda u, p: jnp.cross(p.x, force(p.x)))
    moment += total(space, lambda u, p: jnp.cross(p.x, pull(p.x)), on="right", facets=True)
    turned = np.cross(np.asarray(space.nodes()), nodal).sum(axis=0)
    checks = [relative(f"reaction along {a}", -whole[i], nodal[:, i].sum(), 1e-9, "N") for i, a in enumerate("xyz")]
    return [*checks, *(relative(f"moment about {a}", -moment[i], turned[i], 1e-8, "N m") for i, a in enumerate("xyz"))]


@case(
    "betti",
    group=GROUP,
    title="Reciprocity and the work of loads",
    equations=r"$$ \int t_1\cdot u_2 = \int t_2\cdot u_1 \ (\text{Betti}), \qquad \tfrac12 a(u_1, u_1) = \tfrac12 "
    r"\int t_1\cdot u_1 "
    r"\ (\text{Clapeyron}) $$",
    setup="Distorted unit square of 4 × 4 quadrilaterals Q2, plane stress, held on the left; traction t₁ on the "
    "right, t₂ on top.",
    source="Timoshenko, Goodier, Theory of Elasticity, 3rd ed., 1970, chapter 8",
)
def betti() -> Sequence[Check]:
    space = FunctionSpace(unit_mesh("quadrilateral", 4, 0.15), "Q2", (2,))
    first, second = jnp.array([1.0, 2.0]), jnp.array([-3.0, 0.5])

    def under(side: str, traction: jnp.ndarray) -> tuple[Elasticity, jnp.ndarray]:
        loads = [Dirichlet("left"), Traction(side, traction)]
        body = Elasticity(space, 10.0, 0.3, conditions=loads, kinematics="plane stress")
        return body, solved(body)

    _, u1 = under("right", first)
    _, u2 = under("top", second)
    free = Elasticity(space, 10.0, 0.3, kinematics="plane stress").problem
    energy = 0.5 * u1.reshape(-1) @ free.unconstrained(u1.reshape(-1))
    one = total(space, lambda u, p: first @ u.value, u2, "right", facets=True)
    other = total(space, lambda u, p: second @ u.value, u1, "top", facets=True)
    work = 0.5 * total(space, lambda u, p: first @ u.value, u1, "right", facets=True)
    return [
        relative("work of t₁ on u₂ beside that of t₂ on u₁", one, other, 1e-9),
        relative("strain energy beside half the work", work, energy, 1e-9),
    ]


@case(
    "tangent-symmetry",
    group=GROUP,
    title="Tangents that are symmetric, and consistent with their residual",
    equations=r"$$ K = K^\top, \qquad K\,v = \lim_{h\to 0} \frac{r(u + hv) - r(u - hv)}{2h} $$",
    setup="Elasticity with an elastic bed on distorted tetrahedra P2 for the symmetry; radiation and k(T) on "
    "distorted triangles P2, at a random "
    "state, for the consistency (h = 1e-3 of the state's size).",
    source="definition",
)
def tangent_symmetry() -> Sequence[Check]:
    rng = np.random.default_rng(5)
    solid = FunctionSpace(unit_mesh("tetrahedron", 2, 0.15), "P2", (3,))
    stiffness = Elasticity(solid, 2.0, 0.3, conditions=[Dirichlet("left")]).problem.tangent(jnp.zeros(solid.n_dofs))
    a, b = (jnp.asarray(rng.normal(size=solid.n_dofs)) for _ in range(2))
    left, right = a @ stiffness.mv(b), b @ stiffness.mv(a)
    plane = FunctionSpace(unit_mesh("triangle", 3, 0.15), "P2")
    hot = [Radiation("right", 0.9, 280.0), Dirichlet("left", 300.0)]
    problem = Heat(plane, Law(lambda u, x: 10.0 * (1 + u / 500)), conditions=hot).problem
    u = jnp.asarray(rng.uniform(300.0, 600.0, plane.n_dofs))
    v = jnp.asarray(rng.normal(size=plane.n_dofs))
    exact = problem.tangent(u).mv(v)
    near = (problem.residual(u + 0.5 * v) - problem.residual(u - 0.5 * v)) / 1.0
    off = jnp.linalg.norm(near - exact) / jnp.linalg.norm(exact)
    return [
        relative("a·K b beside b·K a", left, right, 1e-10),
        absolute("consistency of the tangent", 0.0, off, 1e-5),
    ]


CASES = (heat_balance, stored_heat, reactions, betti, tangent_symmetry)
"""The chapter."""
