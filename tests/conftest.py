"""Set-up shared by all tests: double precision, run-time shape checks, the folder of measured data."""

import os
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
if jax.config.read("jax_disable_most_optimizations") and jax.__version_info__ < (0, 11):  # later: no such flag
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

# Installed rather than imported with: the process that hands tests out to others then needs no gemel.
install_import_hook(
    [f"gemel.{part}" for part in ("engine", "solvers", "meshes", "loops", "names")], "beartype.beartype"
)


def pytest_configure(config):
    """Programs that a run compiled are there for the next: most of a test's time is their compilation."""
    cache = getattr(config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("programs")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a test with the mark ``fast`` all cases but those it names are slow ones."""
    for item in items:
        mark = item.get_closest_marker("fast")
        if mark is not None and item.callspec.id not in mark.args:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Keep the memory of a long run bounded: what one file compiled is of no use to the next."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def every_mistake():
    """A function that lists the sentences of all mistakes that are found in a twin file without building its model."""
    from gemel.engine.twinfile import TwinFile, TwinFileError

    def listed(text: str, folder: Path | str) -> list[str]:
        try:
            return list(TwinFile.examine(text, folder)[1].found)
        except TwinFileError as error:
            return [str(error), *error.others]

    return listed


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of measured data named by GEMEL_DATA, or skip."""
    folder = os.environ.get("GEMEL_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GEMEL_DATA does not name a folder of measured data")
    return Path(folder)


@pytest.fixture(scope="session")
def mesh_folder(data_folder: Path) -> Path:
    """The folder of meshes beside the measured data, or skip."""
    folder = data_folder.parent / "meshes"
    if not folder.is_dir():
        pytest.skip("no folder 'meshes' beside GEMEL_DATA")
    return folder
