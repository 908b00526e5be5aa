"""Units at the edge: text with units becomes numbers in SI, numbers in SI become text."""

import functools
import re
from typing import Any

import numpy as np
import pint

from gemel.names import meant

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)\b)", re.IGNORECASE)

_NEAR = 0.75
"""How much alike a unit and what is written must be for it to be proposed: symbols are short."""

_SYMBOLS = "m s g K N Pa J W V A ohm F C T Hz bar mol L Wh rad"
_WORDS = (
    "degC min h d sec hour minute day second meter millimeter centimeter kilometer gram kilogram celsius kelvin newton "
    "pascal joule watt volt ampere farad hertz liter radian deg degree percent dimensionless psi ft inch lb degF rpm"
)
_USUAL = (
    *_SYMBOLS.split(),
    *_WORDS.split(),
    *(prefix + symbol for prefix in "kMGmµnc" for symbol in _SYMBOLS.split()),
)
"""Units that people write: one of them is proposed for a slip."""

_POINTS = ("degree_Celsius", "degree_Fahrenheit", "degree_Reaumur")
"""Units with a zero of their own: a number in one is a point, whose differences have a unit of their own."""


@functools.cache
def registry() -> Any:
    """The registry of units; temperatures with an offset (degC) convert as points, not as differences."""
    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


class UnitError(ValueError):
    """A quantity whose unit is missing, unknown, or of the wrong dimension."""


def parse(text: str | float | int, unit: str) -> float:
    """The SI value of a quantity such as ``"45 W/m/K"`` that must have the dimension of ``unit``.

    A bare number is accepted where ``unit`` is dimensionless. Temperatures with an offset are points alone, as in
    "20 degC"; in "0.5 W/degC" they are differences. Raises `UnitError` in one sentence.
    """
    magnitude, given = _read(text, unit)
    return float(to_si(magnitude, str(given)))


def _read(text: str | float | int, unit: str) -> tuple[float, Any]:
    """The number and the unit of a quantity that must have the dimension of ``unit``. Raises `UnitError`."""
    wanted = _unit(unit)
    magnitude, given = _taken_apart(text, unit)
    if not np.isfinite(magnitude):
        raise UnitError(f"'{text}' is not a finite number.")
    if not given._units and not wanted.dimensionless:
        raise UnitError(f"'{text}' has no unit: write a number with a unit such as '{magnitude:g} {unit}'.")
    if given.dimensionality != wanted.dimensionality or {_turns(given), _turns(wanted)} == {"cycles", "angles"}:
        needed = f"a quantity in {unit}" if unit else "a number without a unit"
        raise UnitError(f"'{text}' has the wrong unit: {needed} is needed.")
    return magnitude, given


def _taken_apart(text: str | float | int, like: str) -> tuple[float, Any]:
    """The number and the unit of a text, whatever they are. Raises `UnitError` with one in the unit ``like`` for an
    example.
    """
    if isinstance(text, bool) or not isinstance(text, str | float | int):
        raise UnitError(_not_a_quantity(text, like))
    if not isinstance(text, str):
        return float(text), registry().Unit("")
    number = _NUMBER.match(text)
    if "," in text:
        raise UnitError(f"{_not_a_quantity(text, like)[:-1]}, with a point and not a comma in the number.")
    if number is None:
        raise UnitError(_not_a_quantity(text, like))
    rest = text[number.end() :].strip()
    try:
        if not re.search(r"[^\W\d_]|[%°]", rest):  # arithmetic, such as 1/3
            return float(registry().Quantity(text).magnitude), registry().Unit("")
        return float(number[1]), registry().Unit(f"1{rest}" if rest.startswith("/") else rest.lstrip("*"))
    except Exception as error:
        raise UnitError(_not_a_quantity(text, like, error)) from error


def _turns(unit: Any) -> str:
    """Whether a unit counts "cycles", as Hz, or "angles", as rpm and rad/s, between which lies a factor of 2π."""
    if "hertz" in unit._units:
        return "cycles"
    return "angles" if "radian" in registry().Quantity(1.0, unit).to_base_units().units._units else ""


def unit_of(text: str | float | int, like: str = "W/m/K") -> str:
    """The unit of a quantity as it is written, "" where it has none.

    Raises `UnitError` for what is no quantity, with one in the unit ``like`` for an example.
    """
    _, unit = _taken_apart(text, like)
    number = _NUMBER.match(str(text))
    written = str(text)[number.end() :].strip() if number else ""
    try:
        return written if _unit(written) == unit else f"{unit:~P}"
    except UnitError:
        return f"{unit:~P}"


def compatible(first: str, second: str) -> bool:
    """True where two units have one dimension."""
    return _unit(first).dimensionality == _unit(second).dimensionality


def parse_difference(text: str | float | int, unit: str) -> float:
    """The SI value of a difference (a standard deviation): as `parse`, but "0.3 degC" means 0.3 K."""
    magnitude, given = _read(text, difference_unit(unit))
    return difference_to_si(magnitude, str(given))


def to_si(values: Any, unit: str) -> Any:
    """Numbers in ``unit`` as numbers in SI base units."""
    values = np.asarray(values, dtype=float)
    return registry().Quantity(values, _unit(unit)).to_base_units().magnitude


def from_si(values: Any, unit: str) -> Any:
    """Numbers in SI base units as numbers in ``unit``."""
    wanted = _unit(unit)
    base = registry().Quantity(np.asarray(1.0), wanted).to_base_units().units
    return registry().Quantity(np.asarray(values, dtype=float), base).to(wanted).magnitude


def difference_to_si(value: float, unit: str) -> float:
    """A difference (a standard deviation) in ``unit`` in SI: 1 degC is 1 K here."""
    point = str(_unit(unit))
    return float(to_si(value, f"delta_{point}" if point in _POINTS else unit))


def difference_from_si(values: Any, unit: str) -> Any:
    """Differences in SI as differences in ``unit``."""
    return np.asarray(values, dtype=float) / difference_to_si(1.0, unit)


def difference_in_words(value: float, unit: str, form: str = ".3g") -> str:
    """A difference in SI units as a text in the unit that differences of ``unit`` have: "0.5 K"."""
    return f"{difference_from_si(value, unit):{form}} {written(difference_unit(unit))}".rstrip()


def written(unit: str) -> str:
    """A unit as people write it: °C, W/m²/K."""
    return unit.replace("degC", "°C").replace("**", "^").replace("^2", "²").replace("^3", "³")


def difference_unit(unit: str) -> str:
    """The unit of a difference of readings: of temperatures in degrees Celsius, kelvin."""
    return "K" if str(_unit(unit)) == "degree_Celsius" else unit


def quotient(numerator: str, *denominators: str) -> str:
    """The unit of a quotient, written as briefly as can be: "W/K", "1/s", "W/(m^2*K)"."""
    below = [one for one in denominators if one]
    whole = _grouped(numerator) or ("1" if below else "")
    return "/".join([whole, *map(_grouped, below)])


def _grouped(unit: str) -> str:
    return f"({unit})" if re.search(r"[*/ ]", unit) else unit


def check_unit(unit: str) -> None:
    """Raise `UnitError` where ``unit`` is unknown."""
    _unit(unit)


def _not_a_quantity(text: object, unit: str, error: Exception | None = None) -> str:
    """Why a text is no quantity in ``unit``, and what one is."""
    example = f"a number with a unit such as '1 {unit}'" if unit else "a number without a unit, such as '0.5'"
    if isinstance(error, pint.UndefinedUnitError):
        return f"'{text}' has a unit that is not known: write {example}.{_meant(error)}"
    return f"'{text}' is not a quantity: write {example}."


def _unit(unit: str) -> Any:
    try:
        return registry().Unit(unit)
    except Exception as error:
        raise UnitError(f"'{unit}' is not a known unit.{_meant(error)}") from error


def _meant(error: Exception) -> str:
    """Which unit was probably meant, where an error is about one that is not known."""
    names = error.unit_names if isinstance(error, pint.UndefinedUnitError) else ()
    return "".join(map(_proposed, [names] if isinstance(names, str) else map(str, names)))


def _proposed(name: str) -> str:
    """What to write in place of a unit that is not known; of symbols run together, as "m2K", how they are written."""
    if re.search(r"[a-zA-Z]\d", name):
        return " Powers are written as in 'm^2', and products with '*': 'W/(m^2*K)'."
    return meant(name, _USUAL, _NEAR)
