"""What was asked for of a fit beside its twin file: kept with its checkpoint, and known again when it goes on."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FitChoices:
    """The options that decide what is fitted, as typed; None, or no sensors, for what the twin file decides.

    ``start`` holds the standardised parameters at which the fit begins, those of the file ``origin``.
    """

    data: Path | None = None
    until: str | None = None
    sensors: tuple[str, ...] = ()
    max_steps: int | None = None
    start: tuple[float, ...] | None = None
    origin: Path | None = None

    def completed(self, before: "FitChoices") -> "FitChoices":
        """These, with those of the fit ``before`` in place of what was not given again."""
        full = replace(
            self,
            data=self.data or before.data,
            until=self.until or before.until,
            sensors=self.sensors or before.sensors,
            max_steps=self.max_steps or before.max_steps,
        )
        return full if self.start is not None else replace(full, start=before.start, origin=before.origin)

    def words(self) -> dict[str, str]:
        """The options that were given, as they are typed, by their names."""
        found = {
            "--data": () if self.data is None else (str(self.data),),
            "--until": () if self.until is None else (self.until,),
            "--sensor": self.sensors,
            "--max-steps": () if self.max_steps is None else (str(self.max_steps),),
            "--from": () if self.start is None else (str(self.origin),),
        }
        return {
            option: " ".join(f"{option} {shlex.quote(value)}" for value in values)
            for option, values in found.items()
            if values
        }

    def added(self, before: "FitChoices") -> list[str]:
        """The options of the fit ``before`` that were not given again, as they are typed."""
        given = self.words()
        return [words for option, words in before.words().items() if option not in given]

    def against(self, before: "FitChoices") -> str:
        """Which options the fit ``before`` was made with, or without, and which these say; "" where none differs."""
        mine, theirs = self.words(), before.words()
        same = {
            "--data": _absolute(self.data) == _absolute(before.data),
            "--until": self.until == before.until,
            "--sensor": set(self.sensors) == set(before.sensors),
            "--max-steps": self.max_steps == before.max_steps,
            "--from": self.start == before.start,
        }
        other = [option for option in mine if not same[option]]
        if not other:
            return ""
        had = " and ".join(f"with {theirs[one]}" if one in theirs else f"without {one}" for one in other)
        return f"{had}, not with {' and '.join(mine[one] for one in other)}"

    def dump(self) -> str:
        """A text from which `load` makes these again, from any folder."""
        values: dict[str, Any] = {
            "data": None if self.data is None else str(_absolute(self.data)),
            "until": self.until,
            "sensors": list(self.sensors),
            "max_steps": self.max_steps,
            "start": None if self.start is None else list(self.start),
            "origin": None if self.origin is None else str(_absolute(self.origin)),
        }
        return json.dumps({key: value for key, value in values.items() if value})

    @staticmethod
    def load(text: str) -> "FitChoices":
        """The choices in a text; none in an empty one, as earlier versions have left it."""
        kept: Mapping[str, Any] = json.loads(text or "{}")
        data, origin, start = kept.get("data"), kept.get("origin"), kept.get("start")
        return FitChoices(
            None if data is None else Path(data),
            kept.get("until"),
            tuple(kept.get("sensors", ())),
            kept.get("max_steps"),
            None if start is None else tuple(start),
            None if origin is None else Path(origin),
        )


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()
