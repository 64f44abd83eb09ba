import numpy as np

from custom_optimizers import declarations
from custom_optimizers.configured import Configured


class LineSearch(Configured):
    """Looks for a step along a direction, one evaluation after the other: a pure state machine of numbers.

    ```python
    state = search.begin(search.initial_state(), loss(w), gradient(w) @ d, step)    # the slope has to be negative
    while not (state["accepted"] or state["failed"]):
        point = w + state["step"] * d
        state = search.next(state, loss(point), gradient(point) @ d)
    ```

    It decides by the loss and the slope at one point, and never asks for a point itself: where to look next is in the
    state. So an evaluation can be a pass over all samples, the state can be saved between two of them, and all of it
    can be part of compiled code: there is no branch that depends on a value. A loss or a slope that is not finite
    shortens the step.

    Numbers are scalar tensors, or those of NumPy: what is written with operators and the functions of
    `custom_optimizers.either` takes both.

    Where the state says `accepted`, the point that was looked at last is taken, and where it says `failed`, none is.

    To write one: name the arguments of `__init__`, which become attributes, in `arguments`, name what else the state
    has in `names`, implement `begin` and `next`, and register the class with
    `keras.saving.register_keras_serializable(package="custom_optimizers")`.
    """

    names = ()  # of the scalars that the state has beside "step", "accepted" and "failed"
    is_for_descent = False  # whether it is a rule for steps along the gradient alone
    takes_differences = False  # whether it goes by the difference of gradients at points that are close
    stalls_after = 60  # evaluations without a lower loss that end training, or None; a descent on CUTEst has 48 at most
    failure = "no decrease along the steepest descent: at the limit of {dtype}"  # why training ends where it fails

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        declarations.check(cls, LineSearch, ("arguments", "names"), ("is_for_descent", "takes_differences"))

    @property
    def state_names(self):
        """The names of all scalars of the state, in their order."""
        return ("step", "accepted", "failed", *self.names)

    def initial_state(self, dtype="float32"):
        """The state before the first search: a dict of zeros of NumPy."""
        return {name: np.zeros((), dtype)[()] for name in self.state_names}

    @property
    def uses_products(self):
        """Whether `first` looks at the last step."""
        return type(self).first is not LineSearch.first

    def first(self, state, step, products):
        """Where a search begins that follows a step which was taken; called before `begin`.

        Args:
            state: dict, that of the search before.
            step: number > 0, what the direction proposes.
            products: tuple of three numbers: `s @ s`, `s @ y` and `y @ y`, where `s` is the last step in the weights,
                and `y` the change of the gradient.

        Returns:
            A number > 0.
        """
        return step

    def begin(self, state, value, slope, step):
        """The state when a search begins.

        Args:
            state: dict, that of the search before.
            value: number, the loss where the direction begins.
            slope: number < 0, the derivative of the loss along the direction there.
            step: number > 0, where to look first.

        Returns:
            A dict of numbers of the dtype of `value`; `state["step"]` is where to look.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `begin` method.")

    def next(self, state, value, slope):
        """The state after an evaluation at `state["step"]`.

        Args:
            state: dict of numbers.
            value, slope: numbers, loss and derivative along the direction there; may be NaN or infinite.

        Returns:
            A dict of numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `next` method.")
