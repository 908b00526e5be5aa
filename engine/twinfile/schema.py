"""The twin file as data: every table and key, with nothing else allowed."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from gemel.engine.twinfile.sensortables import SensorTable
from gemel.engine.twinfile.tables import Number, Table

Knotted = str | float | list[str | float]
"""One quantity, or a list with one for each knot of a curve."""


class BoxTable(Table):
    """A rectangle (two sizes) or box (three sizes) of equal cells."""

    size: list[str] = Field(min_length=2, max_length=3)
    cells: list[Annotated[int, Field(ge=1)]] = Field(min_length=2, max_length=3)
    origin: list[str] | None = None
    cell: Literal["triangle", "quadrilateral", "tetrahedron", "hexahedron"] | None = None


class GridTable(Table):
    """A rectangle or box with cells between given coordinates along each axis."""

    x: list[str]
    y: list[str]
    z: list[str] | None = None
    cell: Literal["triangle", "quadrilateral", "tetrahedron", "hexahedron"] | None = None


class RegionTable(Table):
    """The cells (or boundary facets) whose nodes lie in the box between two corners.

    ``of`` keeps only those of given tags of cells, ``except`` leaves out given tags of the same kind.
    """

    low: list[str]
    high: list[str]
    of: list[str] = []
    without: list[str] = Field(default=[], alias="except")


class MeshTable(Table):
    """The mesh: exactly one of ``file``, ``box`` and ``grid``, and named regions of it."""

    file: str | None = None
    box: BoxTable | None = None
    grid: GridTable | None = None
    cell_tags: dict[str, RegionTable] = {}
    facet_tags: dict[str, RegionTable] = {}


class SolverTable(Table):
    """Tolerances of the linear solver."""

    tolerance: float = Field(default=1e-10, gt=0, lt=1)
    max_steps: int = Field(default=2000, ge=1)


class HeatTable(Table):
    """Heat conduction, steady or transient."""

    physics: Literal["heat"]
    element: str
    analysis: Literal["steady", "transient"]
    axisymmetric: bool = False
    step: str | None = None
    initial: Number | None = None
    solver: SolverTable = SolverTable()


class ElasticityTable(Table):
    """Linear elasticity: static, modal, or dynamic from rest with Rayleigh's damping."""

    physics: Literal["elasticity"]
    element: str
    analysis: Literal["static", "modal", "dynamic"]
    kinematics: Literal["solid", "plane strain", "plane stress", "axisymmetric"] = "solid"
    modes: int | None = Field(default=None, ge=1)
    step: str | None = None
    damping_alpha: Number | None = None
    damping_beta: Number | None = None
    solver: SolverTable = SolverTable()


class CurveTable(Table):
    """A curve over state of charge by its values at knots: fixed ``values``, or a prior for each knot.

    A prior is log-normal (``median`` and ``factor``) or normal (``mean`` and ``std``); a list gives one
    number a knot, a single number serves all. The knots' parameters are independent.
    """

    knots: list[float] = Field(min_length=2)
    values: list[Number] | None = None
    median: Knotted | None = None
    factor: float | list[float] | None = None
    mean: Knotted | None = None
    std: Knotted | None = None


def _kind_of_curve(value: object) -> str:
    return "curve" if isinstance(value, dict | CurveTable) else "number"


CurveOrNumber = Annotated[
    Annotated[CurveTable, Tag("curve")] | Annotated[str | float, Tag("number")], Discriminator(_kind_of_curve)
]
"""A curve over state of charge, or one number at all of it, such as a neural term."""


class PairTable(Table):
    """A resistor parallel to a capacitor."""

    resistance: CurveOrNumber
    time_constant: CurveOrNumber


class CellHeatTable(Table):
    """The lumped temperature of a cell; ``activation`` is the activation energy over the gas constant."""

    capacity: Number
    loss: Number
    activation: Number
    ambient: Number
    reference: Number | None = None


class CircuitTable(Table):
    """The equivalent circuit of a battery cell; a current that charges is positive."""

    physics: Literal["equivalent-circuit"]
    step: str
    current: Number
    capacity: Number
    initial_charge: Number = 1.0
    open_circuit_voltage: CurveOrNumber
    series_resistance: CurveOrNumber
    pairs: list[PairTable] = []
    heat: CellHeatTable | None = None


class NetworkTable(Table):
    """A network of bodies of one temperature each: tables ``nodes``, ``links``, ``boundaries`` and ``heats``."""

    physics: Literal["thermal-network"]
    step: str | None = None


ModelTable = Annotated[HeatTable | ElasticityTable | CircuitTable | NetworkTable, Field(discriminator="physics")]


class NodeTable(Table):
    """A body of one temperature; ``initial`` is a temperature or ``"steady"``."""

    capacity: Number
    initial: Number


class BoundaryTable(Table):
    """A given temperature."""

    value: Number


class LinkTable(Table):
    """What joins two nodes, or a node and a boundary: a ``conductance`` or a ``resistance``."""

    between: list[str] = Field(min_length=2, max_length=2)
    conductance: Number | None = None
    resistance: Number | None = None


class HeatInTable(Table):
    """Heat into a node."""

    node: str
    value: Number


class MaterialTable(Table):
    """Material data of one region of cells (or of ``all``)."""

    conductivity: Number | None = None
    capacity: Number | None = None
    youngs_modulus: Number | None = None
    poisson_ratio: Number | None = None
    density: Number | None = None


class ConditionTable(Table):
    """A boundary condition, load or lumped part: ``kind`` on ``on``; its kind says which other keys it takes."""

    kind: str
    on: str
    value: Number | list[Number] | None = None
    component: Literal["x", "y", "z"] | None = None
    coefficient: Number | None = None
    ambient: Number | None = None
    emissivity: Number | None = None
    facets: bool | None = None


class ParameterTable(Table):
    """An uncertain parameter: log-normal (median, factor), normal (mean, std) or uniform (low, high)."""

    description: str = ""
    median: str | float | None = None
    factor: float | None = None
    mean: str | float | None = None
    std: str | float | None = None
    low: str | float | None = None
    high: str | float | None = None
    unit: str | None = None


class NeuralTable(Table):
    """A number that depends on others as a network learns it: about a positive ``median``, of which 95 % lie between
    median/factor and median·factor before data, or about a ``mean``, with a standard deviation ``std``.

    ``inputs`` gives the least and the greatest value of each input: on a mesh ``x``, ``y``, ``z`` and of a model of
    heat ``temperature``, of a network its nodes, of a circuit ``state_of_charge`` and ``temperature``, and the inputs
    of the file.
    """

    description: str = ""
    inputs: dict[str, list[str | float]] = Field(min_length=1)
    median: Number | None = None
    factor: float | None = Field(default=None, gt=1)
    mean: Number | None = None
    std: str | float | None = None
    width: int = Field(default=16, ge=1)
    depth: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0)


class InputTable(Table):
    """An input signal."""

    unit: str
    description: str = ""


class TimeTable(Table):
    """The column that holds the time: numbers in ``unit``, or, where that is ``datetime``, stamps as in ISO 8601."""

    column: str
    unit: str
    scale: float = 1.0


class FlagTable(Table):
    """A column of quality flags and those that are ``good``: samples with another flag, or none, are left out."""

    column: str
    good: list[float | str] = Field(min_length=1)


class ColumnTable(Table):
    """A column of the data file, or of a ``file`` of its own; with ``time``, on a clock of its own.

    Values outside ``valid``, a least and a greatest one, are left out, and so are samples whose ``flag`` is not good.
    """

    column: str
    unit: str
    scale: float = 1.0
    file: str | None = None
    time: TimeTable | None = None
    flag: FlagTable | None = None
    valid: list[str | float] | None = Field(default=None, min_length=2, max_length=2)


class InputColumnTable(ColumnTable):
    """The column of an input.

    ``hold`` says what an input does between samples: it keeps the ``previous`` value, it has had the ``next``
    one since the sample before, or it is ``linear``. ``fill`` says where a missing sample comes from; without
    it an input must have none.
    """

    hold: Literal["previous", "next", "linear"] = "previous"
    fill: Literal["previous", "linear"] | None = None


class PictureTable(Table):
    """One image without time: a file of text with a row of numbers for each row of pixels."""

    file: str
    unit: str
    scale: float = 1.0


class DataTable(Table):
    """Measured data: a file with columns, several with parts of one record, or single values.

    An image has a column for each pixel, or as many values in a list or a picture.

    ``every`` keeps one reading in so many. ``thin`` keeps those further from the last kept one than this
    fraction of the time since an input last jumped, and those next to a jump; inputs stay whole. ``flag`` is that
    of all columns of the data file that name no other. ``outliers`` says whether readings that look like outliers
    or like those of a stuck sensor are kept, or dropped.
    """

    file: str | None = None
    files: list[str] | None = Field(default=None, min_length=1)
    url: str | None = None
    sha256: str | None = None
    separator: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    time: TimeTable | None = None
    start: str | None = None
    end: str | None = None
    every: int = Field(default=1, ge=1)
    thin: float | None = Field(default=None, gt=0, lt=1)
    flag: FlagTable | None = None
    outliers: Literal["keep", "drop"] = "keep"
    readings: dict[str, ColumnTable] = {}
    inputs: dict[str, InputColumnTable] = {}
    values: dict[str, str | float | list[str | float] | PictureTable] = {}


class CalibrationTable(Table):
    """How to calibrate: which part of the data, which sensors, which method.

    ``own`` names the parameters of which every experiment has one of its own. With ``patience`` a fit ends that many
    steps after the samples from ``until`` on were met best, and is the one there. With ``windows`` it begins where
    multiple shooting ends.
    """

    until: str | None = None
    sensors: list[str] | None = None
    own: list[str] = []
    method: Literal["levenberg-marquardt", "l-bfgs", "adam"] = "levenberg-marquardt"
    loss: Literal["gaussian", "huber", "student-t"] = "gaussian"
    starts: int = Field(default=1, ge=1, le=1000)
    windows: int | None = Field(default=None, ge=2)
    patience: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    max_steps: int = Field(default=40, ge=1)
    tolerance: float = Field(default=1e-6, gt=0)


class Document(Table):
    """A whole twin file. ``candidates`` are sensors that could be mounted: they are compared, never read."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-.]*$")
    description: str = ""
    mesh: MeshTable | None = None
    model: ModelTable
    materials: dict[str, MaterialTable] = {}
    conditions: list[ConditionTable] = []
    nodes: dict[str, NodeTable] = {}
    boundaries: dict[str, BoundaryTable] = {}
    links: list[LinkTable] = []
    heats: list[HeatInTable] = []
    parameters: dict[str, ParameterTable] = {}
    neural: dict[str, NeuralTable] = {}
    inputs: dict[str, InputTable] = {}
    sensors: dict[str, SensorTable] = {}
    candidates: dict[str, SensorTable] = {}
    data: DataTable | None = None
    experiments: dict[str, DataTable] = {}
    validation: DataTable | None = None
    calibration: CalibrationTable = CalibrationTable()
