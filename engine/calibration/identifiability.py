r"""What the data determine, and what they do not: the directions of the standardised parameters.

With covariances $C_0 = L L^\top$ before and $C$ after the data, the eigenvectors $e_i$ of $L^{-1} C L^{-\top}$ with
eigenvalues $s_i \le 1$ are the directions in which the data shrink the uncertainty to $\sqrt{s_i}$ of what it was;
$1/s_i - 1$ is the Fisher information of the data along them, in units of the prior's.
Source: Spantini et al., *Optimal Low-rank Approximations of Bayesian Linear Inverse Problems*, 2015.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from gemel.engine.parameters import Belief

BLIND = 0.5
"""Data that leave more than this share of the variance say less than the prior does."""


@dataclass(frozen=True)
class Direction:
    """A combination of parameters, and how the data see it.

    ``remaining`` is the share of the variance that is left, 1 where the data say nothing; ``information`` is
    $1/\\text{remaining} - 1$; ``weights`` say how far each standardised parameter moves along it, a unit vector whose
    largest entry is positive.
    """

    remaining: float
    information: float
    weights: dict[str, float]

    @property
    def blind(self) -> bool:
        """Whether the data say less about it than the prior."""
        return self.remaining > BLIND

    def words(self, least: float = 0.3) -> str:
        """The parameters that move most, such as ``0.8 loss - 0.6 power``."""
        parts = [(weight, name) for name, weight in self.weights.items()]
        parts.sort(key=lambda part: (-round(abs(part[0]), 2), part[1]))
        kept = [part for i, part in enumerate(parts) if i == 0 or abs(part[0]) >= least]
        text = " ".join(f"{'-' if w < 0 else '+'} {abs(w):.2g} {name}" for w, name in kept)
        return text.removeprefix("+ ")


def identifiability(before: Belief, after: Belief) -> list[Direction]:
    """The directions of the parameters of one number, whatever the others are, from the best to the least determined.

    Raises `ValueError` for beliefs about other parameters.
    """
    if before.names != after.names:
        raise ValueError(
            f"The beliefs are about other parameters: {', '.join(before.names)} and {', '.join(after.names)}."
        )
    before, after = before.scalars(), after.scalars()
    if not before.names:
        return []
    shares, vectors = scipy.linalg.eigh(np.asarray(after.covariance), np.asarray(before.covariance))
    moves = np.asarray(before.covariance) @ vectors  # L e: the parameters' own moves along each direction
    found = []
    for share, move in zip(np.clip(shares, 1e-300, 1.0), moves.T, strict=True):
        unit = move / np.linalg.norm(move)
        unit = unit * np.sign(unit[np.argmax(np.abs(unit))])
        weights = dict(zip(before.names, unit.tolist(), strict=True))
        found.append(Direction(float(share), float(1.0 / share - 1.0), weights))
    return found
