"""The classifier whose features generated images are judged by: a small network, trained the same way each time."""

import hashlib

import keras
import numpy as np
from keras import layers

from recipes.data import Augmentation, ShuffledBatches
from recipes.gan.backend import jit_options
from recipes.layers import FlippedConv2D, FusedBatchNormalization
from recipes.machine import dtypes

WIDTHS, BATCH, RATE, SEED = (32, 64, 64), 64, 2e-3, 0
UPDATES, FEWEST = 1400, 8  # the smallest numbers of updates and of epochs
SHIFT = 2  # pixels by which a training image is moved, at most
AT_ONCE = 500  # images of a batch that is only evaluated
RECIPE = "three convolutions 3x3 of 32, 64, 64, batch normalisation, ReLU, pooling; dense features, GELU; dense"


class Classifier:
    """A trained classifier, and the description that belongs to each figure that is computed with it.

    Args:
        model: `keras.Model` from uint8 images to `[features, logits]`.
    """

    def __init__(self, model):
        self.model = model

    @classmethod
    def trained(cls, images, features=None):
        """Train a classifier on the training part.

        ```text
        convolution 3 x 3, batch normalisation, ReLU, max pooling 2 x 2, of 32, 64 and 64 channels;  mean over
        positions;  dense `features`, GELU;  dense
        ```

        Adam, with a rate that falls from 2e-3 to 0 along a cosine; batches of 64; images moved by up to 2 pixels; at
        least 8 epochs and 1,400 updates; seed 0. On the same machine the result is always the same.

        Args:
            images: `recipes.data.Images`.
            features: int, size of the layer before the logits; by default 32, or 64 for 5,000 images or more.
        """
        x, y = images.train
        features = (64 if len(x) >= 5000 else 32) if features is None else features
        with dtypes.policy("float32"):
            keras.utils.set_random_seed(SEED)
            model = _network(x.shape[1:], len(images.classes), features)
            _fit(model, x, y)
        return cls(model)

    def features(self, images):
        """Features of uint8 images, a float32 array `(n, features)`."""
        return self._outputs(images)[0]

    def judged(self, images):
        """`(features, probabilities)` of uint8 images."""
        features, logits = self._outputs(images)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return features, exponentials / exponentials.sum(axis=1, keepdims=True)

    def about(self, images):
        """The description of the classifier that belongs to each figure computed with it: a dict."""
        features, logits = self._outputs(images.test[0])
        return {
            "classifier": RECIPE,
            "classifier_accuracy": float((logits.argmax(axis=1) == images.test[1]).mean()),
            "classifier_features": features.shape[1],
            "classifier_dead_features": int((features.std(axis=0) == 0).sum()),
            "classifier_hash": self.hash,
        }

    @property
    def hash(self):
        """The first 12 digits of the SHA-256 of its weights."""
        digest = hashlib.sha256()
        for weight in self.model.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()[:12]

    def _outputs(self, images):
        parts = [self.model(images[i : i + AT_ONCE], training=False) for i in range(0, len(images), AT_ONCE)]
        return [
            np.concatenate([keras.ops.convert_to_numpy(part) for part in each]) for each in zip(*parts, strict=True)
        ]


def _network(shape, classes, features):
    inputs = keras.Input(shape, name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for width in WIDTHS:
        x = FlippedConv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(FusedBatchNormalization(momentum=0.9)(x)))
    x = layers.Dense(features, "gelu", name="features")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, [x, layers.Dense(classes, name="logits")(x)], name="classifier")


def _fit(model, x, y):
    augmentation = Augmentation(translate=SHIFT, seed=SEED)
    batches = ShuffledBatches(x, y, min(BATCH, len(x)), SEED, augmentation, drop_remainder=True)
    epochs = max(FEWEST, -(-UPDATES // batches.num_batches))
    rate = keras.optimizers.schedules.CosineDecay(RATE, epochs * batches.num_batches)
    trained = keras.Model(model.inputs, model.outputs[1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.Adam(rate), loss, **jit_options())
    trained.fit(batches.endless(), steps_per_epoch=batches.num_batches, shuffle=False, epochs=epochs, verbose=0)
