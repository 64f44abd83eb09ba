"""A small convolutional network for 32×32 images, trained with the whole training set behind every update.

On the embedded digits (8×8 scans enlarged to 32×32, not CIFAR-10):

    python -m recipes train cifar10_cnn --data digits

It reached 99.1 % ± 0.3 % on the 360 test images (mean and standard deviation of 5 seeds, 150 updates, 50 s on two CPU
cores; benchmarks/results/digits.json). The learning rate rises over the first tenth of the updates to --learning-rate
(from ten updates on) and falls to 0 along a cosine.
"""

import dataclasses

from recipes import optimizers
from recipes.errors import CommandError
from recipes.nearest import unknown

DATA = ("digits",)
VARIANTS = ("groupnorm",)


def option(default, text):
    """A field of the settings that the command line offers as an option, with its help."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of this recipe is made of. Raises a CommandError for values that cannot be."""

    data: str = option("digits", f"images to train on: {', '.join(DATA)}")
    variant: str = option("groupnorm", f"network: {', '.join(VARIANTS)}")
    optimizer: str = option("batch_gd", "batch_gd, or any optimizer of Keras: sgd, adam, …")
    learning_rate: float = option(0.2, "highest learning rate, > 0")
    momentum: float | None = option(None, "0 to 1; 0.9 for batch_gd and sgd")
    clipping: str = option("by_global_norm:1.0", "by_value:C, by_norm:C, by_global_norm:C or none")
    batch_size: int = option(128, "images in memory at once; the micro-batch of batch_gd")
    epochs: int = option(150, "passes over the training part; with batch_gd also the updates")
    seed: int = option(0, "of the initial weights and the order of the images")

    def __post_init__(self):
        if self.data not in DATA:
            raise CommandError(f"--data: {unknown('data set', self.data, DATA)}")
        if self.variant not in VARIANTS:
            raise CommandError(f"--variant: {unknown('variant', self.variant, VARIANTS)}")
        named = optimizers.class_name(self.optimizer)
        optimizers.parse_clipping(self.clipping)
        optimizers.check_momentum(self.optimizer, self.momentum)
        if self.momentum is None and named in ("BatchGD", "SGD"):
            object.__setattr__(self, "momentum", 0.9)
        _require(0 < self.learning_rate < 1e38, "--learning-rate must be > 0 and < 1e38", self.learning_rate)
        _require(0 < self.batch_size < 2**31, "--batch-size must lie in 1 to 2147483647", self.batch_size)
        _require(0 < self.epochs < 2**31, "--epochs must lie in 1 to 2147483647", self.epochs)
        _require(0 <= self.seed < 2**32, "--seed must lie in 0 to 4294967295", self.seed)


def _require(true, what, value):
    if not true:
        raise CommandError(f"{what}; it is {value}")


def build_model(settings, images):
    """Build and compile the network.

    Args:
        settings: `Settings`.
        images: `recipes.data.Images`.

    Returns:
        A compiled `keras.Model` with seeded weights.
    """
    import keras

    import recipes.models

    keras.utils.set_random_seed(settings.seed)
    model = getattr(recipes.models, settings.variant)(images.train[0].shape[1:], len(images.classes))
    model.compile(
        optimizer=optimizers.make(
            settings.optimizer,
            learning_rate=_warmup_cosine(settings.learning_rate, _updates(settings, images)),
            momentum=settings.momentum,
            clipping=settings.clipping,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    return model


def train(settings, run):
    """Train the network, and judge it once on the test part.

    Args:
        settings: `Settings`.
        run: `recipes.run.Run`, the directory that the results go to.

    Returns:
        A dict: `test_accuracy` (0 to 1), `test_images`, `updates`, `stopped_early`.
    """
    import recipes.data

    images = getattr(recipes.data, settings.data)()
    model = build_model(settings, images)
    full = optimizers.makes_full_batches(settings.optimizer)
    history = model.fit(
        **(_full_batches(settings, images) if full else _shuffled_batches(settings, images)),
        epochs=settings.epochs,
        validation_data=images.validation,
        validation_batch_size=settings.batch_size,
        callbacks=[*(_full_batch_callbacks() if full else []), *run.callbacks()],
    )
    _, accuracy = model.evaluate(*images.test, batch_size=settings.batch_size, verbose=0)
    run.save(model, title=f"{settings.variant} on {images.name}, {settings.optimizer}")
    return {
        "test_accuracy": accuracy,
        "test_images": len(images.test[0]),
        "updates": int(model.optimizer.iterations.numpy()),
        "stopped_early": len(history.epoch) < settings.epochs,
    }


def _full_batches(settings, images):
    from recipes.data import full_batches

    return {"x": full_batches(*images.train, settings.batch_size), "shuffle": False}


def _shuffled_batches(settings, images):
    x, y = images.train
    return {"x": x, "y": y, "batch_size": settings.batch_size}


def _full_batch_callbacks():
    from callbacks import FullBatch, GradientMonitor

    return [FullBatch(), GradientMonitor()]


def _updates(settings, images):
    """Number of updates that the run makes."""
    if optimizers.makes_full_batches(settings.optimizer):
        return settings.epochs
    return settings.epochs * -(-len(images.train[0]) // settings.batch_size)


def _warmup_cosine(highest, updates):
    import keras

    warmup = updates // 10
    return keras.optimizers.schedules.CosineDecay(
        highest / 10, updates - warmup, warmup_target=highest, warmup_steps=warmup
    )
