"""Lumped thermal networks: heat capacities, conductances between them, and heat into them."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gemel.engine.coefficients import drive, inputs_of, is_constant, settle
from gemel.engine.materials.ranges import require_finite, require_not_negative, require_positive
from gemel.engine.physics.system import LinearSystem
from gemel.names import listed


class ThermalNode(eqx.Module):
    """A body of one temperature.

    Args:
        capacity: its heat capacity in J/K, positive.
        initial: its temperature in K at the first time; None for the one that is steady under the inputs then.

    Raises:
        ValueError: for a capacity that is not positive.
    """

    capacity: Any
    initial: Any = None

    def __check_init__(self) -> None:
        require_positive("The capacity of a thermal node", self.capacity)
        if self.initial is not None:
            require_positive("The initial temperature of a thermal node in K", self.initial)


class ThermalLink(eqx.Module):
    """A conductance between two nodes, or between a node and a boundary.

    Args:
        first: the name of one end.
        second: the name of the other.
        conductance: in W/K; may follow an input.
        resistance: in K/W, instead of the conductance.

    Raises:
        ValueError: unless exactly one of the two is given, and where it is negative (a resistance: not positive).
    """

    first: str = eqx.field(static=True)
    second: str = eqx.field(static=True)
    conductance: Any = None
    resistance: Any = None

    def __check_init__(self) -> None:
        where = f"the link between '{self.first}' and '{self.second}'"
        if (self.conductance is None) == (self.resistance is None):
            raise ValueError(f"{where[0].upper()}{where[1:]} needs either a conductance or a resistance.")
        if self.conductance is not None:
            require_not_negative(f"The conductance of {where}", self.conductance)
        else:
            require_positive(f"The resistance of {where}", self.resistance)


class HeatFlow(eqx.Module):
    """Heat into a node.

    Args:
        node: the node's name.
        value: in W; usually an `Input`.
    """

    node: str = eqx.field(static=True)
    value: Any

    def __check_init__(self) -> None:
        require_finite(f"The heat into node '{self.node}'", self.value)


class ThermalNetwork(LinearSystem):
    r"""Bodies of one temperature each, joined by conductances to one another and to given temperatures:

    $$ C_i \dot T_i = \sum_j G_{ij} (T_j - T_i) + \sum_k q_{ik}. $$

    The state and the outputs are the nodes' temperatures in K, under the nodes' names. March it with `LinearOde`,
    which has no error of the time step; nodes without an initial temperature start there from the steady state.

    Capacities, conductances, resistances, heats and given temperatures may be a `Law` of the nodes' temperatures, such
    as a `NeuralTerm` makes. The network is then nonlinear: march it with `Ode`, from initial temperatures.

    Args:
        nodes: the bodies by name.
        links: the conductances.
        boundaries: given temperatures in K by name: numbers, parameters or inputs.
        heats: the heat flows $q$; several into one node add up.

    Raises:
        ValueError: for no nodes, a name that is both a node and a boundary, and links or heats between names that
            do not exist, from a node to itself or between two boundaries; for a node without an initial temperature
            where there are laws.

    Source: Incropera, DeWitt, *Fundamentals of Heat and Mass Transfer*, 6th edition, 2007, chapters 3 and 5 (thermal
    circuits, lumped capacitance); Bacher, Madsen, *Identifying suitable models for the heat dynamics of buildings*,
    Energy and Buildings 43, 2011.
    """

    nodes: tuple[ThermalNode, ...]
    links: tuple[ThermalLink, ...]
    boundaries: tuple[Any, ...]
    heats: tuple[HeatFlow, ...]
    output_names: tuple[str, ...] = eqx.field(static=True)
    boundary_names: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        nodes: Mapping[str, ThermalNode],
        links: Sequence[ThermalLink] = (),
        boundaries: Mapping[str, Any] | None = None,
        heats: Sequence[HeatFlow] = (),
    ) -> None:
        boundaries = boundaries or {}
        self.output_names, self.nodes = tuple(nodes), tuple(nodes.values())
        self.boundary_names, self.boundaries = tuple(boundaries), tuple(boundaries.values())
        self.links, self.heats = tuple(links), tuple(heats)

    def __check_init__(self) -> None:
        if not self.nodes:
            raise ValueError("A thermal network needs at least one node.")
        for name in self.boundary_names:
            if name in self.output_names:
                raise ValueError(f"'{name}' is both a node and a boundary of the thermal network.")
        known = (*self.output_names, *self.boundary_names)
        for link in self.links:
            ends = (link.first, link.second)
            for name in ends:
                if name not in known:
                    raise ValueError(f"A link ends at '{name}', which does not exist: there are {listed(name, known)}")
            if link.first == link.second or not set(ends) & set(self.output_names):
                raise ValueError(
                    f"A link joins two nodes, or a node and a boundary, not '{link.first}' and '{link.second}'."
                )
        for heat in self.heats:
            if heat.node not in self.output_names:
                raise ValueError(f"Heat flows into '{heat.node}': the nodes are {listed(heat.node, self.output_names)}")
        for name, node in zip(self.output_names, self.nodes, strict=True):
            if node.initial is None and not is_constant(self):
                raise ValueError(
                    f"Node '{name}' needs an initial temperature: a network with laws of temperatures starts from them."
                )

    @property
    def matrix_inputs(self) -> tuple[str, ...]:
        """The inputs that capacities and conductances follow."""
        return inputs_of((self.nodes, self.links))

    def matrix(self, inputs: Mapping[str, Any]) -> Float[Array, "n n"]:
        """$A = C^{-1} (G - \\mathrm{diag}(\\text{sums of } G))$ in 1/s."""
        count = len(self.nodes)
        return self._flows(inputs)[:, :count] / self._capacities(inputs)[:, None]

    def forcing(self, inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """The rates in K/s that boundaries and heats cause."""
        given = [jnp.asarray(value, float) for value in drive(self.boundaries, inputs)]
        count = len(self.nodes)
        total = self._flows(inputs)[:, count:] @ jnp.stack(given) if given else jnp.zeros(count)
        for heat in drive(self.heats, inputs):
            total = total.at[self.output_names.index(heat.node)].add(heat.value)
        return total / self._capacities(inputs)

    def start(self, inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """The given initial temperatures; nodes without one are steady between those and the inputs' values."""
        nodes = drive(self.nodes, inputs)
        given = jnp.stack([jnp.asarray(0.0 if node.initial is None else node.initial, float) for node in nodes])
        free = np.array([i for i, node in enumerate(nodes) if node.initial is None], dtype=int)
        if not len(free):
            return given
        matrix, rest = self.matrix(inputs), self.forcing(inputs)
        steady = jnp.linalg.solve(matrix[np.ix_(free, free)], -(rest + matrix @ given)[free])
        return given.at[free].set(steady)

    def initial(self) -> Float[Array, " n"]:
        """The given initial temperatures. Raises `ValueError` where one is missing: `LinearOde` finds those."""
        for name, node in zip(self.output_names, self.nodes, strict=True):
            if node.initial is None:
                raise ValueError(f"Node '{name}' starts steady, which needs the inputs: march it with LinearOde.")
        return self.start({})

    def rate(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        """The equations above."""
        now = settle(drive(self, inputs), dict(zip(self.output_names, y, strict=True)))
        return now.matrix(inputs) @ y + now.forcing(inputs)

    def outputs(self, t: Any, y: Float[Array, " n"], inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The nodes' temperatures in K."""
        return {name: y[i] for i, name in enumerate(self.output_names)}

    def _capacities(self, inputs: Mapping[str, Any]) -> Float[Array, " n"]:
        return jnp.stack([jnp.asarray(node.capacity, float) for node in drive(self.nodes, inputs)])

    def _flows(self, inputs: Mapping[str, Any]) -> Float[Array, "n k"]:
        """The heat in W into each node for 1 K of each node, then of each boundary."""
        ends = (*self.output_names, *self.boundary_names)
        flows = jnp.zeros((len(ends), len(ends)))
        for link in drive(self.links, inputs):
            i, j = ends.index(link.first), ends.index(link.second)
            conductance = 1.0 / link.resistance if link.conductance is None else link.conductance
            flows = flows.at[(i, j), (j, i)].add(conductance).at[(i, j), (i, j)].add(-conductance)
        return flows[: len(self.nodes)]
