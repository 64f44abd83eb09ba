import keras
from keras import ops


class Residual(keras.Model):
    """How far a network is from solving an equation, at points: what `fit` makes zero.

    Args:
        network: `keras.Sequential`, as `recipes.physics.through` takes it.
        equation: `recipes.physics.Equation`.

    Example:

    >>> from recipes.burgers import Burgers
    >>> equation = Burgers(points=8)
    >>> data = equation.load()
    >>> model = equation.model(data)  # compiled, of a network with seeded weights
    >>> tuple(model(data.train).shape)
    (8, 1)
    """

    def __init__(self, network, equation):
        super().__init__(name="residual", dtype="float64")
        self.network, self.equation = network, equation
        self.built = True  # the network is, and there is nothing else

    def call(self, points):
        return self.equation.residual_of(self.network, points)


class SumOfSquares(keras.losses.Loss):
    """The sum of the squares of what a model gives, as a share of a number of points; targets have no say.

    Of a batch of as many points it is their mean. `"mse"`, and the mean of any loss, goes through float32 on torch.

    Args:
        points: int >= 1.
    """

    def __init__(self, points, name="sum_of_squares"):
        super().__init__(name=name, reduction="sum", dtype="float64")
        self.points = points

    def call(self, y_true, y_pred):
        return ops.sum(y_pred * y_pred, axis=-1) / self.points

    def get_config(self):
        return {"points": self.points, "name": self.name}
