r"""Several experiments with one device: parameters that they share, and parameters of which each has its own.

A belief $N(m, C)$ about shared parameters $s$ and own ones $o$ says of an experiment's own ones, when the shared are
known, $o \mid s \sim N(m_o + A (s - m_s),\ C_{oo} - A C_{so})$ with $A = C_{os} C_{ss}^{-1}$. Those of different
experiments are independent draws of it, so that their covariance is $A C_{so}$; it is zero where shared and own
parameters are believed independently, as in a prior.
Source: Gelman et al., *Bayesian Data Analysis*, 2013, chapter 5.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.parameters import Belief, Parameter


def joint_belief(
    belief: Belief, experiments: tuple[str, ...], own: tuple[str, ...]
) -> tuple[Belief, dict[str, tuple[int, ...]]]:
    """The belief about all parameters of several experiments, and where those of each are in it.

    Own parameters are called ``name[experiment]``.
    """
    if len(experiments) == 1 or not own:
        everywhere = tuple(range(len(belief.mean)))
        return belief, dict.fromkeys(experiments, everywhere)
    copies = [
        (parameter, experiment)
        for parameter in belief.parameters
        for experiment in (experiments if parameter.name in own else (None,))
    ]
    spans = belief.places
    origins = np.concatenate([np.arange(spans[p.name].start, spans[p.name].stop) for p, _ in copies])
    owners = [owner for parameter, owner in copies for _ in range(parameter.size)]
    own_places = _places(belief, own)
    places = {
        experiment: tuple(k for k, owner in enumerate(owners) if owner in (None, experiment))
        for experiment in experiments
    }
    slope, shared_places = _slope(belief, own_places)
    explained = slope @ belief.covariance[np.ix_(shared_places, own_places)]
    between = belief.covariance.at[np.ix_(own_places, own_places)].set(explained)
    apart = np.asarray([[a is not None and b is not None and a != b for b in owners] for a in owners])
    grid = np.ix_(origins, origins)
    covariance = jnp.where(apart, between[grid], belief.covariance[grid])
    named = tuple(_copy(parameter, owner) for parameter, owner in copies)
    return Belief(named, belief.mean[origins], covariance), places


def belief_in(twin_belief: Belief, joint: Belief, places: tuple[int, ...]) -> Belief:
    """What a belief about several experiments says of the parameters in one of them."""
    chosen = np.asarray(places)
    return Belief(twin_belief.parameters, joint.mean[chosen], joint.covariance[np.ix_(chosen, chosen)])


def belief_in_another(twin_belief: Belief, joint: Belief, places: tuple[int, ...], own: tuple[str, ...]) -> Belief:
    """What it says of an experiment that has not been made: shared parameters as found, own ones given these.

    Args:
        twin_belief: before the data.
        joint: after them.
        places: those of any one experiment.
        own: the parameters of its own.
    """
    found = belief_in(twin_belief, joint, places)
    own_places = _places(twin_belief, own)
    slope, shared = _slope(twin_belief, own_places)
    before = twin_belief.covariance
    moved = twin_belief.mean[own_places] + slope @ (found.mean - twin_belief.mean)[shared]
    mean = found.mean.at[own_places].set(moved)
    rest = before[np.ix_(own_places, own_places)] - slope @ before[np.ix_(shared, own_places)]
    cross = slope @ found.covariance[np.ix_(shared, shared)]
    covariance = found.covariance.at[np.ix_(own_places, own_places)].set(rest + cross @ slope.T)
    covariance = covariance.at[np.ix_(own_places, shared)].set(cross).at[np.ix_(shared, own_places)].set(cross.T)
    return Belief(twin_belief.parameters, mean, covariance)


def _places(belief: Belief, names: tuple[str, ...]) -> np.ndarray:
    """The coordinates of parameters."""
    spans = belief.places
    return np.concatenate([np.zeros(0, int), *(np.arange(spans[n].start, spans[n].stop) for n in spans if n in names)])


def _slope(belief: Belief, own_places: np.ndarray) -> tuple[Float[Array, "o s"], np.ndarray]:
    """$A$, and where the shared parameters are."""
    shared = np.setdiff1d(np.arange(len(belief.mean)), own_places)
    cross = belief.covariance[np.ix_(own_places, shared)]
    if not len(shared):
        return cross, shared
    return jnp.linalg.solve(belief.covariance[np.ix_(shared, shared)], cross.T).T, shared


def _copy(parameter: Parameter, experiment: str | None) -> Parameter:
    if experiment is None:
        return parameter
    return replace(parameter, name=f"{parameter.name}[{experiment}]")
