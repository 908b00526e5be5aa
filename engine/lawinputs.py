"""What the laws that neural terms make are asked with in a run: of each input the least and the greatest value.

A run keeps them in its statistics, as ``least.TERM.INPUT`` and ``greatest.TERM.INPUT``; see
`gemel.engine.extrapolation`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gemel.engine.coefficients import Chosen, Law, drive, without_factors
from gemel.engine.fields import Jet
from gemel.engine.neural import Corrected
from gemel.engine.physics import EquivalentCircuit, OdeSystem, ThermalNetwork
from gemel.engine.problems import DiscreteProblem, Integral


def neural_laws(tree: Any) -> list[Law]:
    """The laws in a model that `NeuralTerm.law` has made of a term that has a name, without what multiplies them."""
    nodes = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Law))
    laws = [without_factors(node) for node in nodes if isinstance(node, Law)]
    return [law for law in laws if isinstance(law.function, Corrected) and law.function.name]


def asked_by_system(system: OdeSystem, states: Float[Array, "m n"], signals: Mapping[str, Array]) -> dict[str, Array]:
    """The statistics of a run of a thermal network or a circuit: its states and the signals at every time; of others
    nothing.
    """
    if not isinstance(system, ThermalNetwork | EquivalentCircuit) or not neural_laws(system):
        return {}

    def at(y: Array, now: Mapping[str, Array]) -> list[list[Array]]:
        driven = drive(system, now)
        if isinstance(driven, EquivalentCircuit):
            state = driven.law_state(y)
        else:
            state = dict(zip(system.output_names, y, strict=True))
        return [_asked(law, state, None) for law in neural_laws(driven)]

    return _spans(zip(neural_laws(system), jax.vmap(at)(states, dict(signals)), strict=True))


def asked_by_body(problem: DiscreteProblem, u: Float[Array, " n"]) -> dict[str, Array]:
    """The statistics of one field: what laws are asked with at the quadrature points of a driven problem."""
    found: list[tuple[Law, list[Array]]] = []
    for part in problem.contributions:
        if isinstance(part, Integral) and (laws := neural_laws(part.form)):
            groups = part.evaluate(_asked_at, u, jnp.asarray(problem.space.mesh.points)).values
            whole = jax.tree.map(lambda *parts: jnp.concatenate([one.ravel() for one in parts]), *groups)
            found += zip(laws, whole, strict=True)
    return _spans(found)


def over_time(statistics: Mapping[str, Array]) -> dict[str, Array]:
    """Those of a run from those of each of its times."""
    return {name: (jnp.min if name.startswith("least.") else jnp.max)(values) for name, values in statistics.items()}


def _asked_at(form: Any, u: Any, point: Any) -> list[list[Array]]:
    """The inputs of every law of a form at one point; of one that holds elsewhere those at a point where it holds."""
    found = []
    for node in jax.tree.leaves(form, is_leaf=lambda node: isinstance(node, Law | Chosen)):
        if isinstance(node, Chosen):
            for number, value in enumerate(node.values):
                found += _asked_at(value, *node.asked(number, u, point))
            continue
        state = u.value if isinstance(u, Jet) else {name: jet.value for name, jet in u.items()}
        found += [_asked(law, state, point.x) for law in neural_laws(node)]
    return found


def _asked(law: Law, u: Any, x: Any) -> list[Array]:
    function: Any = law.function
    return function.asked(u, x, law.parameters[2:])


def _spans(found: Iterable[tuple[Law, list[Array]]]) -> dict[str, Array]:
    """The ends of all values; a term may stand in several places."""
    columns: dict[str, list[Array]] = {}
    for law, values in found:
        function: Any = law.function
        for label, column in zip(function.labels, values, strict=True):
            columns.setdefault(f"{function.name}.{label}", []).append(column.ravel())
    whole = {key: jnp.concatenate(parts) for key, parts in columns.items()}
    ends = {"least": jnp.min, "greatest": jnp.max}
    return {f"{end}.{key}": take(values) for key, values in whole.items() for end, take in ends.items()}
