"""The thermal network of a twin file."""

from gemel.engine.analyses import LinearOde
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.physics import HeatFlow, ThermalLink, ThermalNetwork, ThermalNode
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import Numbers, with_place
from gemel.engine.twinfile.schema import Document, LinkTable, NetworkTable, NodeTable
from gemel.engine.units import parse


def build_network(document: Document, numbers: Numbers, place: Place) -> Analysis:
    """The analysis that the tables ``nodes``, ``links``, ``boundaries`` and ``heats`` describe."""
    model = document.model
    assert isinstance(model, NetworkTable)
    nodes = {name: _node(table, numbers, place / "nodes" / name) for name, table in document.nodes.items()}
    boundaries = {
        name: numbers.read(table.value, "K", place / "boundaries" / name / "value")
        for name, table in document.boundaries.items()
    }
    known = (*nodes, *boundaries)
    for i, link in enumerate(document.links):
        for end in link.between:
            if end not in known:
                raise (place / "links" / i / "between").error(
                    f"there is no node or boundary '{end}': the file has {', '.join(known) or 'none'}."
                )
    links = [_link(table, numbers, place / "links" / i) for i, table in enumerate(document.links)]
    heats = []
    for i, table in enumerate(document.heats):
        here = place / "heats" / i
        if table.node not in nodes:
            raise (here / "node").error(f"there is no node '{table.node}': the file has {', '.join(nodes) or 'none'}.")
        heats.append(HeatFlow(table.node, numbers.read(table.value, "W", here / "value")))
    system = with_place(place / "nodes", ThermalNetwork, nodes, links, boundaries, heats)
    step = None if model.step is None else with_place(place / "model" / "step", parse, model.step, "s")
    return with_place(place / "model" / "step", LinearOde, system, step)


def _node(table: NodeTable, numbers: Numbers, place: Place) -> ThermalNode:
    capacity = numbers.read(table.capacity, "J/K", place / "capacity")
    initial = None if table.initial == "steady" else numbers.read(table.initial, "K", place / "initial")
    return with_place(place, ThermalNode, capacity, initial)


def _link(table: LinkTable, numbers: Numbers, place: Place) -> ThermalLink:
    conductance = numbers.optional(table.conductance, "W/K", place / "conductance")
    resistance = numbers.optional(table.resistance, "K/W", place / "resistance")
    return with_place(place, ThermalLink, *table.between, conductance, resistance)
