r"""The posterior by Hamiltonian Monte Carlo, where a normal distribution about the fit is not believed.

The No-U-Turn sampler of blackjax draws from $\exp(-\Phi(z))$, in the coordinates $w$ with $z = m + L w$, in which the
Laplace posterior of a fit is the standard normal one. Source: Hoffman, Gelman, *The No-U-Turn Sampler*, JMLR 15, 2014;
diagnostics: Vehtari et al., *Rank-normalization, folding, and localization*, Bayesian Analysis 16, 2021.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.calibration.fit import CalibrationError, Fit
from gemel.engine.calibration.problem import CalibrationProblem, misfit
from gemel.engine.parameters import Belief
from gemel.engine.priors import QUANTILE_95

AGREED, INDEPENDENT = 1.01, 100
"""The R-hat below which chains agree, and the independent draws that are needed at least."""


@dataclass(frozen=True)
class Draws:
    """Draws of the standardised parameters ``z (chains, n, p)``, and what says whether to believe them.

    ``r_hat`` compares the halves of all chains by ranks, in place and in spread (1 where they agree), and ``effective``
    counts independent draws, the fewer of those in the bulk and in the tails at 5 and 95 %, each by coordinate;
    ``divergent`` is the share of steps in which the integrator lost the energy.
    """

    belief: Belief
    z: np.ndarray
    r_hat: dict[str, float]
    effective: dict[str, float]
    divergent: float

    @property
    def reliable(self) -> bool:
        """Whether the chains agree within 1 %, with 100 independent draws at least, and hardly a step diverged."""
        agreed = all(value < AGREED for value in self.r_hat.values())
        return agreed and all(count >= INDEPENDENT for count in self.effective.values()) and self.divergent < 0.01

    def values(self) -> dict[str, np.ndarray]:
        """All draws of each parameter in SI units."""
        flat = jnp.asarray(self.z.reshape(-1, self.z.shape[-1]))
        return {name: np.asarray(values) for name, values in jax.vmap(self.belief.values)(flat).items()}

    def interval(self) -> dict[str, tuple[float, float]]:
        """The central 95 % of each parameter of one number in SI units."""
        return {
            name: (float(np.quantile(v, 0.025)), float(np.quantile(v, 0.975)))
            for name, v in self.values().items()
            if v.ndim == 1
        }


def sample(
    problem: CalibrationProblem,
    fit: Fit,
    count: int = 500,
    chains: int = 4,
    warmup: int = 300,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Draws:
    """Draw from the posterior of a problem, from around a fit of it.

    Args:
        problem: what was fitted; its twin has the belief before the data.
        fit: where its misfit is least.
        count: draws of each chain that are kept.
        chains: how many, at least two, all at once by ``vmap``.
        warmup: steps of each chain in which the step size is found.
        seed: of all that is random.
        on_step: called with how many steps of every chain have begun, and of how many, those of the warm-up among them;
            from a thread of jax.

    Raises:
        ImportError: where blackjax is not installed.
        ValueError: for less than two chains or no draws.
        CalibrationError: where the chains leave the finite numbers, or every step diverges.
    """
    if chains < 2 or count < 4 or warmup < 20:
        raise ValueError(
            f"Sampling needs 2 chains, 4 draws and 20 warm-up steps at least, not {chains}, {count} and {warmup}."
        )
    blackjax = require_blackjax()
    belief = fit.belief
    factor = jnp.linalg.cholesky(belief.covariance)
    keys = jax.random.split(jax.random.key(seed), chains)
    w, diverged = _chains(
        blackjax, problem, belief.mean, factor, keys, (count, warmup), _counting(on_step, count + warmup)
    )
    jax.effects_barrier()
    z = np.asarray(belief.mean + w @ factor.T)
    share = float(jnp.mean(diverged))
    if not np.isfinite(z).all() or share >= 1.0:
        raise CalibrationError(
            f"Sampling the posterior of '{problem.twin.name}' failed: {100 * share:.0f} % of the steps diverged; "
            "calibrate first, or narrow the priors to where the model can be run."
        )
    rhat, bulk, tail = (
        np.atleast_1d(judge(z))
        for judge in (blackjax.diagnostics.rhat, blackjax.diagnostics.ess_bulk, blackjax.diagnostics.ess_tail)
    )
    names = belief.labels
    effective = dict(zip(names, np.minimum(bulk, tail).tolist(), strict=True))
    return Draws(belief, z, dict(zip(names, rhat.tolist(), strict=True)), effective, share)


def require_blackjax() -> Any:
    """The module that samples. Raises `ImportError` where it is not installed."""
    try:
        return importlib.import_module("blackjax")
    except ImportError as error:
        raise ImportError("Sampling needs blackjax: install it with pip install 'gemel[sampling]'.") from error


def _silent() -> None:
    """What is called where nobody asks."""


def _counting(on_step: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    """What is called within each step of all chains: counts them for ``on_step``; nothing where nobody asks."""
    if on_step is None:
        return _silent  # one function, so that what was compiled serves again
    done = 0

    def begun() -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    return lambda: jax.debug.callback(begun)


@eqx.filter_jit
def _chains(
    blackjax: Any,
    problem: CalibrationProblem,
    mean: Float[Array, " p"],
    factor: Float[Array, "p p"],
    keys: Array,
    counts: tuple[int, int],
    tell: Callable[[], None],
) -> tuple[Float[Array, "chains n p"], Array]:
    """The draws of w, and which steps diverged; ``tell`` is called in each step."""
    count, warmup = counts

    def log_density(w: Array) -> Array:
        cost = misfit(mean + factor @ w, problem)
        return jnp.where(jnp.isfinite(cost), -cost, -jnp.inf)

    def chain(key: Array) -> tuple[Array, Array]:
        first, second, third = jax.random.split(key, 3)
        start = jax.random.normal(first, mean.shape)
        warming = blackjax.window_adaptation(blackjax.nuts, log_density, adaptation_info_fn=lambda *_: tell())
        adapted, _ = warming.run(second, start, num_steps=warmup)
        kernel = blackjax.nuts(log_density, **adapted.parameters).step

        def step(state: Any, key: Array) -> tuple[Any, tuple[Array, Array]]:
            state, info = kernel(key, state)
            tell()
            return state, (state.position, info.is_divergent)

        _, kept = jax.lax.scan(step, adapted.state, jax.random.split(third, count))
        return kept

    return jax.vmap(chain)(keys)


def agrees_with_laplace(draws: Draws, fit: Fit, tolerance: float = 0.25) -> dict[str, bool]:
    """Whether the draws of each parameter have the mean and spread of the fit's normal posterior, within a share of
    its standard deviation; where they do not, intervals should come from the draws.
    """
    mean, spread = np.asarray(fit.belief.mean), np.sqrt(np.diagonal(np.asarray(fit.belief.covariance)))
    flat = draws.z.reshape(-1, draws.z.shape[-1])
    low, high = np.quantile(flat, (0.025, 0.975), axis=0)
    off = np.maximum(np.abs(low - (mean - QUANTILE_95 * spread)), np.abs(high - (mean + QUANTILE_95 * spread)))
    return dict(zip(draws.belief.labels, (off <= QUANTILE_95 * tolerance * spread).tolist(), strict=True))
