"""The finite-element examples: calibrated on a part of what was measured, judged on the rest."""

from pathlib import Path

import numpy as np
import pytest

import gemel as gm

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_the_cantilever_predicts_the_third_frequency():
    file = gm.TwinFile.load(EXAMPLES / "cantilever" / "twin.toml")
    record = file.record()
    before = gm.simulate(file.build())
    fit = gm.calibrate(file.build(), record, file.solver(), file.calibration.sensors)
    assert bool(fit.status.ok)
    after = gm.simulate(fit.twin)

    def error(run, name):
        return abs(float(run.readings[name]) / float(np.asarray(record.readings[name])) - 1)

    assert error(before, "f3") > 0.03
    assert error(after, "f3") < 0.02
    assert all(error(after, name) < 0.01 for name in ("f1", "f2"))
    determined = {row.name: row.determined for row in fit.table()}
    assert determined["clamp"] > 0.5 > determined["sensor"]


@pytest.mark.slow
def test_gradient_descent_finds_the_same_beam():
    file = gm.TwinFile.load(EXAMPLES / "cantilever" / "twin.toml")
    import optax

    solver = gm.GradientDescent(optax.adam(0.05), gtol=0.5, max_steps=150)
    fit = gm.calibrate(file.build(), file.record(), solver, file.calibration.sensors)
    assert float(fit.costs[-1]) < 0.03 * float(fit.costs[0])
    assert float(gm.simulate(fit.twin).readings["f3"]) == pytest.approx(117.5, rel=0.02)


@pytest.mark.slow
def test_the_heater_board_forecasts_its_second_half(data_folder):
    if not (data_folder / "tclab").is_dir():
        pytest.skip("GEMEL_DATA holds no folder 'tclab'")
    file = gm.TwinFile.load(EXAMPLES / "heater-board" / "twin.toml")
    record = file.record()
    assert record.times is not None
    fit = gm.calibrate(file.build(), file.training(record), file.solver())
    assert bool(fit.status.ok)
    result = gm.forecast(fit.twin, record.inputs, record.times)
    later = np.asarray(record.times) >= 300.0
    # Two-node energy balance, fitted on the same half: 1.42 K and 1.33 K.
    for name, limit in (("T1", 0.8), ("T2", 0.8)):
        misfit = np.asarray(result.run.readings[name]) - np.asarray(record.readings[name])
        assert np.sqrt(np.mean(misfit[later] ** 2)) < limit
        assert np.sqrt(np.mean(misfit[~later] ** 2)) < 0.2
        assert result.coverage(name, np.where(later, record.readings[name], np.nan)) > 0.9
