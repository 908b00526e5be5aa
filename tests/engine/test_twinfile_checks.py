"""Twin files with parts that nobody would write: what is wrong is told in sentences, as building the twin tells it."""

import copy
import json
import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies as st

from gemel.engine.twinfile import TwinFile, TwinFileError

ROOT = Path(__file__).parents[2]
FILES = [
    *(ROOT / "examples" / name / "twin.toml" for name in ("cantilever", "cell", "gpu", "house")),
    *(ROOT / "tests" / "bindings" / name / "twin.toml" for name in ("plate", "body", "bar")),
]
ODD: list[Any] = ["", "$", "$x", "-$k", "0.5 * $E", "$k * $h", "nan", "-1 K", "3", "all", "1 parsec", "5 degC", "1/0 m"]
ODD += ["\n", "é", 0, -1, 3, 1e308, math.nan, math.inf, True, [], {}, [1, 2], ["1 m", "2 m"], {"input": []}]
ODD += [{"input": "current", "gain": "$k"}, None]


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path in a document."""
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield (*path, key)
            yield from places(tree[key], (*path, key))


def test_candidates_are_checked_as_sensors_are(every_mistake: Callable[[str, Path], list[str]]):
    """And never become sensors of the twin."""
    file = ROOT / "tests" / "bindings" / "plate" / "twin.toml"
    table = '[candidates.{}]\nkind = "point"\nposition = ["1 mm", "1 mm"]\nunit = "{}"\nnoise = "{}"\n[data]\n'
    text = file.read_text()

    def listed(name: str, unit: str, noise: str, more: str = "") -> list[str]:
        return every_mistake(text.replace("[data]\n", more + table.format(name, unit, noise)), file.parent)

    assert listed("T3", "degC", "0.1 K") == []
    fine = TwinFile.parse(text.replace("[data]\n", table.format("T3", "degC", "0.1 K")), file.parent)
    assert [sensor.name for sensor in fine.build().sensors] == ["T1", "T2"]
    assert {name: one[0].position for name, one in fine.candidates(fine.build()).items()} == {"T3": (0.001, 0.001)}  # type: ignore[attr-defined]
    assert "candidates.T1: a mounted sensor is called 'T1'" in listed("T1", "degC", "0.1 K")[0]
    assert "candidates.T3.unit: this sensor reads a quantity in K, not in 'V'" in listed("T3", "V", "0.1 V")[0]
    more = '[parameters.s]\nmedian = "0.1 K"\nfactor = 2\n'
    assert "parameter 's' stands in [candidates] alone" in listed("T3", "degC", "$s", more)[0]


def toml(value: Any) -> str:
    """A value as TOML writes it within a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def refusal(call: Callable[[], Any]) -> str:
    """What a call is refused with, "" where it is not."""
    try:
        call()
    except TwinFileError as error:
        return str(error)
    return ""


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(ODD), st.booleans())
def test_an_odd_document_is_refused_in_sentences(file: Path, place: int, kind: int, odd: Any, alike: bool):
    """What building a network or a circuit says first is among the mistakes; what has none is built."""
    tree = tomllib.loads(file.read_text())
    every = list(places(tree))
    *path, key = every[place % len(every)]
    node = tree
    for step in path:
        node = node[step]
    same = [one for one in ODD if type(one) is type(node[key])]
    odd = same[kind % len(same)] if alike and same else odd
    if odd is None:
        del node[key]
    else:
        node[key] = copy.deepcopy(odd)
    text = "\n".join(f"{json.dumps(name)} = {toml(value)}" for name, value in tree.items())
    read, mistakes, twin = TwinFile.examine(text, file.parent)
    assert not any("\n" in sentence for sentence in mistakes.found)
    if told := refusal(lambda: TwinFile.parse(text, file.parent)):
        assert told in mistakes.found
        assert twin is None
        return
    document = TwinFile.parse(text, file.parent)
    assert read is not None
    assert repr(read.document) == repr(document.document)
    if document.document.mesh is None:
        assert refusal(document.build) in ["", *mistakes.found]
        assert (twin is None) == bool(mistakes.found)
