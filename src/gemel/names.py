"""What is said where a name is not known: which there are, and which one was probably meant."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_NEAR = 0.65
"""How much alike two names are, between 0 and 1, of which one may be the other with a slip."""

_MOST = 200
"""How many names are listed."""


def nearest(name: str, known: Iterable[str], least: float = _NEAR) -> str | None:
    """The known name that looks most like ``name``, whatever the case of its letters; None where none is alike by
    ``least``, between 0 and 1.
    """
    every = list(known)
    near = get_close_matches(name.lower(), [one.lower() for one in every], 1, least)
    alike = [one for one in every if near and one.lower() == near[0]]
    return max(alike, key=lambda one: SequenceMatcher(None, name, one).ratio(), default=None)


def listed(name: str, known: Iterable[str], otherwise: str = "none", most: int = _MOST) -> str:
    """The end of a sentence that refuses ``name``: the names that there are, and the nearest, as in "h, k. Did you mean
    'k'?".

    Args:
        name: what was given.
        known: what there is.
        otherwise: what is said where there is nothing.
        most: how many names are listed.
    """
    every = list(known)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return f"{', '.join(every[:most]) or otherwise}{rest}.{meant(name, every)}"


def meant(name: str, known: Iterable[str], least: float = _NEAR) -> str:
    """The question " Did you mean 'k'?", with a space before it; "" where `nearest` finds none."""
    near = nearest(name, known, least)
    return "" if near is None else f" Did you mean '{near}'?"
