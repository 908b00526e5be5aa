"""Tsitouras' explicit method of order 5."""

import numpy as np

from gemel.solvers.ensembles.explicit import ExplicitRungeKutta, ExplicitTableau

_A = np.zeros((7, 7))
_A[1, :1] = 0.161
_A[2, :2] = [-0.008480655492356989, 0.335480655492357]
_A[3, :3] = [2.897153057105493, -6.359448489975075, 4.362295432869581]
_A[4, :4] = [5.325864828439257, -11.748883564062828, 7.495539342889836, -0.09249506636175525]
_A[5, :5] = [5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383]
_A[6, :6] = [0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774]

_ERROR = np.array(
    [
        0.0017800110522257714,
        0.0008164344596567469,
        -0.007880878010261995,
        0.1447110071732629,
        -0.5823571654525552,
        0.45808210592918697,
        -1 / 66,
    ]
)

_DENSE = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [
            -2.763706197274826,
            0.13169999999999998,
            3.9302962368947516,
            -12.411077166933676,
            37.50931341651104,
            -27.896526289197286,
            1.5,
        ],
        [
            2.9132554618219126,
            -0.2234,
            -5.941033872131505,
            30.33818863028232,
            -88.1789048947664,
            65.09189467479366,
            -4.0,
        ],
        [
            -1.0530884977290216,
            0.1017,
            2.490627285651253,
            -16.548102889244902,
            47.37952196281928,
            -34.87065786149661,
            2.5,
        ],
    ]
)


class Tsit5(ExplicitRungeKutta):
    """Tsitouras' explicit Runge-Kutta pair 5(4) with seven stages, first same as last, dense output of order 4.

    For problems that are not stiff. Tsitouras, *Runge-Kutta pairs of order 5(4) satisfying only the first column
    simplifying assumption*, Comput. Math. Appl. 62 (2011).
    """

    @property
    def order(self) -> int:
        """Five."""
        return 5

    @property
    def error_order(self) -> int:
        """The embedded method is of order 4, its error per step of order 5."""
        return 5

    @property
    def tableau(self) -> ExplicitTableau:
        """The numbers of the method."""
        return ExplicitTableau(_A.sum(1), _A, _ERROR, _DENSE)
