import keras

from custom_optimizers.directions.conjugate_gradients import ConjugateGradients
from custom_optimizers.line_search import StrongWolfe
from custom_optimizers.searched import Searched

CURVATURE = 0.1  # of the search behind conjugate gradients, which need steps that are nearly the best ones


@keras.saving.register_keras_serializable(package="custom_optimizers")
class NonlinearCG(Searched):
    """Nonlinear conjugate gradients on the exact gradient: no matrix, no history, no learning rate.

    ```python
    d = -g + beta * d                       # d: the last direction
    w = point + t * d                       # one pass over all samples for each t that is tried
    ```

    It keeps four vectors of the size of the weights, where `LBFGS` keeps `2 * history + 3`, and takes more passes,
    since each step has to be nearly the best one along its direction. `fit` needs `callbacks.FullBatch()`. What the
    logs get, what `iterations` counts, and how training ends: as `LBFGS` says.

    Args:
        beta: "polak_ribiere_plus", "fletcher_reeves", "hestenes_stiefel", "dai_yuan" or "hager_zhang"; the formulas
            stand at `custom_optimizers.directions.ConjugateGradients`.
        line_search: None for `StrongWolfe(curvature=0.1)`, or as in `LBFGS`.
        diagnostics, name: as in `Searched`.

    Raises:
        ValueError: an argument is out of its range; in `fit`: the loss is not that of all samples, or would differ
            between two evaluations.

    References:
        Fletcher and Reeves, Function Minimization by Conjugate Gradients, 1964; Polak and Ribière, 1969; Gilbert and
        Nocedal, Global Convergence Properties of Conjugate Gradient Methods for Optimization, 1992.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import NonlinearCG
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=NonlinearCG(), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=40, callbacks=[FullBatch()], verbose=0)
    >>> bool(history.history["loss"][-1] < 1e-10)
    True
    """

    arguments = ("beta", "line_search")

    def __init__(self, beta="polak_ribiere_plus", line_search=None, *, diagnostics=False, name=None, **kwargs):
        search = StrongWolfe(curvature=CURVATURE) if line_search is None else line_search
        super().__init__(ConjugateGradients(beta), search, diagnostics=diagnostics, name=name, **kwargs)
        self.beta = self.search.direction.beta
