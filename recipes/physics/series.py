"""Derivatives by Taylor arithmetic: a number carries its Taylor series along some directions.

An expression of `Series` has the derivatives of what it computes, whatever it is made of: forward mode of several
orders at once. Three derivatives of a network by its inputs cost about four times the network, where a backward pass
inside of another costs that for each derivative, and has to be recorded for the next.
"""

import math

from keras import ops

from recipes.physics.numbers import numbers


class Series:
    """A value at each of `n` points, and its Taylor coefficients along directions.

    ```python
    along[name][k - 1] = d^k value / d name^k / k!      # None where it is zero everywhere
    ```

    Sums, products, quotients and whole powers of them, with tensors and numbers too, and the functions of this module
    are series again.

    Args:
        value: tensor `(n, units)`.
        along: dict from names of directions to lists of tensors, each of the shape of the value or such that it can be
            broadcast to it. The length of a list is the highest order of derivatives along that direction.

    Example:

    >>> import numpy as np
    >>> from recipes.physics import Series, sin
    >>> x = Series.coordinate(np.array([[0.0], [1.0]]), "x", {"x": 2})
    >>> [round(float(each), 6) for each in (sin(x) * x).d("xx")[:, 0]]  # 2 cos(x) - x sin(x)
    [2.0, 0.239134]
    """

    def __init__(self, value, along):
        self.value, self.along = value, along

    @classmethod
    def coordinate(cls, value, name, orders):
        """A coordinate itself.

        Args:
            value: tensor `(n, 1)`, its value at each point.
            name: str, its name.
            orders: dict from the names of all coordinates to the highest order of derivatives by them.
        """
        one = ops.ones_like(value[:1])  # (1, 1)
        along = {
            each: [one if each == name and k == 0 else None for k in range(order)] for each, order in orders.items()
        }
        return cls(value, along)

    def d(self, names):
        """A derivative, a tensor `(n, units)`.

        Args:
            names: str, the name of a coordinate once for each order: "t" for the first derivative by t, "xx" for the
                second by x.

        Raises:
            ValueError: the series does not go so far, or the derivative is a mixed one.
        """
        name, order = names[:1], len(names)
        if set(names) != {name} or name not in self.along or order > len(self.along[name]):
            known = ", ".join(each * len(parts) for each, parts in self.along.items())
            raise ValueError(f"Series has derivatives up to {known}, not {names!r}")
        found = self.along[name][order - 1]
        if found is None:
            return ops.zeros_like(self.value)
        return ops.broadcast_to(math.factorial(order) * found, ops.shape(self.value))

    def mapped(self, value, function):
        """A series with another value, and with `function` of each of the coefficients."""
        return Series(value, {name: [_of(function, each) for each in parts] for name, parts in self.along.items()})

    def __add__(self, other):
        if not isinstance(other, Series):
            return Series(self.value + other, self.along)
        pairs = {name: zip(parts, other.along[name], strict=True) for name, parts in self.along.items()}
        along = {name: [_sum(pair) for pair in each] for name, each in pairs.items()}
        return Series(self.value + other.value, along)

    def __mul__(self, other):
        if not isinstance(other, Series):
            return self.mapped(self.value * other, lambda each: each * other)
        along = {name: _product(self._line(name), other._line(name)) for name in self.along}
        return Series(self.value * other.value, along)

    def __neg__(self):
        return self.mapped(-self.value, lambda each: -each)

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * (_reciprocal(other) if isinstance(other, Series) else 1 / other)

    def __rtruediv__(self, other):
        return _reciprocal(self) * other

    def __pow__(self, exponent):
        if not isinstance(exponent, int) or exponent < 1:
            raise ValueError(f"Series takes whole powers >= 1. Received: {exponent!r}")
        return self if exponent == 1 else self * self ** (exponent - 1)

    __radd__, __rmul__ = __add__, __mul__

    def _line(self, name):
        """All coefficients along a direction, that of order 0 first."""
        return [self.value, *self.along[name]]


def tanh(x):
    """The hyperbolic tangent of a series, or of a tensor."""
    return _solved("tanh", x, lambda y, k: _minus(1.0 if k == 0 else None, _square(y, k)))


def sigmoid(x):
    """The logistic function of a series, or of a tensor."""
    return _solved("sigmoid", x, lambda y, k: _minus(y[k], _square(y, k)))


def exp(x):
    """The exponential function of a series, or of a tensor."""
    return _solved("exp", x, lambda y, k: y[k])


def silu(x):
    """`x sigmoid(x)` of a series, or of a tensor."""
    return x * sigmoid(x)


def sin(x):
    """The sine of a series, or of a tensor."""
    return _sine_and_cosine(x)[0] if isinstance(x, Series) else numbers(x).sin(x)


def cos(x):
    """The cosine of a series, or of a tensor."""
    return _sine_and_cosine(x)[1] if isinstance(x, Series) else numbers(x).cos(x)


def _solved(name, x, slope):
    """A function `y` of a series that has `y' = slope(y) x'`; of a tensor its value.

    Args:
        name: str, of the function in `numbers`.
        slope: function of the coefficients of y up to order k, and of k, that gives that of order k of the slope.
    """
    if not isinstance(x, Series):
        return getattr(numbers(x), name)(x)
    value, along = getattr(numbers(x.value), name)(x.value), {}
    for direction, parts in x.along.items():
        y, slopes = [value], []
        for k in range(len(parts)):
            slopes.append(slope(y, k))
            y.append(_integrated(parts, slopes, k + 1))
        along[direction] = y[1:]
    return Series(value, along)


def _sine_and_cosine(x):
    sine, cosine = sin(x.value), cos(x.value)
    along = {}
    for name, parts in x.along.items():
        s, c = [sine], [cosine]
        for k in range(1, len(parts) + 1):
            more = _integrated(parts, c, k), _of(lambda each: -each, _integrated(parts, s, k))
            s.append(more[0])
            c.append(more[1])
        along[name] = s[1:], c[1:]
    return tuple(
        Series(value, {name: list(both[i]) for name, both in along.items()}) for i, value in enumerate((sine, cosine))
    )


def _integrated(parts, slopes, k):
    """The coefficient of order k of y, where y' = slope x': `sum(j x_j slope_(k-j) for j in 1 to k) / k`."""
    return _sum(
        _times(_of(lambda each, share=j / k: share * each, parts[j - 1]), slopes[k - j]) for j in range(1, k + 1)
    )


def _reciprocal(x):
    """1 / x of a series: `y_k = -sum(x_j y_(k-j) for j in 1 to k) / x_0`."""
    value = 1 / x.value
    along = {}
    for name, parts in x.along.items():
        y = [value]
        for k in range(1, len(parts) + 1):
            total = _sum(_times(parts[j - 1], y[k - j]) for j in range(1, k + 1))
            y.append(_of(lambda each: -each * value, total))
        along[name] = y[1:]
    return Series(value, along)


def _product(a, b):
    """The coefficients of a product, from order 1 on."""
    return [_cauchy(a, b, k) for k in range(1, len(a))]


def _cauchy(a, b, k):
    return _sum(_times(a[j], b[k - j]) for j in range(k + 1))


def _square(y, k):
    """The coefficient of order k of y²; each pair of factors is multiplied once."""
    pairs = [_times(y[j], y[k - j]) for j in range((k + 1) // 2)]
    middle = [] if k % 2 else [_times(y[k // 2], y[k // 2])]
    return _sum([*(_of(lambda each: 2 * each, pair) for pair in pairs), *middle])


def _of(function, value):
    return None if value is None else function(value)


def _times(a, b):
    return None if a is None or b is None else a * b


def _minus(a, b):
    return a if b is None else -b if a is None else a - b


def _sum(parts):
    """The sum of those that are not None; None if there are none."""
    parts = [each for each in parts if each is not None]
    return sum(parts[1:], parts[0]) if parts else None
