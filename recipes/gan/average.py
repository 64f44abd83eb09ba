import keras
from keras import ops

RAMP = 0.05  # largest half-life of the average, as a share of the images until now


def follow(average, network, batch, images_seen, half_life):
    """Update the moving average of a network's weights after one step, including running statistics.

    ```python
    half = min(half_life, 0.05 * images_seen)
    average = network + (average - network) * 0.5 ** (batch / half)
    ```

    Args:
        average, network: `keras.Model`s of the same layers.
        batch: int or integer tensor, number of images of the step.
        images_seen: integer variable, number of images until now, those of this step included.
        half_life: float >= 0, in images; with 0 the average is the network.
    """
    half = ops.minimum(half_life, RAMP * ops.cast(images_seen, "float32"))
    kept = ops.where(half > 0, ops.power(0.5, ops.cast(batch, "float32") / ops.maximum(half, 1e-6)), 0.0)
    for mean, now in zip(average.weights, network.weights, strict=True):
        is_number = "float" in keras.backend.standardize_dtype(mean.dtype)  # not the state of a random seed
        if half_life == 0 or not is_number:
            mean.assign(now)
        else:
            mean.assign(now + (mean - now) * ops.cast(kept, mean.dtype))
