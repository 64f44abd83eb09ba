import math

from recipes import physics

DIFFUSION, REACTION = 0.001, 5.0
DEGREE = 768  # of the reference; even


class AllenCahn(physics.Equation):
    """The equation of Allen and Cahn by a network in full batches: Adam, then self-scaled Broyden.

    ```text
    u_t = 0.001 u_xx + 5 (u - u³)      -1 <= x <= 1, 0 <= t <= 1
    u = x² cos(π x) where t = 0, and u = -1 where x = -1 and x = 1
    ```

        python -m recipes train allen_cahn
        python -m recipes train allen_cahn --preset adam

    Reference:
        Lu, Meng, Mao and Karniadakis, DeepXDE, SIAM Review 63, 2021, arXiv:1907.04502, whose example has these numbers.
    """

    domain = {"x": (-1.0, 1.0), "t": (0.0, 1.0)}
    orders = {"x": 2, "t": 1}
    grid = (201, 101)
    presets = physics.PRESETS

    def solution(self, network, x, t):
        return t * (1 - x * x) * network + x * x * physics.cos(math.pi * x)

    def residual(self, u, x, t):
        return u.d("t") - DIFFUSION * u.d("xx") - REACTION * (u.value - u.value**3)

    def reference(self, x, t):
        """Chebyshev's collocation in x, and an implicit method of order 5 in t."""
        import numpy as np
        from scipy import integrate, interpolate

        points, d = physics.chebyshev(DEGREE)
        half = DEGREE // 2 + 1  # the solution is even: the other half of the points has the same values
        second = (d @ d)[1:half]
        second = second[:, :half] + np.pad(second[:, half:][:, ::-1], ((0, 0), (0, 1)))
        inner = points[1:half]

        def slope(_, u):
            return DIFFUSION * second @ np.concatenate([[-1], u]) + REACTION * (u - u**3)

        def jacobian(_, u):
            return DIFFUSION * second[:, 1:] + np.diag(REACTION * (1 - 3 * u**2))

        times, start = t[0], inner**2 * np.cos(math.pi * inner)
        options = {"t_eval": times, "jac": jacobian, "rtol": 1e-9, "atol": 1e-11}
        found = integrate.solve_ivp(slope, (0, 1), start, "Radau", **options).y
        whole = np.vstack([-np.ones((1, len(times))), found])
        return interpolate.BarycentricInterpolator(points, np.vstack([whole, whole[-2::-1]]))(x[:, 0])
