"""GANs on every backend they train on: steps as NumPy makes them, as TensorFlow makes them, and exact resume."""

import json
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

if keras.backend.backend() == "torch":
    pytest.skip("GANs train on TensorFlow and JAX", allow_module_level=True)

from callbacks import ExactResume
from recipes.gan import GAN, DiffAugment, SpectralNormalization
from recipes.gan.losses import Hinge, Minimax, NonSaturating, Relativistic, Wasserstein
from recipes.gan.penalties import GradientPenalty, ZeroCentred
from recipes.layers import FusedBatchNormalization

SIDE, LATENT, BATCH, STEPS = 4, 3, 16, 4
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (32, SIDE, SIDE, 1), dtype="uint8"), np.arange(32) % 2
NOISE = RNG.normal(size=(BATCH, LATENT)).astype("float32")
UNKNOWN_BEFORE = ()  # what is raised where the size of a batch is not known beforehand
if keras.backend.backend() == "tensorflow":
    from tensorflow.errors import InvalidArgumentError

    UNKNOWN_BEFORE = (InvalidArgumentError,)
GOLDEN = pathlib.Path(__file__).with_name("golden_gan.json")  # what test_as_on_tensorflow makes on TensorFlow


@pytest.fixture
def same_noise(monkeypatch):
    """The same noise in each step: backends draw different numbers from a seed."""
    monkeypatch.setattr(keras.random, "normal", lambda shape, seed: keras.ops.convert_to_tensor(NOISE[: shape[0]]))


def linear():
    generator = [keras.Input((LATENT,)), layers.Dense(SIDE * SIDE), layers.Reshape((SIDE, SIDE, 1))]
    discriminator = [keras.Input((SIDE, SIDE, 1)), layers.Flatten(), layers.Dense(1)]
    return keras.Sequential(generator), keras.Sequential(discriminator)


def with_everything(classes):
    z, label = keras.Input((LATENT,)), keras.Input((), dtype="int32")
    x = layers.Concatenate()([z, layers.Embedding(2, 4)(label)]) if classes else z
    x = layers.Reshape((SIDE, SIDE, 1))(layers.Dense(SIDE * SIDE)(x))
    generator = keras.Model([z, label] if classes else z, layers.Activation("tanh")(FusedBatchNormalization()(x)))
    image = keras.Input((SIDE, SIDE, 1))
    h = layers.LeakyReLU()(SpectralNormalization(layers.Conv2D(4, 3))(image))
    h = layers.Flatten()(FusedBatchNormalization()(h))
    out = SpectralNormalization(layers.Dense(1))(h)
    if classes:
        out = out + layers.Dot(1)([layers.Embedding(2, 16)(label), h])
    return generator, keras.Model([image, label] if classes else image, out)


def seeded(networks):
    rng = np.random.default_rng(1)
    for network in networks:
        network.set_weights([0.3 * rng.normal(size=w.shape) + (w.min() == 1) for w in network.get_weights()])
    return networks


def made(networks, optimizers=None, **options):
    gan = GAN(*seeded(networks), **options)
    gan.compile(*(optimizers or (keras.optimizers.SGD(0.05, 0.9), keras.optimizers.SGD(0.1, 0.5))))
    return gan


def fitted(gan, epochs, **options):
    return gan.fit(IMAGES, LABELS, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **options).history


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


SLOPES = {  # of the losses by an output: of real images, of generated ones, of generated ones in the generator's step
    "hinge": (Hinge(), lambda s: -1.0 * (s < 1), lambda s: 1.0 * (s > -1), lambda s: -np.ones_like(s)),
    "non-saturating": (NonSaturating(), lambda s: sigmoid(s) - 1, sigmoid, lambda s: sigmoid(s) - 1),
    "minimax": (Minimax(), lambda s: sigmoid(s) - 1, sigmoid, lambda s: -sigmoid(s)),
    "wasserstein": (Wasserstein(), lambda s: -np.ones_like(s), np.ones_like, lambda s: -np.ones_like(s)),
}


@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize("loss", SLOPES)
def test_steps_are_those_of_numpy(same_noise, loss, simultaneous):
    """Linear networks, descent, and R1, whose gradient is gamma * v for a linear critic, in every other step."""
    rate, gamma = 0.1, 0.5
    piece, of_real, of_fake, of_generator = SLOPES[loss]
    descents = (keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    gan = made(
        linear(),
        descents,
        loss=piece,
        penalty=ZeroCentred(gamma, "real", every=2),
        half_life=0,
        simultaneous=simultaneous,
    )
    matrix, offset, v, c = (
        w.astype("float64") for w in (*gan.generator.get_weights(), *gan.discriminator.get_weights())
    )
    fitted(gan, STEPS // 2)
    for step in range(STEPS):
        real = IMAGES[step % 2 * BATCH :][:BATCH].reshape(BATCH, -1) / 127.5 - 1
        fake = NOISE @ matrix + offset
        slopes = of_real(real @ v + c) / BATCH, of_fake(fake @ v + c) / BATCH
        v_slope = real.T @ slopes[0] + fake.T @ slopes[1] + (2 * gamma * v if step % 2 == 0 else 0)
        before = v, c
        v, c = v - rate * v_slope, c - rate * sum(s.sum() for s in slopes)
        judge, level = before if simultaneous else (v, c)
        by_image = of_generator(fake @ judge + level) / BATCH @ judge.T
        matrix, offset = matrix - rate * NOISE.T @ by_image, offset - rate * by_image.sum(axis=0)
    found = [*gan.generator.get_weights(), *gan.discriminator.get_weights()]
    for value, expected in zip(found, (matrix, offset, v, c), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


FAMILIES = {
    "hinge": {"loss": Hinge()},
    "conditional": {"classes": 2, "loss": NonSaturating(), "penalty": ZeroCentred(0.1, "real", every=3)},
    "relativistic": {"loss": Relativistic(), "penalty": ZeroCentred(0.1, "both")},
    "two steps": {"loss": Wasserstein(), "discriminator_steps": 2},
    "simultaneous": {"classes": 2, "penalty": ZeroCentred(0.1, "real", every=3), "simultaneous": True},
    "zero-sum": {
        "loss": Minimax(),
        "penalty": ZeroCentred(0.1, "both"),
        "discriminator_steps": 2,
        "simultaneous": True,
    },
}
WITH_DRAWS = {
    "augmented": {"augment": DiffAugment("color,translation,cutout"), "penalty": ZeroCentred(0.1, "real", every=2)},
    "simultaneous": {"augment": DiffAugment("translation"), "loss": Relativistic(), "simultaneous": True},
    "gradient penalty": {"loss": Wasserstein(), "penalty": GradientPenalty(10.0, every=2), "discriminator_steps": 2},
}


@pytest.mark.slow_cases("conditional", "zero-sum")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.slow_on_jax
def test_as_on_tensorflow(same_noise, family):
    """Batch normalisation, spectral normalisation, lazy penalties, the average: sums of all that changes."""
    options = FAMILIES[family]
    gan = made(with_everything(options.get("classes", 0)), **options)
    history = fitted(gan, STEPS // 2)
    networks = gan.generator, gan.discriminator, gan.average
    found = [float(np.square(w).sum()) for network in networks for w in network.get_weights() if w.dtype == "float32"]
    found += [row[-1] for row in history.values()]
    # 3e-3: TensorFlow's kernel keeps a running variance with n - 1, of 32 values and more here
    np.testing.assert_allclose(found, json.loads(GOLDEN.read_text())[family], rtol=3e-3, atol=1e-5)


@pytest.mark.parametrize("half_life", [7.0, 1000.0])
@pytest.mark.slow_on_jax
def test_the_average_is_that_of_the_rule(half_life):
    """Of the weights and of running statistics; after 20 steps it is far from the generator only by the half-life."""
    gan = made(with_everything(0), half_life=half_life)
    expected = [w.copy() for w in gan.generator.get_weights()]
    for step in range(1, 21):
        gan.train_on_batch(IMAGES[:BATCH], LABELS[:BATCH])
        kept = 0.5 ** (BATCH / min(half_life, 0.05 * BATCH * step))
        expected = [kept * e + (1 - kept) * w for e, w in zip(expected, gan.generator.get_weights(), strict=True)]
    for found, wanted in zip(gan.average.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert any("moving_variance" in w.path for w in gan.average.weights)


@pytest.mark.parametrize("count", [BATCH + 1, 1])
def test_steps_of_the_discriminator_share_a_batch_evenly(count):
    gan = made(linear(), discriminator_steps=2)
    with pytest.raises((ValueError, *UNKNOWN_BEFORE), match="must have a multiple of `discriminator_steps` images"):
        gan.fit(IMAGES[:count], LABELS[:count], batch_size=BATCH, verbose=0)


def state(gan):
    return [np.array(v) for v in [*gan.variables, *gan.optimizer.variables]]


@pytest.mark.slow_cases("augmented", "gradient penalty", "simultaneous")
@pytest.mark.parametrize("family", WITH_DRAWS)
def test_a_fit_in_two_parts_is_one(tmp_path, family):
    """With exact resume, and from a file."""
    options = WITH_DRAWS[family]
    whole = made(with_everything(0), **options)
    fitted(whole, 3)
    for epochs in (1, 3):
        parts = made(with_everything(0), **options)
        fitted(parts, epochs, callbacks=[ExactResume(tmp_path / "state.npz", seed=0)])
    for one, other in zip(state(whole), state(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    parts.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    fitted(whole, 1), fitted(again, 1)
    for one, other in zip(state(whole), state(again), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(whole.generate(8), again.generate(8))
