"""From the text of a twin file to numbers, parameters and inputs, with their units checked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gemel.engine.coefficients import Input
from gemel.engine.parameters import Multiple, Parameter
from gemel.engine.priors import LogNormal, Normal, Prior, Uniform
from gemel.engine.twinfile.errors import Mistakes, Place
from gemel.engine.twinfile.schema import InputTable, ParameterTable
from gemel.engine.twinfile.tables import InputValue, Number
from gemel.engine.units import check_unit, compatible, from_si, parse, parse_difference, quotient, unit_of

_PRIORS: dict[tuple[str, str], type[Prior]] = {
    ("median", "factor"): LogNormal,
    ("mean", "std"): Normal,
    ("low", "high"): Uniform,
}


UNREADABLE = Parameter("", LogNormal(1.0, 2.0))
"""Stands for a number that cannot be read, where mistakes are gathered: all checks of numbers let a parameter pass."""


class Numbers:
    """Reads quantities, ``"$name"`` references and inputs.

    With ``mistakes``, what cannot be read is noted there, and `UNREADABLE` stands for it.
    """

    def __init__(
        self,
        parameters: Mapping[str, ParameterTable],
        inputs: Mapping[str, InputTable],
        place: Place,
        neural: Iterable[str] = (),
        mistakes: Mistakes | None = None,
    ) -> None:
        self.mistakes = mistakes
        self.parameters = {
            name: self.noting(parameter, name, table, place / "parameters" / name) for name, table in parameters.items()
        }
        self.inputs, self.neural = dict(inputs), tuple(neural)
        units = {name: (place / "inputs" / name / "unit", check_unit, table.unit) for name, table in inputs.items()}
        self._unknown = {name for name, what in units.items() if self.noting(with_place, *what) is UNREADABLE}
        for name in self.neural:
            self.noting(self._check_name, name, place / "neural" / name)

    def noting(self, function: Any, *arguments: Any) -> Any:
        """What a function returns; where mistakes are gathered and it raises one, that is noted, and `UNREADABLE`."""
        if self.mistakes is None:
            return function(*arguments)
        return self.mistakes.note(function, *arguments, otherwise=UNREADABLE)

    def read(self, value: Number, unit: str, place: Place) -> Any:
        """A float in SI, a `Parameter` or an `Input`, with the dimension of ``unit``."""
        return self.noting(self._read, value, unit, place)

    def _check_name(self, name: str, place: Place) -> None:
        if name in self.parameters:
            raise place.error(f"'{name}' is also a parameter: give one of them another name.")

    def _read(self, value: Number, unit: str, place: Place) -> Any:
        if isinstance(value, InputValue):
            return self._input(value, unit, place)
        if isinstance(value, str) and (match := _REFERENCE.match(value)):
            return self._reference(match["name"], _factor(match), unit, place)
        if isinstance(value, str) and "$" in value:
            raise place.error(f"'{value}' cannot stand here: write '$name', '-$name' or such as '0.5 * $name'.")
        return with_place(place, parse, value, unit)

    def optional(self, value: Number | None, unit: str, place: Place) -> Any:
        """As `read`; None stays None."""
        return None if value is None else self.read(value, unit, place)

    def difference(self, value: Number | None, unit: str, place: Place) -> Any:
        """A difference in the dimension of ``unit`` ("0.3 degC" means 0.3 K), or a parameter; None stays None."""
        return self.noting(self._difference, value, unit, place)

    def _difference(self, value: Number | None, unit: str, place: Place) -> Any:
        if value is None or not isinstance(value, str | float) or "$" in str(value):
            found = self.optional(value, unit, place)
            parameter = found.parameter if isinstance(found, Multiple) else found
            if isinstance(parameter, Parameter) and float(from_si(0.0, parameter.unit)) != 0.0:
                raise place.error(
                    f"a difference is needed here: give parameter '${parameter.name}' in K, not in '{parameter.unit}'."
                )
            return found
        return with_place(place, parse_difference, value, unit)

    def _input(self, value: InputValue, unit: str, place: Place) -> Any:
        of_gain = self.gain_unit(value, unit, place)
        if self._unknown.intersection(value.inputs):
            return UNREADABLE
        gain = self.read(value.gain, of_gain, place / "gain")
        offset = 0.0 if value.offset is None else self.read(value.offset, unit, place / "offset")
        return Input(value.inputs, gain, offset)

    def gain_unit(self, value: InputValue, unit: str, place: Place) -> str:
        """The unit of the gain of inputs that stand for a quantity in ``unit``."""
        for name in value.inputs:
            if name not in self.inputs:
                raise place.unknown(
                    f"unknown input '{name}': the file has", name, self.inputs, "none; define it in [inputs.NAME]"
                )
        return quotient(unit, *(self.inputs[name].unit for name in value.inputs))

    def named(self, name: str, place: Place) -> Parameter:
        """The parameter of a name, whatever its unit."""
        if name in self.neural:
            raise place.error(f"the neural term '${name}' cannot stand here: {NEURAL_PLACES}")
        if name not in self.parameters:
            raise place.unknown(
                f"unknown parameter '${name}': the file has",
                name,
                self.parameters,
                "none; define it in [parameters.NAME]",
            )
        return self.parameters[name]

    def _reference(self, name: str, factor: float, unit: str, place: Place) -> Parameter | Multiple:
        found = self.named(name, place)
        if found is UNREADABLE:
            return found
        if not compatible(found.unit, unit):
            has = f"is in '{found.unit}'" if found.unit else "has no unit"
            raise place.error(
                f"parameter '${name}' {has} by [parameters.{name}], but a quantity in '{unit}' is needed here: mend "
                "one of them."
            )
        return found if factor == 1.0 else Multiple(factor, found)


NEURAL_PLACES = (
    "it may stand in material properties but Poisson's ratio; in convection, radiation, fluxes, sources, powers, "
    "tractions, pressures, forces and supports; in capacities, links, heats and boundaries of a thermal network; in "
    "the curves, the capacity and the heat of a circuit."
)
"""Where a neural term may be used."""

_REFERENCE = re.compile(r"^\s*(?P<sign>[+-]?)\s*((?P<factor>[0-9.eE+-]+)\s*\*\s*)?\$(?P<name>\w+)\s*$")
"""``$name``, ``-$name`` or ``0.5 * $name``."""


def _factor(match: re.Match[str]) -> float:
    size = 1.0 if match["factor"] is None else float(match["factor"])
    return -size if match["sign"] == "-" else size


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


def lengths(values: Sequence[str], place: Place) -> tuple[float, ...]:
    """Several lengths in m, each with its place."""
    return tuple(with_place(place / i, parse, value, "m") for i, value in enumerate(values))


def with_place(place: Place, function: Any, *arguments: Any) -> Any:
    """Call a function and give its `ValueError` the place in the file."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise place.error(str(error)) from error
