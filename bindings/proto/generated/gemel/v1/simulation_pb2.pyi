# type: ignore
from gemel.bindings.proto.generated.gemel.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunHeader(_message.Message):
    __slots__ = ("run_id", "twin", "revision", "sensors", "has_time", "loss")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    HAS_TIME_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    twin: str
    revision: int
    sensors: _containers.RepeatedScalarFieldContainer[str]
    has_time: bool
    loss: Loss
    def __init__(self, run_id: _Optional[str] = ..., twin: _Optional[str] = ..., revision: _Optional[int] = ..., sensors: _Optional[_Iterable[str]] = ..., has_time: _Optional[bool] = ..., loss: _Optional[_Union[Loss, _Mapping]] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("kind", "numbers")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    numbers: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, kind: _Optional[str] = ..., numbers: _Optional[_Iterable[float]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("time", "readings")
    TIME_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    time: float
    readings: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, time: _Optional[float] = ..., readings: _Optional[_Iterable[float]] = ...) -> None: ...

class FieldChunk(_message.Message):
    __slots__ = ("field", "shape", "offset", "values")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    field: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    offset: int
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, field: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., offset: _Optional[int] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class RunSummary(_message.Message):
    __slots__ = ("status", "frames", "statistics", "warnings")
    class StatisticsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    status: _types_pb2.SolveStatus
    frames: int
    statistics: _containers.ScalarMap[str, float]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, status: _Optional[_Union[_types_pb2.SolveStatus, _Mapping]] = ..., frames: _Optional[int] = ..., statistics: _Optional[_Mapping[str, float]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class RunPart(_message.Message):
    __slots__ = ("header", "frame", "field", "summary")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    header: RunHeader
    frame: Frame
    field: FieldChunk
    summary: RunSummary
    def __init__(self, header: _Optional[_Union[RunHeader, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., field: _Optional[_Union[FieldChunk, _Mapping]] = ..., summary: _Optional[_Union[RunSummary, _Mapping]] = ...) -> None: ...

class SimulateRequest(_message.Message):
    __slots__ = ("twin", "revision", "inputs", "times", "parameters", "fields", "use_data", "discard", "experiment")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Series
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Series, _Mapping]] = ...) -> None: ...
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TWIN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    USE_DATA_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    twin: str
    revision: int
    inputs: _containers.MessageMap[str, _types_pb2.Series]
    times: _types_pb2.Times
    parameters: _containers.ScalarMap[str, float]
    fields: _containers.RepeatedScalarFieldContainer[str]
    use_data: bool
    discard: bool
    experiment: str
    def __init__(self, twin: _Optional[str] = ..., revision: _Optional[int] = ..., inputs: _Optional[_Mapping[str, _types_pb2.Series]] = ..., times: _Optional[_Union[_types_pb2.Times, _Mapping]] = ..., parameters: _Optional[_Mapping[str, float]] = ..., fields: _Optional[_Iterable[str]] = ..., use_data: _Optional[bool] = ..., discard: _Optional[bool] = ..., experiment: _Optional[str] = ...) -> None: ...

class SimulateResponse(_message.Message):
    __slots__ = ("part",)
    PART_FIELD_NUMBER: _ClassVar[int]
    part: RunPart
    def __init__(self, part: _Optional[_Union[RunPart, _Mapping]] = ...) -> None: ...

class ReadRunRequest(_message.Message):
    __slots__ = ("run_id", "fields")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, run_id: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadRunResponse(_message.Message):
    __slots__ = ("part",)
    PART_FIELD_NUMBER: _ClassVar[int]
    part: RunPart
    def __init__(self, part: _Optional[_Union[RunPart, _Mapping]] = ...) -> None: ...

class ForecastRequest(_message.Message):
    __slots__ = ("twin", "revision", "inputs", "times", "use_data", "fields", "parameters", "experiment")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Series
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Series, _Mapping]] = ...) -> None: ...
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TWIN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    USE_DATA_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    twin: str
    revision: int
    inputs: _containers.MessageMap[str, _types_pb2.Series]
    times: _types_pb2.Times
    use_data: bool
    fields: _containers.RepeatedScalarFieldContainer[str]
    parameters: _containers.ScalarMap[str, float]
    experiment: str
    def __init__(self, twin: _Optional[str] = ..., revision: _Optional[int] = ..., inputs: _Optional[_Mapping[str, _types_pb2.Series]] = ..., times: _Optional[_Union[_types_pb2.Times, _Mapping]] = ..., use_data: _Optional[bool] = ..., fields: _Optional[_Iterable[str]] = ..., parameters: _Optional[_Mapping[str, float]] = ..., experiment: _Optional[str] = ...) -> None: ...

class ForecastFrame(_message.Message):
    __slots__ = ("time", "readings", "parametric", "predictive", "model_error", "noise")
    TIME_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    PARAMETRIC_FIELD_NUMBER: _ClassVar[int]
    PREDICTIVE_FIELD_NUMBER: _ClassVar[int]
    MODEL_ERROR_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    time: float
    readings: _containers.RepeatedScalarFieldContainer[float]
    parametric: _containers.RepeatedScalarFieldContainer[float]
    predictive: _containers.RepeatedScalarFieldContainer[float]
    model_error: _containers.RepeatedScalarFieldContainer[float]
    noise: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, time: _Optional[float] = ..., readings: _Optional[_Iterable[float]] = ..., parametric: _Optional[_Iterable[float]] = ..., predictive: _Optional[_Iterable[float]] = ..., model_error: _Optional[_Iterable[float]] = ..., noise: _Optional[_Iterable[float]] = ...) -> None: ...

class ForecastResponse(_message.Message):
    __slots__ = ("header", "frame", "field", "summary")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    header: RunHeader
    frame: ForecastFrame
    field: FieldChunk
    summary: RunSummary
    def __init__(self, header: _Optional[_Union[RunHeader, _Mapping]] = ..., frame: _Optional[_Union[ForecastFrame, _Mapping]] = ..., field: _Optional[_Union[FieldChunk, _Mapping]] = ..., summary: _Optional[_Union[RunSummary, _Mapping]] = ...) -> None: ...
