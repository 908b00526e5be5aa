"""The tables of a twin file that describe sensors."""

from typing import Annotated, Literal

from pydantic import Field

from gemel.engine.twinfile.tables import Number, Table


class ModelErrorTable(Table):
    """What the model gets wrong at a sensor: a process with a spread, forgotten over a time."""

    std: str | float
    correlation_time: str


class SensorBase(Table):
    """What all sensors have."""

    unit: str
    noise: str | float
    correlation_time: str | None = None
    model_error: ModelErrorTable | None = None


Reading = Literal["field", "velocity", "acceleration"]


class PointSensorTable(SensorBase):
    """Reads the field at a point."""

    kind: Literal["point"]
    position: list[str]
    reads: Reading = "field"
    component: Literal["x", "y", "z"] | None = None
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


class StrainSensorTable(SensorBase):
    """Reads the strain along a direction at a point."""

    kind: Literal["strain"]
    position: list[str]
    direction: list[float]
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


class AverageSensorTable(SensorBase):
    """Reads the mean of the field over cells or facets."""

    kind: Literal["average"]
    on: str
    facets: bool = False
    reads: Reading = "field"
    component: Literal["x", "y", "z"] | None = None
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


class IntegralSensorTable(SensorBase):
    """Reads the integral of the field over cells or facets, times a weight."""

    kind: Literal["integral"]
    on: str
    facets: bool = False
    reads: Reading = "field"
    component: Literal["x", "y", "z", "normal"] | None = None
    weight: Number | None = None
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


class FluxSensorTable(SensorBase):
    """Reads the heat that leaves through facets."""

    kind: Literal["flux"]
    on: str
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


class ReactionSensorTable(SensorBase):
    """Reads a component of the force that the conditions on facets put in."""

    kind: Literal["reaction"]
    on: str
    component: Literal["x", "y", "z"]
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


class ImageSensorTable(SensorBase):
    """Reads the field, or the strain along ``direction``, at many points: the readings NAME.1, NAME.2, ...

    They are ``points``, or ``rows`` and ``columns`` of pixels between ``corners``: the first pixel, the last one of its
    row and, of several rows, the first one of the last row. ``blur`` is the standard deviation of a point spread.
    """

    kind: Literal["image"]
    points: list[list[str]] | None = Field(default=None, min_length=1)
    corners: list[list[str]] | None = Field(default=None, min_length=2, max_length=3)
    rows: int = Field(default=1, ge=1)
    columns: int | None = Field(default=None, ge=1)
    blur: str | None = None
    direction: list[float] | None = None
    reads: Reading = "field"
    component: Literal["x", "y", "z"] | None = None
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None

    @property
    def count(self) -> int:
        """How many pixels it has."""
        return self.rows * (self.columns or 1) if self.points is None else len(self.points)


class FrequencySensorTable(SensorBase):
    """Reads a natural frequency."""

    kind: Literal["frequency"]
    mode: int = Field(ge=1)
    direction: Literal["x", "y", "z"] | None = None


class ModeSensorTable(SensorBase):
    """Reads the natural frequency of the mode that resembles a measured ``shape`` most.

    ``directions`` is an axis for all ``points``, or a list with one axis or vector for all or for each. The shape is
    real but for its ``imaginary`` part. With ``shape_noise``, in the unit of the shape, its components are readings,
    too: NAME.1, NAME.2, ..., measured where the frequency is.
    """

    kind: Literal["mode"]
    points: list[list[str]] = Field(min_length=2)
    directions: str | list[str | list[float]]
    shape: list[float]
    imaginary: list[float] | None = None
    shape_noise: float | None = Field(default=None, gt=0)
    least_mac: float = Field(default=0.5, ge=0, lt=1)
    close: float = Field(default=1e-3, ge=0, lt=1)


class OutputSensorTable(SensorBase):
    """Reads an output of an ODE model."""

    kind: Literal["output"]
    output: str
    lag: Number | None = None
    offset: Number | None = None
    drift: Number | None = None


SensorTable = Annotated[
    PointSensorTable
    | StrainSensorTable
    | AverageSensorTable
    | IntegralSensorTable
    | ImageSensorTable
    | FluxSensorTable
    | ReactionSensorTable
    | FrequencySensorTable
    | ModeSensorTable
    | OutputSensorTable,
    Field(discriminator="kind"),
]
