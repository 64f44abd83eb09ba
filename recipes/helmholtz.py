import math

from recipes import physics

FREQUENCIES, WAVE = (1, 4), 1.0


class Helmholtz(physics.Equation):
    """Helmholtz' equation in a square by a network in full batches: Adam, then self-scaled Broyden.

    ```text
    u_xx + u_yy + u = q(x, y)          -1 <= x, y <= 1, and u = 0 on the boundary
    q such that u = sin(π x) sin(4 π y)
    ```

        python -m recipes train helmholtz
        python -m recipes train helmholtz --preset adam

    Reference:
        Wang, Teng and Perdikaris, Understanding and mitigating gradient pathologies in physics-informed neural
        networks, 2021, arXiv:2001.04536.
    """

    domain = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
    orders = {"x": 2, "y": 2}
    grid = (201, 201)
    presets = physics.PRESETS

    def solution(self, network, x, y):
        return (1 - x * x) * (1 - y * y) * network

    def residual(self, u, x, y):
        a, b = (math.pi * each for each in FREQUENCIES)
        source = (WAVE**2 - a * a - b * b) * physics.sin(a * x.value) * physics.sin(b * y.value)
        return u.d("xx") + u.d("yy") + WAVE**2 * u.value - source

    def reference(self, x, y):
        import numpy as np

        a, b = (math.pi * each for each in FREQUENCIES)
        return np.sin(a * x) * np.sin(b * y)
