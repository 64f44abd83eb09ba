"""Two networks against each other: what is trained when, what is averaged, and what a file holds."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from callbacks import ExactResume
from custom_optimizers import BatchGD, OptimisticGD
from recipes.gan import GAN, DiffAugment, SpectralNormalization
from recipes.gan.gan import as_numbers, as_pixels
from recipes.gan.losses import Hinge, NonSaturating, Relativistic, Wasserstein
from recipes.gan.penalties import GradientPenalty, ZeroCentred
from recipes.layers import FusedBatchNormalization

SIDE, LATENT = 4, 3
IMAGES = np.random.default_rng(0).integers(0, 256, (64, SIDE, SIDE, 1), dtype="uint8")
LABELS = np.arange(64) % 2


def networks(classes=0):
    z, label = keras.Input((LATENT,)), keras.Input((), dtype="int32")
    coded = layers.Embedding(classes, 4)(label) if classes else None
    x = layers.Concatenate()([z, coded]) if classes else z
    x = layers.Reshape((SIDE, SIDE, 1))(layers.Dense(SIDE * SIDE)(x))
    x = layers.Activation("tanh")(FusedBatchNormalization()(x))
    generator = keras.Model([z, label] if classes else z, x)
    image = keras.Input((SIDE, SIDE, 1))
    h = layers.LeakyReLU()(SpectralNormalization(layers.Conv2D(4, 3))(image))
    h = layers.Flatten()(h)
    out = SpectralNormalization(layers.Dense(1))(h)
    if classes:
        out = out + layers.Dot(1)([layers.Embedding(classes, h.shape[-1])(label), h])
    return generator, keras.Model([image, label] if classes else image, out)


def made(classes=0, optimizers=None, **options):
    keras.utils.set_random_seed(0)
    gan = GAN(*networks(classes), classes=classes, **options)
    optimizers = [optimizer.from_config(optimizer.get_config()) for optimizer in optimizers or ()]
    gan.compile(*(optimizers or (keras.optimizers.Adam(1e-3, 0.5), keras.optimizers.Adam(2e-3, 0.5))))
    return gan


def fitted(gan, epochs=2, **options):
    return gan.fit(IMAGES, LABELS, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **options).history


def state(gan):
    return [np.array(v) for v in [*gan.variables, *gan.optimizer.variables]]


FAMILIES = [
    {"loss": Hinge()},
    {"loss": NonSaturating(), "penalty": ZeroCentred(0.1, "real", every=3)},
    {"loss": Wasserstein(), "penalty": GradientPenalty(10.0), "discriminator_steps": 4},
    {"loss": Relativistic(), "penalty": ZeroCentred(0.1, "both"), "augment": DiffAugment("color,translation")},
    {
        "classes": 2,
        "augment": DiffAugment("cutout"),
        "optimizers": (OptimisticGD(0.01, momentum=-0.5), BatchGD(0.01, momentum=0.5)),
    },
]


@pytest.mark.slow_cases("options1", "options2", "options3", "options4")
@pytest.mark.parametrize("options", FAMILIES)
def test_a_saved_model_goes_on_with_the_same_bits(tmp_path, options):
    """Both optimizers, the average, the noise and the vectors of the spectral norms are in the file."""
    gan = made(**options)
    fitted(gan)
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    for _ in range(2):
        for saved, loaded in zip(state(gan), state(again), strict=True):
            np.testing.assert_array_equal(saved, loaded)
        np.testing.assert_array_equal(gan.generate(6), again.generate(6))
        fitted(gan), fitted(again)


@pytest.mark.slow
@pytest.mark.parametrize("options", FAMILIES[:2])
def test_a_fit_in_two_parts_is_one(tmp_path, options):
    whole = made(**options)
    whole_history = fitted(whole, 4)
    for epochs in (1, 4):
        parts = made(**options)
        resume = ExactResume(tmp_path / "state.npz", seed=0)
        fitted(parts, epochs, callbacks=[resume])
    for one, other in zip(state(whole), state(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [row["generator_loss"] for row in resume.history] == whole_history["generator_loss"]


@pytest.mark.slow
def test_each_player_is_updated_as_often_as_it_should():
    gan = made(discriminator_steps=2)
    fitted(gan, epochs=3)
    assert int(gan.generator_optimizer.iterations) == 3 * 4
    assert int(gan.discriminator_optimizer.iterations) == int(gan.steps_made) == 2 * 3 * 4
    assert int(gan.images_seen) == 3 * 64


def test_steps_of_the_discriminator_see_images_of_their_own(monkeypatch):
    """Noise too; the generator is judged by the images of the last step."""
    gan, seen, judged = made(discriminator_steps=2), [], []
    judge = gan._judged
    monkeypatch.setattr(gan, "_train_discriminator", lambda *of: seen.append([np.array(each) for each in of[:2]]))
    monkeypatch.setattr(gan, "_judged", lambda images, labels: judged.append(np.array(images)) or judge(images, labels))
    gan.train_step((tf.constant(IMAGES[:16]), tf.constant(LABELS[:16])))
    real, fake = zip(*seen, strict=True)
    np.testing.assert_allclose(np.concatenate(real), as_numbers(tf.constant(IMAGES[:16])))
    assert not np.array_equal(*fake)
    np.testing.assert_array_equal(judged[-1], fake[-1])


def test_without_a_half_life_the_average_is_the_generator():
    gan = made(half_life=0.0)
    fitted(gan)
    for average, weight in zip(gan.average.get_weights(), gan.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(average, weight)


def test_the_generator_s_step_leaves_the_discriminator_alone(monkeypatch):
    gan = made()
    monkeypatch.setattr(gan, "_train_discriminator", lambda real, fake, labels: None)
    before = gan.discriminator.get_weights()
    gan.train_on_batch(IMAGES[:16], LABELS[:16])
    for was, now in zip(before, gan.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_penalty_now_and_then_is_taken_times_its_distance(monkeypatch):
    gan = made(penalty=ZeroCentred(0.5, "real", every=4))
    taken = []
    for _ in range(8):
        gan.train_on_batch(IMAGES[:16], LABELS[:16])
        taken.append(float(gan._trackers["penalty"].result()))
        gan.reset_metrics()
    assert [value > 0 for value in taken] == [True, False, False, False] * 2


@pytest.mark.slow
def test_it_learns_what_is_easy():
    """Images of one brightness: the average makes that brightness."""
    keras.utils.set_random_seed(0)
    gan = GAN(*networks(), half_life=500.0)
    gan.compile(keras.optimizers.Adam(0.01, 0.5), keras.optimizers.Adam(0.01, 0.5))
    images = np.full((512, SIDE, SIDE, 1), 192, "uint8")
    gan.fit(images, np.zeros(512), batch_size=32, epochs=20, verbose=0)
    made_images = gan.generate(64).astype(float)
    assert abs(made_images.mean() - 192) < 20
    assert abs(made_images.mean(axis=0) - 192).max() < 50


def test_images_go_there_and_back():
    np.testing.assert_array_equal(as_pixels(np.array(as_numbers(tf.constant(IMAGES)))), IMAGES)
    np.testing.assert_array_equal(as_pixels(np.array([-1.5, -1.0, 0.0, 1.0, 2.0])), [0, 0, 128, 255, 255])


def test_generated_images_depend_on_the_seed_and_the_labels_alone():
    gan = made(classes=2)
    np.testing.assert_array_equal(gan.generate(300, seed=3), gan.generate(300, seed=3))
    np.testing.assert_array_equal(gan.generate(4), gan.generate(4, labels=[0, 1, 0, 1]))
    assert not np.array_equal(gan.generate(4), gan.generate(4, labels=[1, 1, 1, 1]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 2}, "`generator` must have 2 inputs"),
        ({"discriminator_steps": 0}, "`discriminator_steps`"),
        ({"half_life": -1.0}, "`half_life`"),
        ({"simultaneous": "alternating"}, "`simultaneous`"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        GAN(*networks(), **options)


class Linear:
    """A loss of somebody's own."""

    def discriminator(self, real, fake):
        return ops.mean(fake) - ops.mean(real)

    def generator(self, real, fake):
        assert real is None or real.shape == fake.shape
        return -ops.mean(fake)


@pytest.mark.slow_cases("False")
@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_loss_of_one_s_own_says_no_more_than_it_has_to(simultaneous):
    own, ours = (made(loss=loss, simultaneous=simultaneous) for loss in (Linear(), Wasserstein()))
    assert fitted(own)["generator_loss"] == pytest.approx(fitted(ours)["generator_loss"], rel=1e-5)


def test_networks_of_different_images_are_refused():
    generator, _ = networks()
    other = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(ValueError, match=r"makes \(4, 4, 1\), and the discriminator takes \(8, 8, 1\)"):
        GAN(generator, other)
