"""What was found in measured data, as messages of the wire."""

import numpy as np

from gemel.bindings.proto.generated.gemel.v1 import twin_pb2
from gemel.engine import ChannelReport, DataReport, Record
from gemel.engine.datareport import Span

_KINDS = {"reading": twin_pb2.CHANNEL_KIND_READING, "input": twin_pb2.CHANNEL_KIND_INPUT}
_COUNTS = ("instants", "samples", "missing", "filled", "duplicates", "conflicts", "out_of_order")


def report_message(record: Record, report: DataReport) -> twin_pb2.DataReport:
    """A report on the data of a record, with its sentences, so that a client need not make them."""
    message = twin_pb2.DataReport(
        channels=[_channel_message(channel) for channel in report.channels],
        origin="" if report.origin is None else str(report.origin),
        zoned=report.zoned,
        notes=report.notes,
        cautions=report.cautions,
        left_out=report.left_out(),
        warnings=report.warnings(),
    )
    if record.times is not None:
        first, last = float(record.times[0]), float(record.times[-1])
        message.record.CopyFrom(_span_message(Span(first, last, len(record.times))))
    return message


def report_from(message: twin_pb2.DataReport) -> DataReport:
    """The report that a message holds."""
    return DataReport(
        tuple(_channel_from(channel) for channel in message.channels),
        np.datetime64(message.origin) if message.origin else None,
        tuple(message.notes),
        tuple(message.cautions),
        message.zoned,
    )


def _channel_message(channel: ChannelReport) -> twin_pb2.ChannelReport:
    return twin_pb2.ChannelReport(
        name=channel.name,
        kind=_KINDS[channel.kind],
        unit=channel.unit,
        spacing=channel.spacing,
        span=None if channel.span is None else _span_message(channel.span),
        gap=None if channel.gap is None else _span_message(channel.gap),
        outliers=channel.outliers,
        suspects=channel.suspects,
        stuck=[_span_message(span) for span in channel.stuck],
        left_out=dict(channel.left_out),
        low=channel.low,
        high=channel.high,
        **{key: getattr(channel, key) for key in _COUNTS},
    )


def _channel_from(message: twin_pb2.ChannelReport) -> ChannelReport:
    return ChannelReport(
        name=message.name,
        kind="input" if message.kind == twin_pb2.CHANNEL_KIND_INPUT else "reading",
        unit=message.unit,
        spacing=message.spacing,
        span=_span_from(message.span) if message.HasField("span") else None,
        gap=_span_from(message.gap) if message.HasField("gap") else None,
        outliers=tuple(message.outliers),
        suspects=tuple(message.suspects),
        stuck=tuple(_span_from(span) for span in message.stuck),
        left_out=dict(message.left_out),
        low=message.low,
        high=message.high,
        **{key: getattr(message, key) for key in _COUNTS},
    )


def _span_message(span: Span) -> twin_pb2.TimeSpan:
    return twin_pb2.TimeSpan(start=span.start, end=span.end, samples=span.samples)


def _span_from(message: twin_pb2.TimeSpan) -> Span:
    return Span(message.start, message.end, message.samples)
