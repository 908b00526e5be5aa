"""What was found out about a fit beyond its normal posterior: profiles of parameters, and draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from gemel.bindings.draws import draws_figures, draws_remarks, draws_rows, draws_table, plot_draws
from gemel.bindings.profiles import plot_profiles, profile_figures, profile_remarks, profile_rows, profile_table
from gemel.engine import Draws, Fit, LikelihoodProfile
from gemel.engine.certaintyfiles import load_draws, load_profiles, save_draws, save_profiles

_PROFILES, _DRAWS = "profiles.json", "draws.npz"


@dataclass(frozen=True)
class Certainty:
    """Profiles, none where they were not asked for, and draws, None where they were not, with their ``seed``."""

    profiles: Sequence[LikelihoodProfile] = ()
    draws: Draws | None = None
    seed: int = 0

    @staticmethod
    def kept(folder: Path, fit: Fit) -> "Certainty":
        """What `keep` has left in a folder of this very fit."""
        draws, seed = load_draws(folder / _DRAWS, fit) or (None, 0)
        return Certainty(load_profiles(folder / _PROFILES, fit), draws, seed)

    def also(self, more: "Certainty") -> "Certainty":
        """This and what was found since."""
        profiles = {one.name: one for one in (*self.profiles, *more.profiles)}
        latest = self if more.draws is None else more
        return Certainty(tuple(profiles.values()), latest.draws, latest.seed)

    def tables(self, fit: Fit) -> list[tuple[Table, list[str]]]:
        """A table of each kind, and the sentences below it."""
        found = []
        if self.profiles:
            found.append((profile_table(fit, self.profiles), profile_remarks(fit, self.profiles)))
        if self.draws is not None:
            found.append((draws_table(fit, self.draws), draws_remarks(fit, self.draws)))
        return found

    def figures(self, fit: Fit) -> dict[str, Any]:
        """The numbers of each kind."""
        found = {"profiles": profile_figures(self.profiles)} if self.profiles else {}
        return found if self.draws is None else {**found, "draws": draws_figures(fit, self.draws)}

    def keep(self, folder: Path, fit: Fit) -> list[str]:
        """Write pictures and draws to a folder; returns the names of the files."""
        names = []
        if self.profiles:
            save_profiles(folder / _PROFILES, fit, self.profiles)
            plot_profiles(folder / "profiles.png", fit, self.profiles)
            names += [_PROFILES, "profiles.png"]
        if self.draws is not None:
            save_draws(folder / _DRAWS, fit, self.draws, self.seed)
            plot_draws(folder / "draws.png", fit, self.draws)
            names += [_DRAWS, "draws.png"]
        return names

    def sections(self, fit: Fit) -> dict[str, Any]:
        """What a page shows of each kind: rows and sentences."""
        found: dict[str, Any] = {}
        if self.profiles:
            found["profiles"] = {
                "rows": profile_rows(fit, self.profiles),
                "remarks": profile_remarks(fit, self.profiles),
                "picture": "profiles.png",
            }
        if self.draws is not None:
            found["draws"] = {
                "rows": draws_rows(fit, self.draws),
                "remarks": draws_remarks(fit, self.draws),
                "picture": "draws.png",
            }
        return found
