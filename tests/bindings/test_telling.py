"""What commands tell while they work where there is no terminal to draw on."""

import time

import pytest

from gemel.bindings.commands import telling


@pytest.mark.parametrize(("interval", "told"), [(0.0, True), (60.0, False)])
def test_lines_tell_how_far_a_long_work_is(
    interval: float, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telling, "INTERVAL", interval)
    with telling.progress() as bar:
        task = bar.add_task("Sampling", total=3, words="compiling")
        bar.update(task, words="step 1 of 3")
        bar.update(task, advance=1)
    with telling.working("Looking at each sensor …"):
        time.sleep(0.1)
    written = capsys.readouterr().out
    assert (written.count("Sampling: step 1 of 3\n"), written.count("Looking at each sensor …\n")) == (told, told)
