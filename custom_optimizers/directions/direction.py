from custom_optimizers import declarations
from custom_optimizers.configured import Configured

UNIT, BY_DECREASE, BY_SLOPE = "unit", "by_decrease", "by_slope"


class Direction(Configured):
    """Says along which direction the next point is looked for: a pure function of the points that were taken so far.

    ```python
    state = direction.initial_state(size, dtype)
    state, d = direction.next(state, gradient, step, change, is_taken, has_failed)       # d @ gradient < 0
    ```

    All variables of the model are one vector. There is no branch that depends on a value: all of it can be compiled.
    It is written with operators and the functions of `custom_optimizers.either`, which take tensors and the arrays of
    NumPy; these, and the tensors of torch, may be changed in place: use what `next` returns.

    `first_step` is one of "unit", "by_decrease" and "by_slope": where the minimizer begins to look along it.

    To write one: name the arguments of `__init__`, which become attributes, in `arguments`, implement `next` and, where
    it remembers something, `initial_state` and `is_steepest`, and register the class with
    `keras.saving.register_keras_serializable(package="custom_optimizers")`.
    """

    first_step = UNIT  # one of those above
    matrices = ()  # names of what is large in the state, and only multiplied with vectors

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        declarations.check(cls, Direction, ("arguments", "matrices"))

    def initial_state(self, size, dtype="float32"):
        """What is remembered at first: a dict of arrays.

        Args:
            size: int, entries of the vector.
            dtype: str.
        """
        return {}

    def next(self, state, gradient, step, change, is_taken, has_failed):
        """The direction from the point that was taken last, and what is remembered.

        Args:
            state: dict of tensors.
            gradient: tensor `(size,)` at that point.
            step: tensor `(size,)`, the way to it from the point before.
            change: tensor `(size,)`, its gradient less that at the point before.
            is_taken: scalar bool tensor, whether the point was taken just now; if not, nothing is learnt.
            has_failed: scalar bool tensor, whether no point was found along the last direction: then all is forgotten,
                and the direction is that of steepest descent.

        Returns:
            `(state, direction)`, tensors of the same shapes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `next` method.")

    def is_steepest(self, state):
        """Whether the direction of a state is that of steepest descent, a scalar bool tensor or a bool."""
        return True
