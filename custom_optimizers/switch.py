import keras

from custom_optimizers.accumulate import Accumulate
from custom_optimizers.arguments import count, number_in
from custom_optimizers.handover import Handover
from custom_optimizers.search import refuse_beside_search


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Switch(Accumulate):
    """Trains with one optimizer first, and then with a search: "500 updates of Adam, then self-scaled Broyden".

    ```python
    if updates < after and updates_since_lowest_loss < patience:
        w = inner's update of w                      # one pass over all samples
    else:
        w = what `then` makes of the weights         # from there on
    ```

    A search needs a loss that is smooth where it begins, and is soon there; rules such as Adam get out of the first
    slopes and plateaus. All of it is one `fit`, or several, with `callbacks.FullBatch()`: the moment of the switch is
    saved with the optimizer, in many `passes_per_epoch` too. `iterations` counts the updates of both. In the logs,
    `evaluations`, `accepted` and `step_size` are there from the beginning, where each update is an evaluation and the
    step is the learning rate; the `loss` is that of the pass, before its update, until the switch, and that of the
    accepted point from then on.

    What holds for the loss of `then` holds for all of the training: no random layers, no constraints. Where a loss is
    not finite, the weights stay as they are, and the search says so and ends.

    Args:
        inner: a `keras.optimizers.Optimizer` without a search that is not built yet, of Keras or of this package, as in
            `Accumulate`.
        then: an optimizer with a search that is not built yet: `LBFGS`, `BFGS`, `SelfScaledBroyden`, `NonlinearCG`, or
            `BatchGD(line_search=...)`.
        after: int >= 1, updates of the inner optimizer; None for as many as `patience` says.
        patience: int >= 1, updates without a lower loss after which the inner optimizer has done; None for any number.
        min_delta: float >= 0, by how much a loss has to be lower, as in `keras.callbacks.EarlyStopping`.
        kwargs: the other arguments of `Accumulate`, which are for the updates of the inner optimizer.

    Raises:
        ValueError: an argument is out of its range, neither `after` nor `patience` is given, `inner` has a search, or
            `then` has none.

    Reference:
        Urbán, Stefanou and Pons, Unveiling the Optimization Process of Physics Informed Neural Networks, Journal of
        Computational Physics 523, 2025, arXiv:2405.04230.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import LBFGS, Switch
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=Switch(keras.optimizers.Adam(0.1), LBFGS(), after=10), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=30, callbacks=[FullBatch()], verbose=0)
    >>> bool(history.history["loss"][-1] < 1e-10)
    True
    """

    arguments = ("after", "patience", "min_delta")

    def __init__(self, inner, then, after=None, patience=None, min_delta=0.0, **kwargs):
        refuse_beside_search("Switch", {name: kwargs.get(name) for name in NOT_BESIDE_THEN})
        super().__init__(inner, **kwargs)
        if after is None and patience is None:
            raise ValueError("Switch: give `after` or `patience`, so that it is said when the second optimizer begins.")
        self.then = _searched(then)
        self.after = None if after is None else count("Switch", "after", after)
        self.patience = None if patience is None else count("Switch", "patience", patience)
        self.min_delta = number_in("Switch", "min_delta", min_delta, least=0)
        self.search = Handover(self, self.then.search, self.after, self.patience, self.min_delta)

    def get_config(self):
        return {**super().get_config(), "then": keras.saving.serialize_keras_object(self.then)}


NOT_BESIDE_THEN = "use_ema", "loss_scale_factor", "gradient_accumulation_steps"


def _searched(then):
    """The second optimizer; a ValueError if it has no search, or is built already."""
    if isinstance(then, dict):
        then = keras.saving.deserialize_keras_object(then)
    if getattr(then, "search", None) is None or isinstance(then, Switch):
        raise ValueError(
            "Switch: `then` must be an optimizer with a search: LBFGS, BFGS, SelfScaledBroyden, NonlinearCG, or "
            f"BatchGD with `line_search`. Received: {then!r}"
        )
    if then.diagnostics:
        raise ValueError(f"Switch: give `diagnostics` to Switch, not to the second {type(then).__name__}.")
    if then.built:
        raise ValueError(f"Switch: `then` must not be built yet; give it a new {type(then).__name__}.")
    return then
