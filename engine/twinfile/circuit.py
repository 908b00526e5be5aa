"""The equivalent circuit of a twin file."""

from typing import Any

from gemel.engine.analyses import Ode
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.parameters import Parameter
from gemel.engine.physics import Curve, EquivalentCircuit, LumpedHeat
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import Numbers, parameter, with_place
from gemel.engine.twinfile.schema import CellHeatTable, CircuitTable, CurveTable, ParameterTable
from gemel.engine.units import compatible, parse


def build_circuit(table: CircuitTable, numbers: Numbers, place: Place) -> Analysis:
    """The ODE analysis that the table describes."""
    step = with_place(place / "step", parse, table.step, "s")
    source = _curve(
        table.open_circuit_voltage,
        ("U", "open-circuit voltage", "V", "cubic"),
        numbers,
        place / "open_circuit_voltage",
    )
    series = _curve(
        table.series_resistance,
        ("R0", "series resistance", "ohm", "log-linear"),
        numbers,
        place / "series_resistance",
    )
    pairs = []
    for j, pair in enumerate(table.pairs, start=1):
        here = place / "pairs" / (j - 1)
        resistance = (f"R{j}", f"resistance of pair {j}", "ohm", "log-linear")
        time_constant = (f"tau{j}", f"time constant of pair {j}", "s", "log-linear")
        pairs.append(
            (
                _curve(pair.resistance, resistance, numbers, here / "resistance"),
                _curve(pair.time_constant, time_constant, numbers, here / "time_constant"),
            )
        )
    system = EquivalentCircuit(
        numbers.read(table.current, "A", place / "current"),
        capacity=numbers.read(table.capacity, "C", place / "capacity"),
        initial_charge=numbers.read(table.initial_charge, "", place / "initial_charge"),
        open_circuit_voltage=source,
        series_resistance=series,
        pairs=pairs,
        heat=_heat(table.heat, numbers, place / "heat"),
    )
    return with_place(place / "step", Ode, system, step)


def _heat(table: CellHeatTable | None, numbers: Numbers, place: Place) -> LumpedHeat | None:
    if table is None:
        return None
    return LumpedHeat(
        numbers.read(table.capacity, "J/K", place / "capacity"),
        numbers.read(table.loss, "W/K", place / "loss"),
        numbers.read(table.activation, "K", place / "activation"),
        numbers.read(table.ambient, "K", place / "ambient"),
        numbers.optional(table.reference, "K", place / "reference"),
    )


def _curve(table: CurveTable, role: tuple[str, str, str, Any], numbers: Numbers, place: Place) -> Curve:
    """A curve with fixed values, or with one parameter a knot: ``R0_1``, ``R0_2``, ... (``U_01`` from ten knots on)"""
    name, description, unit, kind = role
    count = len(table.knots)
    priors = [key for key in ("median", "factor", "mean", "std") if getattr(table, key) is not None]
    if (table.values is None) == (not priors):
        raise place.error("give either 'values', or a prior: 'median' and 'factor', or 'mean' and 'std'.")
    if table.values is not None:
        values = [numbers.read(value, unit, place / "values" / i) for i, value in enumerate(table.values)]
    else:
        columns = {key: _spread(getattr(table, key), count, place / key) for key in priors}
        values = [
            _knot(
                f"{name}_{i + 1:0{len(str(count))}d}",
                {key: column[i] for key, column in columns.items()},
                f"{description} at charge {table.knots[i]:g}",
                unit,
                numbers,
                place,
            )
            for i in range(count)
        ]
    return with_place(place, Curve, tuple(table.knots), tuple(values), kind)


def _spread(value: Any, count: int, place: Place) -> list[Any]:
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise place.error(f"{count} numbers are needed, one for each knot, not {len(value)}.")
    return value


def _knot(name: str, prior: dict[str, Any], description: str, unit: str, numbers: Numbers, place: Place) -> Parameter:
    if name in numbers.parameters:
        raise place.error(f"the curve makes a parameter '{name}', which [parameters.{name}] defines as well.")
    found = parameter(name, ParameterTable(description=description, **prior), place)
    if not compatible(found.unit, unit):
        raise place.error(f"the prior is in '{found.unit}', but a quantity in '{unit}' is needed.")
    return found
