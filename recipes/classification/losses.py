"""The losses that `--loss` takes, for networks that end in logits."""

import keras
import numpy as np


def with_loss(network, loss, label_smoothing=0.0):
    """A network and the loss it is trained with.

    ```python
    cross_entropy:  -log softmax(z)[y]
    smoothed by s:  -sum_k ((1 - s) * onehot(y)[k] + s / classes) * log softmax(z)[k]
    mse:            mean_k (softmax(z)[k] - onehot(y)[k])**2
    mae:            mean_k |softmax(z)[k] - onehot(y)[k]|
    ```

    Args:
        network: `keras.Model` from images to logits `z` of shape `(batch, classes)`.
        loss: of `recipes.settings.images.LOSSES`.
        label_smoothing: float in [0, 1), of cross_entropy.

    Returns:
        `(model, loss)`. For mse and mae the model ends in probabilities. Labels are as `targets` makes them.

    Reference:
        Szegedy et al., Rethinking the Inception architecture, 2015, arXiv:1512.00567 (label smoothing).
    """
    if label_smoothing:
        return network, keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
    if loss == "cross_entropy":
        return network, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    probabilities = keras.layers.Softmax(name="probabilities")(network.outputs[0])
    made = keras.losses.MeanSquaredError() if loss == "mse" else keras.losses.MeanAbsoluteError()
    return keras.Model(network.inputs[0], probabilities, name=network.name), made


def targets(labels, loss, classes, label_smoothing=0.0):
    """Labels as the loss takes them: int32 `(n,)`, or one-hot float32 `(n, classes)`."""
    return labels if loss == "cross_entropy" and not label_smoothing else np.eye(classes, dtype=np.float32)[labels]


def probabilities(outputs, loss):
    """Outputs of such a model as probabilities."""
    return keras.ops.convert_to_numpy(keras.ops.softmax(outputs) if loss == "cross_entropy" else outputs)
