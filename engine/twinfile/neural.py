"""The neural terms of a twin file."""

import math
import re
from collections.abc import Mapping
from typing import Any

from gemel.engine.coefficients import Input, Law, Profile, multiplied
from gemel.engine.neural import NeuralTerm
from gemel.engine.parameters import Multiple
from gemel.engine.priors import QUANTILE_95
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import Numbers, with_place
from gemel.engine.twinfile.schema import CircuitTable, Document, HeatTable, NetworkTable, NeuralTable
from gemel.engine.twinfile.tables import InputValue, Number
from gemel.engine.units import compatible, parse, parse_difference, quotient, unit_of

_AXES = {"x": 0, "y": 1, "z": 2}


class Coefficients:
    """Reads what may follow a law: all that ``numbers`` reads, and ``"$name"`` of a table ``[neural.name]``, also times
    a number, a parameter or inputs.

    ``dim`` is that of the mesh, where there is one.
    """

    def __init__(self, document: Document, numbers: Numbers, dim: int, place: Place) -> None:
        self.numbers, self._tables, self._place = numbers, document.neural, place
        self._states, self._dim = _states(document, dim), dim

    def read(self, value: Number, unit: str, place: Place) -> Any:
        """A float in SI, a `Parameter`, an `Input`, a `Law` or a `Profile`, with the dimension of ``unit``."""
        if self._laws(value.gain if isinstance(value, InputValue) else value):
            return self.numbers.noting(self._product, value, unit, place)
        return self.numbers.read(value, unit, place)

    def _laws(self, value: Any) -> list[str]:
        """The neural terms that a text names, where it is a product of names."""
        match = _PRODUCT.match(value) if isinstance(value, str) else None
        return [name for name in _NAMED.findall(value) if name in self._tables] if match else []

    def _product(self, value: Number, unit: str, place: Place) -> Law | Profile:
        """A neural term, or one times numbers, a parameter and inputs."""
        if isinstance(value, InputValue):
            if value.offset is not None:
                raise (place / "offset").error("an input whose gain is a neural term takes no offset.")
            law = self._product(value.gain, self.numbers.gain_unit(value, unit, place), place / "gain")
            return multiplied(law, Input(value.inputs))
        assert isinstance(value, str)
        (name, *more), names = self._laws(value), _NAMED.findall(value)
        if more or len(names) > 2:
            raise place.error("a product has one neural term and at most one parameter.")
        others = [other for other in names if other != name]
        match = _PRODUCT.match(value)
        assert match is not None
        size = (-1.0 if match["sign"] == "-" else 1.0) * float(match["factor"] or 1.0)
        if not others:
            law = self._law(name, self._tables[name], unit)
            return law if size == 1.0 else multiplied(law, size)
        known = self.numbers.named(others[0], place)
        factor = known if size == 1.0 else Multiple(size, known)
        rest = quotient(unit, known.unit)
        rest = "" if compatible(rest, "") else rest
        return multiplied(self._law(name, self._tables[name], rest), factor)

    def optional(self, value: Number | None, unit: str, place: Place) -> Any:
        """As `read`; None stays None."""
        return None if value is None else self.read(value, unit, place)

    def _law(self, name: str, table: NeuralTable, unit: str) -> Law | Profile:
        here = self._place / "neural" / name
        kind, scale = _kind(table, unit, here)
        middle = self.numbers.read(getattr(table, kind), unit, here / kind)
        if kind == "median" and isinstance(middle, float) and middle <= 0:
            raise (here / kind).error(f"the median of a factor must be positive, not {table.median}.")
        ends = [self._ends(each, span, here / "inputs" / each) for each, span in table.inputs.items()]
        term = with_place(
            here / "inputs",
            lambda: NeuralTerm.between(
                name,
                [low for low, _ in ends],
                [high for _, high in ends],
                scale,
                table.width,
                table.depth,
                table.seed,
                table.description,
                ", ".join(table.inputs),
            ),
        )
        sources: list[Any] = [self._source(each) for each in table.inputs]
        if self._dim and not any(isinstance(each, str) for each in sources):
            return term.profile(*sources, **{kind: middle})
        units = [unit_of(span[0]) for span in table.inputs.values()]
        return term.law(*sources, units=units, unit=unit, **{kind: middle})

    def _ends(self, name: str, span: list[str | float], place: Place) -> tuple[float, float]:
        """The least and the greatest value of an input, in SI."""
        units = {**{key: table.unit for key, table in self.numbers.inputs.items()}, **self._states}
        if name not in units:
            raise place.unknown(f"'{name}' is no input of a neural term: there are", name, units)
        if name in self._states and name in self.numbers.inputs:
            raise place.error(f"'{name}' is of the model and of [inputs.{name}]: give the input another name.")
        if len(span) != 2:
            raise place.error(f"the least and the greatest value are needed, not {len(span)} numbers.")
        low, high = (with_place(place, parse, end, units[name]) for end in span)
        if not low < high:
            raise place.error(f"the least value must be below the greatest, not {span[0]} and {span[1]}.")
        return low, high

    def _source(self, name: str) -> str | int | Input:
        if name in self.numbers.inputs:
            return Input(name)
        return _AXES[name] if self._states.get(name) == "m" else name


def _states(document: Document, dim: int) -> Mapping[str, str]:
    """What a law may depend on besides the inputs of the file: its unit by name."""
    if isinstance(document.model, NetworkTable):
        return dict.fromkeys(document.nodes, "K")
    if isinstance(document.model, CircuitTable):
        heat = {} if document.model.heat is None else {"temperature": "K"}
        return {"state_of_charge": "", **heat}
    axes = dict.fromkeys(list(_AXES)[:dim], "m")
    return {"temperature": "K", **axes} if isinstance(document.model, HeatTable) else axes


def _kind(table: NeuralTable, unit: str, place: Place) -> tuple[str, float]:
    """About which middle the network corrects, and the scale of its output."""
    given = {key for key in ("median", "factor", "mean", "std") if getattr(table, key) is not None}
    if given == {"median", "factor"}:
        assert table.factor is not None
        return "median", math.log(table.factor) / QUANTILE_95
    if given == {"mean", "std"}:
        assert table.std is not None
        std = with_place(place / "std", parse_difference, table.std, unit)
        if not std > 0:
            raise (place / "std").error(f"the standard deviation must be positive, not {table.std}.")
        return "mean", std
    raise place.error(
        "a neural term needs exactly 'median' and 'factor', or 'mean' and 'std', not "
        f"{', '.join(sorted(given)) or 'nothing'}."
    )


_PRODUCT = re.compile(r"^\s*(?P<sign>[+-]?)\s*((?P<factor>[0-9.eE+-]+)\s*\*\s*)?\$\w+(\s*\*\s*\$\w+)*\s*$")
"""``$name``, ``-$name``, ``0.5 * $name`` or ``$one * $other``."""

_NAMED = re.compile(r"\$(\w+)")
