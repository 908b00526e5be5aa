"""One server for all tests of the service, and small twins for it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gemel
from gemel.bindings.application import configure_jax
from gemel.bindings.client import Client

HERE = Path(__file__).parent


class Server:
    """A server process over a store; it may be killed and started again."""

    def __init__(self, store: Path, *arguments: str) -> None:
        self.store = store
        self.log = store.with_suffix(".log")
        self._arguments = arguments
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "gemel.bindings.cli", "serve", "--store", str(self.store)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._arguments], stdout=subprocess.PIPE, stderr=log, text=True, env=environment()
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Gemel listens on "), self.log.read_text()
        self.address = line.removeprefix("Gemel listens on ").strip()

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        code = self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def environment() -> dict[str, str]:
    source = str(Path(gemel.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    return {"JAX_PLATFORMS": "cpu", **os.environ, "PYTHONPATH": path, "COLUMNS": "120"}


@pytest.fixture(scope="session")
def run_environment() -> dict[str, str]:
    return environment()


@pytest.fixture(scope="session", autouse=True)
def compiled_programs_are_kept() -> None:
    configure_jax()


@pytest.fixture(scope="session")
def plate() -> Path:
    """A transient twin with two sensors, one input and a record."""
    return HERE / "plate" / "twin.toml"


@pytest.fixture(scope="session")
def body() -> Path:
    """A twin of one node with records of two experiments."""
    return HERE / "body" / "twin.toml"


@pytest.fixture(scope="session")
def bar() -> Path:
    """A steady twin whose calibration takes 400 short steps."""
    return HERE / "bar" / "twin.toml"


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="gemel-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def launch(short_folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server over a store of a given name, with further arguments of ``gemel serve``."""
    servers: list[Server] = []

    def start(name: str, *arguments: str) -> Server:
        servers.append(Server(short_folder / name, *arguments))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.terminate()


@pytest.fixture(scope="session")
def server(launch: Callable[..., Server]) -> Server:
    """The server that most tests share, on the Unix socket in its store."""
    return launch("shared")


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, timeout=300) as client:
        yield client
