import keras

from custom_optimizers.directions.dense import DenseDirection
from custom_optimizers.either import larger, smaller, sqrt, where


@keras.saving.register_keras_serializable(package="custom_optimizers")
class SelfScaledBroydenDirection(DenseDirection):
    """The direction of a self-scaled member of Broyden's family, chosen anew at each update.

    ```python
    d = -H @ g
    v = sqrt(y @ H @ y) * (s / (s @ y) - H @ y / (y @ H @ y))
    H = (H - outer(H @ y, H @ y) / (y @ H @ y) + phi * outer(v, v)) / tau + outer(s, s) / (s @ y)

    b, h = (s @ inv(H) @ s) / (s @ y), (y @ H @ y) / (s @ y)
    a = b * h - 1
    rho = min(1, h * (1 - sqrt(a / (1 + a))))
    theta = max((rho - 1) / a, min(1 / rho, (1 - b) / b))
    sigma = 1 + a * theta
    tau = min(1, 1 / b) * min(sigma ** (1 / (1 - n)), 1 / theta) if theta > 0 else (
        min(min(1, 1 / b) * sigma ** (1 / (1 - n)), sigma))
    phi = (1 - theta) / sigma
    ```

    n is the number of parameters. With the first pair, H being the identity, tau is `h / sigma`. Where `a` is nothing
    but rounding, as it is with one parameter, theta is 0: that is BFGS, scaled by tau.

    Args:
        max_parameters: int >= 1, the most parameters that a model may have.

    References:
        Al-Baali and Khalfan, Wide Interval for Efficient Self-Scaling Quasi-Newton Algorithms, Optimization Methods and
        Software 20, 2005.
        Urbán, Stefanou and Pons, Unveiling the Optimization Process of Physics Informed Neural Networks: How Accurate
        and Competitive Can PINNs Be?, Journal of Computational Physics 523, 2025, arXiv:2405.04230, formulas 13 to 23.
    """

    def factors(self, sy, yh, sbs, is_first, size):
        one, b, h = 1 + 0 * sy, sbs / sy, yh / sy
        a = b * h - 1
        has_family = a > self.rounding_of(sy)
        a = where(has_family, a, one)
        rho = smaller(one, h * (1 - sqrt(a / (1 + a))))
        theta = larger((rho - 1) / a, smaller(1 / rho, (1 - b) / b))
        theta = where(has_family, theta, 0 * sy)
        sigma = 1 + a * theta
        power = where(size > 1, sigma ** (1 / (1 - size)), one)
        bound = smaller(one, 1 / b)
        scaled = where(theta > 0, bound * smaller(power, 1 / theta), smaller(bound * power, sigma))
        tau, phi = where(is_first, h / sigma, scaled), (1 - theta) / sigma
        return 1 / tau, (1 + phi * h / tau) / sy, -phi / (tau * sy), (phi - 1) / (tau * yh)
