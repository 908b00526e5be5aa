"""From the text of a twin file to numbers, parameters and inputs, with their units checked."""

from collections.abc import Mapping, Sequence
from typing import Any

from gemel.engine.coefficients import Input
from gemel.engine.parameters import LogNormal, Normal, Parameter, Prior, Uniform
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.schema import InputTable, InputValue, Number, ParameterTable
from gemel.engine.units import check_unit, compatible, parse, parse_difference, unit_of

_PRIORS: dict[tuple[str, str], type[Prior]] = {
    ("median", "factor"): LogNormal,
    ("mean", "std"): Normal,
    ("low", "high"): Uniform,
}


class Numbers:
    """Reads quantities, ``"$name"`` references and inputs; remembers which parameters were used."""

    def __init__(
        self, parameters: Mapping[str, ParameterTable], inputs: Mapping[str, InputTable], place: Place
    ) -> None:
        self.parameters = {
            name: parameter(name, table, place / "parameters" / name) for name, table in parameters.items()
        }
        self.inputs = dict(inputs)
        self.used: set[str] = set()
        for name, table in inputs.items():
            with_place(place / "inputs" / name / "unit", check_unit, table.unit)

    def read(self, value: Number, unit: str, place: Place) -> Any:
        """A float in SI, a `Parameter` or an `Input`, with the dimension of ``unit``."""
        if isinstance(value, InputValue):
            return self._input(value, unit, place)
        if isinstance(value, str) and value.strip().startswith("$"):
            return self._reference(value.strip()[1:], unit, place)
        return with_place(place, parse, value, unit)

    def optional(self, value: Number | None, unit: str, place: Place) -> Any:
        """As `read`; None stays None."""
        return None if value is None else self.read(value, unit, place)

    def lengths(self, values: Sequence[str | float], place: Place) -> tuple[float, ...]:
        """Lengths in m."""
        return tuple(with_place(place / i, parse, value, "m") for i, value in enumerate(values))

    def _input(self, value: InputValue, unit: str, place: Place) -> Input:
        if value.input not in self.inputs:
            raise place.error(f"unknown input '{value.input}': the file has {_listed(self.inputs, '[inputs.NAME]')}.")
        gain_unit = f"({unit or 'dimensionless'}) / ({self.inputs[value.input].unit or 'dimensionless'})"
        gain = self.read(value.gain, gain_unit, place / "gain")
        offset = 0.0 if value.offset is None else self.read(value.offset, unit, place / "offset")
        return Input(value.input, gain, offset)

    def _reference(self, name: str, unit: str, place: Place) -> Parameter:
        if name not in self.parameters:
            raise place.error(
                f"unknown parameter '${name}': the file has {_listed(self.parameters, '[parameters.NAME]')}."
            )
        found = self.parameters[name]
        if not compatible(found.unit, unit):
            raise place.error(f"parameter '${name}' is in '{found.unit}', but a quantity in '{unit}' is needed.")
        self.used.add(name)
        return found


def parameter(name: str, table: ParameterTable, place: Place) -> Parameter:
    """A parameter from its table; exactly one pair of keys says which prior it has."""
    given = {key for key in ("median", "factor", "mean", "std", "low", "high") if getattr(table, key) is not None}
    pairs = [pair for pair in _PRIORS if set(pair) == given]
    if not pairs:
        raise place.error(
            "a prior needs exactly 'median' and 'factor' (log-normal), 'mean' and 'std' (normal) or "
            f"'low' and 'high' (uniform), not {', '.join(sorted(given)) or 'nothing'}."
        )
    first, second = pairs[0]
    one, two = getattr(table, first), getattr(table, second)
    unit = with_place(place / first, unit_of, one)
    middle = with_place(place / first, parse, one, unit)
    other = two if second == "factor" else with_place(place / second, _second(second), two, unit)
    prior = with_place(place, _PRIORS[pairs[0]], middle, other)
    shown = unit if table.unit is None else table.unit
    if table.unit is not None and not with_place(place / "unit", compatible, table.unit, unit):
        raise (place / "unit").error(f"'{table.unit}' does not fit a quantity in '{unit}'.")
    return Parameter(name, prior, shown, table.description)


def _second(key: str) -> Any:
    return parse_difference if key == "std" else parse


def with_place(place: Place, function: Any, *arguments: Any) -> Any:
    """Call a function and give its `ValueError` the place in the file."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise place.error(str(error)) from error


def _listed(names: Mapping[str, Any], otherwise: str) -> str:
    return ", ".join(names) if names else f"none; define it in {otherwise}"
