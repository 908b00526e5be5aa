"""Commands that take long: what they tell where there is no terminal to draw on, and that they can be stopped."""

import time
from threading import Event
from typing import Any

import pytest

from gemel.bindings.commands import certainty, telling


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


def test_what_is_interrupted_ends_before_the_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the interrupt nothing is stopped; then the work is, and is waited for."""
    stop, ended, waits = Event(), [], certainty.wait

    def interrupted(futures: Any, timeout: float | None = None) -> Any:
        if not stop.is_set():
            raise KeyboardInterrupt
        return waits(futures, timeout)

    def work() -> Any:
        assert stop.wait(30.0)
        ended.append(True)
        raise RuntimeError("ended by a callback")

    with monkeypatch.context() as patched:
        patched.setattr(certainty, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            certainty._interruptible(work, stop)
    assert ended == [True]
    with pytest.raises(RuntimeError, match="ended by a callback"):
        certainty._interruptible(work, stop)
    whole: Any = object()
    assert certainty._interruptible(lambda: whole, Event()) is whole
