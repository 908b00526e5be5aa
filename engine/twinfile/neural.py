"""The neural terms of a twin file."""

import math
import re
from collections.abc import Mapping
from typing import Any

from gemel.engine.coefficients import Input, Law
from gemel.engine.neural import NeuralTerm
from gemel.engine.priors import QUANTILE_95
from gemel.engine.twinfile.errors import Place
from gemel.engine.twinfile.numbers import Numbers, with_place
from gemel.engine.twinfile.schema import Document, HeatTable, NetworkTable, NeuralTable
from gemel.engine.twinfile.tables import Number
from gemel.engine.units import parse, parse_difference, unit_of

_AXES = {"x": 0, "y": 1, "z": 2}


class Coefficients:
    """Reads what may depend on the state: all that ``numbers`` reads, and ``"$name"`` of a table ``[neural.name]``.

    ``dim`` is that of the mesh, where there is one.
    """

    def __init__(self, document: Document, numbers: Numbers, dim: int, place: Place) -> None:
        self.numbers, self._tables, self._place = numbers, document.neural, place
        self._states = _states(document, dim)

    def read(self, value: Number, unit: str, place: Place) -> Any:
        """A float in SI, a `Parameter`, an `Input` or a `Law`, with the dimension of ``unit``."""
        match = _NAME.match(value) if isinstance(value, str) else None
        if match is None or match["name"] not in self._tables:
            return self.numbers.read(value, unit, place)
        return self._law(match["name"], self._tables[match["name"]], unit)

    def optional(self, value: Number | None, unit: str, place: Place) -> Any:
        """As `read`; None stays None."""
        return None if value is None else self.read(value, unit, place)

    def _law(self, name: str, table: NeuralTable, unit: str) -> Law:
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
        units = [unit_of(span[0]) for span in table.inputs.values()]
        return term.law(*(self._source(each) for each in table.inputs), units=units, unit=unit, **{kind: middle})

    def _ends(self, name: str, span: list[str | float], place: Place) -> tuple[float, float]:
        """The least and the greatest value of an input, in SI."""
        units = {**{key: table.unit for key, table in self.numbers.inputs.items()}, **self._states}
        if name not in units:
            raise place.error(f"'{name}' is no input of a neural term: there are {', '.join(units)}.")
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
    if isinstance(document.model, HeatTable):
        return {"temperature": "K", **dict.fromkeys(list(_AXES)[:dim], "m")}
    return {}


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


_NAME = re.compile(r"^\s*\$(?P<name>\w+)\s*$")
