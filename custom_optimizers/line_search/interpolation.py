"""Where a function of one variable has its minimum, by its values and slopes at two points.

Points are tuples `(t, value, slope)` of scalar tensors. What cannot be computed is NaN or infinite.
"""

from keras import ops


def larger(a, b):
    """The larger of two numbers; `maximum` of Keras makes float32 of float64 on torch."""
    return ops.where(a > b, a, b)


def smaller(a, b):
    """The smaller of two numbers."""
    return ops.where(a < b, a, b)


def cubic(a, b):
    """`(t, share, root)`: the minimum of the cubic through both points, as a `t` and as a share of the way from a to b.

    `root` is 0 where the cubic has no minimum, or where that is at infinity.
    """
    (t_a, f_a, g_a), (t_b, f_b, g_b) = a, b
    theta = 3 * (f_a - f_b) / (t_b - t_a) + g_a + g_b
    scale = larger(ops.absolute(theta), larger(ops.absolute(g_a), ops.absolute(g_b)))
    radicand = (theta / scale) * (theta / scale) - (g_a / scale) * (g_b / scale)
    root = ops.sign(t_b - t_a) * scale * ops.sqrt(ops.where(radicand < 0, 0 * radicand, radicand))
    share = (root - g_a + theta) / (root - g_a + root + g_b)
    return t_a + share * (t_b - t_a), share, root


def parabola(a, b):
    """The minimum of the parabola through both values that has the slope of `a`."""
    (t_a, f_a, g_a), (t_b, f_b, _) = a, b
    return t_a + g_a / ((f_a - f_b) / (t_b - t_a) + g_a) / 2 * (t_b - t_a)


def secant(a, b):
    """Where the straight line through both slopes is zero."""
    return a[0] + a[2] / (a[2] - b[2]) * (b[0] - a[0])
