"""The equivalent circuit of a twin file."""

from typing import Any

from gemel.engine.analyses import Ode
from gemel.engine.analyses.analysis import Analysis
from gemel.engine.materials.ranges import require_positive
from gemel.engine.parameters import Parameter
from gemel.engine.physics import Curve, EquivalentCircuit, LumpedHeat
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.neural import Coefficients
from gemel.engine.twinfile.numbers import Numbers, parameter, with_place
from gemel.engine.twinfile.schema import CellHeatTable, CircuitTable, CurveOrNumber, CurveTable, ParameterTable
from gemel.engine.units import compatible, parse


def build_circuit(table: CircuitTable, coefficients: Coefficients, place: Place) -> Analysis:
    """The ODE analysis that the table describes."""
    numbers = coefficients.numbers
    step = with_place(place / "step", parse, table.step, "s")
    source, series, *rest = (build_curve(*one, coefficients) for one in curves(table, place))
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    system = EquivalentCircuit(
        numbers.read(table.current, "A", place / "current"),
        capacity=_positive(table.capacity, "C", "The capacity", coefficients, place / "capacity"),
        initial_charge=numbers.read(table.initial_charge, "", place / "initial_charge"),
        open_circuit_voltage=source,
        series_resistance=series,
        pairs=pairs,
        heat=_heat(table.heat, coefficients, place / "heat"),
    )
    return with_place(place / "step", Ode, system, step)


Role = tuple[str, str, str, Any]
"""What a curve is: the stem of its parameters' names, in words, its unit, and how it runs between its knots."""


def curves(table: CircuitTable, place: Place) -> list[tuple[CurveOrNumber, Role, Place]]:
    """The curves of a circuit: the voltage, the series resistance, and of each pair resistance and time constant."""
    found: list[tuple[CurveOrNumber, Role, Place]] = [
        (table.open_circuit_voltage, ("U", "open-circuit voltage", "V", "cubic"), place / "open_circuit_voltage"),
        (table.series_resistance, ("R0", "series resistance", "ohm", "log-linear"), place / "series_resistance"),
    ]
    for j, pair in enumerate(table.pairs, start=1):
        here = place / "pairs" / (j - 1)
        resistance = (f"R{j}", f"resistance of pair {j}", "ohm", "log-linear")
        time_constant = (f"tau{j}", f"time constant of pair {j}", "s", "log-linear")
        found += [
            (pair.resistance, resistance, here / "resistance"),
            (pair.time_constant, time_constant, here / "time_constant"),
        ]
    return found


def _heat(table: CellHeatTable | None, coefficients: Coefficients, place: Place) -> LumpedHeat | None:
    if table is None:
        return None
    numbers = coefficients.numbers
    return LumpedHeat(
        _positive(table.capacity, "J/K", "The heat capacity", coefficients, place / "capacity"),
        coefficients.read(table.loss, "W/K", place / "loss"),
        coefficients.read(table.activation, "K", place / "activation"),
        numbers.read(table.ambient, "K", place / "ambient"),
        numbers.optional(table.reference, "K", place / "reference"),
    )


def _positive(value: Any, unit: str, what: str, coefficients: Coefficients, place: Place) -> Any:
    """A number or law above zero."""
    number = coefficients.read(value, unit, place)
    with_place(place, require_positive, what, number)
    return number


def build_curve(table: CurveOrNumber, role: Role, place: Place, coefficients: Coefficients) -> Any:
    """One number or law at all states of charge, or a curve: with given values, or with one parameter a knot, ``R0_1``,
    ``R0_2``, ... (``U_01`` from ten knots on).
    """
    name, description, unit, kind = role
    if not isinstance(table, CurveTable):
        if kind == "log-linear":
            return _positive(table, unit, f"The {description}", coefficients, place)
        return coefficients.read(table, unit, place)
    numbers = coefficients.numbers
    count = len(table.knots)
    priors = [key for key in ("median", "factor", "mean", "std") if getattr(table, key) is not None]
    if (table.values is None) == (not priors):
        raise place.error("give either 'values', or a prior: 'median' and 'factor', or 'mean' and 'std'.")
    if table.values is not None:
        values = [coefficients.read(value, unit, place / "values" / i) for i, value in enumerate(table.values)]
        for i, value in enumerate(values if kind == "log-linear" else []):
            with_place(place / "values" / i, require_positive, f"The {description}", value)
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
