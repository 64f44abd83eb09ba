"""How the networks of a GAN take labels: the generator beside its noise, the discriminator by projection."""

import keras
from keras import layers, ops

from recipes.gan.spectral_normalization import SpectralNormalization


@keras.saving.register_keras_serializable(package="recipes")
class OneHot(layers.Layer):
    """Labels `(batch,)` as `(batch, classes)`, 1 at the label and 0 elsewhere."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def call(self, labels):
        return ops.one_hot(ops.cast(labels, "int32"), self.classes, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def with_labels(noise, classes):
    """`(inputs, tensor)` of a generator: the noise, and the labels one-hot beside it if there are classes."""
    if not classes:
        return noise, noise
    labels = keras.Input((), dtype="int32", name="labels")
    return [noise, labels], layers.Concatenate()([noise, OneHot(classes)(labels)])


def judged(images, features, classes, is_normalized):
    """`(inputs, outputs)` of a discriminator.

    ```python
    outputs = dense(features) + embedding(label) @ features           # the second term if there are classes
    ```

    Args:
        images: its input tensor.
        features: tensor `(batch, n)`.
        classes: int, 0 for none.
        is_normalized: bool, whether the layers have spectral normalisation.

    Reference:
        Miyato and Koyama, cGANs with projection discriminator, 2018, arXiv:1802.05637.
    """

    def normalized(layer):
        return SpectralNormalization(layer) if is_normalized else layer

    outputs = normalized(layers.Dense(1, name="logit"))(features)
    if not classes:
        return images, outputs
    labels = keras.Input((), dtype="int32", name="labels")
    of_class = normalized(layers.Embedding(classes, features.shape[-1], name="classes"))(labels)
    return [images, labels], layers.Add()([outputs, layers.Dot(1)([of_class, features])])
