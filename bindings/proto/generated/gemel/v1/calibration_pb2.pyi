# type: ignore
import datetime

from gemel.bindings.proto.generated.gemel.v1 import twin_pb2 as _twin_pb2
from gemel.bindings.proto.generated.gemel.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_KIND_UNSPECIFIED: _ClassVar[JobKind]
    JOB_KIND_CALIBRATION: _ClassVar[JobKind]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]
    JOB_STATE_PAUSED: _ClassVar[JobState]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_USABLE: _ClassVar[Verdict]
    VERDICT_USABLE_WITH_CARE: _ClassVar[Verdict]
    VERDICT_NOT_DETERMINED: _ClassVar[Verdict]
    VERDICT_NOT_USABLE: _ClassVar[Verdict]

class ScorePart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCORE_PART_UNSPECIFIED: _ClassVar[ScorePart]
    SCORE_PART_FITTED: _ClassVar[ScorePart]
    SCORE_PART_HELD_OUT: _ClassVar[ScorePart]
    SCORE_PART_ANOTHER_RECORD: _ClassVar[ScorePart]
JOB_KIND_UNSPECIFIED: JobKind
JOB_KIND_CALIBRATION: JobKind
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_STATE_PAUSED: JobState
VERDICT_UNSPECIFIED: Verdict
VERDICT_USABLE: Verdict
VERDICT_USABLE_WITH_CARE: Verdict
VERDICT_NOT_DETERMINED: Verdict
VERDICT_NOT_USABLE: Verdict
SCORE_PART_UNSPECIFIED: ScorePart
SCORE_PART_FITTED: ScorePart
SCORE_PART_HELD_OUT: ScorePart
SCORE_PART_ANOTHER_RECORD: ScorePart

class Progress(_message.Message):
    __slots__ = ("step", "cost", "gradient_norm", "max_steps", "seconds_per_step", "seconds_left")
    STEP_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    step: int
    cost: float
    gradient_norm: float
    max_steps: int
    seconds_per_step: float
    seconds_left: float
    def __init__(self, step: _Optional[int] = ..., cost: _Optional[float] = ..., gradient_norm: _Optional[float] = ..., max_steps: _Optional[int] = ..., seconds_per_step: _Optional[float] = ..., seconds_left: _Optional[float] = ...) -> None: ...

class Fit(_message.Message):
    __slots__ = ("revision", "status", "steps", "costs", "prior", "posterior", "parameters", "experiments", "own", "joint_prior", "joint_posterior", "judgement", "gain", "ranges", "drifts", "unseen")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    JOINT_PRIOR_FIELD_NUMBER: _ClassVar[int]
    JOINT_POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    DRIFTS_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    revision: int
    status: _types_pb2.SolveStatus
    steps: int
    costs: _containers.RepeatedScalarFieldContainer[float]
    prior: _twin_pb2.Belief
    posterior: _twin_pb2.Belief
    parameters: _containers.RepeatedCompositeFieldContainer[_twin_pb2.Parameter]
    experiments: _containers.RepeatedScalarFieldContainer[str]
    own: _containers.RepeatedScalarFieldContainer[str]
    joint_prior: _twin_pb2.Belief
    joint_posterior: _twin_pb2.Belief
    judgement: Judgement
    gain: float
    ranges: _containers.RepeatedCompositeFieldContainer[InputRange]
    drifts: _containers.RepeatedCompositeFieldContainer[Drift]
    unseen: _containers.RepeatedCompositeFieldContainer[UnseenDrift]
    def __init__(self, revision: _Optional[int] = ..., status: _Optional[_Union[_types_pb2.SolveStatus, _Mapping]] = ..., steps: _Optional[int] = ..., costs: _Optional[_Iterable[float]] = ..., prior: _Optional[_Union[_twin_pb2.Belief, _Mapping]] = ..., posterior: _Optional[_Union[_twin_pb2.Belief, _Mapping]] = ..., parameters: _Optional[_Iterable[_Union[_twin_pb2.Parameter, _Mapping]]] = ..., experiments: _Optional[_Iterable[str]] = ..., own: _Optional[_Iterable[str]] = ..., joint_prior: _Optional[_Union[_twin_pb2.Belief, _Mapping]] = ..., joint_posterior: _Optional[_Union[_twin_pb2.Belief, _Mapping]] = ..., judgement: _Optional[_Union[Judgement, _Mapping]] = ..., gain: _Optional[float] = ..., ranges: _Optional[_Iterable[_Union[InputRange, _Mapping]]] = ..., drifts: _Optional[_Iterable[_Union[Drift, _Mapping]]] = ..., unseen: _Optional[_Iterable[_Union[UnseenDrift, _Mapping]]] = ...) -> None: ...

class UnseenDrift(_message.Message):
    __slots__ = ("sensor", "experiment", "unit", "change", "parameter", "shift")
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_FIELD_NUMBER: _ClassVar[int]
    SHIFT_FIELD_NUMBER: _ClassVar[int]
    sensor: str
    experiment: str
    unit: str
    change: float
    parameter: str
    shift: float
    def __init__(self, sensor: _Optional[str] = ..., experiment: _Optional[str] = ..., unit: _Optional[str] = ..., change: _Optional[float] = ..., parameter: _Optional[str] = ..., shift: _Optional[float] = ...) -> None: ...

class Drift(_message.Message):
    __slots__ = ("sensor", "experiment", "unit", "change", "span", "step", "alone", "follows")
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    FOLLOWS_FIELD_NUMBER: _ClassVar[int]
    sensor: str
    experiment: str
    unit: str
    change: float
    span: float
    step: float
    alone: bool
    follows: str
    def __init__(self, sensor: _Optional[str] = ..., experiment: _Optional[str] = ..., unit: _Optional[str] = ..., change: _Optional[float] = ..., span: _Optional[float] = ..., step: _Optional[float] = ..., alone: _Optional[bool] = ..., follows: _Optional[str] = ...) -> None: ...

class InputRange(_message.Message):
    __slots__ = ("term", "input", "least", "greatest")
    TERM_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    GREATEST_FIELD_NUMBER: _ClassVar[int]
    term: str
    input: str
    least: float
    greatest: float
    def __init__(self, term: _Optional[str] = ..., input: _Optional[str] = ..., least: _Optional[float] = ..., greatest: _Optional[float] = ...) -> None: ...

class Judgement(_message.Message):
    __slots__ = ("verdict", "words", "meaning", "against", "in_favour", "scores", "open")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    IN_FAVOUR_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    words: str
    meaning: str
    against: _containers.RepeatedScalarFieldContainer[str]
    in_favour: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    open: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., words: _Optional[str] = ..., meaning: _Optional[str] = ..., against: _Optional[_Iterable[str]] = ..., in_favour: _Optional[_Iterable[str]] = ..., scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., open: _Optional[_Iterable[str]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("sensor", "part", "experiment", "samples", "rmse", "coverage", "correlation", "spread", "far", "worth", "naive", "bias")
    class NaiveEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SENSOR_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    RMSE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    FAR_FIELD_NUMBER: _ClassVar[int]
    WORTH_FIELD_NUMBER: _ClassVar[int]
    NAIVE_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    sensor: str
    part: ScorePart
    experiment: str
    samples: int
    rmse: float
    coverage: float
    correlation: float
    spread: float
    far: float
    worth: float
    naive: _containers.ScalarMap[str, float]
    bias: float
    def __init__(self, sensor: _Optional[str] = ..., part: _Optional[_Union[ScorePart, str]] = ..., experiment: _Optional[str] = ..., samples: _Optional[int] = ..., rmse: _Optional[float] = ..., coverage: _Optional[float] = ..., correlation: _Optional[float] = ..., spread: _Optional[float] = ..., far: _Optional[float] = ..., worth: _Optional[float] = ..., naive: _Optional[_Mapping[str, float]] = ..., bias: _Optional[float] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "kind", "twin", "revision", "state", "progress", "attempts", "error", "created", "updated", "fit")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TWIN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: JobKind
    twin: str
    revision: int
    state: JobState
    progress: Progress
    attempts: int
    error: str
    created: _timestamp_pb2.Timestamp
    updated: _timestamp_pb2.Timestamp
    fit: Fit
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[JobKind, str]] = ..., twin: _Optional[str] = ..., revision: _Optional[int] = ..., state: _Optional[_Union[JobState, str]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., attempts: _Optional[int] = ..., error: _Optional[str] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fit: _Optional[_Union[Fit, _Mapping]] = ...) -> None: ...

class CalibrateRequest(_message.Message):
    __slots__ = ("twin", "revision", "record", "sensors", "until", "max_steps", "start_revision")
    TWIN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    SENSORS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    START_REVISION_FIELD_NUMBER: _ClassVar[int]
    twin: str
    revision: int
    record: _types_pb2.Record
    sensors: _containers.RepeatedScalarFieldContainer[str]
    until: float
    max_steps: int
    start_revision: int
    def __init__(self, twin: _Optional[str] = ..., revision: _Optional[int] = ..., record: _Optional[_Union[_types_pb2.Record, _Mapping]] = ..., sensors: _Optional[_Iterable[str]] = ..., until: _Optional[float] = ..., max_steps: _Optional[int] = ..., start_revision: _Optional[int] = ...) -> None: ...

class CalibrateResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("twin",)
    TWIN_FIELD_NUMBER: _ClassVar[int]
    twin: str
    def __init__(self, twin: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class PauseJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class PauseJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ResumeJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ResumeJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...
