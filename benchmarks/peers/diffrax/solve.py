"""diffrax: `diffeqsolve` under `jax.vmap`, its PID controller and its adjoint with the defaults.

Kvaerno's method of order 5 where the systems are stiff, Tsitouras' of order 5 where they are not, as its documentation
recommends. Tolerances are arguments of the compiled function.
"""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import peak_mib, timed
from benchmarks.odes import Ensemble, ensemble, errors, reference, tolerance
from benchmarks.peers import Task

MAX_STEPS = 16_384


def run(task: Task) -> dict[str, Any]:
    """The row of one ensemble. Raises `RuntimeError` where a member fails."""
    jax.config.update("jax_enable_x64", True)
    case = ensemble(task.case.name, task.size)
    exact = reference(case)
    method = diffrax.Kvaerno5() if case.stiff else diffrax.Tsit5()
    every = jax.jit(jax.vmap(_one(case, method), in_axes=(1, 1, None), out_axes=(1, 0, 0)))
    initial, parameters = jnp.asarray(case.initial), jnp.asarray(case.parameters)
    first = initial[:, : exact.shape[1]], parameters[:, : exact.shape[1]]
    rtol = tolerance(case, exact, lambda rtol: np.asarray(every(*first, rtol)[0]))
    found, timing = timed(lambda: every(initial, parameters, rtol), task.repeat, jax.block_until_ready)
    final, steps, good = found
    if not bool(jnp.all(good)):
        raise RuntimeError(f"{int(jnp.sum(~good))} members of {case.name} failed.")
    row = {"members": case.members, "method": type(method).__name__, "rtol": rtol}
    row |= {"compile_s": timing.compile, "forward_s": timing.best, "forward_median_s": timing.median}
    row |= {"tried": float(jnp.mean(steps)), **errors(case, np.asarray(final), exact)}
    if case.stiff:
        weights = 1 / (jnp.asarray(case.size)[:, None] * case.members)
        slope = jax.jit(jax.grad(lambda p, y, rtol: jnp.sum(every(y, p, rtol)[0] * weights)))
        dp, timing = timed(lambda: slope(parameters, initial, rtol), task.repeat, jax.block_until_ready)
        row |= {"gradient_compile_s": timing.compile, "gradient_s": timing.best}
        row |= {"gradient_median_s": timing.median, "slope": float(jnp.sum(dp * parameters))}
    return row | {"peak_mib": peak_mib()}


def _one(case: Ensemble, method: Any) -> Any:
    term = diffrax.ODETerm(lambda t, y, p: case.rate(jnp, t, y, p))

    def one(y: Any, p: Any, rtol: Any) -> tuple[Any, Any, Any]:
        found = diffrax.diffeqsolve(
            term,
            method,
            0.0,
            case.end,
            None,
            y,
            p,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol * case.atol_share),
            max_steps=MAX_STEPS,
            throw=False,
        )
        assert found.ys is not None
        return found.ys[0], found.stats["num_steps"], found.result == diffrax.RESULTS.successful

    return one
