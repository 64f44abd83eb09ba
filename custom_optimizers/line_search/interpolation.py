"""Where a function of one variable has its minimum, by its values and slopes at two points.

Points are tuples `(t, value, slope)` of numbers. What cannot be computed is NaN or infinite.
"""

from custom_optimizers.either import larger, sign, sqrt, where


def cubic(a, b):
    """The minimum of the cubic through both points, computed from each end.

    Returns:
        `(t, t, share, root)`: the minimum as it is computed from `a`, which is exact near `a`, and from `b`; the share
        of the way from `b` to `a` that it is at; and a root that is 0 where there is none, or where it is at infinity.
    """
    (t_a, f_a, g_a), (t_b, f_b, g_b) = a, b
    length = t_b - t_a
    slope = (f_a - f_b) / length  # added up: TensorFlow moves a factor by the names of operations, and with it a bit
    theta = slope + slope + slope + g_a + g_b
    scale = larger(abs(theta), larger(abs(g_a), abs(g_b)))
    radicand = (theta / scale) * (theta / scale) - (g_a / scale) * (g_b / scale)
    root = sign(length) * scale * sqrt(where(radicand < 0, 0 * radicand, radicand))
    from_a = (root - g_a + theta) / (root - g_a + root + g_b)
    back = -root
    from_b = (back - g_b + theta) / (back - g_b + back + g_a)
    return t_a + from_a * length, t_b - from_b * length, from_b, back


def parabola(a, b):
    """The minimum of the parabola through both values that has the slope of `a`."""
    (t_a, f_a, g_a), (t_b, f_b, _) = a, b
    return t_a + g_a / ((f_a - f_b) / (t_b - t_a) + g_a) / 2 * (t_b - t_a)


def secant(a, b):
    """Where the straight line through both slopes is zero."""
    return a[0] + a[2] / (a[2] - b[2]) * (b[0] - a[0])
