"""The belief that a command takes for the twin, and what was said against the fit that it is of."""

from dataclasses import dataclass
from pathlib import Path

from gemel.bindings.commands import common
from gemel.engine import Twin
from gemel.engine.extrapolation import Ranges
from gemel.engine.results import FitRecord, load_beliefs


@dataclass(frozen=True)
class Believed:
    """A twin with what is believed of it.

    Attributes:
        twin: with the belief.
        words: which belief was taken.
        ranges: those of the inputs of neural terms that stand beside it.
        fit: how the fit that it is of was judged; None for the prior, and where nothing is known.
    """

    twin: Twin
    words: str
    ranges: Ranges
    fit: FitRecord | None = None

    @property
    def verdict(self) -> str:
        """That on the fit; "" where there is none, or nothing is known of it."""
        return "" if self.fit is None else self.fit.verdict

    def doubts(self) -> list[str]:
        """A sentence on the verdict, and what spoke against the fit; none where nothing did."""
        if self.fit is None or not self.fit.against:
            return []
        return [f"Its fit was judged '{self.fit.verdict}':", *(f"- {reason}" for reason in self.fit.against)]

    def show(self) -> None:
        """Print which belief was taken, and the doubts."""
        common.console.print(f"Belief: {self.words}", soft_wrap=True, markup=False)
        common.say(self.doubts(), "yellow")


def believed(twin: Twin, path: Path | None, default: Path, experiment: str | None) -> Believed:
    """The twin with the belief at ``path``, or at ``default`` where there is one, in an experiment where it has one
    of it.
    """
    chosen = path or (default if default.is_file() else None)
    if chosen is None:
        return Believed(twin, "the prior (no calibration found)", {})
    beliefs, ranges, record = load_beliefs(chosen, twin.belief)
    belief, words = beliefs[""], str(chosen)
    if experiment in beliefs:
        belief, words = beliefs[experiment], f"{chosen}, in the experiment {experiment}"
    elif len(beliefs) > 1:
        words = f"{chosen}, of an experiment to come"
    return Believed(twin.with_belief(belief.mean, belief.covariance), words, ranges, record)
