from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.scaled_gradients import ScaledGradients


class ByFactor(Clipper):
    """Base class of clippers that scale all gradients by one factor, which depends on their norm.

    ```python
    norm = sqrt(sum(sum(g ** 2) for g in gradients))
    factor, state = factor(norm, state)
    g = g * factor
    ```

    The norm is taken in float32 or the gradients' dtype, whichever is wider, and only once for several such clippers in
    a row. Where the update rule can multiply the learning rate by the factor, the gradients are not multiplied by it.

    To write one: as for `Clipper`, with `factor` in place of `clip`.
    """

    def factor(self, norm, state):
        """The factor that gradients are scaled by. A pure function.

        Args:
            norm: scalar tensor, the Euclidean norm of all gradients together.
            state: tuple of tensors, shaped as `initial_state` returned them.

        Returns:
            `(factor, state)`, the first a scalar tensor >= 0 of the norm's dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `factor` method.")

    def clip(self, gradients, variables, state):
        clipped, state = self.clip_scaled(ScaledGradients(gradients), variables, state)
        return clipped.multiplied_out(), state

    def clip_scaled(self, gradients, variables, state):
        if type(self).clip is not ByFactor.clip:  # a subclass clips in another way
            return super().clip_scaled(gradients, variables, state)
        factor, state = self.factor(gradients.norm(), state)
        return gradients.times(factor), state
