"""Image sets as tensorflow-datasets prepares them, made in seconds."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


def prepare(root, name="little", shape=(28, 28, 1), sizes=None, features=None, labels=None):
    """Prepare a set of random images in ROOT/NAME/1.0.0; returns `{part: (x, y)}` in the order it is read in."""
    sizes = {"train": 40, "test": 12} if sizes is None else sizes
    features = features or {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(num_classes=4)}
    image, label = list(features)
    generator = np.random.default_rng(0)
    parts = {}
    for part, n in sizes.items():
        y = np.arange(n) % 4 if labels is None else labels[:n]
        parts[part] = (generator.integers(0, 256, (n, *(size or 9 for size in shape)), np.uint8), y.astype(np.int64))
    tfds.disable_progress_bar()
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        data_dir=root,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            part: tf.data.Dataset.from_tensor_slices({image: x, label: y}) for part, (x, y) in parts.items()
        },
        disable_shuffling=True,
    )
    return parts
