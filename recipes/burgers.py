import math

from recipes import physics

VISCOSITY = 0.01 / math.pi
DENSITY = 4.0
NODES, REACH = 4096, 13.0  # of the quadrature: half as many give the same to 1e-13


class Burgers(physics.Equation):
    """Burgers' equation by a network in full batches: Adam, then self-scaled Broyden, held against Cole and Hopf.

    ```text
    u_t + u u_x = (0.01 / π) u_xx      -1 <= x <= 1, 0 <= t <= 1
    u = -sin(π x) where t = 0, and u = 0 where x = -1 and x = 1
    ```

        python -m recipes train burgers
        python -m recipes train burgers --preset adam

    Reference:
        Raissi, Perdikaris and Karniadakis, Physics-informed neural networks, Journal of Computational Physics 378,
        2019, arXiv:1711.10561. Urbán, Stefanou and Pons, 2025, arXiv:2405.04230.
    """

    domain = {"x": (-1.0, 1.0), "t": (0.0, 1.0)}
    orders = {"x": 2, "t": 1}
    grid = (256, 101)
    learning_rate = 0.003
    presets = physics.PRESETS

    def placed(self, x, t):
        """6.8 times as dense at the shock, x = 0, as evenly spread ones, and a quarter as dense at both ends."""
        import numpy as np

        return np.sinh(DENSITY * x) / math.sinh(DENSITY), t

    def solution(self, network, x, t):
        return t * (1 - x * x) * network - physics.sin(math.pi * x)

    def residual(self, u, x, t):
        return u.d("t") + u.value * u.d("x") - VISCOSITY * u.d("xx")

    def reference(self, x, t):
        """The transformation of Cole and Hopf, whose two integrals are taken by the trapezoidal rule.

        ```python
        u = integral(-sin(pi y) w) / integral(w),   y = x - z,
        w = exp(-cos(pi y) / (2 pi viscosity) - z**2 / (4 viscosity t))
        ```
        """
        import numpy as np

        z = np.linspace(-REACH, REACH, NODES)
        found = np.empty(x.shape)
        for at, time in np.ndenumerate(t):
            y = x[at] - z * math.sqrt(4 * VISCOSITY * time)
            exponent = -np.cos(math.pi * y) / (2 * math.pi * VISCOSITY) - z * z
            weight = np.exp(exponent - exponent.max())
            found[at] = -(np.sin(math.pi * y) * weight).sum() / weight.sum()
        return found
