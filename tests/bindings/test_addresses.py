"""Who may reach a server: this machine, and others with TLS alone."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from gemel.bindings.addresses import AddressError, ServerTls, check_listen
from gemel.bindings.client import Client, ClientTls, ServiceError
from gemel.bindings.server import ServerSettings, serve


@pytest.mark.parametrize(
    ("address", "bound"),
    [
        ("unix:/run/gemel.sock", "unix:/run/gemel.sock"),
        ("unix:///run/gemel.sock", "unix:/run/gemel.sock"),
        ("unix:gemel.sock", "unix:gemel.sock"),
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("127.8.9.1:0", "127.8.9.1:0"),
        ("localhost:1", "localhost:1"),
        ("[::1]:50051", "[::1]:50051"),
    ],
)
def test_this_machine_may_call(address: str, bound: str) -> None:
    assert check_listen(address, tls=False) == bound


@pytest.mark.parametrize(
    "address", ["0.0.0.0:50051", "[::]:50051", "192.168.1.4:1", "example.org:50051", "[2001:db8::1]:5", "1:5"]
)
def test_other_machines_need_tls(address: str) -> None:
    with pytest.raises(AddressError, match=r"can be reached from other machines: give --tls-cert and --tls-key"):
        check_listen(address, tls=False)
    assert check_listen(address, tls=True) == address


@pytest.mark.parametrize("address", ["", "localhost", ":50051", "127.0.0.1:x", "127.0.0.1:70000", "::1:5", "unix:"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(AddressError, match=r"no address|cannot be a Unix socket"):
        check_listen(address, tls=True)


def test_a_long_socket_path_is_told() -> None:
    with pytest.raises(AddressError, match="choose another with --listen"):
        check_listen("unix:/" + "x" * 120, tls=False)


@given(st.text())
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    with contextlib.suppress(AddressError):
        bound = check_listen(text, tls=False)
        assert check_listen(bound, tls=False) == bound


def test_a_server_refuses_before_it_makes_a_store(tmp_path: Path) -> None:
    settings = ServerSettings(tmp_path / "store", "0.0.0.0:0")
    with pytest.raises(AddressError, match="can be reached from other machines"):
        asyncio.run(serve(settings, print))
    assert not (tmp_path / "store").exists()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed server certificate, and an authority with a client certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is missing")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    alternatives = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    openssl(*new, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=localhost", "-addext", alternatives)
    openssl(*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(*request, "-keyout", "client.key", "-out", "client.csr", "-subj", "/CN=client")
    openssl(
        *("x509", "-req", "-in", "client.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-out", "client.pem", "-days", "2"),
    )
    return folder


def test_tls_lets_in_who_is_known(launch: Callable[..., Any], certificates: Path) -> None:
    pem = {name: str(certificates / name) for name in ("server.pem", "server.key", "ca.pem")}
    server = launch(
        *("tls", "--listen", "0.0.0.0:0", "--tls-cert", pem["server.pem"], "--tls-key", pem["server.key"]),
        *("--tls-client-ca", pem["ca.pem"]),
    )
    address = "localhost:" + server.address.rpartition(":")[2]
    authority = (certificates / "server.pem").read_bytes()
    known = ClientTls(authority, (certificates / "client.pem").read_bytes(), (certificates / "client.key").read_bytes())
    with Client(address, known, timeout=30) as client:
        assert client.twins() == []
    for stranger in (None, ClientTls(authority)):
        with Client(address, stranger, timeout=5) as client, pytest.raises(ServiceError):
            client.twins()
    assert server.terminate() == 0


def test_half_a_certificate_is_refused() -> None:
    from gemel.bindings.commands.serve import ServeOptions, run

    with pytest.raises(AddressError, match="belong together"):
        run(ServeOptions(Path("store"), None, Path("cert.pem"), None, None, 64))
    with pytest.raises(AddressError, match="needs --tls-cert"):
        run(ServeOptions(Path("store"), None, None, None, Path("ca.pem"), 64))
    with pytest.raises(AddressError, match="cannot be read"):
        run(ServeOptions(Path("store"), None, Path("/nowhere"), Path("/nowhere"), None, 64))
    assert ServerTls(b"", b"").client_authority is None
