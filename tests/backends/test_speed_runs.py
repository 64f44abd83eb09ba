"""The networks of the speed runs learn on every backend."""

import keras
import numpy as np
import pytest

from custom_optimizers import Muon
from recipes.models import fast, resnet9


def squares(n=64):
    """Images of a bright square in one of four corners, and the corner."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 100, (n, 32, 32, 3)), np.arange(n) % 4
    for image, corner in zip(x, y, strict=True):
        top, left = 16 * (corner // 2), 16 * (corner % 2)
        image[top : top + 16, left : left + 16] += 120
    return x.astype("uint8"), y.astype("int32")


@pytest.mark.slow_on_jax
@pytest.mark.slow_cases("resnet9-widths1")
@pytest.mark.parametrize(("make", "widths"), [(fast, (8, 16, 16)), (resnet9, (8, 8, 16, 16))])
def test_a_small_one_learns(make, widths):
    x, y = squares()
    keras.utils.set_random_seed(0)
    model = make((32, 32, 3), 4, normalize=((80.0,) * 3, (60.0,) * 3), widths=widths)
    if make is fast:
        model.get_layer("whitening").adapt((x.astype("float32") - 80) / 60)
    rates = {"head/": 10, "beta$": 10}
    optimizer = Muon(
        0.1,
        momentum=0.6,
        size="none",
        others="momentum",
        exclude=["head/"],
        ns_dtype="bfloat16",
        learning_rate_multipliers=rates,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    losses = model.fit(x, y, batch_size=32, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.4 * losses[0]
