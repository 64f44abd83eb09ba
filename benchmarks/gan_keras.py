"""A DCGAN in the manner of keras.io's "DCGAN to generate face images", trained for so many seconds and judged by ours.

What is kept of that example: real and generated images in one batch, noise on the labels, cross-entropy, dropout in the
discriminator, LeakyReLU and no normalisation, Adam without a schedule, float32, images in 0 to 1. What is not: 64 x 64
faces and their widths; the networks have the convolutions and channels of `cifar10_gan`.

    python -m benchmarks.gan_keras RUN_DIR --seconds 300 --seed 1 --out dcgan.json    # a run of cifar10_gan to match
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
from keras import layers, ops

from recipes.data import ShuffledBatches
from recipes.gan import Classifier, Judge, jit_options
from recipes.gan.backend import backend_module
from recipes.gan.players import Players
from recipes.run import load_model, read_directory

LATENT, BATCH, LABEL_NOISE, DROPOUT = 128, 64, 0.05, 0.2


class KerasDCGAN(keras.Model):
    def __init__(self, discriminator, generator):
        super().__init__()
        self.discriminator, self.generator = discriminator, generator
        self.seeds = keras.random.SeedGenerator(0)
        self.d_loss, self.g_loss = keras.metrics.Mean("d_loss"), keras.metrics.Mean("g_loss")
        self.built = True

    def compile(self, d_optimizer, g_optimizer, loss_fn, **kwargs):
        super().compile(optimizer=None, **kwargs)
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.optimizer = Players(self.g_optimizer, self.d_optimizer)

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def train_step(self, *arguments):
        return backend_module().train_step(self, *arguments)

    def step(self, data):
        real, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        count = ops.shape(real)[0]
        noise = keras.random.normal((count, LATENT), seed=self.seeds)
        images = ops.concatenate([self.generator(noise), real], axis=0)
        labels = ops.concatenate([ops.ones((count, 1)), ops.zeros((count, 1))], axis=0)
        labels += LABEL_NOISE * keras.random.uniform(ops.shape(labels), seed=self.seeds)

        def d_loss():
            return self.loss_fn(labels, self.discriminator(images, training=True)), None

        self.d_loss.update_state(descended(self.d_optimizer, d_loss, self.discriminator.trainable_weights))
        noise = keras.random.normal((count, LATENT), seed=self.seeds)

        def g_loss():
            judged = self.discriminator(self.generator(noise, training=True), training=True)
            return self.loss_fn(ops.zeros((count, 1)), judged), None

        self.g_loss.update_state(descended(self.g_optimizer, g_loss, self.generator.trainable_weights))
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}

    def generate(self, count, labels=None, seed=0):
        """uint8 images, as `GAN.generate` gives them."""
        noise = np.random.default_rng(seed).normal(size=(count, LATENT)).astype("float32")
        images = self.generator.predict(noise, batch_size=256, verbose=0)
        return np.rint(np.clip(images, 0, 1) * 255).astype("uint8")


def descended(optimizer, loss, weights):
    """The loss, after a step by its gradient."""
    value, _, back = backend_module().pullback(loss, variables=weights)
    optimizer.apply(back(), weights)
    return value


def networks(
    channels,
    width,
    discriminator_width,
    dropout=DROPOUT,
    convolution=layers.Conv2D,
    transposed=layers.Conv2DTranspose,
    leaky=layers.LeakyReLU,
):
    """The discriminator, which gives logits, and the generator of 32 x 32 images.

    `convolution`, `transposed` and `leaky` are Keras's layers, or others of the same functions and weights.
    """
    discriminator = [keras.Input((32, 32, channels))]
    for factor in (1, 2, 4):
        discriminator += [convolution(factor * discriminator_width, 4, 2, "same"), leaky(0.2)]
    discriminator += [layers.Flatten(), layers.Dropout(dropout), layers.Dense(1)]
    generator = [keras.Input((LATENT,)), layers.Dense(4 * 4 * 4 * width), layers.Reshape((4, 4, 4 * width))]
    for factor in (4, 2, 1):
        generator += [transposed(factor * width, 4, 2, "same"), leaky(0.2)]
    generator += [convolution(channels, 5, padding="same", activation="sigmoid")]
    return keras.Sequential(discriminator), keras.Sequential(generator)


def compiled(networks, learning_rate=1e-4, beta_1=0.9, **options):
    """Ready to be fit."""
    model = KerasDCGAN(*networks)
    adams = (keras.optimizers.Adam(learning_rate, beta_1=beta_1) for _ in range(2))
    model.compile(*adams, keras.losses.BinaryCrossentropy(from_logits=True), **(options or jit_options()))
    return model


def batches(images, seed):
    """What `fit` takes: batches in an order of its own each epoch."""
    data = ShuffledBatches(images, np.zeros(len(images), "int8"), BATCH, seed, drop_remainder=True)
    return {"x": data.endless(), "steps_per_epoch": data.num_batches, "shuffle": False}


class Watch(keras.callbacks.Callback):
    """Judges at equal distances, in the middle of an epoch too, and ends training after so many seconds of it.

    Args:
        judge: `recipes.gan.judge.Judge`.
        seconds: float, of training in all.
        times: int >= 1, how often it is judged.
        seconds_of_a_batch: float, what each counts for; by default what it takes.
    """

    def __init__(self, judge, seconds, times, seconds_of_a_batch=None):
        super().__init__()
        self.judge, self.seconds_of_a_batch = judge, seconds_of_a_batch
        self.points = [seconds * (k + 1) / times for k in range(times)]
        self.trained, self.batches, self.curve = 0.0, 0, []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.trained += self.seconds_of_a_batch or time.perf_counter() - self.start
        self.batches += 1
        if self.trained >= self.points[0]:
            self.curve.append(self._judged())
            self.points = [point for point in self.points if point > self.trained]
        self.model.stop_training = not self.points
        self.start = time.perf_counter()  # judging isn't training

    def _judged(self):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()  # weights are those of the epoch's begin until then
        epochs = self.batches / self.params["steps"]
        return {"seconds": self.trained, "epoch": round(epochs, 2), **self.judge.distances(self.model)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="of cifar10_gan: its images, widths, classifier")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--images-a-second", type=float, help="count seconds as images at this speed")
    parser.add_argument("--times", type=int, default=10, help="that it is judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="1e-4 is keras.io's")
    parser.add_argument("--beta-1", type=float, default=0.9)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    asked = parser.parse_args()
    recipe = read_directory(asked.run).recipe
    images = recipe.load(asked.data_dir)
    judge = Judge(Classifier(load_model(asked.run / "classifier.keras")), images, classes=False)
    x = images.train[0].astype("float32") / 255
    keras.utils.set_random_seed(asked.seed)
    widths = recipe.width, recipe.discriminator_width
    model = compiled(networks(x.shape[-1], *widths), asked.learning_rate, asked.beta_1)
    watch = Watch(judge, asked.seconds, asked.times, asked.images_a_second and BATCH / asked.images_a_second)
    model.fit(**batches(x, asked.seed), epochs=10**6, verbose=0, callbacks=[watch])
    best = min(watch.curve, key=lambda point: point["distance"])
    asked.out.write_text(json.dumps({"floor": judge.floor, "best": best, "curve": watch.curve}, indent=2))


if __name__ == "__main__":
    main()
