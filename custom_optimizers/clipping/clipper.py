import keras

from custom_optimizers import declarations
from custom_optimizers.configured import Configured
from custom_optimizers.scaled_gradients import ScaledGradients


class Clipper(Configured):
    """Bounds the gradient of a full batch before it is used.

    A clipper is a plain object with a config. It sees all gradients and all variables at once, so that a bound may
    depend on the weights or on every gradient together, and it may keep state: arrays that go from one update to the
    next and are saved with the optimizer. It is called once an update, on the gradient that has been summed over
    micro-batches and replicas, never on a micro-batch.

    To write one: set the config as attributes of the same names as the arguments of `__init__`, list those names in
    `arguments`, implement `clip`, and register the class with
    `keras.saving.register_keras_serializable(package="custom_optimizers")`.
    """

    patterns = ()  # arguments about variables by their paths, `custom_optimizers.patterns.Patterns`

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        declarations.check(cls, Clipper, ("arguments",), attributes=("patterns",))

    def initial_state(self, variables):
        """Return the state before the first update.

        Args:
            variables: list of the model's trainable variables.

        Returns:
            A tuple of arrays. Empty for a clipper without state.
        """
        return ()

    def clip(self, gradients, variables, state):
        """Bound the gradients. A pure function: it assigns nothing.

        Args:
            gradients: list of dense tensors, in float32 or wider when they were accumulated; one for each variable that
                `initial_state` was given, zeros for a variable without a gradient.
            variables: list of those variables.
            state: tuple of tensors, shaped as `initial_state` returned them.

        Returns:
            `(gradients, state)`, of the same lengths, shapes and dtypes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `clip` method.")

    def clip_scaled(self, gradients, variables, state):
        """`clip` for `custom_optimizers.scaled_gradients.ScaledGradients`, as optimizers call it."""
        clipped, state = self.clip(gradients.multiplied_out(), variables, state)
        return ScaledGradients(clipped), state


def as_clippers(clipping):
    """Return the optimizer argument `clipping` as a list of clippers.

    Args:
        clipping: None, a clipper, a list of either clippers or their serialised configs, or one config.
    """
    if clipping is None:
        return []
    given = list(clipping) if isinstance(clipping, (list, tuple)) else [clipping]
    clippers = [keras.saving.deserialize_keras_object(c) if isinstance(c, dict) else c for c in given]
    for clipper in clippers:
        if not isinstance(clipper, Clipper):
            raise ValueError(
                f"`clipping` must be a clipper from custom_optimizers.clipping or a list of them. Received: {clipper!r}"
            )
    return clippers
