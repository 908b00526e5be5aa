"""The thermal network of a twin file."""

from gemel.engine.analyses import LinearOde, Ode
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.coefficients import is_constant
from gemel.engine.physics import HeatFlow, ThermalLink, ThermalNetwork, ThermalNode
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import with_place
from gemel.engine.twinfile.schema import Document, HeatInTable, LinkTable, NetworkTable, NodeTable
from gemel.engine.units import parse


def build_network(document: Document, coefficients: Coefficients, place: Place) -> Analysis:
    """The analysis that the tables ``nodes``, ``links``, ``boundaries`` and ``heats`` describe."""
    model = document.model
    assert isinstance(model, NetworkTable)
    nodes = {name: build_node(table, coefficients, place / "nodes" / name) for name, table in document.nodes.items()}
    boundaries = {
        name: coefficients.read(table.value, "K", place / "boundaries" / name / "value")
        for name, table in document.boundaries.items()
    }
    links = [build_link(table, document, coefficients, place / "links" / i) for i, table in enumerate(document.links)]
    heats = [build_heat(table, document, coefficients, place / "heats" / i) for i, table in enumerate(document.heats)]
    system = with_place(place / "nodes", ThermalNetwork, nodes, links, boundaries, heats)
    step = None if model.step is None else with_place(place / "model" / "step", parse, model.step, "s")
    if is_constant(system):
        return with_place(place / "model" / "step", LinearOde, system, step)
    if step is None:
        raise (place / "model").error("a network with a neural term needs the key 'step', the longest step in time.")
    return with_place(place / "model" / "step", Ode, system, step)


def build_node(table: NodeTable, coefficients: Coefficients, place: Place) -> ThermalNode:
    """A node of a network."""
    capacity = coefficients.read(table.capacity, "J/K", place / "capacity")
    initial = None if table.initial == "steady" else coefficients.numbers.read(table.initial, "K", place / "initial")
    return with_place(place, ThermalNode, capacity, initial)


def build_link(table: LinkTable, document: Document, coefficients: Coefficients, place: Place) -> ThermalLink:
    """A link between two ends that the file has."""
    known = (*document.nodes, *document.boundaries)
    for end in table.between:
        if end not in known:
            raise (place / "between").unknown(f"there is no node or boundary '{end}': the file has", end, known)
    conductance = coefficients.optional(table.conductance, "W/K", place / "conductance")
    resistance = coefficients.optional(table.resistance, "K/W", place / "resistance")
    return with_place(place, ThermalLink, *table.between, conductance, resistance)


def build_heat(table: HeatInTable, document: Document, coefficients: Coefficients, place: Place) -> HeatFlow:
    """Heat into a node that the file has."""
    if table.node not in document.nodes:
        raise (place / "node").unknown(f"there is no node '{table.node}': the file has", table.node, document.nodes)
    return HeatFlow(table.node, coefficients.read(table.value, "W", place / "value"))
