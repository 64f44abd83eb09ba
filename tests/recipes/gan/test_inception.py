"""Features of an Inception on disk: those of the graph between the nodes that the one of 2015 has, and nothing else."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.errors import CommandError, WorldError
from recipes.gan.inception import Inception
from recipes.gan.metrics import frechet_distance, kernel_distance
from tests.recipes.gan.inception_graph import KERNEL, graph

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 16, 16, 3)).astype("uint8")


def by_hand(images):
    x = tf.raw_ops.ResizeBilinear(images=images.astype("float32"), size=[9, 9])
    x = tf.nn.relu(tf.nn.conv2d((x - 128) / 128, KERNEL, 2, "VALID"))
    return tf.reduce_mean(x, axis=(1, 2)).numpy()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("inception")
    return {"good": graph(directory / "good.pb"), "hostile": graph(directory / "hostile.pb", hostile=True)}


def test_features_are_those_of_the_graph_between_pixels_and_pool(files):
    features = Inception(files["good"]).features(IMAGES)
    np.testing.assert_allclose(features, by_hand(IMAGES), rtol=1e-4, atol=1e-5)


def test_grey_images_have_three_equal_channels(files):
    grey = IMAGES[..., :1]
    features = Inception(files["good"]).features(grey)
    np.testing.assert_allclose(features, by_hand(np.repeat(grey, 3, axis=-1)), rtol=1e-4, atol=1e-5)


def test_distances_are_of_all_training_images_and_say_how_they_were_taken(files):
    other = RNG.integers(0, 128, (40, 16, 16, 3)).astype("uint8")
    gan = types.SimpleNamespace(generate=lambda count: other[:count])
    images = types.SimpleNamespace(train=(IMAGES, None))
    found = Inception(files["good"]).distances(gan, images, 40)
    a, b = by_hand(IMAGES), by_hand(other)
    assert found["fid"] == pytest.approx(frechet_distance(a, b), rel=1e-4)
    assert found["kid"] == pytest.approx(kernel_distance(a, b)[0], rel=1e-4)
    assert found["protocol"].startswith("30 training images and 40 generated ones, 8 bits a channel, enlarged to 299")
    assert "InceptionV3 of 2015, pool_3 (SHA-256 " in found["protocol"]
    assert "make it too high" in found["protocol"]


def test_a_graph_that_writes_is_not_run(files):
    with pytest.raises(WorldError, match="its graph has WriteFile, which that of 2015 has not"):
        Inception(files["hostile"])
    assert not files["hostile"].with_suffix(".pb.stolen").exists()


def test_weights_of_keras_are_not_called_fid(tmp_path, monkeypatch):
    """A network of Keras's is told by its name; here a small one in its place."""

    def small(include_top, weights, input_shape, pooling):
        assert (include_top, weights, input_shape, pooling) == (False, None, (299, 299, 3), "avg")
        layers = [keras.Input(input_shape), keras.layers.Conv2D(4, 3, 8), keras.layers.GlobalAveragePooling2D()]
        return keras.Sequential(layers)

    monkeypatch.setattr(keras.applications, "InceptionV3", small)
    model = small(False, None, (299, 299, 3), "avg")
    model.save_weights(tmp_path / "inception.weights.h5")
    inception = Inception(tmp_path / "inception.weights.h5")
    large = keras.ops.image.resize(IMAGES[:3].astype("float32"), (299, 299))
    np.testing.assert_allclose(inception.features(IMAGES[:3]), model(large / 127.5 - 1), rtol=1e-4, atol=1e-5)
    gan = types.SimpleNamespace(generate=lambda count: IMAGES[:count])
    found = inception.distances(gan, types.SimpleNamespace(train=(IMAGES[3:], None)), 3)
    assert "fid" not in found
    assert "makes it no FID" in found["protocol"]


@pytest.mark.parametrize("name", ["none.pb", "weights.npz", "damaged.pb", "damaged.h5", "other.pb"])
def test_what_is_no_inception_is_told_in_one_line(tmp_path, name):
    path = tmp_path / name
    if name != "none.pb":
        path.write_bytes(b"" if name == "other.pb" else b"\x0a\xff\xff\xff\xff no network")
    with pytest.raises((CommandError, WorldError), match="--inception") as raised:
        Inception(path)
    assert "\n" not in str(raised.value)
