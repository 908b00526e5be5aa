"""A calibration that is killed at random moments, a hundred times, ends bit for bit as one that was left alone."""

import importlib
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

KILLS, STEPS = 100, 1500

MODULE = """
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax

import gemel as gm
from gemel.engine.store.checkpoints import resumable_calibrate


class Decay(gm.OdeSystem):
    k: object
    output_names: tuple = eqx.field(static=True, default=("x",))

    def initial(self):
        return jnp.ones(1)

    def rate(self, t, y, inputs):
        return -self.k * y

    def outputs(self, t, y, inputs):
        return {"x": y[0]}


def fit(checkpoint, result, tell, steps):
    rate = gm.Parameter("k", gm.LogNormal(0.2, 20.0))
    twin = gm.Twin("decay", gm.Ode(Decay(rate), 0.1), [gm.OutputSensor("x", "x", 0.1)])
    times = np.linspace(0.0, 4.0, 41)
    record = gm.Record(times, {"x": np.exp(-1.3 * times)})
    solver = gm.GradientDescent(optax.adam(2e-3), gtol=0.0, max_steps=steps)
    on_step = lambda state: tell.send(int(state.step))
    fit = resumable_calibrate(twin, record, solver, None, Path(checkpoint), on_step=on_step)
    np.savez(result, mean=fit.twin.belief.mean, covariance=fit.twin.belief.covariance, costs=fit.costs)
"""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_hundred_kills_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "killed_fit.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name, value in {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_fit"])  # which its process finds by PYTHONPATH: not by sys.path
    target = importlib.import_module("killed_fit").fit

    def begin(name: str) -> tuple[Any, Any]:
        heard, told = context.Pipe(duplex=False)
        arguments = (str(tmp_path / f"{name}.npz"), str(tmp_path / f"{name}-result.npz"), told, STEPS)
        process = context.Process(target=target, args=arguments)
        process.start()
        told.close()
        return process, heard

    def finish(name: str) -> None:
        process, heard = begin(name)
        while heard.poll(300):
            try:
                heard.recv()
            except EOFError:
                break
        process.join(300)
        assert process.exitcode == 0

    finish("alone")
    moments, reached = random.Random(0), 0
    for kill in range(KILLS):
        process, heard = begin("killed")
        assert heard.poll(300), "the fit does not go on"
        first = heard.recv()
        assert first >= reached, f"after kill {kill} the fit went on from step {first}, though {reached} was done"
        reached = first
        for _ in range(moments.randrange(12)):
            reached = heard.recv()
        time.sleep(moments.uniform(0.0, 0.01))  # somewhere between two writes, or in the middle of one
        process.kill()
        process.join()
        heard.close()
    assert KILLS < reached < STEPS - 20, "the kills should be spread over the fit"
    finish("killed")
    with np.load(tmp_path / "alone-result.npz") as whole, np.load(tmp_path / "killed-result.npz") as pieces:
        for name in whole:
            assert whole[name].tobytes() == pieces[name].tobytes(), name
