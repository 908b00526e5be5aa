"""What applications (command line, worker, demo) set, and the library never does."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's folder for what can be made again: ``$XDG_CACHE_HOME/gemel`` or ``~/.cache/gemel``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "gemel"


def configure_jax() -> None:
    """Double precision, and compiled programs kept between runs."""
    import jax

    jax.config.update("jax_enable_x64", True)
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written costs time alone
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
