"""The connection of a client: calls with the server's sentences as exceptions, and twins built here."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from gemel.bindings import convert
from gemel.bindings.messages import RunAssembly
from gemel.bindings.proto.generated.gemel.v1 import (
    calibration_pb2_grpc,
    simulation_pb2_grpc,
    twin_pb2,
    twin_pb2_grpc,
)
from gemel.engine import Twin
from gemel.engine.store import check_attachment_name, document_name
from gemel.engine.twinfile import TwinFile

_LIMIT = 256 << 20
_OF_THE_CHANNEL = ("connect", "Socket closed", "GOAWAY", "DNS resolution", "Name resolution", "resolving", "handshake")
"""What gRPC itself says where it has not reached a server."""


class ServiceError(RuntimeError):
    """The server could not do what was asked; the message is its sentence."""


class UnknownNameError(LookupError):
    """The server has no twin, job or run of that name."""


@dataclass(frozen=True)
class ClientTls:
    """The authority that signed the server's certificate; the client's own certificate, if any (PEM)."""

    authority: bytes
    certificate: bytes | None = None
    key: bytes | None = None


class Connection:
    """A channel with the stubs of all services; ``timeout`` in s bounds every call, None bounds none."""

    def __init__(self, address: str, tls: ClientTls | None, timeout: float | None) -> None:
        options = [("grpc.max_receive_message_length", _LIMIT), ("grpc.max_send_message_length", _LIMIT)]
        if tls is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            secret = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
            self._channel = grpc.secure_channel(address, secret, options)
        self._address, self._timeout = address, timeout
        self._built: dict[tuple[str, int], Twin] = {}
        self.twins = twin_pb2_grpc.TwinServiceStub(self._channel)
        self.simulations = simulation_pb2_grpc.SimulationServiceStub(self._channel)
        self.calibrations = calibration_pb2_grpc.CalibrationServiceStub(self._channel)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        """The answer to a request."""
        with self._errors():
            return method(request, timeout=self._timeout)

    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Any]:
        """The answers to a request, one after another."""
        with self._errors():
            yield from method(request, timeout=self._timeout)

    def assemble(self, method: Callable[..., Any], request: Any, part: Callable[[Any], Any]) -> RunAssembly:
        """The run whose pieces ``part`` takes out of the answers."""
        run = RunAssembly()
        for answer in self.stream(method, request):
            run.add(part(answer))
        return run

    def build(self, twin: twin_pb2.Twin) -> Twin:
        """The library's object for a revision of a twin, built here from its document, once."""
        key = (twin.name, twin.revision)
        if key not in self._built:
            with tempfile.TemporaryDirectory(prefix="gemel-") as folder:
                for attachment in twin.attachments:
                    path = Path(folder) / attachment.name
                    check_attachment_name(attachment.name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(self._attachment(twin, attachment.name))
                built = TwinFile.parse(twin.document, Path(folder), document_name(twin.source)).build()
            if twin.job_id:
                belief = convert.belief_from(twin.belief, built.belief)
                built = built.with_belief(belief.mean, belief.covariance)
            self._built[key] = built
        return self._built[key]

    def _attachment(self, twin: twin_pb2.Twin, name: str) -> bytes:
        request = twin_pb2.ReadAttachmentRequest(name=twin.name, revision=twin.revision, attachment=name)
        return b"".join(answer.data for answer in self.stream(self.twins.ReadAttachment, request))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the statuses of gRPC into exceptions with the server's sentence."""
        try:
            yield
        except grpc.RpcError as error:
            code, sentence = error.code(), error.details() or ""
            if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise ValueError(sentence) from error
            if code is grpc.StatusCode.NOT_FOUND:
                raise UnknownNameError(sentence) from error
            if code is grpc.StatusCode.DEADLINE_EXCEEDED and self._timeout is not None:
                raise ServiceError(f"The server at {self._address} took longer than {self._timeout:g} s.") from error
            if code is grpc.StatusCode.UNAVAILABLE and not self._reached(error):
                raise ServiceError(
                    f"No server answers at {self._address}: 'gemel serve' starts one, and names where it listens."
                ) from error
            raise ServiceError(f"{code.name}: {sentence}") from error

    @staticmethod
    def _reached(error: Any) -> bool:
        """Whether an error comes from a server, which ends each of its calls with a sentence of its own."""
        return not any(words in (error.details() or "") for words in _OF_THE_CHANNEL)
