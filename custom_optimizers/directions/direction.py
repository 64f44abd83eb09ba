from custom_optimizers import declarations
from custom_optimizers.configured import Configured


class Direction(Configured):
    """Says along which direction the next point is looked for: a pure function of the points that were taken so far.

    ```python
    state = direction.initial_state(size, dtype)
    d = direction.of(state, gradient)                        # d @ gradient < 0
    state = direction.learn(state, step, change, is_taken)   # step = w_new - w, change = gradient_new - gradient
    ```

    All variables of the model are one vector. There is no branch that depends on a value: all of it can be compiled.

    To write one: name the arguments of `__init__`, which become attributes, in `arguments`, implement `of` and, where
    it remembers something, `initial_state` and `learn`, and register the class with
    `keras.saving.register_keras_serializable(package="custom_optimizers")`.
    """

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        declarations.check(cls, Direction, ("arguments",))

    def initial_state(self, size, dtype="float32"):
        """What is remembered at first: a dict of arrays.

        Args:
            size: int, entries of the vector.
            dtype: str.
        """
        return {}

    def of(self, state, gradient):
        """The direction, a tensor of the shape of `gradient`.

        Args:
            state: dict of tensors.
            gradient: tensor `(size,)` at the point that was taken last.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `of` method.")

    def learn(self, state, step, change, is_taken):
        """The state after a point.

        Args:
            state: dict of tensors.
            step: tensor `(size,)`, the way from the point before.
            change: tensor `(size,)`, the gradient less that at the point before.
            is_taken: scalar bool tensor, whether the point was taken at all; if not, the state stays.

        Returns:
            A dict of tensors of the same shapes.
        """
        return state

    def forget(self, state, when):
        """The state without what was learnt where the scalar bool tensor `when` is true."""
        return state

    def is_steepest(self, state):
        """Whether the direction is that of steepest descent, a scalar bool tensor or a bool."""
        return True
