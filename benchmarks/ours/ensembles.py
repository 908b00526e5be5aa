"""Ensembles of small initial value problems with `integrate_ensemble`: Rodas5P where they are stiff, else Tsit5."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from benchmarks.measure import timed
from benchmarks.odes import ensemble, errors, reference, tolerance
from benchmarks.ours.common import Row, peak
from gemel.solvers import PIControl, Rodas5P, Tsit5, integrate_ensemble


def run(case: Case, n: int, repeat: int) -> Row:
    """The row of n members. Raises `SolveError` where one fails."""
    problem = ensemble(case.name, n)
    exact = reference(problem)
    method = Rodas5P() if problem.stiff else Tsit5()

    def solve(y: Any, p: Any, rtol: Any) -> Any:
        control = PIControl(rtol, rtol * problem.atol_share)
        return integrate_ensemble(lambda t, y, p: problem.rate(jnp, t, y, p), y, (0.0, problem.end), p, method, control)

    forward = jax.jit(solve)
    initial, parameters = jnp.asarray(problem.initial), jnp.asarray(problem.parameters)
    first = initial[:, : exact.shape[1]], parameters[:, : exact.shape[1]]
    rtol = tolerance(problem, exact, lambda rtol: np.asarray(forward(*first, jnp.asarray(rtol)).value.final))
    at = jnp.asarray(rtol)
    solution, timing = timed(lambda: forward(initial, parameters, at), repeat, jax.block_until_ready)
    final = np.asarray(solution.checked(problem.title).final)
    tried = solution.statistics["accepted"] + solution.statistics["rejected"]
    row = {"members": n, "method": type(method).__name__, "rtol": rtol}
    row |= {"compile_s": timing.compile, "forward_s": timing.best, "forward_median_s": timing.median}
    row |= {"tried": float(jnp.mean(tried)), **errors(problem, final, exact)}
    if problem.stiff:
        weights = 1 / (jnp.asarray(problem.size)[:, None] * n)
        slope = jax.jit(jax.grad(lambda p, y, rtol: jnp.sum(solve(y, p, rtol).value.final * weights)))
        dp, timing = timed(lambda: slope(parameters, initial, at), repeat, jax.block_until_ready)
        row |= {"gradient_compile_s": timing.compile, "gradient_s": timing.best}
        row |= {"gradient_median_s": timing.median, "slope": float(jnp.sum(dp * parameters))}
    return row | {"peak_mib": peak()}
