"""Where a server listens and a client calls, and what may be open to whom."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import grpc

_LONGEST_SOCKET_PATH = 100


class AddressError(ValueError):
    """An address cannot be used; the message says why and what can."""


@dataclass(frozen=True)
class ServerTls:
    """Certificate and key of a server (PEM); the authority whose client certificates it demands, if any."""

    certificate: bytes
    key: bytes
    client_authority: bytes | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC needs."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)],
            root_certificates=self.client_authority,
            require_client_auth=self.client_authority is not None,
        )


def default_address(store: Path) -> str:
    """A Unix socket in the store, which its owner alone may open."""
    return f"unix:{store.resolve() / 'gemel.sock'}"


def check_listen(address: str, tls: bool) -> str:
    """The address as gRPC takes it.

    Args:
        address: ``unix:path``, ``host:port`` or ``[host]:port``.
        tls: whether the server has a certificate.

    Raises:
        AddressError: for what is no address, and for one that other machines reach without TLS.
    """
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").removeprefix("//")
        if not path or len(path.encode()) > _LONGEST_SOCKET_PATH:
            raise AddressError(
                f"'{address}' cannot be a Unix socket: its path must have 1 to {_LONGEST_SOCKET_PATH} bytes; "
                "choose another with --listen, such as '127.0.0.1:50051'."
            )
        return f"unix:{path}"
    host, port = _host_and_port(address)
    if not (tls or _is_loopback(host)):
        raise AddressError(
            f"'{address}' can be reached from other machines: give --tls-cert and --tls-key, "
            f"or listen on '127.0.0.1:{port}' or a Unix socket."
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host_and_port(address: str) -> tuple[str, int]:
    host, separator, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    if not separator or not bare or not port.isdecimal() or int(port) > 65535 or (":" in bare and not bracketed):
        raise AddressError(
            f"'{address}' is no address: write 'unix:path', 'host:port' or '[host]:port', port up to 65535."
        )
    return bare, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
