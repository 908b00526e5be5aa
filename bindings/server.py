"""The server: services, jobs, health and reflection over one store."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gemel.bindings.addresses import AddressError, ServerTls, check_listen, default_address
from gemel.bindings.jobs import JobRunner
from gemel.bindings.processes import WorkerProcess
from gemel.bindings.proto.generated.gemel.v1 import (
    calibration_pb2,
    calibration_pb2_grpc,
    simulation_pb2,
    simulation_pb2_grpc,
    twin_pb2,
    twin_pb2_grpc,
)
from gemel.bindings.services import CalibrationService, SimulationService, TwinService
from gemel.engine.store import Store

SERVICES = (
    twin_pb2.DESCRIPTOR.services_by_name["TwinService"].full_name,
    simulation_pb2.DESCRIPTOR.services_by_name["SimulationService"].full_name,
    calibration_pb2.DESCRIPTOR.services_by_name["CalibrationService"].full_name,
)


@dataclass(frozen=True)
class ServerSettings:
    """Where a server keeps things, where it listens, what it takes.

    ``listen`` is None for a Unix socket in the store; ``max_message`` bounds a request in bytes; ``grace`` is
    how long calls may go on after the server was told to stop, in s.
    """

    store: Path
    listen: str | None = None
    tls: ServerTls | None = None
    max_message: int = 64 << 20
    grace: float = 2.0


async def serve(settings: ServerSettings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``on_ready`` is called with the address once calls are answered.

    Raises:
        AddressError: for an address that cannot or must not be listened on.
        StoreError: where another server holds the store.
    """
    listen = check_listen(settings.listen or default_address(settings.store), settings.tls is not None)
    store = Store(settings.store)
    try:
        await _serve(store, settings, listen, on_ready)
    finally:
        store.close()


async def _serve(store: Store, settings: ServerSettings, listen: str, on_ready: Callable[[str], None]) -> None:
    worker, jobs = WorkerProcess(), JobRunner(store)
    await jobs.recover()
    server = _build(store, worker, jobs, settings)
    status = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    address = _bind(server, listen, settings.tls)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await server.start()
    for name in ("", *SERVICES):
        await status.set(name, health_pb2.HealthCheckResponse.SERVING)
    await worker.start()
    runner = asyncio.create_task(jobs.run())
    stop = asyncio.create_task(stopped.wait())
    on_ready(address)
    try:
        await asyncio.wait((runner, stop), return_when=asyncio.FIRST_COMPLETED)
        await status.enter_graceful_shutdown()
        await server.stop(settings.grace)
    finally:
        stop.cancel()
        runner.cancel()
        await worker.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await runner


def _build(store: Store, worker: WorkerProcess, jobs: JobRunner, settings: ServerSettings) -> grpc.aio.Server:
    options = [
        ("grpc.max_receive_message_length", settings.max_message),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options)
    twin_pb2_grpc.add_TwinServiceServicer_to_server(TwinService(store, worker), server)
    simulation_pb2_grpc.add_SimulationServiceServicer_to_server(SimulationService(store, worker), server)
    calibration_pb2_grpc.add_CalibrationServiceServicer_to_server(CalibrationService(store, worker, jobs), server)
    names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


def _bind(server: grpc.aio.Server, listen: str, tls: ServerTls | None) -> str:
    """Bind and return the address with the port that was given for 0."""
    try:
        secure = tls is not None
        port = server.add_secure_port(listen, tls.credentials()) if secure else server.add_insecure_port(listen)
    except RuntimeError as error:
        raise AddressError(f"'{listen}' cannot be listened on: it is in use or not of this machine.") from error
    if listen.startswith("unix:"):
        return listen
    return f"{listen.rpartition(':')[0]}:{port}"
