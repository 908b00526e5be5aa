"""The verdict on a fit, as messages of the wire."""

import dataclasses
from typing import Any

from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2
from gemel.engine import Judgement, Score

_VERDICTS: dict[Any, Any] = {
    "usable": calibration_pb2.VERDICT_USABLE,
    "usable with care": calibration_pb2.VERDICT_USABLE_WITH_CARE,
    "not determined": calibration_pb2.VERDICT_NOT_DETERMINED,
    "not usable": calibration_pb2.VERDICT_NOT_USABLE,
}
_PARTS: dict[Any, Any] = {
    "fitted": calibration_pb2.SCORE_PART_FITTED,
    "held out": calibration_pb2.SCORE_PART_HELD_OUT,
    "another record": calibration_pb2.SCORE_PART_ANOTHER_RECORD,
}
_PART_NAMES = {part: name for name, part in _PARTS.items()}
_SAME = [field.name for field in dataclasses.fields(Score) if field.name not in ("part", "naive")]
"""The fields of a score that are called and written alike in its message."""


def judgement_message(judgement: Judgement) -> calibration_pb2.Judgement:
    """A verdict with its sentences, so that a client need not make them."""
    return calibration_pb2.Judgement(
        verdict=_VERDICTS[judgement.verdict],
        words=judgement.verdict,
        meaning=judgement.meaning,
        against=judgement.against,
        in_favour=judgement.in_favour,
        open=judgement.open,
        scores=[
            calibration_pb2.Score(
                part=_PARTS[score.part], naive=score.naive, **{name: getattr(score, name) for name in _SAME}
            )
            for score in judgement.scores
        ],
    )


def judgement_from(message: calibration_pb2.Judgement) -> Judgement:
    """The verdict that a message holds."""
    scores = tuple(
        Score(part=_PART_NAMES[score.part], naive=dict(score.naive), **{name: getattr(score, name) for name in _SAME})
        for score in message.scores
    )
    words: Any = message.words
    return Judgement(words, tuple(message.against), tuple(message.in_favour), scores, tuple(message.open))
