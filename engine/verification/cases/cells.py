"""Effective properties of periodic cells."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import zeta

from gemel.engine import Dirichlet, FunctionSpace, Heat, Periodic
from gemel.engine.verification.case import Check, case, relative
from gemel.engine.verification.tools import curved, solved
from gemel.meshes import Mesh, join, rectangle

GROUP = "heat"


@case(
    "periodic-discs",
    group=GROUP,
    title="Effective conductivity of a square array of discs",
    equations=r"$$ \frac{B_n}{a^{2n}}\,\frac{1 + \sigma}{1 - \sigma} + \sum_{m\ \mathrm{odd}} \binom{n+m-1}{n}\,"
    r"S_{n+m} B_m = \delta_{n1}, \quad k = 1 - 2\pi B_1, \quad S_l = \sum_{p \ne 0} (p_1 + i p_2)^{-l},\ S_2 = \pi; "
    r"\qquad k(\sigma)\,k(1/\sigma) = 1 $$",
    setup="A square cell of side 1 and k = 1 with a disc of σ that fills half of it, and 0.7 of it, where the gaps are "
    "0.056 wide; σ = 50, and 1/50, for which Keller's theorem gives the reciprocal value. 9 blocks of 16 × 16 curved "
    "quadrilaterals Q2; opposite sides tied with a jump of 1 along x, one node fixed; k is ∫ k |∇T|². The series with "
    "20 odd terms (with discs that conduct perfectly it gives 7.433 at 0.7, as the source does).",
    source="Perrins, McKenzie, McPhedran, Proc. R. Soc. London A 369, 1979 (after Rayleigh, 1892); Keller, J. Math. "
    "Phys. 5, 1964",
)
def periodic_discs() -> Sequence[Check]:
    checks = []
    for share, tolerance in ((0.5, 5e-6), (0.7, 5e-5)):
        mesh = _disc_cell(float(np.sqrt(share / np.pi)), 16)
        exact = _discs(50.0, share)
        for name, inside, expected in (("50", 50.0, exact), ("1/50", 0.02, 1 / exact)):
            found = _effective(mesh, {"disc": jnp.asarray(inside), "matrix": jnp.asarray(1.0)})
            checks.append(relative(f"conductivity, discs of {name} and a share of {share}", expected, found, tolerance))
    return checks


def _effective(mesh: Mesh, conductivity: dict) -> Any:
    """∫ k |∇T|² over a unit cell whose temperature is x plus a periodic part."""
    space = FunctionSpace(mesh, "Q2")
    mean = (1.0, 0.0)
    ties = [Periodic("x+", "x-", jump=mean), Periodic("y+", "y-", jump=mean), Dirichlet((0.5, 0.5))]
    body = Heat(space, conductivity, conditions=ties)
    u = solved(body).reshape(-1)
    return u @ body.problem.unconstrained(u)


def _disc_cell(radius: float, n: int) -> Mesh:
    """The unit cell (−½, ½)² with the tags "disc" and "matrix": a rounded square amid rings, n × n cells each."""

    def arc(s: np.ndarray, size: float) -> np.ndarray:
        angle = np.pi / 2 * (s - 0.5)
        return size * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def side(s: np.ndarray, size: float) -> np.ndarray:
        return np.stack([np.full_like(s, size / 2), size * (s - 0.5)], axis=1)

    def turned(x: np.ndarray, quarters: int) -> np.ndarray:
        c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
        return x @ np.array([[c, s], [-s, c]], dtype=float)

    def blend(x: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return first + x[:, :1] * (second - first)

    core = 0.9 * radius
    flat = rectangle(n, n)
    plain = Mesh(flat.points, flat.blocks)
    parts = {"core": curved(plain, lambda x: core * (x - 0.5))}
    for q in range(4):
        ring = lambda x, q=q: turned(blend(x, side(x[:, 1], core), arc(x[:, 1], radius)), q)  # noqa: E731
        rest = lambda x, q=q: turned(blend(x, arc(x[:, 1], radius), side(x[:, 1], 1.0)), q)  # noqa: E731
        parts[f"ring {q}"], parts[f"rest {q}"] = curved(plain, ring), curved(plain, rest)
    mesh = join(parts, weld=1e-9)
    disc = np.concatenate([mesh.cell_tags[name] for name in parts if not name.startswith("rest")])
    matrix = np.concatenate([mesh.cell_tags[name] for name in parts if name.startswith("rest")])
    mesh = Mesh(mesh.points, mesh.blocks, mesh.degree, {"disc": disc, "matrix": matrix})
    for i, axis in enumerate("xy"):
        mesh = mesh.tag_facets(f"{axis}+", lambda x, i=i: x[:, i] > 0.5 - 1e-9)
        mesh = mesh.tag_facets(f"{axis}-", lambda x, i=i: x[:, i] < -0.5 + 1e-9)
    return mesh


def _discs(contrast: float, share: float, terms: int = 20) -> float:
    """Rayleigh's series for discs of a conductivity ``contrast`` that fill a ``share`` of the plane."""
    radius = np.sqrt(share / np.pi)
    orders = range(1, 2 * terms, 2)
    matrix = np.diag([(1 + contrast) / (1 - contrast)] * terms)
    for i, n in enumerate(orders):
        for j, m in enumerate(orders):
            matrix[i, j] += math.comb(n + m - 1, n) * _lattice_sum(n + m) * radius ** (n + m)
    first = np.zeros(terms)
    first[0] = radius
    return float(1 - 2 * np.pi * radius * np.linalg.solve(matrix, first)[0])


def _lattice_sum(order: int) -> float:
    """The sum of (p + i q)^(−order) over the square lattice without its origin, by Lipschitz's series."""
    if order == 2:
        return np.pi
    if order % 4:
        return 0.0
    nome = np.exp(-2 * np.pi)
    divisors = sum(sum(d ** (order - 1) for d in range(1, n + 1) if n % d == 0) * nome**n for n in range(1, 60))
    return float(2 * zeta(order) + 2 * (2 * np.pi) ** order / math.factorial(order - 1) * divisors)


CASES = (periodic_discs,)
"""Part of the chapter."""
