import keras

from custom_optimizers.arguments import count
from custom_optimizers.either import cast, larger, where
from custom_optimizers.line_search.armijo import Armijo


@keras.saving.register_keras_serializable(package="custom_optimizers")
class NonmonotoneArmijo(Armijo):
    """Looks for a step whose loss is enough below the highest of the last updates, by going back from the first one.

    ```python
    loss(t) <= max(last losses) + decrease * t * slope(0)
    ```

    For step sizes that are good in the long run and not at each update, such as those of Barzilai and Borwein.

    Args:
        memory: int >= 1, updates that are remembered; with 1 it is `Armijo`.
        decrease, evaluations: as in `Armijo`.

    Reference:
        Grippo, Lampariello and Lucidi, A Nonmonotone Line Search Technique for Newton's Method, SIAM Journal on
        Numerical Analysis 23, 1986; Raydan, SIAM Journal on Optimization 7, 1997.

    Example:

    >>> from custom_optimizers.line_search import NonmonotoneArmijo
    >>> search = NonmonotoneArmijo(memory=2)
    >>> state = search.begin(search.initial_state(), 1.0, -1.0, 1.0)
    >>> state = search.next(state, 0.5, 0.0)
    >>> state = search.begin(state, 0.5, -0.1, 1.0)
    >>> bool(search.next(state, 0.9, 0.0)["accepted"])                     # below 1, the higher one of the last two
    True
    """

    arguments = ("memory", "decrease", "evaluations")

    def __init__(self, memory=10, decrease=1e-4, evaluations=30):
        super().__init__(decrease, evaluations)
        self.memory = count("NonmonotoneArmijo", "memory", memory)

    @property
    def names(self):
        return (*super().names, "searches", *self._losses)

    @property
    def _losses(self):
        """The names of the losses at which the last searches began, the newest first."""
        return [f"loss_{i}" for i in range(self.memory)]

    def begin(self, state, value, slope, step):
        found = super().begin(state, value, slope, step)
        value = found["value_0"]
        before = [cast(state[name], value) for name in self._losses]
        searches = cast(state["searches"], value)
        losses, bound = [value, *before[:-1]], value
        for age, loss in enumerate(losses[1:], start=1):
            bound = where(searches >= age, larger(bound, loss), bound)
        return {**found, "bound": bound, "searches": searches + 1, **dict(zip(self._losses, losses, strict=True))}
