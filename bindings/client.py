"""A client of a Gemel server that returns the same objects as the library."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gemel.bindings import convert, findings
from gemel.bindings.connection import ClientTls, Connection, ServiceError, UnknownNameError
from gemel.bindings.plan import attachments_of
from gemel.bindings.proto.generated.gemel.v1 import calibration_pb2, simulation_pb2, twin_pb2
from gemel.bindings.remote import JobProgress, RemoteJob, RemoteTwin
from gemel.engine import DataReport, Forecast, Record, Run, Series
from gemel.engine.precision import require_double
from gemel.engine.results import forecast_of, run_of
from gemel.engine.twinfile import TwinFile

__all__ = ["Client", "ClientTls", "JobProgress", "RemoteJob", "RemoteTwin", "ServiceError", "UnknownNameError"]


class Client:
    """A connection to a Gemel server. Close it, or use it in a ``with`` statement.

    Mistakes raise `ValueError` with the sentence that the library gives; unknown names raise
    `UnknownNameError`; all else raises `ServiceError`.

    Args:
        address: ``unix:path`` or ``host:port``.
        tls: for a server with a certificate.
        timeout: the longest that a call may take, in s; None for no limit.

    Raises:
        RuntimeError: where jax computes in single precision: all numbers come in double.
    """

    def __init__(self, address: str, tls: ClientTls | None = None, timeout: float | None = None) -> None:
        require_double("A client of a server")
        self._connection = Connection(address, tls, timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def register(self, source: str | Path | TwinFile) -> RemoteTwin:
        """Give a twin file, or the file at a path, to the server, with the files that it names."""
        file = source if isinstance(source, TwinFile) else TwinFile.load(source)
        request = twin_pb2.RegisterTwinRequest(document=file.text, attachments=attachments_of(file), source=file.source)
        return RemoteTwin(self._connection, self._connection.call(self._connection.twins.RegisterTwin, request).twin)

    def twin(self, name: str, revision: int = 0) -> RemoteTwin:
        """A revision of a twin that the server has, the latest for 0."""
        request = twin_pb2.GetTwinRequest(name=name, revision=revision)
        return RemoteTwin(self._connection, self._connection.call(self._connection.twins.GetTwin, request).twin)

    def twins(self) -> list[RemoteTwin]:
        """The latest revision of every twin that the server has; their documents are empty."""
        answer = self._connection.call(self._connection.twins.ListTwins, twin_pb2.ListTwinsRequest())
        return [RemoteTwin(self._connection, twin) for twin in answer.twins]

    def inspect(self, twin: str | RemoteTwin, experiment: str = "") -> DataReport:
        """What reading the data of a twin's document, of one of several experiments, has found; see
        `gemel.TwinFile.inspect`.

        Raises `ValueError` where the document names no data, or they are not attached.
        """
        name, revision = _reference(twin)
        request = twin_pb2.InspectDataRequest(name=name, revision=revision, experiment=experiment)
        return findings.report_from(self._connection.call(self._connection.twins.InspectData, request).report)

    def simulate(
        self,
        twin: str | RemoteTwin,
        inputs: Mapping[str, Series] | None = None,
        times: Any = None,
        parameters: Mapping[str, float] | None = None,
        *,
        fields: Sequence[str] = ("*",),
        use_data: bool = False,
        experiment: str = "",
    ) -> Run:
        """Run a twin forward on the server; see `gemel.simulate`.

        Args:
            twin: its name, or a revision of it.
            inputs, times, parameters: as in `gemel.simulate`.
            fields: which parts of the final state to bring over.
            use_data: take inputs and times from the data of the twin's document.
            experiment: of several, that whose data and, of a fit, whose own parameters to take.
        """
        name, revision = _reference(twin)
        request = simulation_pb2.SimulateRequest(
            twin=name, revision=revision, fields=fields, use_data=use_data, discard=True, experiment=experiment
        )
        _fill_drive(request, inputs, times, parameters)
        return run_of(
            self._connection.assemble(self._connection.simulations.Simulate, request, lambda answer: answer.part).data()
        )

    def keep_simulation(
        self,
        twin: str | RemoteTwin,
        inputs: Mapping[str, Series] | None = None,
        times: Any = None,
        parameters: Mapping[str, float] | None = None,
        *,
        use_data: bool = False,
        experiment: str = "",
    ) -> str:
        """Run a twin forward and keep the run on the server; returns its id, for `read_run`."""
        name, revision = _reference(twin)
        request = simulation_pb2.SimulateRequest(twin=name, revision=revision, use_data=use_data, experiment=experiment)
        _fill_drive(request, inputs, times, parameters)
        return self._connection.assemble(
            self._connection.simulations.Simulate, request, lambda answer: answer.part
        ).header.run_id

    def read_run(self, run_id: str, fields: Sequence[str] = ("*",)) -> Run:
        """A run that the server has kept."""
        request = simulation_pb2.ReadRunRequest(run_id=run_id, fields=fields)
        return run_of(
            self._connection.assemble(self._connection.simulations.ReadRun, request, lambda answer: answer.part).data()
        )

    def forecast(
        self,
        twin: str | RemoteTwin,
        inputs: Mapping[str, Series] | None = None,
        times: Any = None,
        parameters: Mapping[str, float] | None = None,
        *,
        fields: Sequence[str] = ("*",),
        use_data: bool = False,
        experiment: str = "",
    ) -> Forecast:
        """Run a twin freely on the server with its credible band; see `gemel.forecast`, and `simulate` for the rest."""
        name, revision = _reference(twin)
        request = simulation_pb2.ForecastRequest(
            twin=name, revision=revision, fields=fields, use_data=use_data, experiment=experiment
        )
        _fill_drive(request, inputs, times, parameters)
        return forecast_of(
            self._connection.assemble(self._connection.simulations.Forecast, request, lambda answer: answer).data()
        )

    def calibrate(
        self,
        twin: str | RemoteTwin,
        record: Record | None = None,
        sensors: Sequence[str] = (),
        until: float | None = None,
        max_steps: int | None = None,
        start: RemoteTwin | int = 0,
    ) -> RemoteJob:
        """Begin a calibration; see `gemel.calibrate`. The solver is the one that the twin's document names.

        Args:
            twin: its name, or a revision of it.
            record: what was measured; None for the data of the twin's document.
            sensors: which readings to fit, if not empty.
            until: fit the samples before this time in s.
            max_steps: the limit of steps.
            start: a revision of the twin, such as an earlier fit, or its number: begin at the mean of its belief. The
                prior stays the belief of ``twin``.
        """
        name, revision = _reference(twin)
        request = calibration_pb2.CalibrateRequest(
            twin=name,
            revision=revision,
            sensors=sensors,
            until=until,
            max_steps=max_steps,
            start_revision=start if isinstance(start, int) else start.revision,
        )
        if record is not None:
            convert.fill_record(request.record, record)
            request.record.SetInParent()
        return RemoteJob(
            self._connection, self._connection.call(self._connection.calibrations.Calibrate, request).job.id
        )

    def job(self, job_id: str) -> RemoteJob:
        """A job that the server has."""
        self._connection.call(self._connection.calibrations.GetJob, calibration_pb2.GetJobRequest(id=job_id))
        return RemoteJob(self._connection, job_id)

    def jobs(self, twin: str = "") -> list[RemoteJob]:
        """The jobs of a twin, or of all, latest first."""
        answer = self._connection.call(
            self._connection.calibrations.ListJobs, calibration_pb2.ListJobsRequest(twin=twin)
        )
        return [RemoteJob(self._connection, job.id) for job in answer.jobs]


def _reference(twin: str | RemoteTwin) -> tuple[str, int]:
    return (twin, 0) if isinstance(twin, str) else (twin.name, twin.revision)


def _fill_drive(
    request: Any, inputs: Mapping[str, Series] | None, times: Any, parameters: Mapping[str, float] | None
) -> None:
    request.parameters.update({key: float(value) for key, value in (parameters or {}).items()})
    convert.fill_series(request.inputs, inputs or {})
    if times is not None:
        request.times.seconds.extend(np.asarray(times, dtype=float).tolist())
        request.times.SetInParent()
