"""The Chebyshev smoother of multigrid cycles."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.solvers.placing import short_loops_pay


class Chebyshev(NamedTuple):
    r"""Steps of the Chebyshev polynomial of $D^{-1} A$ on $[\lambda/s, 1.1 \lambda]$.

    ``product`` is $v \mapsto A v$, ``inverse_diagonal`` that of $D$, ``largest`` is $\lambda$, an estimate of the
    largest eigenvalue of $D^{-1} A$, ``degree`` how many steps there are, and ``span`` $s$ how much of the spectrum the
    coarser level leaves to them.

    Source: Adams, Brezina, Hu, Tuminaro, J. Comput. Phys. 188 (2003).
    """

    product: Callable[[Array], Array]
    inverse_diagonal: Float[Array, " n"]
    largest: Float[Array, ""]
    degree: int
    span: float

    def around(self, b: Float[Array, " n"], correction: Callable[[Array], Array]) -> Float[Array, " n"]:
        """Smooth from zero, add the ``correction`` of the residual, and smooth again.

        On a CPU one loop, so that the product is compiled once.
        """
        factors = self._factors()
        begun = jnp.zeros_like(b), b, factors[1][0] * self.inverse_diagonal * b
        if not short_loops_pay():
            x, r, _ = self._steps(factors, 1, *begun)
            x, _, d = self._steps(factors, 0, x, r, correction(r))
            return x + d

        def phase(number: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, r, d = self._steps(factors, 1 - number, *carry)
            return x, r, jax.lax.cond(number == 0, lambda r, d: correction(r), lambda r, d: d, r, d)

        x, _, d = jax.lax.fori_loop(0, 2, phase, begun)
        return x + d

    def _steps(
        self, factors: tuple[Array, Array], first: Any, x: Array, r: Array, d: Array
    ) -> tuple[Array, Array, Array]:
        """``degree`` times: take step d, and find the next one."""
        old, new = factors

        def step(k: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, r, d = carry
            r = r - self.product(d)
            return x + d, r, old[k] * d + new[k] * self.inverse_diagonal * r

        return jax.lax.fori_loop(first, first + self.degree, step, (x, r, d), unroll=not short_loops_pay())

    def _factors(self) -> tuple[Array, Array]:
        """What each step takes of the one before it and of the residual."""
        upper, lower = 1.1 * self.largest, self.largest / self.span
        theta, delta = (upper + lower) / 2, (upper - lower) / 2
        rho = [delta / theta]
        for _ in range(self.degree):
            rho.append(1 / (2 * theta / delta - rho[-1]))
        old = [jnp.zeros_like(theta), *(rho[k] * rho[k - 1] for k in range(1, self.degree + 1))]
        new = [1 / theta, *(2 * rho[k] / delta for k in range(1, self.degree + 1))]
        return jnp.stack(old), jnp.stack(new)


def largest_eigenvalue_of(
    product: Callable[[Array], Array], inverse_diagonal: Float[Array, " n"], steps: int = 10
) -> Float[Array, ""]:
    """The largest eigenvalue of D⁻¹A, from below, by Lanczos on D^-½ A D^-½ from a fixed start; inside jit."""
    root = jnp.sqrt(jnp.abs(inverse_diagonal))
    v = jnp.sin(jnp.arange(1, len(root) + 1, dtype=root.dtype) ** 2)  # of all frequencies, and quick to compile
    v = v / jnp.linalg.norm(v)

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        before, v, beta = carry
        w = root * product(root * v) - beta * before
        alpha = jnp.vdot(v, w)
        w = w - alpha * v
        beta = jnp.linalg.norm(w)
        return (v, w / jnp.where(beta > 0, beta, 1.0), beta), (alpha, beta)

    _, (alphas, betas) = jax.lax.scan(step, (jnp.zeros_like(v), v, jnp.zeros((), v.dtype)), length=steps)
    off = jnp.diag(betas[:-1], 1)
    return jnp.linalg.eigvalsh(jnp.diag(alphas) + off + off.T)[-1]
