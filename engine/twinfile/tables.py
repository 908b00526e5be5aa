"""What all tables of a twin file are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Table(BaseModel):
    """A table of a twin file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class InputValue(Table):
    """A number that follows an input: ``{ input = "heater", gain = "$alpha", offset = "0 W" }``.

    A list of inputs stands for their product.
    """

    input: str | Annotated[list[str], Field(min_length=1)]
    gain: str | float = 1.0
    offset: str | float | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Their names."""
        return (self.input,) if isinstance(self.input, str) else tuple(self.input)


Number = str | float | InputValue
"""A quantity with its unit, a bare number where there is no unit, ``"$name"`` for a parameter, or an input."""
