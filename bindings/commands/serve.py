"""``gemel serve``."""

import asyncio
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from gemel.bindings.addresses import AddressError, ServerTls
from gemel.bindings.server import ServerSettings, serve


@dataclass(frozen=True)
class ServeOptions:
    """The options of the command, as typed."""

    store: Path
    listen: str | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    max_message_mib: int


def run(options: ServeOptions) -> None:
    """Serve until told to stop. Raises `ValueError` for an address, certificate or store of no use."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = ServerSettings(options.store, options.listen, _tls(options), max_message=options.max_message_mib << 20)
    asyncio.run(serve(settings, _ready))


def _ready(address: str) -> None:
    sys.stdout.write(f"Gemel listens on {address}\n")
    sys.stdout.flush()


def _tls(options: ServeOptions) -> ServerTls | None:
    if options.tls_cert is None and options.tls_key is None:
        if options.tls_client_ca is not None:
            raise AddressError("--tls-client-ca needs --tls-cert and --tls-key.")
        return None
    if options.tls_cert is None or options.tls_key is None:
        raise AddressError("--tls-cert and --tls-key belong together: give both or none.")
    authority = None if options.tls_client_ca is None else _read(options.tls_client_ca)
    return ServerTls(_read(options.tls_cert), _read(options.tls_key), authority)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AddressError(f"'{path}' cannot be read ({error.strerror}).") from error
