import keras

from custom_optimizers.directions.self_scaled_broyden import SelfScaledBroydenDirection
from custom_optimizers.searched import Searched


@keras.saving.register_keras_serializable(package="custom_optimizers")
class SelfScaledBroyden(Searched):
    """Self-scaled Broyden: BFGS whose inverse Hessian is scaled and mixed anew at each update.

    ```python
    d = -H @ g
    w = point + t * d                       # t = 1 in most cases; one pass over all samples for each t that is tried
    v = sqrt(y @ H @ y) * (s / (s @ y) - H @ y / (y @ H @ y))
    H = (H - outer(H @ y, H @ y) / (y @ H @ y) + phi * outer(v, v)) / tau + outer(s, s) / (s @ y)
    ```

    phi = 1 and tau = 1 would be BFGS; here both follow from the curvature that H expects along the step and that there
    is, by the formulas of `custom_optimizers.directions.SelfScaledBroydenDirection`. This is the method for small
    networks that solve differential equations, whose curvatures differ by many powers of ten, in float64 and after a
    few hundred updates of Adam (`Switch`). `fit` needs `callbacks.FullBatch()`, best with many `passes_per_epoch`.

    Args:
        line_search, max_parameters, diagnostics, name: as in `BFGS`.

    Raises:
        ValueError: as in `BFGS`.

    References:
        Urbán, Stefanou and Pons, Unveiling the Optimization Process of Physics Informed Neural Networks: How Accurate
        and Competitive Can PINNs Be?, Journal of Computational Physics 523, 2025, arXiv:2405.04230.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import SelfScaledBroyden
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=SelfScaledBroyden(), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=20, callbacks=[FullBatch()], verbose=0)
    >>> bool(history.history["loss"][-1] < 1e-10)
    True
    """

    arguments = ("line_search", "max_parameters")

    def __init__(self, line_search="strong_wolfe", *, max_parameters=10_000, diagnostics=False, name=None, **kwargs):
        direction = SelfScaledBroydenDirection(max_parameters)
        super().__init__(direction, line_search, diagnostics=diagnostics, name=name, **kwargs)
        self.max_parameters = direction.max_parameters
