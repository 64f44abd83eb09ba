import keras

from custom_optimizers.directions.bfgs import BFGSDirection
from custom_optimizers.searched import Searched


@keras.saving.register_keras_serializable(package="custom_optimizers")
class BFGS(Searched):
    """BFGS: quasi-Newton steps on the exact gradient with an inverse Hessian that is kept as a matrix.

    ```python
    d = -H @ g
    w = point + t * d                       # t = 1 in most cases; one pass over all samples for each t that is tried
    V = I - outer(y, s) / (s @ y)           # after an update: its step s, and the change y of the gradient
    H = V.T @ H @ V + outer(s, s) / (s @ y)
    ```

    For smooth losses of small models without random layers, on all samples: `fit` needs `callbacks.FullBatch()`. Near a
    minimum it takes fewer passes than `LBFGS`, from afar more. Where passes are cheap,
    `FullBatch(passes_per_epoch=100)` makes a hundred in one call of compiled code. What the logs get, what `iterations`
    counts, and how training ends: as `LBFGS` says.

    Args:
        line_search: "strong_wolfe", "hager_zhang" (for float32 near a minimum), "armijo", "nonmonotone_armijo", or an
            object of `custom_optimizers.line_search`.
        max_parameters: int >= 1, the most parameters that a model may have. With 10,000 in float64, H takes 0.8 GB.
        diagnostics, name: as in `Searched`.

    Raises:
        ValueError: an argument is out of its range; in `fit`: the model has more parameters, the loss is not that of
            all samples, or would differ between two evaluations.

    Reference:
        Nocedal and Wright, Numerical Optimization, 2006, chapter 6.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import BFGS
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=BFGS(), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=40, callbacks=[FullBatch()], verbose=0)
    >>> bool(history.history["loss"][-1] < 1e-10)
    True
    """

    arguments = ("line_search", "max_parameters")

    def __init__(self, line_search="strong_wolfe", *, max_parameters=10_000, diagnostics=False, name=None, **kwargs):
        direction = BFGSDirection(max_parameters)
        super().__init__(direction, line_search, diagnostics=diagnostics, name=name, **kwargs)
        self.max_parameters = direction.max_parameters
