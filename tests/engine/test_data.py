"""Measured data as they come: formats, clocks, dirt, and what is said about it."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings, strategies as st

import gemel as gm
from gemel.engine.screening import outliers, stuck, suspects
from gemel.engine.twinfile import MissingDataError, TwinFile, TwinFileError
from gemel.engine.twinfile.channels import filled, merged

TWIN = """
name = "plate"
mesh.box = { size = ["40 mm", "30 mm"], cells = [1, 1] }
model = { physics = "heat", element = "Q1", analysis = "transient", step = "10 s", initial = "20 degC" }
materials.all = { conductivity = "45 W/m/K", capacity = "2e6 J/m^3/K" }
inputs.heater = { unit = "percent" }

[sensors]
A = { kind = "point", position = ["1 mm", "1 mm"], unit = "degC", noise = "0.1 K" }
B = { kind = "point", position = ["2 mm", "1 mm"], unit = "degC", noise = "0.1 K" }

[data]
"""

CSV = """file = "log.csv"
time = { column = "t", unit = "s" }
readings.A = { column = "A", unit = "degC" }
readings.B = { column = "B", unit = "degC" }
inputs.heater = { column = "u", unit = "percent" }
"""

STAMPS = CSV.replace('unit = "s"', 'unit = "datetime"')

LOG = "t,A,B,u\n0,20,21,0\n1,20.5,21.5,50\n2,21,22,50\n4,22,23,100\n"


def inspect(folder: Path, data: str, **logs: str) -> tuple[gm.Record, gm.DataReport]:
    """Read ``[data]`` beside CSV files of given names and texts."""
    for name, text in logs.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return TwinFile.parse(TWIN + data, folder).inspect()


def celsius(record: gm.Record, name: str) -> np.ndarray:
    return np.asarray(record.readings[name]) - 273.15


def seconds(record: gm.Record) -> np.ndarray:
    assert record.times is not None
    return np.asarray(record.times)


def channel(report: gm.DataReport, name: str) -> gm.ChannelReport:
    (found,) = [entry for entry in report.channels if entry.name == name]
    return found


def same(one: gm.Record, other: gm.Record) -> bool:
    pairs = [(one.times, other.times), *((one.readings[name], other.readings[name]) for name in ("A", "B"))]
    pairs += [(getattr(one.inputs["heater"], key), getattr(other.inputs["heater"], key)) for key in ("times", "values")]
    return all(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True) for a, b in pairs)


# Formats


def as_files(folder: Path, columns: dict[str, np.ndarray]) -> None:
    """The same table as CSV, parquet and zarr."""
    import pyarrow as pa
    from pyarrow import parquet

    names = list(columns)
    cells = [["" if text in ("nan", "NaT") else text for text in map(str, column)] for column in columns.values()]
    lines = [",".join(row) for row in zip(*cells, strict=True)]
    (folder / "log.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    parquet.write_table(pa.table(columns), folder / "log.parquet")
    group = zarr.create_group(str(folder / "log.zarr"))
    for name, column in columns.items():
        group.create_array(name, data=column)


@pytest.mark.parametrize("unit", ["s", "datetime"])
def test_csv_parquet_and_zarr_give_one_record(tmp_path, unit):
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.5, 2.0, 40).round(3))
    if unit == "datetime":
        t = np.datetime64("2024-03-01T06:30", "ms") + (1000 * t).astype("timedelta64[ms]")
        t = t.astype("datetime64[us]")
    a = rng.normal(20.0, 1.0, 40)
    a[7] = np.nan
    as_files(tmp_path, {"t": t, "A": a, "B": np.arange(40), "u": rng.integers(0, 100, 40)})
    data = CSV.replace('unit = "s"', f'unit = "{unit}"')
    read = [
        TwinFile.parse(TWIN + data.replace("log.csv", name), tmp_path).inspect()
        for name in ("log.csv", "log.parquet", "log.zarr")
    ]
    assert all(same(read[0][0], record) for record, _ in read[1:])
    assert all(repr(read[0][1]) == repr(report) for _, report in read[1:])
    assert seconds(read[0][0])[0] == (0.0 if unit == "datetime" else float(t[0]))
    assert channel(read[0][1], "A").missing == 1


def test_parquet_kinds(tmp_path):
    """Stamps with a zone, integers with holes, decimals, booleans and categories are all read."""
    import decimal

    import pyarrow as pa
    from pyarrow import parquet

    stamps = pa.array([0, 60_000, 120_000], pa.timestamp("ms", tz="Europe/Berlin"))
    table = {
        "t": stamps,
        "A": pa.array([20, None, 22], pa.int32()),
        "B": pa.array([decimal.Decimal("20.5"), decimal.Decimal("21.5"), None]),
        "u": pa.array([True, False, True]),
        "q": pa.array(["ok", "bad", "ok"]).dictionary_encode(),
    }
    parquet.write_table(pa.table(table), tmp_path / "log.parquet")
    data = STAMPS.replace("log.csv", "log.parquet") + 'flag = { column = "q", good = ["ok"] }\n'
    record, report = inspect(tmp_path, data.replace('"u", unit', '"u", fill = "previous", unit'))
    np.testing.assert_array_equal(seconds(record), [0, 60, 120])
    np.testing.assert_allclose(celsius(record, "A"), [20, np.nan, 22])
    np.testing.assert_allclose(celsius(record, "B"), [20.5, np.nan, np.nan])
    np.testing.assert_allclose(record.inputs["heater"].values, [0.01, 0.01, 0.01])
    assert str(report.origin) == "1970-01-01T00:00:00.000000000"
    assert dict(channel(report, "B").left_out) == {"flag": 1}


def test_a_table_with_semicolons_and_decimal_commas(tmp_path):
    text = LOG.replace(",", ";").replace(".", ",")
    record, _ = inspect(tmp_path, CSV + 'separator = ";"\ndecimal = ","\n', log=text)
    assert same(record, inspect(tmp_path, CSV, log=LOG)[0])
    np.testing.assert_allclose(celsius(record, "A"), [20, 20.5, 21, 22])
    np.testing.assert_allclose(record.inputs["heater"].values, [0, 0.5, 0.5, 1.0])


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "log.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(TwinFileError, match=r"'log.parquet' needs pyarrow to be read: pip install 'gemel\[parquet\]'"):
        inspect(tmp_path, CSV.replace("log.csv", "log.parquet"))


# Clocks


def test_stamps_become_seconds_since_the_first_that_is_kept(tmp_path):
    log = "t,A,B,u\n" + "".join(f"2024-01-31 23:{50 + i}:00.5+01:00,{i},{i},{i}\n" for i in range(10))
    record, report = inspect(tmp_path, STAMPS + 'start = "2024-01-31T22:52Z"\nend = "7 min"\n', log=log)
    np.testing.assert_array_equal(seconds(record), [0, 60, 120, 180, 240])
    np.testing.assert_allclose(celsius(record, "A"), [2, 3, 4, 5, 6])
    assert report.instant(60.0) == "2024-01-31T22:53:00.500Z"


def test_a_change_of_zone_is_exact_and_told(tmp_path):
    log = "t,A,B,u\n2024-03-31T01:59:00+01:00,1,1,0\n2024-03-31T03:00:00+02:00,2,2,0\n2024-03-31T03:01:00+02:00,3,3,0\n"
    record, report = inspect(tmp_path, STAMPS, log=log)
    np.testing.assert_array_equal(seconds(record), [0, 60, 120])
    assert report.notes == ("The zone changes from +01:00 to +02:00 in line 3 of 'log.csv'.",)


def test_the_end_of_summer_time_without_a_zone_is_told(tmp_path):
    hours = [*range(0, 180, 10), *range(120, 240, 10)]  # 02:00 to 02:50 twice
    log = "t,A,B,u\n" + "".join(f"2024-10-27T{m // 60:02d}:{m % 60:02d},{i},{i},0\n" for i, m in enumerate(hours))
    _, report = inspect(tmp_path, STAMPS, log=log)
    assert "have no zone and go back by one hour" in report.warnings()[0]
    assert channel(report, "A").conflicts == 6


def test_parts_of_a_record_are_joined(tmp_path):
    second = LOG.replace("\n0,", "\n10,").replace("\n1,", "\n11,").replace("\n2,", "\n12,").replace("\n4,", "\n2,")
    data = CSV.replace('file = "log.csv"', 'files = ["b.csv", "a.csv"]')
    record, report = inspect(tmp_path, data, a=LOG, b=second.replace("A,B", "B,A"))
    np.testing.assert_array_equal(seconds(record), [0, 1, 2, 4, 10, 11, 12])
    np.testing.assert_allclose(celsius(record, "A"), [20, 20.5, 21.5 + 0.5, 22, 21, 21.5, 22])
    assert channel(report, "A").conflicts == 1  # at 2 s one part says 21, the other 23
    assert report.notes[0].startswith("'b.csv' and 1 more: 5 rows out of order")


def test_a_sensor_and_an_input_on_clocks_of_their_own(tmp_path):
    data = (
        CSV.replace('readings.B = { column = "B"', 'readings.B = { file = "b.csv", column = "T"').replace(
            'inputs.heater = { column = "u"',
            'inputs.heater = { file = "u.csv", time = { column = "min", unit = "min" }, column = "set"',
        )
        + 'start = "1 s"\n'
    )
    other = "t,T\n" + "".join(f"{t},{t}\n" for t in (0, 1.5, 2, 2.5, 3))
    record, report = inspect(tmp_path, data, log=LOG, b=other, u="min,set\n-1,10\n0,20\n0.05,30\n")
    np.testing.assert_allclose(seconds(record), [1, 1.5, 2, 2.5, 3, 4])
    np.testing.assert_allclose(celsius(record, "A"), [20.5, np.nan, 21, np.nan, np.nan, 22])
    np.testing.assert_allclose(celsius(record, "B"), [np.nan, 1.5, 2, 2.5, 3, np.nan])
    np.testing.assert_allclose(record.inputs["heater"].times, [0, 3])  # the last before the window is kept
    assert channel(report, "B").spacing == 0.5
    assert report.warnings() == []
    record, _ = inspect(tmp_path, data.replace('"set"', '"set", hold = "next"'), u="min,set\n-1,10\n")
    np.testing.assert_allclose(record.inputs["heater"].values, [0.1])  # nothing in the window, but before it
    _, report = inspect(tmp_path, data, u="min,set\n0.04,20\n0.05,30\n")
    assert report.warnings() == [
        "heater: the input begins 1.4 s after the record; its first value is taken to have held before."
    ]


def test_clocks_that_differ_by_rounding_are_one(tmp_path):
    t = range(1, 60)
    data = CSV.replace(
        'readings.B = { column = "B"', 'readings.B = { time = { column = "h", unit = "hour" }, column = "B"'
    )
    log = "t,h,A,B,u\n" + "".join(f"{i},{i / 3600},{i},{i},0\n" for i in t)
    record, _ = inspect(tmp_path, data, log=log)
    np.testing.assert_allclose(seconds(record), t)
    np.testing.assert_allclose(celsius(record, "A"), celsius(record, "B"))


# Dirt


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_order_of_the_rows_does_not_matter(tmp_path_factory, data):
    """Shuffling the rows of a CSV changes nothing but the count of rows out of order."""
    folder = tmp_path_factory.mktemp("shuffled")
    cell = st.sampled_from(["20.1", "20.2", "20.7", "95", ""])
    row = st.tuples(st.integers(0, 12).map(str), cell, cell, st.sampled_from(["0", "30", "77"]))
    rows = [*data.draw(st.lists(row, min_size=2, max_size=30)), ("13", "20", "20", "0"), ("14", "21", "21", "0")]
    shuffled = data.draw(st.permutations(rows))
    cleaned = CSV.replace('"A", unit', '"A", valid = ["0 degC", "50 degC"], unit') + 'outliers = "drop"\n'

    def read(order: list) -> tuple[gm.Record, list[dict]]:
        record, report = inspect(folder, cleaned, log="\n".join(["t,A,B,u", *(",".join(row) for row in order)]) + "\n")
        facts = [{**vars(entry), "out_of_order": None} for entry in report.channels]
        late = channel(report, "A").out_of_order
        ahead = [max((int(row[0]) for row in order[:i]), default=0) for i in range(len(order))]
        assert late == sum(int(row[0]) < first for row, first in zip(order, ahead, strict=True))
        return record, facts

    (one, facts), (other, others) = read(rows), read(shuffled)
    assert same(one, other)
    assert repr(facts) == repr(others)


def test_rows_of_one_time_become_one_sample(tmp_path):
    log = LOG.replace("2,21,22,50\n", "2,21,,50\n2,21,22,50\n2,21,24,50\n,1,1,1\n")
    record, report = inspect(tmp_path, CSV, log=log)
    np.testing.assert_allclose(celsius(record, "A"), [20, 20.5, 21, 22])
    np.testing.assert_allclose(celsius(record, "B"), [21, 21.5, 23, 23])
    assert [(entry.duplicates, entry.conflicts) for entry in report.channels] == [(2, 0), (2, 1), (2, 0)]
    assert report.warnings() == ["B: 1 time with values that differ: their mean is taken."]
    assert report.notes == (
        "'log.csv': 2 rows at times that other rows have, merged with them.",
        "'log.csv': 1 row without a time, left out.",
    )


def test_merging_takes_the_mean_of_what_differs():
    values, conflicting = merged(np.array([1, 0, 1, 1, -1, 2]), 4, np.array([0.1, 5.0, 0.3, np.nan, 9.0, np.nan]))
    np.testing.assert_allclose(values, [5.0, 0.2, np.nan, np.nan])
    assert conflicting.tolist() == [False, True, False, False]


def test_flags_and_valid_ranges_leave_samples_out(tmp_path):
    log = "t,A,B,u,q\n0,20,21,0,0\n1,20.5,21,0,2\n2,-99,21,0,1\n3,21,21,0,\n4,22,21,0,0\n"
    data = CSV.replace(
        '"A", unit', '"A", flag = { column = "q", good = [0, 1] }, valid = ["-20 degC", "80 degC"], unit'
    )
    record, report = inspect(tmp_path, data, log=log)
    np.testing.assert_allclose(celsius(record, "A"), [20, np.nan, np.nan, np.nan, 22])
    assert np.isfinite(celsius(record, "B")).all()
    assert channel(report, "A").left_out == {"flag": 2, "valid": 1}
    assert channel(report, "A").missing == 0
    assert channel(report, "A").low == pytest.approx(293.15)
    assert report.left_out() == [
        "A: 2 samples left out: a flag that is not good.",
        "A: 1 sample left out: outside the valid range.",
    ]


def test_gaps_are_kept_and_told(tmp_path):
    t = [*range(50), *range(90, 120)]
    log = "t,A,B,u\n" + "".join(f"{i},{i % 7},{'' if 20 < i < 40 else i},0\n" for i in t)
    record, report = inspect(tmp_path, CSV, log=log)
    np.testing.assert_array_equal(seconds(record), t)
    gap = channel(report, "A").gap
    assert gap is not None
    assert (gap.start, gap.end) == (49.0, 90.0)
    assert channel(report, "B").missing == 19
    assert "A: no sample for 41 s after 49 s." in report.warnings()
    assert "B: 24 % of the samples are missing." in report.warnings()


@pytest.mark.parametrize(
    ("how", "values"), [("previous", [1, 1, 1, 4, 4]), ("linear", [1, 2, 3, 4, np.nan])], ids=["previous", "linear"]
)
def test_holes_are_filled(how, values):
    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(filled(np.array([1, np.nan, np.nan, 4, np.nan]), times, how), values)


def test_holes_of_an_input_are_filled_only_where_the_file_asks(tmp_path):
    log = LOG.replace("1,20.5,21.5,50", "1,20.5,21.5,").replace("2,21,22,50", "2,21,22,60")
    record, report = inspect(tmp_path, CSV.replace('"u", unit', '"u", fill = "linear", unit'), log=log)
    np.testing.assert_allclose(record.inputs["heater"].values, [0, 0.3, 0.6, 1.0])
    assert report.left_out() == ["heater: 1 missing sample filled."]
    with pytest.raises(TwinFileError, match=r"the input has no number at 1 s: give 'fill', or"):
        inspect(tmp_path, CSV)
    hole = CSV.replace('"u", unit', '"u", fill = "previous", unit')
    with pytest.raises(TwinFileError, match=r"no number at 0 s: there is nothing to fill it from by 'previous'"):
        inspect(tmp_path, hole, log=LOG.replace("21,0\n", "21,\n"))


def test_what_cannot_be_is_said_of_its_unit(tmp_path):
    _, report = inspect(tmp_path, CSV, log=LOG.replace("20.5", "-300"))
    assert "A: values below absolute zero: is the unit of the column right?" in report.warnings()
    _, report = inspect(tmp_path, CSV, log=LOG.replace("20.5", "-200"))
    assert not any("absolute zero" in line for line in report.warnings())
    _, report = inspect(tmp_path, CSV.replace('"degC"', '"K"'), log=LOG)
    assert "A: values down to 20 K: is the column in degrees Celsius, 'degC'?" in report.warnings()


def course(n: int = 400, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A warming body, and noise of 0.05."""
    rng = np.random.default_rng(seed)
    t = np.arange(n, dtype=float)
    return t, 20 + 40 * (1 - np.exp(-t / 150)) + rng.normal(0, 0.05, n)


def test_spikes_are_outliers_and_steps_are_not():
    t, values = course()
    step = np.where(t < 200, values, values + 30)
    assert not outliers(step).any()
    assert not outliers(np.round(step)).any()
    for spiky in (step, np.round(step, 1)):
        spiky = spiky.copy()
        spiky[[50, 51, 300]] += [25, 25, -10]
        spiky[120] = np.nan
        assert np.flatnonzero(outliers(spiky)).tolist() == [50, 51, 300]
    assert not outliers(values[:10]).any()


def test_samples_at_the_ends_are_suspects_where_nothing_like_them_is_in_the_record():
    """A spike or a step at an end is one; a steep beginning, a level among others and another spike are none."""
    t, values = course()
    for ends in ([0], [-1], [3, -2], [0, -1]):
        wild = values.copy()
        wild[ends] += 8
        wild[200] += 20
        assert np.flatnonzero(suspects(wild)).tolist() == sorted(i % 400 for i in ends)
        assert np.flatnonzero(outliers(wild)).tolist() == [200]
    assert np.flatnonzero(suspects(np.where(t < 2, values + 8, values))).tolist() == [0, 1]
    assert np.flatnonzero(suspects(np.where(t < 1, values + 8, values)[:16])).tolist() == [0]
    rng = np.random.default_rng(0)
    cooling = 20 + 60 * np.exp(-t / 3) + rng.normal(0, 0.05, 400)
    for usual in (values, cooling, np.round(cooling), np.where((t + 1) % 40 < 9, values + 8, values)):
        assert not suspects(usual).any()
    assert not suspects(np.where(t < 1, values + 8, values)[:15]).any()
    for noise in rng.normal(0, 1, (200, 60)):
        assert not suspects(noise).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_noise_alone_has_hardly_any_outliers(seed, step):
    values = np.random.default_rng(seed).normal(0, 1, 1000)
    values = np.round(values / step) * step if step else values
    assert outliers(values).sum() <= 3


def test_a_stuck_sensor_is_told_from_a_coarse_one():
    t, warm = course()
    _, other = course(seed=2)
    frozen = warm.copy()
    frozen[100:180] = frozen[100]
    assert stuck(t, frozen, [(t, other)]) == [(100, 179)]
    assert stuck(t, frozen, []) == []
    assert stuck(t, frozen, [(t, np.full(400, 3.0))]) == []
    short = warm.copy()
    short[100:119] = short[100]
    assert stuck(t, short, [(t, other)]) == []
    slow = 20 + 3 * (1 - np.exp(-t / 150))
    assert stuck(t, np.round(warm), [(t, other)]) == []
    assert stuck(t, np.round(slow), [(t, other)]) == []  # whole degrees of a body that warms by three
    coarse = np.round(warm)
    coarse[100:250] = coarse[100]
    assert [last for _, last in stuck(t, coarse, [(t, other)])] == [249]
    dead = np.round(warm)
    dead[200:] = dead[200]
    assert stuck(t, dead, [(t, other)])[0][1] == 399


def test_a_level_to_which_a_sensor_returns_is_not_stuck():
    t, other = course()
    sun = np.maximum(0.0, np.sin(2 * np.pi * t / 120)) * np.random.default_rng(5).uniform(0.5, 1.0, 400)
    assert stuck(t, sun, [(t, other)]) == []
    pump = np.where((t // 60) % 2 == 0, 0.0, 3.0 + 0.01 * other)
    assert stuck(t, pump, [(t, other)]) == []


def test_outliers_and_stuck_sensors_are_kept_unless_the_file_says_drop(tmp_path):
    t, a = course()
    b = course(seed=3)[1]
    a[60], b[100:180] = 95.0, b[100]
    log = "t,A,B,u\n" + "".join(f"{i},{a[i]:.17g},{b[i]:.17g},0\n" for i in range(len(t)))
    record, report = inspect(tmp_path, CSV, log=log)
    np.testing.assert_allclose(celsius(record, "A"), a)
    assert report.warnings() == [
        "A: 1 sample lies far from the neighbours, at 60 s: kept.",
        "B: one value, repeated 80 times from 100 s to 179 s while other sensors move: stuck? kept.",
    ]
    record, report = inspect(tmp_path, CSV + 'outliers = "drop"\n')
    assert np.flatnonzero(np.isnan(celsius(record, "A"))).tolist() == [60]
    assert np.flatnonzero(np.isnan(celsius(record, "B"))).tolist() == list(range(100, 180))
    assert channel(report, "B").left_out == {"stuck": 80}
    assert report.warnings()[0].endswith("left out.")
    log = log.replace(f"\n0,{a[0]:.17g}", "\n0,85")
    record, report = inspect(tmp_path, CSV + 'outliers = "drop"\n', log=log)
    assert celsius(record, "A")[0] == pytest.approx(85.0)  # a suspect is told, not dropped
    assert channel(report, "A").left_out == {"outliers": 1}
    assert report.warnings()[1].startswith("A: suspect: 1 of the first or last samples lies far from the neighbours")
    assert "at 0 s: wrong or part of a step, which cannot be told there; kept" in report.warnings()[1]


def test_every_and_thin_do_not_touch_the_report(tmp_path):
    log = "t,A,B,u\n" + "".join(f"{i},{i},{i},0\n" for i in range(40))
    whole, said = inspect(tmp_path, CSV, log=log)
    record, report = inspect(tmp_path, CSV + "every = 4\n")
    np.testing.assert_array_equal(seconds(record), seconds(whole)[::4])
    assert report == said


def test_values_without_time_have_a_report(tmp_path):
    record, report = inspect(tmp_path, 'values.A = "20 degC"\n')
    assert record.times is None
    assert channel(report, "A").low == pytest.approx(293.15)
    assert report.warnings() == report.left_out() == []
    assert report.notes == ("No data of the sensor B of the twin.",)


# Mistakes

S = STAMPS
MISTAKES = {
    "no column": (
        CSV.replace('"A", unit', '"C", unit'),
        LOG,
        "line 15, data.readings.A.column: the data file 'log.csv' has no column 'C': it has t, A, B, u.",
    ),
    "no column of flags": (
        CSV + 'flag = { column = "q", good = [0] }\n',
        LOG,
        "line 18, data.flag.column: the data file 'log.csv' has no column 'q'",
    ),
    "the wrong separator": (CSV, LOG.replace(",", ";"), "Is its separator ';'?"),
    "the wrong decimal sign": (
        CSV,
        LOG.replace("20.5", '"20,5"'),
        "holds '20,5' in column 'A', which is no number. Is",
    ),
    "a sign for thousands": (CSV + 'decimal = ","\n', LOG, "holds '20.5' in column 'A', which is no number."),
    "two columns": (CSV, LOG.replace("A,B", "A,A,B"), "data.readings.A.column: the data file 'log.csv' has 2 col"),
    "an empty file": (CSV, "", "the data file 'log.csv' holds no samples."),
    "a heading alone": (CSV, "t,A,B,u\n\n\n", "the data file 'log.csv' holds no samples."),
    "a text": (CSV, LOG.replace("\n2,", "\n\n2,").replace("21,22", "hot,22"), "line 5 of 'log.csv' holds 'hot'"),
    "an unreadable stamp": (
        S,
        "t,A,B,u\n2024-01-31,1,1,0\n2024-02-31,2,2,0\n",
        "line 3 of 'log.csv' holds '2024-02-31'",
    ),
    "numbers for stamps": (S, "t,A,B,u\n1.5,1,1,0\n2.5,2,2,0\n", "line 2 of 'log.csv' holds '1.5' in column 't'"),
    "a stamp of year 1": (S, "t,A,B,u\n0001-01-01,1,1,0\n", "line 2 of 'log.csv' holds '0001-01-01'"),
    "mixed zones": (
        S,
        "t,A,B,u\n2024-01-31T10:00Z,1,1,0\n2024-01-31T10:01,2,2,0\n",
        "line 3 of 'log.csv' holds a time stamp with no zone, where the rows before have one.",
    ),
    "a start with a zone": (
        S + 'start = "2024-01-31T10:00Z"\n',
        "t,A,B,u\n2024-01-31T10:00,1,1,0\n2024-01-31T10:01,2,2,0\n",
        "data.start: the stamp '2024-01-31T10:00Z' has a zone, but those of the data none.",
    ),
    "a start that is neither": (
        S + 'start = "noon"\n',
        "t,A,B,u\n2024-01-31T10:00,1,1,0\n2024-01-31T10:01,2,2,0\n",
        "'noon' is neither a time stamp such as",
    ),
    "an empty window": (CSV + 'start = "10 s"\n', LOG, "has 0 times between 'start' and 'end', of 4 in all"),
    "a scaled stamp": (S.replace('"datetime"', '"datetime", scale = 2'), LOG, "time stamps take no 'scale'"),
    "all samples flagged": (
        CSV.replace('"A", unit', '"A", flag = { column = "u", good = [7] }, unit'),
        LOG,
        "data.readings.A: no sample of the reading is left: left out are 4 samples by 'flag'.",
    ),
    "a column of nothing": (CSV, "t,A,B,u\n0,,1,0\n1,NA,1,0\n", "column and window hold 2 times and no number"),
    "a valid range upside down": (
        CSV.replace('"A", unit', '"A", valid = ["9 degC", "1 degC"], unit'),
        LOG,
        "the least valid value must be below the greatest",
    ),
    "a valid range of one number": (CSV.replace('"A", unit', '"A", valid = ["9 degC"], unit'), LOG, "readings.A.valid"),
    "two ways to a file": (CSV + 'files = ["log.csv"]\n', LOG, "give 'file' or 'files', not both"),
    "no file": (CSV.replace('file = "log.csv"\n', ""), LOG, "give 'file', 'files', or 'url' with 'sha256'"),
    "an end before its start": (
        CSV + 'start = "3 s"\nend = "2 s"\n',
        LOG,
        "line 19, data.end: 'end' must come after 'start', but 2 s does not after 3 s.",
    ),
    "one row": (CSV, "t,A,B,u\n0,1,1,0\n,2,2,0\n", "'log.csv' has 1 different time; 1 row has none: at least 2 must"),
    "a decimal sign that separates": (
        CSV,
        "t,A,B,u\n0,1,1,0\n1,2,5,2,5,0\n",
        "line 3 of 'log.csv' has 6 cells, but there are 4 columns. Is ',' the decimal sign of its numbers, too?",
    ),
    "an open quote": (CSV, LOG.replace("20.5", '"20.5'), "file 'log.csv' cannot be read as CSV (unexpected end"),
    "no scale": (CSV.replace('"A", unit', '"A", scale = 0, unit'), LOG, "A.scale: the scale must be a number other"),
    "a file twice": (
        CSV.replace('file = "log.csv"', 'files = ["log.csv", "log.csv"]'),
        LOG,
        "data.files.1: the file 'log.csv' stands there twice.",
    ),
    "no such variable": (
        CSV.replace("log.csv", "$GEMEL_NOWHERE/log.csv"),
        LOG,
        "'$GEMEL_NOWHERE/log.csv' does not exist: the environment variable 'GEMEL_NOWHERE' is not set.",
    ),
    "a remark": (
        CSV,
        f"# of a board\n{LOG}",
        "it has # of a board. Its first line must hold the names of its columns.",
    ),
    "another name": (CSV.replace("log.csv", "lag.csv"), LOG, "'lag.csv' does not exist. Did you mean 'log.csv'?"),
    "no time": (CSV.replace('time = { column = "t", unit = "s" }\n', ""), LOG, "the key 'time' is missing"),
    "an unknown separator": (CSV + 'separator = "x"\n', LOG, "'x' is not allowed"),
    "clocks of two kinds": (
        CSV.replace('"A", unit', '"A", time = { column = "d", unit = "datetime" }, unit'),
        "t,d,A,B,u\n0,2024-01-01,1,1,0\n1,2024-01-02,1,1,0\n",
        "the times of the data are stamps without a zone and numbers: all must be of one kind.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    data, log, sentence = MISTAKES[mistake]
    with pytest.raises(TwinFileError) as caught:
        inspect(tmp_path, data, log=log)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("twin.toml, line ")
    assert "\n" not in str(caught.value)


def test_sensors_that_part_from_each_other_are_told(tmp_path):
    """Of two it is not known which drifts; an input that explains it, or a single sensor, gives no suspicion."""
    rng, t = np.random.default_rng(0), np.arange(200)
    course = 30.0 + 5.0 * np.sign(np.sin(t / 8.0))
    a, b = course + 0.05 * rng.standard_normal(200), course + 0.05 * rng.standard_normal(200) + t / 199.0
    heats = np.where(t % 20 < 10, 0, 50)

    def warned(data: str, heater: np.ndarray) -> list[str]:
        rows = [",".join(map(str, row)) for row in zip(t, a, b, heater, strict=True)]
        report = inspect(tmp_path, data, log="\n".join(["t,A,B,u", *rows]))[1]
        return [line for line in report.warnings() if "part" in line]

    (told,) = warned(CSV, heats)
    assert re.fullmatch(
        r"(A and B|B and A): they go together, but part by [+-](1\.0|0\.9)\d* K over the record: a drift of one would "
        "explain it, not known of which.",
        told,
    )
    assert warned(CSV, t) == []
    assert warned(CSV.replace('readings.B = { column = "B", unit = "degC" }\n', ""), heats) == []


def test_infinite_numbers_are_left_out_and_counted(tmp_path):
    """Not as if the file had nothing there; an infinite time is none."""
    log = LOG.replace("1,20.5", "1,inf").replace("4,22", "4,-1e999") + "5,23,24,0\ninf,50,50,0\n"
    record, report = inspect(tmp_path, CSV, log=log)
    np.testing.assert_allclose(celsius(record, "A"), [20, np.nan, 21, np.nan, 23])
    found = channel(report, "A")
    assert (found.samples, found.missing, found.left_out) == (3, 0, {"infinite": 2})
    assert report.warnings() == ["A: 2 samples are infinite: left out."]
    assert report.left_out() == []
    with pytest.raises(TwinFileError, match="left out are 5 samples by 'infinite'"):
        inspect(tmp_path, CSV, log="t,A,B,u\n" + "".join(f"{i},inf,20,0\n" for i in range(5)))


def test_data_that_cannot_be_fetched_say_which_variable_to_set(tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr("pooch.retrieve", unreachable)
    source = 'url = "https://example.org/log.csv"\nsha256 = "0"\n'
    for file, advice in (
        (
            "${GEMEL_NOWHERE}/log.csv",
            r"environment variable GEMEL_NOWHERE \('file' is '\$\{GEMEL_NOWHERE\}/log.csv'\), or",
        ),
        ("log.csv", "if you have the file, give --data"),
    ):
        with pytest.raises(MissingDataError, match=rf"cannot be fetched \(ConnectionError\); .*{advice}"):
            inspect(tmp_path, CSV.replace('"log.csv"', f'"{file}"') + source)


def test_a_missing_file_of_a_channel_is_missing_data(tmp_path):
    data = CSV.replace('"A", unit', '"A", file = "none.csv", unit')
    with pytest.raises(MissingDataError, match=r"the data file 'none\.csv' does not exist"):
        inspect(tmp_path, data, log=LOG)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rubbish_is_refused_in_one_sentence(tmp_path_factory, data):
    """Bytes of any kind under any suffix either are read or are refused in one sentence."""
    folder = tmp_path_factory.mktemp("rubbish")
    suffix = data.draw(st.sampled_from([".csv", ".parquet", ".txt"]))
    start = data.draw(st.sampled_from([b"", b"t,A,B,u\n", b"t,A,B,u\n0,1,2,3\n", b"PAR1", b"\xef\xbb\xbft,A,B,u\n1,"]))
    (folder / f"log{suffix}").write_bytes(start + data.draw(st.binary(max_size=80)))
    try:
        inspect(folder, CSV.replace("log.csv", f"log{suffix}"))
    except TwinFileError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "content", [None, b"", b"\x00\xff{", b'{"zarr_format": "x"}'], ids=["none", "empty", "x", "json"]
)
def test_a_broken_group_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / "log.zarr").mkdir()
    if content is not None:
        (tmp_path / "log.zarr" / "zarr.json").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # zarr leaves a file open that it cannot read
        with pytest.raises(TwinFileError, match=r"the data file 'log\.zarr' cannot be read as \.zarr") as caught:
            inspect(tmp_path, CSV.replace("log.csv", "log.zarr"))
    assert "\n" not in str(caught.value)


def test_columns_of_a_group_that_do_not_fit(tmp_path):
    group = zarr.create_group(str(tmp_path / "log.zarr"))
    for name, size in (("t", 5), ("A", 4), ("u", 5)):
        group.create_array(name, data=np.arange(float(size)))
    group.create_array("B", data=np.zeros((5, 2)))
    data = CSV.replace("log.csv", "log.zarr")
    with pytest.raises(TwinFileError, match=r"column 'B' of 'log.zarr' has 2 dimensions, not 1"):
        inspect(tmp_path, data)
    with pytest.raises(TwinFileError, match=r"readings.A.+column 'A' of 'log.zarr' has 4 rows where column 't' has 5"):
        inspect(tmp_path, data.replace('column = "B"', 'column = "A"'))
