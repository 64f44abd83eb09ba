"""A small convolutional network for 32×32 images, trained with the whole training set behind every update.

On the embedded digits (8×8 scans enlarged to 32×32, not CIFAR-10):

    python -m recipes train cifar10_cnn --data digits

It reached 99.1 % ± 0.4 % on the 360 test images (mean and standard deviation of 5 seeds, 150 updates, 56 s of
training on two CPU cores). The learning rate rises over the first tenth of the updates to --learning-rate (from ten
updates on) and falls to 0 along a cosine.

The network and settings of the articles, one convolution and SGD in batches of 32 with a decay at every update:

    python -m recipes train cifar10_cnn --data cifar10 --variant basic
    python -m recipes train cifar10_cnn --data cifar10 --variant basic --schedule constant

reached 51.2 % ± 2.3 % on the 10,000 test images of a JPEG copy of CIFAR-10 in 10 epochs, and 57.2 % ± 0.3 % without the
decay (3 seeds): by the end of the first epoch it has divided the rate by 15. All figures are in
benchmarks/results/cifar10_cnn.csv.
"""

import dataclasses

from recipes import optimizers
from recipes.clippers import parse_clipping
from recipes.data_names import ALL, absolute, check_data_name
from recipes.losses import LOSSES
from recipes.schedules import has_horizon, make_schedule, parse_schedule
from recipes.settings import option, require, require_one_of

VARIANTS = {"groupnorm": "full_batch", "basic": "article"}  # network: its own preset
PRESETS = {
    "full_batch": {},
    "article": {
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "schedule": "inverse_time:0.01",
        "clipping": "none",
        "batch_size": 32,
        "epochs": 10,
    },
    "smoke": {"train_images": 300, "epochs": 3},
}
KEEP = ("last", "best")
DTYPE = None  # any, by --dtype
SCORE = "test_accuracy"  # what several seeds are averaged by


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of this recipe is made of. Raises a CommandError for values that cannot be."""

    data: str = option("digits", f"images to train on: {', '.join(ALL)}")
    variant: str = option("groupnorm", f"network: {', '.join(VARIANTS)}")
    optimizer: str = option("batch_gd", "one of ours, in full batches, or of Keras: see list --optimizers")
    learning_rate: float = option(0.2, "highest learning rate, > 0")
    schedule: str = option("warmup_cosine", "of the learning rate over the updates; see list --schedules")
    momentum: float | None = option(None, "for optimizers that have it; 0.9 for batch_gd and sgd")
    clipping: str = option("by_global_norm:1.0", "none, or what list --clippers has, such as by_global_norm:C")
    loss: str = option("cross_entropy", f"{', '.join(LOSSES)}; the last two of the probabilities")
    l1: float = option(0.0, "weight of the sum of the kernels' absolute values in the loss, >= 0")
    l2: float = option(0.0, "weight of the sum of the kernels' squares in the loss, >= 0")
    batch_size: int = option(128, "images in memory at once: the micro-batch of a full batch")
    epochs: int = option(150, "passes over the training part; in full batches also the updates")
    train_images: int | None = option(None, "how many images to train on; all by default")
    validation_split: float = option(0.1, "share of the training part that is held out for validation, in (0, 1)")
    early_stopping: int | None = option(None, "stop after this many epochs without a lower validation loss")
    keep: str = option("last", "last, or best: the weights of the epoch with the lowest validation loss")
    seed: int = option(0, "of the initial weights, the validation part and the order of the images")

    def __post_init__(self):
        check_data_name(self.data)
        object.__setattr__(self, "data", absolute(self.data))
        require_one_of("variant", self.variant, VARIANTS)
        optimizers.parse_optimizer(self.optimizer)
        parse_schedule(self.schedule)
        parse_clipping(self.clipping)
        optimizers.check_momentum(self.optimizer, self.momentum)
        if self.momentum is None:
            object.__setattr__(self, "momentum", optimizers.default_momentum(self.optimizer))
        require_one_of("loss", self.loss, LOSSES)
        require_one_of("keep", self.keep, KEEP)
        require(0 < self.learning_rate < 1e38, "--learning-rate must be > 0 and < 1e38", self.learning_rate)
        require(0 <= self.l1 < 1e38, "--l1 must be >= 0 and < 1e38", self.l1)
        require(0 <= self.l2 < 1e38, "--l2 must be >= 0 and < 1e38", self.l2)
        require(0 < self.batch_size < 2**31, "--batch-size must lie in 1 to 2147483647", self.batch_size)
        require(0 < self.epochs < 2**31, "--epochs must lie in 1 to 2147483647", self.epochs)
        require(self.train_images is None or self.train_images > 0, "--train-images must be > 0", self.train_images)
        require(0 < self.validation_split < 1, "--validation-split must lie in (0, 1)", self.validation_split)
        require(
            self.early_stopping is None or self.early_stopping > 0, "--early-stopping must be > 0", self.early_stopping
        )
        require(0 <= self.seed < 2**32, "--seed must lie in 0 to 4294967295", self.seed)


def load(settings, data_dir=None, download=False):
    """The images of a run, as `recipes.data.load` gives them."""
    from recipes.data import load

    return load(
        settings.data,
        validation_split=settings.validation_split,
        train_images=settings.train_images,
        seed=settings.seed,
        data_dir=data_dir,
        download=download,
    )


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
    from recipes.losses import with_loss

    keras.utils.set_random_seed(settings.seed)
    regularizer = keras.regularizers.L1L2(settings.l1, settings.l2) if settings.l1 or settings.l2 else None
    network = getattr(recipes.models, settings.variant)
    model, loss = with_loss(network(images.train[0].shape[1:], len(images.classes), regularizer), settings.loss)
    model.compile(
        optimizer=optimizers.make(
            settings.optimizer,
            learning_rate=make_schedule(settings.schedule, settings.learning_rate, _updates(settings, images)),
            momentum=settings.momentum,
            clipping=settings.clipping,
        ),
        loss=loss,
        weighted_metrics=["accuracy"],
    )
    return model


def train(settings, run, images):
    """Train the network, and judge it once on the test part.

    Args:
        settings: `Settings`.
        run: `recipes.run.Run`, the directory that the results go to.
        images: `recipes.data.Images`.

    Returns:
        A dict: `test_accuracy` (0 to 1), `test_loss`, `test_images`, and what `recipes.training.fit` gives.
    """
    from recipes.data import evaluation_batches
    from recipes.training import fit

    model = build_model(settings, images)
    full = optimizers.makes_full_batches(settings.optimizer)
    trained = fit(
        model,
        batches(settings, images, full),
        run,
        epochs=settings.epochs,
        seed=settings.seed,
        full=full,
        validation=evaluation_batches(*_samples(settings, images, images.validation), settings.batch_size),
        patience=settings.early_stopping,
        keep=settings.keep,
    )
    run.save(model, title=f"{settings.variant} on {images.name}, {settings.optimizer}")
    return {**judge(model, settings, images), **trained}


def judge(model, settings, images):
    """Loss and accuracy of a model on the test part."""
    from recipes.data import evaluation_batches

    part = evaluation_batches(*_samples(settings, images, images.test), max(settings.batch_size, 128))
    loss, accuracy = model.evaluate(**part, verbose=0)
    return {"test_accuracy": accuracy, "test_loss": loss, "test_images": len(images.test[1])}


def summary(settings, result):
    """A result in one sentence."""
    return (
        f"Test accuracy {result['test_accuracy']:.1%} on {result['test_images']} images of {settings.data} "
        f"after {result['updates']} updates."
    )


def horizon_matters(settings):
    """Whether a run of more epochs differs from this one from its first epoch on."""
    return has_horizon(settings.schedule)


def batches(settings, images, full):
    """The training part as `recipes.training.fit` takes it: in fixed order for full batches, or else shuffled."""
    from recipes.data import ShuffledBatches, full_batches

    samples = _samples(settings, images, images.train)
    if full:
        return full_batches(*samples, settings.batch_size)
    return ShuffledBatches(*samples, settings.batch_size, settings.seed)


def _samples(settings, images, part):
    from recipes.losses import targets

    x, y = part
    return x, targets(y, settings.loss, len(images.classes))


def _updates(settings, images):
    """Number of updates that the run makes."""
    if optimizers.makes_full_batches(settings.optimizer):
        return settings.epochs
    return settings.epochs * -(-len(images.train[0]) // settings.batch_size)
