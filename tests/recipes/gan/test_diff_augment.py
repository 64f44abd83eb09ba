"""What differentiable augmentation does to images, by its own definition, and that gradients pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.gan import DiffAugment

IMAGES = np.random.default_rng(0).uniform(-0.9, 0.9, (64, 16, 16, 3)).astype("float32")


def augmented(policies, images=IMAGES, seed=1, **shares):
    return np.array(DiffAugment(policies, **shares)(tf.constant(images), keras.random.SeedGenerator(seed)))


def test_nothing_changes_nothing():
    np.testing.assert_array_equal(augmented(""), IMAGES)


def test_translation_moves_whole_images_and_leaves_black():
    seen = set()
    for before, after in zip(IMAGES, augmented("translation"), strict=True):
        (shift,) = [(y, x) for y in range(-2, 3) for x in range(-2, 3) if np.array_equal(moved(before, y, x), after)]
        seen.add(shift)
    assert len(seen) > 15  # of 25


def moved(image, y, x):
    found = np.full_like(image, -1)
    rows, columns = (slice(max(n, 0), 16 + min(n, 0)) for n in (y, x))
    found[rows, columns] = image[slice(max(-y, 0), 16 + min(-y, 0)), slice(max(-x, 0), 16 + min(-x, 0))]
    return found


def test_cutout_hides_a_square_that_may_stand_partly_outside():
    sizes = []
    for before, after in zip(IMAGES, augmented("cutout"), strict=True):
        hidden = (after == -1).all(axis=-1)
        np.testing.assert_array_equal(after[~hidden], before[~hidden])
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert hidden.sum() == rows.sum() * columns.sum()  # a rectangle
        sizes.append((rows.sum(), columns.sum()))
    assert np.max(sizes) == 8
    assert np.min(sizes) < 8


def test_color_keeps_what_it_is_not_about():
    """Brightness, saturation and contrast are linear maps of each image: one factor each, known from its pixels."""
    after = augmented("color")
    for x, y in zip(IMAGES, after, strict=True):
        grey, new = (image.mean(axis=2, keepdims=True) for image in (x, y))
        saturation, contrast = factor(x - grey, y - new), factor(grey - grey.mean(), new - new.mean())
        assert 0.5 - 1e-4 <= contrast <= 1.5 + 1e-4
        assert -1e-4 <= saturation / contrast <= 2 + 1e-4
        assert abs(new.mean() - grey.mean()) <= 0.5 + 1e-4
        np.testing.assert_allclose((y - new), saturation * (x - grey), atol=1e-4)
    assert np.std(after.mean(axis=(1, 2, 3))) > 0.2


def factor(before, after):
    """By which one has been multiplied to give the other."""
    return np.sum(before * after) / np.sum(before**2)


@pytest.mark.parametrize("policies", ["color", "translation", "cutout", "color,translation,cutout"])
def test_gradients_pass_in_a_compiled_step(policies):
    augment, seed = DiffAugment(policies), keras.random.SeedGenerator(0)

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(augment(x, seed))
        return tape.gradient(loss, x)

    found = gradient(tf.constant(IMAGES)).numpy()
    assert np.isfinite(found).all()
    assert np.abs(found).max(axis=(1, 2, 3)).min() > 0  # of every image


def test_a_seed_generator_gives_new_draws_and_a_number_the_same():
    augment, seed = DiffAugment("translation"), keras.random.SeedGenerator(0)
    assert not np.array_equal(augment(IMAGES, seed), augment(IMAGES, seed))
    np.testing.assert_array_equal(augment(IMAGES, 5), augment(IMAGES, 5))


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="some of color, translation, cutout"):
        DiffAugment("rotation")
