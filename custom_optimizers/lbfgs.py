import keras

from custom_optimizers.directions.lbfgs import LBFGSDirection
from custom_optimizers.searched import Searched


@keras.saving.register_keras_serializable(package="custom_optimizers")
class LBFGS(Searched):
    """L-BFGS: quasi-Newton steps on the exact gradient, without a learning rate.

    ```python
    d = -H @ g                              # H: inverse Hessian that the last `history` steps tell of
    w = point + t * d                       # t = 1 in most cases; one pass over all samples for each t that is tried
    ```

    For smooth losses of models without random layers, on all samples: `fit` needs `callbacks.FullBatch()`. With
    `FullBatch(passes_per_epoch=100)` an epoch is a hundred evaluations in one call of compiled code. Beside the weights
    it keeps `2 * history + 3` vectors of their size, in float32 or wider.

    `iterations` counts updates; an evaluation that is not accepted is a pass and no update. The logs get the `loss` at
    the accepted point, `evaluations`, `accepted` (those that made an update) and `step_size`. Training ends with a
    reason when no step decreases the loss.

    Args:
        history: int >= 1, steps that are remembered.
        line_search: "strong_wolfe", "hager_zhang" (for float32 near a minimum), "armijo", "nonmonotone_armijo", or an
            object of `custom_optimizers.line_search`.
        diagnostics, name: as in `Searched`.

    Raises:
        ValueError: an argument is out of its range; in `fit`: the loss is not that of all samples, or would differ
            between two evaluations.

    Reference:
        Liu and Nocedal, On the Limited Memory BFGS Method for Large Scale Optimization, Mathematical Programming 45,
        1989.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import LBFGS
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=LBFGS(), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=20, callbacks=[FullBatch()], verbose=0)
    >>> bool(history.history["loss"][-1] < 1e-10)
    True
    """

    arguments = ("history", "line_search")

    def __init__(self, history=10, line_search="strong_wolfe", *, diagnostics=False, name=None, **kwargs):
        direction = LBFGSDirection(history)
        super().__init__(direction, line_search, diagnostics=diagnostics, name=name, **kwargs)
        self.history = direction.history
