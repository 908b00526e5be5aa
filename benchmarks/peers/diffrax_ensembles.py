"""Ensembles with diffrax: ``diffeqsolve`` under ``vmap``, its default controller and adjoint."""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import timed
from benchmarks.odes import Ensemble, errors

MAX_STEPS = 16_384


def run(case: Ensemble, repeat: int, gradient: bool, exact: np.ndarray) -> dict[str, Any]:
    """The row of one ensemble: Kvaerno's method of order 5 where it is stiff, else Tsitouras' of order 5."""
    solver = diffrax.Kvaerno5() if case.stiff else diffrax.Tsit5()
    term = diffrax.ODETerm(lambda t, y, p: case.rate(jnp, t, y, p))
    control = diffrax.PIDController(rtol=case.rtol, atol=case.atol)

    def one(y: Any, p: Any) -> tuple[Any, Any, Any]:
        found = diffrax.diffeqsolve(
            term,
            solver,
            0.0,
            case.end,
            None,
            y,
            p,
            stepsize_controller=control,
            max_steps=MAX_STEPS,
            throw=False,
        )
        assert found.ys is not None
        return found.ys[0], found.stats["num_steps"], found.result == diffrax.RESULTS.successful

    initial, parameters = jnp.asarray(case.initial.T), jnp.asarray(case.parameters.T)
    every = jax.jit(jax.vmap(one))
    (final, steps, good), timing = timed(lambda: every(initial, parameters), repeat, jax.block_until_ready)
    if not bool(jnp.all(good)):
        raise RuntimeError(f"diffrax: {int(jnp.sum(~good))} members of {case.name} failed.")
    row = {"method": f"diffrax {type(solver).__name__}", "compile_s": timing.compile, "forward_s": timing.best}
    row |= {"tried": float(jnp.mean(steps)), **errors(case, np.asarray(final).T, exact)}
    if gradient:
        weights = 1 / jnp.asarray(case.size)
        slope = jax.jit(jax.grad(lambda y, p: jnp.sum(jax.vmap(one)(y, p)[0] * weights), argnums=(0, 1)))
        (_, dp), timing = timed(lambda: slope(initial, parameters), repeat, jax.block_until_ready)
        row |= {"gradient_compile_s": timing.compile, "gradient_s": timing.best, "gradient": np.asarray(dp).T}
    return row
