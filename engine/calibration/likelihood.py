r"""The likelihood of a sensor's samples as a sum of squares, also where its noise is to be found.

With innovations $v_i$ and their standard deviations $s_i$ (see `gemel.engine.noise`),

$$ -\log p = \sum_i \rho\left(\frac{v_i}{s_i}\right) + \log s_i + \text{const}. $$

Where $s_i$ is known the logarithm is a constant, and the first sum is what least squares need. Where it depends on
parameters, the logarithm has to become a square too. The involute of a circle,

$$ F(t) = (\cos t + t \sin t,\ \sin t - t \cos t), \qquad t = \sqrt{2 \log(s / s_0)}, $$

has $\tfrac12 |F|^2 = \tfrac12 + \log(s/s_0)$ and $|\partial F / \partial \log s| = 1$ for every $s > s_0$: two
rows that cost the logarithm exactly, and whose Gauss-Newton curvature, added to that of the first sum, is the Fisher
information of normal noise, 2 for each sample in $\log s$. So Levenberg-Marquardt, Laplace's posterior and samplers
stay what they are. Below $s_0$, far under what the prior allows, there is no likelihood (NaN).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.losses import Loss
from gemel.engine.noise import Noise, innovations

_FLOOR = 0.6065306597126334
"""$e^{-1/2}$: how far $s_0$ lies under the least standard deviation, which keeps $t \\ge 1$."""


def likelihood_rows(
    noise: Noise,
    times: Float[Array, " n"] | np.ndarray | None,
    r: Float[Array, " n"],
    shares: Float[Array, " n"],
    floor: Float[Array, ""] | None,
    loss: Loss,
) -> Float[Array, " m"]:
    """Rows whose half sum of squares is minus the logarithm of the likelihood, up to a constant.

    Args:
        noise: with numbers only.
        times: in s; read where there is a model error.
        r: measured less twin.
        shares: what a sample weighs, one where it is independent of its neighbours and zero where there is none.
        floor: under every standard deviation that the noise may have; None where the noise is known.
        loss: what an innovation in units of its standard deviation costs.

    Returns:
        One row a sample; three where the noise is to be found.
    """
    known = shares > 0
    surprises, stds = innovations(noise, times, r, known)
    rows = jnp.sqrt(shares) * loss.shaped(surprises / stds)
    if floor is None:
        return rows
    t = jnp.sqrt(2.0 * jnp.log(stds / (_FLOOR * floor)))
    involute = jnp.stack([jnp.cos(t) + t * jnp.sin(t), jnp.sin(t) - t * jnp.cos(t)])
    return jnp.concatenate([rows, (jnp.sqrt(shares) * involute).reshape(-1)])
