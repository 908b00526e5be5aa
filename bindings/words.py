"""Phrases that the command line and the client share."""

from gemel.engine.datareport import duration


def time_left(seconds: float, most: bool = True) -> str:
    """How long a fit may still take at most or, without ``most``, a work whose length is known: an estimate."""
    return f"{'at most ' if most else ''}about {duration(seconds)} left (an estimate)"
