"""Problems with known solutions, for any array library: ``xp`` is numpy or jax.numpy, ``x`` three coordinates.

No product of sines: those are eigenvectors of the discrete Laplacian and flatter Krylov methods.
"""

from typing import Any

RATE = 3.0
"""Angular frequency of the transient solution in rad/s."""

YOUNGS_MODULUS, POISSON_RATIO = 1.0, 0.3

STRETCH = 0.03
"""Factor of the displacement of the neo-Hookean body."""

_DIRECTION = (1.0, -0.5, 0.25)
_GROWTH = (0.5, 1.0, -0.75)


def _bump(xp: Any, t: Any) -> tuple[Any, Any, Any]:
    """Return g = t (1 − t) e^{2t} with its first two derivatives."""
    e = xp.exp(2 * t)
    return t * (1 - t) * e, (1 - 2 * t**2) * e, (2 - 4 * t - 4 * t**2) * e


def scalar(xp: Any, x: Any) -> Any:
    """u = Π g(xᵢ): zero on the boundary of the unit cube."""
    g, h, k = (_bump(xp, x[i])[0] for i in range(3))
    return g * h * k


def conductivity(xp: Any, x: Any) -> Any:
    """k = 1 + x + y z."""
    return 1 + x[0] + x[1] * x[2]


def source(xp: Any, x: Any) -> Any:
    """f = −∇·(k ∇u) of `scalar` and `conductivity`."""
    (a, da, dda), (b, db, ddb), (c, dc, ddc) = (_bump(xp, x[i]) for i in range(3))
    laplacian = dda * b * c + a * ddb * c + a * b * ddc
    slope = da * b * c + x[2] * a * db * c + x[1] * a * b * dc
    return -conductivity(xp, x) * laplacian - slope


def transient_scalar(xp: Any, x: Any, t: Any) -> Any:
    """(1 + ½ sin ωt) u(x), which is zero on the boundary."""
    return swing(xp, t) * scalar(xp, x)


def swing(xp: Any, t: Any) -> Any:
    """1 + ½ sin ωt, with which `transient_scalar` moves."""
    return 1 + 0.5 * xp.sin(RATE * t)


def swing_rate(xp: Any, t: Any) -> Any:
    """The derivative of `swing`."""
    return 0.5 * RATE * xp.cos(RATE * t)


def _profile(xp: Any, x: Any) -> tuple[Any, list[Any], list[list[Any]]]:
    """Return φ = x e^{a·x} with its gradient and Hessian."""
    a = _GROWTH
    e = xp.exp(a[0] * x[0] + a[1] * x[1] + a[2] * x[2])
    first = [float(j == 0) for j in range(3)]
    gradient = [(first[j] + a[j] * x[0]) * e for j in range(3)]
    hessian = [[(first[j] * a[k] + first[k] * a[j] + a[j] * a[k] * x[0]) * e for k in range(3)] for j in range(3)]
    return x[0] * e, gradient, hessian


def _lame() -> tuple[float, float]:
    e, nu = YOUNGS_MODULUS, POISSON_RATIO
    return e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))


def displacement(xp: Any, x: Any) -> Any:
    """uᵢ = cᵢ x e^{a·x}: zero on the clamped side x = 0."""
    value, _, _ = _profile(xp, x)
    return xp.stack([c * value for c in _DIRECTION])


def large_displacement(xp: Any, x: Any) -> Any:
    """`displacement` made small enough for a neo-Hookean body: stretches of up to 20 %, shears of up to 13 %."""
    return STRETCH * displacement(xp, x)


def stress(xp: Any, x: Any) -> Any:
    """σ = λ tr(ε) I + 2 μ ε of `displacement`, as ``(3, 3, ...)``."""
    first, mu = _lame()
    _, slope, _ = _profile(xp, x)
    c = _DIRECTION
    trace = c[0] * slope[0] + c[1] * slope[1] + c[2] * slope[2]
    rows = [
        [first * trace * float(i == j) + mu * (c[i] * slope[j] + c[j] * slope[i]) for j in range(3)] for i in range(3)
    ]
    return xp.stack([xp.stack(row) for row in rows])


def body_force(xp: Any, x: Any) -> Any:
    """f = −∇·σ of `displacement`."""
    first, mu = _lame()
    _, _, hessian = _profile(xp, x)
    laplacian = hessian[0][0] + hessian[1][1] + hessian[2][2]
    rows = [sum(hessian[i][j] * _DIRECTION[j] for j in range(3)) for i in range(3)]
    return xp.stack([-(first + mu) * rows[i] - mu * laplacian * _DIRECTION[i] for i in range(3)])
