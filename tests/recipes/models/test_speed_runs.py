"""The networks of the speed runs, layer by layer."""

import keras
import numpy as np
import pytest

from recipes.models import fast, resnet9


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def test_fast_has_the_parameters_of_airbench94():
    """Its 1.97 million, less the bias of the whitening."""
    model = fast((32, 32, 3), 10)
    kernels = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 256 * 10
    assert trainable(model) == kernels + 2 * (64 + 256 + 256)
    shapes = [layer.output.shape[1:3] for layer in model.layers if "normalization" in layer.name]
    assert shapes == [(15, 15)] * 2 + [(7, 7)] * 2 + [(3, 3)] * 2


def test_resnet9_has_the_parameters_of_the_dawnbench_run():
    model = resnet9((32, 32, 3), 10)
    widths = [(3, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    kernels = sum(9 * a * b for a, b in widths) + 512 * 10
    assert trainable(model) == kernels + 2 * sum(b for _, b in widths)
    assert trainable(model) == pytest.approx(6.57e6, rel=1e-3)


@pytest.mark.parametrize("make", [fast, resnet9])
def test_logits_are_float32_and_images_are_normalised(make):
    keras.config.set_dtype_policy("mixed_bfloat16")
    mean, deviation = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
    model = make((32, 32, 3), 7, normalize=(mean, deviation), widths=(8, 16, 16, 16)[: 3 + (make is resnet9)])
    assert model.output.dtype == "float32"
    assert model.output.shape == (None, 7)
    x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    normalised = keras.Model(model.input, model.layers[1].output)(x)
    np.testing.assert_allclose(np.asarray(normalised, "float32"), (x - np.array(mean)) / deviation, atol=0.03)
