import keras
from keras import ops

RAMP = 0.05  # half-life of the average, at most, as a share of the images seen


def follow(average, network, batch, images_seen, half_life):
    """Move an average of a network's weights on by one step, running statistics too.

    ```python
    half = min(half_life, 0.05 * images_seen)
    average = network + (average - network) * 0.5 ** (batch / half)
    ```

    Args:
        average, network: `keras.Model`s of the same layers.
        batch: int or integer tensor, images of the step.
        images_seen: integer variable, with those of this step.
        half_life: float >= 0, in images; 0: the average is the network.
    """
    half = ops.minimum(half_life, RAMP * ops.cast(images_seen, "float32"))
    kept = ops.where(half > 0, ops.power(0.5, ops.cast(batch, "float32") / ops.maximum(half, 1e-6)), 0.0)
    for mean, now in zip(average.weights, network.weights, strict=True):
        is_number = "float" in keras.backend.standardize_dtype(mean.dtype)  # and not the state of a random seed
        if half_life == 0 or not is_number:
            mean.assign(now)
        else:
            mean.assign(now + (mean - now) * ops.cast(kept, mean.dtype))
