"""Double precision: the library never switches it on, and says so where it is missing."""

import jax


def require_double(what: str) -> None:
    """Raise `RuntimeError` in one sentence where jax computes in single precision."""
    if not jax.config.read("jax_enable_x64"):
        raise RuntimeError(
            f"{what} needs double precision: call jax.config.update('jax_enable_x64', True) before anything else."
        )
