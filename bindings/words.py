"""Phrases that the command line and the client share."""

from gemel.engine.datareport import duration


def time_left(seconds: float) -> str:
    """How long a fit may still take, as what it is: an estimate."""
    return f"at most about {duration(seconds)} left (an estimate)"
