"""The options of a fit: kept with its checkpoint, taken where they are not given again, named where they differ."""

from pathlib import Path

import numpy as np
from hypothesis import given, strategies as st

from gemel.bindings.fitchoices import FitChoices
from gemel.engine.store.checkpoints import note_of

TEXTS = st.none() | st.text(min_size=1)
FILES = st.none() | st.sampled_from(["log.csv", "a b.csv", "../c.csv"]).map(Path)
STARTS = st.none() | st.lists(st.floats(allow_nan=False), min_size=1).map(tuple)
CHOICES = st.builds(
    FitChoices, FILES, TEXTS, st.lists(st.text(min_size=1)).map(tuple), st.none() | st.integers(1, 99), STARTS, FILES
)


@given(CHOICES, CHOICES)
def test_choices_are_kept_and_completed(asked: FitChoices, before: FitChoices) -> None:
    kept = FitChoices.load(before.dump())
    assert kept.against(before) == before.against(kept) == ""
    assert kept.start == before.start
    full = asked.completed(kept)
    assert FitChoices().completed(full).against(full) == ""
    assert set(full.words()) == {*asked.words(), *before.words()}
    assert len(asked.added(kept)) == len(full.words()) - len(asked.words())


def test_what_differs_is_named_with_what_it_was() -> None:
    before = FitChoices(Path("log.csv"), "1 h", ("T1", "T2"), start=(0.5, -1.0), origin=Path("belief.json"))
    assert FitChoices(Path("./log.csv"), "1 h", ("T2", "T1")).completed(before).against(before) == ""
    assert FitChoices(until="2 h", max_steps=3).against(before) == (
        "with --until '1 h' and without --max-steps, not with --until '2 h' and --max-steps 3"
    )
    other = FitChoices(sensors=("T1",), start=(0.5, 0.0), origin=Path("other.json"))
    assert other.against(before) == (
        "with --sensor T1 --sensor T2 and with --from belief.json, not with --sensor T1 and --from other.json"
    )


def test_a_checkpoint_of_an_earlier_version_has_no_note(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert note_of(path) == ""
    np.savez(path, mark=np.asarray("m"), costs=np.zeros(1))
    assert FitChoices.load(note_of(path)) == FitChoices()
