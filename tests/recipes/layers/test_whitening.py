import keras
import numpy as np
import pytest

from recipes.layers import Whitening


def images(n=400, channels=3):
    """Smooth images, whose neighbours are correlated."""
    noise = np.random.default_rng(0).normal(size=(n, 12, 12, channels))
    return (noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2)).astype("float32")


@pytest.mark.parametrize(("size", "channels"), [(2, 3), (3, 1)])
def test_outputs_over_patches_are_uncorrelated_and_of_one_size(size, channels):
    layer = Whitening(size=size, epsilon=1e-6)
    x = images(channels=channels)
    layer.adapt(x)
    y = np.asarray(layer(x)).reshape(-1, layer.filters.shape[-1])
    half = y.shape[1] // 2
    np.testing.assert_allclose(y[:, :half].T @ y[:, :half] / len(y), np.eye(half), atol=2e-3)
    np.testing.assert_allclose(y[:, half:], -y[:, :half], atol=1e-5)
    assert layer.compute_output_shape(x.shape) == layer(x).shape


def test_the_largest_direction_comes_first_and_epsilon_bounds_the_smallest():
    layer = Whitening(size=2, epsilon=0.5)
    layer.adapt(images())
    lengths = np.linalg.norm(np.asarray(layer.filters)[..., :12].reshape(12, 12), axis=0)
    assert np.all(np.diff(lengths) > 0)  # 1 / sqrt(value + epsilon)
    assert lengths.max() < 0.5**-0.5


def test_is_not_trained_and_is_saved(tmp_path):
    model = keras.Sequential([keras.Input((12, 12, 3)), Whitening()])
    model.layers[0].adapt(images())
    assert not model.trainable_variables
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images(4)), model(images(4)))


@pytest.mark.parametrize(
    ("arguments", "said"), [({"size": 0}, "size"), ({"size": 1.5}, "size"), ({"epsilon": 0}, "epsilon")]
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=f"Whitening: `{said}`"):
        Whitening(**arguments)
