"""Hairer and Wanner's Rosenbrock method of order 4."""

import numpy as np

from gemel.solvers.ensembles.rosenbrock import Rosenbrock, RosenbrockTableau

_LAST = [1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950]

_A = np.zeros((6, 6))
_A[1, :1] = 1.544
_A[2, :2] = [0.9466785280815826, 0.2557011698983284]
_A[3, :3] = [3.314825187068521, 2.896124015972201, 0.9986419139977817]
_A[4, :4] = _LAST
_A[5, :5] = [*_LAST, 1.0]

_C = np.zeros((6, 6))
_C[1, :1] = -5.6688
_C[2, :2] = [-2.430093356833875, -0.2063599157091915]
_C[3, :3] = [-0.1073529058151375, -9.594562251023355, -20.47028614809616]
_C[4, :4] = [7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160]
_C[5, :5] = [8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054]

_DENSE = np.array(
    [
        [10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662, 0.0],
        [-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872, 0.0],
    ]
)


class Rodas4(Rosenbrock):
    """RODAS of order 4(3): six stages, L-stable, stiffly accurate, dense output of order 3.

    The better choice for low accuracy. Hairer, Wanner, *Solving Ordinary Differential Equations II*, 2nd ed., Springer
    (1996), VI.4.
    """

    @property
    def order(self) -> int:
        """Four."""
        return 4

    @property
    def error_order(self) -> int:
        """The embedded method is of order 3, its error per step of order 4."""
        return 4

    @property
    def tableau(self) -> RosenbrockTableau:
        """The numbers of the method."""
        nodes = np.array([0.0, 0.386, 0.21, 0.63, 1.0, 1.0])
        return RosenbrockTableau(0.25, nodes, np.array([0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0]), _A, _C, _DENSE)
