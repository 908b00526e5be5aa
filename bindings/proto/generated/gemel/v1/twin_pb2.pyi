# type: ignore
import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_KIND_UNSPECIFIED: _ClassVar[ChannelKind]
    CHANNEL_KIND_READING: _ClassVar[ChannelKind]
    CHANNEL_KIND_INPUT: _ClassVar[ChannelKind]
CHANNEL_KIND_UNSPECIFIED: ChannelKind
CHANNEL_KIND_READING: ChannelKind
CHANNEL_KIND_INPUT: ChannelKind

class Sensor(_message.Message):
    __slots__ = ("name", "unit", "noise")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    noise: float
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., noise: _Optional[float] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "description", "unit", "value", "low", "high", "determined")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    DETERMINED_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    unit: str
    value: float
    low: float
    high: float
    determined: float
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., unit: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., determined: _Optional[float] = ...) -> None: ...

class Belief(_message.Message):
    __slots__ = ("mean", "covariance")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    COVARIANCE_FIELD_NUMBER: _ClassVar[int]
    mean: _containers.RepeatedScalarFieldContainer[float]
    covariance: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, mean: _Optional[_Iterable[float]] = ..., covariance: _Optional[_Iterable[float]] = ...) -> None: ...

class Attachment(_message.Message):
    __slots__ = ("name", "size", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    sha256: str
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class Twin(_message.Message):
    __slots__ = ("name", "revision", "description", "document", "attachments", "sensors", "inputs", "parameters", "belief", "has_data", "created", "job_id", "source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    BELIEF_FIELD_NUMBER: _ClassVar[int]
    HAS_DATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    description: str
    document: str
    attachments: _containers.RepeatedCompositeFieldContainer[Attachment]
    sensors: _containers.RepeatedCompositeFieldContainer[Sensor]
    inputs: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    belief: Belief
    has_data: bool
    created: _timestamp_pb2.Timestamp
    job_id: str
    source: str
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., description: _Optional[str] = ..., document: _Optional[str] = ..., attachments: _Optional[_Iterable[_Union[Attachment, _Mapping]]] = ..., sensors: _Optional[_Iterable[_Union[Sensor, _Mapping]]] = ..., inputs: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., belief: _Optional[_Union[Belief, _Mapping]] = ..., has_data: _Optional[bool] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., job_id: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class RegisterTwinRequest(_message.Message):
    __slots__ = ("document", "attachments", "source")
    class AttachmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENTS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    document: str
    attachments: _containers.ScalarMap[str, bytes]
    source: str
    def __init__(self, document: _Optional[str] = ..., attachments: _Optional[_Mapping[str, bytes]] = ..., source: _Optional[str] = ...) -> None: ...

class RegisterTwinResponse(_message.Message):
    __slots__ = ("twin",)
    TWIN_FIELD_NUMBER: _ClassVar[int]
    twin: Twin
    def __init__(self, twin: _Optional[_Union[Twin, _Mapping]] = ...) -> None: ...

class GetTwinRequest(_message.Message):
    __slots__ = ("name", "revision")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class GetTwinResponse(_message.Message):
    __slots__ = ("twin",)
    TWIN_FIELD_NUMBER: _ClassVar[int]
    twin: Twin
    def __init__(self, twin: _Optional[_Union[Twin, _Mapping]] = ...) -> None: ...

class ListTwinsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTwinsResponse(_message.Message):
    __slots__ = ("twins",)
    TWINS_FIELD_NUMBER: _ClassVar[int]
    twins: _containers.RepeatedCompositeFieldContainer[Twin]
    def __init__(self, twins: _Optional[_Iterable[_Union[Twin, _Mapping]]] = ...) -> None: ...

class ReadAttachmentRequest(_message.Message):
    __slots__ = ("name", "revision", "attachment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ATTACHMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    attachment: str
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., attachment: _Optional[str] = ...) -> None: ...

class ReadAttachmentResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class InspectDataRequest(_message.Message):
    __slots__ = ("name", "revision", "experiment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    experiment: str
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ..., experiment: _Optional[str] = ...) -> None: ...

class InspectDataResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: DataReport
    def __init__(self, report: _Optional[_Union[DataReport, _Mapping]] = ...) -> None: ...

class TimeSpan(_message.Message):
    __slots__ = ("start", "end", "samples")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    start: float
    end: float
    samples: int
    def __init__(self, start: _Optional[float] = ..., end: _Optional[float] = ..., samples: _Optional[int] = ...) -> None: ...

class ChannelReport(_message.Message):
    __slots__ = ("name", "kind", "unit", "instants", "samples", "missing", "filled", "spacing", "span", "gap", "duplicates", "conflicts", "out_of_order", "outliers", "stuck", "left_out", "low", "high", "suspects")
    class LeftOutEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    INSTANTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    SPACING_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    OUT_OF_ORDER_FIELD_NUMBER: _ClassVar[int]
    OUTLIERS_FIELD_NUMBER: _ClassVar[int]
    STUCK_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ChannelKind
    unit: str
    instants: int
    samples: int
    missing: int
    filled: int
    spacing: float
    span: TimeSpan
    gap: TimeSpan
    duplicates: int
    conflicts: int
    out_of_order: int
    outliers: _containers.RepeatedScalarFieldContainer[float]
    stuck: _containers.RepeatedCompositeFieldContainer[TimeSpan]
    left_out: _containers.ScalarMap[str, int]
    low: float
    high: float
    suspects: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ChannelKind, str]] = ..., unit: _Optional[str] = ..., instants: _Optional[int] = ..., samples: _Optional[int] = ..., missing: _Optional[int] = ..., filled: _Optional[int] = ..., spacing: _Optional[float] = ..., span: _Optional[_Union[TimeSpan, _Mapping]] = ..., gap: _Optional[_Union[TimeSpan, _Mapping]] = ..., duplicates: _Optional[int] = ..., conflicts: _Optional[int] = ..., out_of_order: _Optional[int] = ..., outliers: _Optional[_Iterable[float]] = ..., stuck: _Optional[_Iterable[_Union[TimeSpan, _Mapping]]] = ..., left_out: _Optional[_Mapping[str, int]] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., suspects: _Optional[_Iterable[float]] = ...) -> None: ...

class DataReport(_message.Message):
    __slots__ = ("channels", "origin", "zoned", "notes", "cautions", "left_out", "warnings", "record")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ZONED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    CAUTIONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    channels: _containers.RepeatedCompositeFieldContainer[ChannelReport]
    origin: str
    zoned: bool
    notes: _containers.RepeatedScalarFieldContainer[str]
    cautions: _containers.RepeatedScalarFieldContainer[str]
    left_out: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    record: TimeSpan
    def __init__(self, channels: _Optional[_Iterable[_Union[ChannelReport, _Mapping]]] = ..., origin: _Optional[str] = ..., zoned: _Optional[bool] = ..., notes: _Optional[_Iterable[str]] = ..., cautions: _Optional[_Iterable[str]] = ..., left_out: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., record: _Optional[_Union[TimeSpan, _Mapping]] = ...) -> None: ...
