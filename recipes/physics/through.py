import keras
from keras import ops

from recipes.errors import CommandError
from recipes.physics import series
from recipes.physics.numbers import numbers

ACTIVATIONS = {
    keras.activations.linear: lambda x: x,
    keras.activations.tanh: series.tanh,
    keras.activations.sigmoid: series.sigmoid,
    keras.activations.silu: series.silu,
    ops.sin: series.sin,
}


def through(network, coordinates):
    """What a network makes of series, in the dtype of its weights.

    Args:
        network: `keras.Sequential` of `keras.layers.Dense` with one of the activations that are None, "tanh",
            "sigmoid", "silu" and `keras.ops.sin`.
        coordinates: list of `recipes.physics.Series`, `(n, 1)` each, one for each input of the network.

    Returns:
        A `recipes.physics.Series` `(n, units of the last layer)`.

    Raises:
        CommandError: the network has other layers or activations.
    """
    x = _side_by_side(coordinates)
    for layer in network.layers:
        _check(layer)
        kernel, bias = ops.convert_to_tensor(layer.kernel), layer.bias
        x = _multiplied(x, kernel)
        if bias is not None:
            x = x + ops.convert_to_tensor(bias)
        x = ACTIVATIONS[layer.activation](x)
    return x


def _check(layer):
    if type(layer) is not keras.layers.Dense:
        raise CommandError(f"derivatives go through layers of keras.layers.Dense; {layer.name} is no such layer")
    if layer.activation not in ACTIVATIONS:
        name = getattr(layer.activation, "__name__", layer.activation)
        raise CommandError(
            f"derivatives go through tanh, sigmoid, silu, keras.ops.sin and none; {layer.name} has {name}"
        )


def _side_by_side(coordinates):
    """The columns of several series in one, `(n, columns)`. Their coefficients are constants `(1, columns)` or zero."""
    value = ops.concatenate([each.value for each in coordinates], axis=1)
    along = {}
    for name, parts in coordinates[0].along.items():
        columns = [[each.along[name][k] for each in coordinates] for k in range(len(parts))]
        along[name] = [_joined(column) for column in columns]
    return series.Series(value, along)


def _joined(column):
    known = next((each for each in column if each is not None), None)
    if known is None:
        return None
    return ops.concatenate([ops.zeros_like(known) if each is None else each for each in column], axis=1)


def _multiplied(x, kernel):
    """A series times a matrix."""
    matmul = numbers(x.value).matmul
    return x.mapped(matmul(x.value, kernel), lambda each: matmul(each, kernel))
