"""From data to belief: what is fitted, how, how sure it is, and whether to trust it."""

from gemel.engine.calibration.design import (
    Measurement,
    expected_information,
    information_by_input,
    information_of_each,
    next_measurements,
)
from gemel.engine.calibration.early import stopping_early
from gemel.engine.calibration.fields import FieldFit, MaternPrior, calibrate_field
from gemel.engine.calibration.fit import (
    DEFAULT_SOLVER,
    ArrayRow,
    CalibrationError,
    Fit,
    ParameterRow,
    calibrate,
    conclude,
)
from gemel.engine.calibration.identifiability import Direction, identifiability
from gemel.engine.calibration.judgement import Judgement, judge
from gemel.engine.calibration.multistart import Starts, multistart
from gemel.engine.calibration.problem import CalibrationProblem, residual
from gemel.engine.calibration.profiles import LikelihoodProfile, profile_likelihood
from gemel.engine.calibration.sampling import Draws, agrees_with_laplace, sample
from gemel.engine.calibration.scores import Score
from gemel.engine.calibration.shooting import (
    Shooting,
    ShootingFit,
    batches,
    conclude_shooting,
    descend_in_batches,
    shoot,
    shooting_residual,
    shooting_start,
)
from gemel.engine.losses import Gaussian, Huber, Loss, StudentT

__all__ = [
    "DEFAULT_SOLVER",
    "ArrayRow",
    "CalibrationError",
    "CalibrationProblem",
    "Direction",
    "Draws",
    "FieldFit",
    "Fit",
    "Gaussian",
    "Huber",
    "Judgement",
    "LikelihoodProfile",
    "Loss",
    "MaternPrior",
    "Measurement",
    "ParameterRow",
    "Score",
    "Shooting",
    "ShootingFit",
    "Starts",
    "StudentT",
    "agrees_with_laplace",
    "batches",
    "calibrate",
    "calibrate_field",
    "conclude",
    "conclude_shooting",
    "descend_in_batches",
    "expected_information",
    "identifiability",
    "information_by_input",
    "information_of_each",
    "judge",
    "multistart",
    "next_measurements",
    "profile_likelihood",
    "residual",
    "sample",
    "shoot",
    "shooting_residual",
    "shooting_start",
    "stopping_early",
]
