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
decay (3 seeds): by the end of the first epoch it has divided the rate by 15.

The network of the speed runs, airbench94's, trained by Muon in mini-batches:

    python -m recipes train cifar10_cnn --data cifar10 --variant fast

reached 90.9 % ± 0.2 % on those 10,000 (3 seeds, six views of each image) after 6.3 minutes of training on
two CPU cores with AMX. All figures are in benchmarks/results/cifar10_cnn.csv.
"""

import dataclasses

from recipes.classification import views as test_time_augmentation
from recipes.classification.losses import LOSSES
from recipes.settings import optimizers
from recipes.settings.clippers import parse_clipping
from recipes.settings.data_names import ALL, FLIPS, absolute, check_data_name
from recipes.settings.nearest import nearest_multiple
from recipes.settings.resolve import option, require, require_one_of
from recipes.settings.schedules import has_horizon, make_schedule, parse_schedule

VARIANTS = {  # network: its preset
    "groupnorm": "full_batch",
    "basic": "article",
    "fast": "fast",
    "resnet9": "resnet9",
    "full_batch": "fb_strong",
}
NETWORKS = {"full_batch": "resnet18"}  # of `recipes.models`, where a variant is not named after its own
SPEED_RUN = ("fast", "resnet9")  # networks that leave out a smaller last batch
NORMALIZED = (*SPEED_RUN, "full_batch")  # networks that take an activation and images normalised by their statistics
_GEIPING = {  # what all rows of that paper have in common
    "optimizer": "nesterov:velocity=torch",
    "clipping": "none",
    "weight_decay": 0.0005,
    "weight_decay_mode": "coupled",
    "batch_size": 128,
    "validation_split": 0.0,
}
_LONG = {"learning_rate": 0.4, "schedule": "cosine:period=4000,warmup=400,start=0", "epochs": 3000, "block_size": 128}
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
    "fast": {
        "optimizer": "muon:size=none,others=momentum,ns_steps=3,ns_dtype=bfloat16,exclude=head/",
        "gradient_accumulation_steps": "1",
        "learning_rate": 0.24,
        "schedule": "linear",
        "momentum": 0.6,
        "clipping": "none",
        "weight_decay": 0.05,
        "exclude_from_weight_decay": "beta$|head/",
        "learning_rate_multipliers": "beta$=250,head/=5",
        "label_smoothing": 0.2,
        "flip": "alternating",
        "translate": 2,
        "batch_size": 500,
        "epochs": 12,
        "validation_split": 0.0,
        "test_time_augmentation": "flip_shift",
    },
    "resnet9": {
        "optimizer": "nesterov",
        "gradient_accumulation_steps": "1",
        "learning_rate": 0.4,
        "schedule": "linear:warmup=0.2,start=0",
        "clipping": "none",
        "weight_decay": 0.0005,
        "weight_decay_mode": "coupled",
        "flip": "random",
        "translate": 4,
        "cutout": 8,
        "batch_size": 500,
        "epochs": 24,
        "validation_split": 0.0,
        "test_time_augmentation": "flip",
    },
    "sgd": {
        **_GEIPING,
        "gradient_accumulation_steps": "1",
        "learning_rate": 0.1,
        "schedule": "cosine:warmup=0.0167,start=0",
        "epochs": 300,
    },
    "fb": {
        **_GEIPING,
        "learning_rate": 0.1,
        "schedule": "cosine:warmup=5,start=0",
        "epochs": 300,
        "block_size": 128,
    },
    "fb_long": {**_GEIPING, **_LONG},
    "fb_clip": {**_GEIPING, **_LONG, "clipping": "by_global_norm:0.25"},
    "fb_reg": {
        **_GEIPING,
        **_LONG,
        "clipping": "by_global_norm:0.25",
        "learning_rate": 0.8,
        "gradient_regularizer": 0.5,
    },
    "fb_strong": {
        **_GEIPING,
        **_LONG,
        "clipping": "by_global_norm:0.25",
        "learning_rate": 0.8,
        "gradient_regularizer": 0.5,
        "block_size": 32,
    },
    "smoke": {"train_images": 300, "epochs": 3},
}
KEEP = ("last", "best")
NORMALIZATIONS = ("batch", "group")
REMAINDERS = ("drop", "smaller")
METHODS = ("differences", "hessian")
ACTIVATIONS = ("relu", "gelu", "silu", "elu")
SIDE = 32  # of the images, pixels
TESTED = 512  # training images, at most, of a range test in full batches
WHITENED = 5000  # training images, at most, that the whitening is of
OF_OPTIMIZER = ("momentum", "learning_rate_multipliers")  # settings of a preset that are of its optimizer alone
DTYPE = None  # any, by --dtype
DTYPE_OF_VARIANT = {"fast": "auto", "resnet9": "auto"}  # unless --dtype is given
SCORE = "test_accuracy"  # what several seeds are averaged by
OBJECTIVES = {"val_accuracy": "max", "val_loss": "min"}  # what a search can go by, the first unless it is told


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of this recipe is made of. Raises a CommandError for values that cannot be."""

    data: str = option("digits", f"images to train on: {', '.join(ALL)}")
    variant: str = option("groupnorm", f"network: {', '.join(VARIANTS)}")
    activation: str = option("relu", f"of {' and '.join(NORMALIZED)}: {', '.join(ACTIVATIONS)}")
    width: int = option(64, "channels of the first stage of full_batch")
    normalization: str = option("batch", "of full_batch: batch, over blocks if there are any, or group, of each image")
    optimizer: str = option("batch_gd", "one of ours, in full batches, or of Keras: see list --optimizers")
    gradient_accumulation_steps: str = option(
        "auto",
        "batches behind an update: a number, epoch for all, auto for epoch with our optimizers and 1 with Keras's",
    )
    learning_rate: float = option(0.2, "highest learning rate, > 0")
    schedule: str = option("warmup_cosine", "of the learning rate over the updates; see list --schedules")
    momentum: float | None = option(None, "for optimizers that have it; 0.9 for batch_gd and sgd")
    clipping: str = option("by_global_norm:1.0", "none, or what list --clippers has, such as by_global_norm:C")
    weight_decay: float | None = option(None, "share of the weights that each update takes, times the rate; >= 0")
    weight_decay_mode: str = option("decoupled", "decoupled, or coupled: added to the gradient, as torch's SGD does")
    exclude_from_weight_decay: str | None = option(None, "regular expression of paths, such as bias|beta")
    learning_rate_multipliers: str = option("", "by regular expressions of paths, such as beta$=64,head/=2")
    ema_momentum: float | None = option(None, "of the moving average of weights that training ends with, in [0, 1)")
    loss: str = option("cross_entropy", f"{', '.join(LOSSES)}; the last two of the probabilities")
    label_smoothing: float = option(0.0, "share of each target that all classes get alike, in [0, 1)")
    l1: float = option(0.0, "weight of the sum of the kernels' absolute values in the loss, >= 0")
    l2: float = option(0.0, "weight of the sum of the kernels' squares in the loss, >= 0")
    block_size: int | None = option(None, "images that are normalised and regularised together; batches are multiples")
    remainder: str = option("drop", "images behind the last whole block: drop, or smaller, a block of their own")
    gradient_regularizer: float = option(0.0, "strength of a penalty on each block's gradient, such as 0.5")
    gradient_regularizer_method: str = option("differences", "differences of gradients, or products with the hessian")
    sharpness_aware: float = option(0.0, "how far weights are moved to where each block's gradient is taken")
    flip: str = option("none", f"mirror images: {', '.join(FLIPS)} (in every other epoch)")
    translate: int = option(0, "pixels that images are moved by at most, each way")
    cutout: int = option(0, "side in pixels of a square of each image that is painted over")
    batch_size: int = option(128, "images in memory at once: the micro-batch of a full batch")
    epochs: int = option(150, "passes over the training part; in full batches also the updates")
    train_images: int | None = option(None, "how many images to train on; all by default")
    validation_split: float = option(0.1, "share of the training part that is held out for validation, in [0, 1)")
    early_stopping: int | None = option(None, "stop after this many epochs without a lower validation loss")
    keep: str = option("last", "last, or best: the weights of the epoch with the lowest validation loss")
    test_time_augmentation: str = option("none", f"views of a test image: {', '.join(test_time_augmentation.NAMES)}")
    seed: int = option(0, "of the initial weights, the validation part and the order of the images")

    def __post_init__(self):
        check_data_name(self.data)
        object.__setattr__(self, "data", absolute(self.data))
        require_one_of("variant", self.variant, VARIANTS)
        require_one_of("activation", self.activation, ACTIVATIONS)
        require(
            self.activation == "relu" or self.variant in NORMALIZED,
            f"--activation is of the variants {', '.join(NORMALIZED)}; {self.variant} has relu",
            self.activation,
        )
        require_one_of("normalization", self.normalization, NORMALIZATIONS)
        require(0 < self.width <= 4096 and self.width % 8 == 0, "--width must be a multiple of 8 to 4096", self.width)
        self._check_optimizer()
        self._check_blocks()
        self._check_loss()
        self._check_data()
        require(0 < self.epochs < 2**31, "--epochs must lie in 1 to 2147483647", self.epochs)
        require_one_of("keep", self.keep, KEEP)
        require(
            self.early_stopping is None or self.early_stopping > 0, "--early-stopping must be > 0", self.early_stopping
        )
        require(
            self.keep == "last" or self.ema_momentum is None,
            "--keep best keeps weights, not their moving average: leave out --ema-momentum",
            self.ema_momentum,
        )
        watches = self.keep == "best" or self.early_stopping is not None
        require(
            self.validation_split > 0 or not watches,
            "--keep best and --early-stopping look at the validation part: --validation-split must be > 0",
            self.validation_split,
        )
        require_one_of("test_time_augmentation", self.test_time_augmentation, test_time_augmentation.NAMES)
        require(0 <= self.seed < 2**32, "--seed must lie in 0 to 4294967295", self.seed)

    def _check_optimizer(self):
        optimizers.parse_optimizer(self.optimizer)
        parse_schedule(self.schedule)
        parse_clipping(self.clipping)
        optimizers.check_momentum(self.optimizer, self.momentum)
        if self.momentum is None:
            object.__setattr__(self, "momentum", optimizers.default_momentum(self.optimizer))
        optimizers.check_steps(self.optimizer, self.gradient_accumulation_steps)
        require(0 < self.learning_rate < 1e38, "--learning-rate must be > 0 and < 1e38", self.learning_rate)
        decay = self.weight_decay
        require(decay is None or 0 <= decay < 1e38, "--weight-decay must be >= 0 and < 1e38", decay)
        require_one_of("weight_decay_mode", self.weight_decay_mode, ("decoupled", "coupled"))
        optimizers.check_expression("--exclude-from-weight-decay", self.exclude_from_weight_decay or "")
        is_about_decay = self.weight_decay_mode == "coupled" or self.exclude_from_weight_decay is not None
        require(
            decay is not None or not is_about_decay or not optimizers.parse_optimizer(self.optimizer).is_ours,
            f"--weight-decay-mode and --exclude-from-weight-decay are without effect: {self.optimizer} has no decay "
            "of its own, so give --weight-decay",
            decay,
        )
        optimizers.parse_multipliers(self.learning_rate_multipliers)
        momentum = self.ema_momentum
        require(momentum is None or 0 <= momentum < 1, "--ema-momentum must lie in [0, 1)", momentum)

    def _check_loss(self):
        require_one_of("loss", self.loss, LOSSES)
        require(0 <= self.label_smoothing < 1, "--label-smoothing must lie in [0, 1)", self.label_smoothing)
        require(
            self.label_smoothing == 0 or self.loss == "cross_entropy",
            "--label-smoothing is of --loss cross_entropy; it must be 0 with another",
            self.label_smoothing,
        )
        require(0 <= self.l1 < 1e38, "--l1 must be >= 0 and < 1e38", self.l1)
        require(0 <= self.l2 < 1e38, "--l2 must be >= 0 and < 1e38", self.l2)

    def _check_blocks(self):
        size = self.block_size
        require(size is None or 0 < size < 2**31, "--block-size must lie in 1 to 2147483647", size)
        nearest = self.batch_size if size is None else nearest_multiple(self.batch_size, size)
        require(
            nearest == self.batch_size,
            f"--batch-size must be a multiple of --block-size {size}, such as {nearest}",
            self.batch_size,
        )
        require_one_of("remainder", self.remainder, REMAINDERS)
        require(
            size is None or self.remainder == "drop" or self.steps == "epoch",
            "--remainder smaller is of full batches, in which it is the same at each update",
            self.gradient_accumulation_steps,
        )
        require_one_of("gradient_regularizer_method", self.gradient_regularizer_method, METHODS)
        strength, rho = self.gradient_regularizer, self.sharpness_aware
        require(0 <= strength < 1e38, "--gradient-regularizer must be >= 0 and < 1e38", strength)
        require(0 <= rho < 1e38, "--sharpness-aware must be >= 0 and < 1e38", rho)
        require(not (strength and rho), "--gradient-regularizer and --sharpness-aware: give one of them", rho)

    def _check_data(self):
        require_one_of("flip", self.flip, FLIPS)
        require(0 <= self.translate < SIDE, f"--translate must lie in 0 to {SIDE - 1} pixels", self.translate)
        require(0 <= self.cutout <= SIDE, f"--cutout must lie in 0 to {SIDE} pixels", self.cutout)
        changes = {name: value for name in ("flip", "translate", "cutout") if (value := getattr(self, name))}
        changes = {name: value for name, value in changes.items() if value != "none"}
        require(
            not changes or self.steps != "epoch",
            f"--{next(iter(changes), '')}: full batches are the same images at each update, mini-batches "
            "(--gradient-accumulation-steps 1) are not",
            next(iter(changes.values()), None),
        )
        require(0 < self.batch_size < 2**31, "--batch-size must lie in 1 to 2147483647", self.batch_size)
        require(self.train_images is None or self.train_images > 0, "--train-images must be > 0", self.train_images)
        require(0 <= self.validation_split < 1, "--validation-split must lie in [0, 1)", self.validation_split)

    @property
    def steps(self):
        """Batches behind an update: an int, or "epoch"."""
        return optimizers.accumulated_steps(self.optimizer, self.gradient_accumulation_steps)


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

    from recipes.classification.losses import with_loss

    keras.utils.set_random_seed(settings.seed)
    _check_updates(settings, images)
    model, loss = with_loss(_network(settings, images), settings.loss, settings.label_smoothing)
    excluded, steps = settings.exclude_from_weight_decay, settings.steps
    model.compile(
        optimizer=optimizers.make(
            settings.optimizer,
            learning_rate=make_schedule(settings.schedule, settings.learning_rate, updates(settings, images)),
            momentum=settings.momentum,
            clipping=settings.clipping,
            weight_decay=settings.weight_decay,
            weight_decay_mode=settings.weight_decay_mode if settings.weight_decay_mode != "decoupled" else None,
            exclude_from_weight_decay=[excluded] if excluded else None,
            learning_rate_multipliers=optimizers.parse_multipliers(settings.learning_rate_multipliers) or None,
            **({} if settings.ema_momentum is None else {"use_ema": True, "ema_momentum": settings.ema_momentum}),
            gradient_accumulation_steps=steps if steps not in (1, "epoch") else None,
        ),
        loss=loss,
        weighted_metrics=["accuracy"],
        jit_compile=_compiles(settings),
    )
    if excluded or settings.learning_rate_multipliers:
        optimizers.build(model)
    return model


def _check_updates(settings, images):
    """Raise a CommandError if the run is too short for an update."""
    require(
        updates(settings, images) > 0,
        f"--gradient-accumulation-steps must be at most the {_batches(settings, images) * settings.epochs} batches "
        "of the run",
        settings.gradient_accumulation_steps,
    )


def _network(settings, images):
    import keras

    import recipes.models

    make = getattr(recipes.models, NETWORKS.get(settings.variant, settings.variant))
    regularizer = keras.regularizers.L1L2(settings.l1, settings.l2) if settings.l1 or settings.l2 else None
    x, classes = images.train[0], len(images.classes)
    if settings.variant not in NORMALIZED:
        return make(x.shape[1:], classes, regularizer)
    normalize = statistics(x)
    own = {"width": settings.width, "normalization": settings.normalization} if settings.variant == "full_batch" else {}
    network = make(x.shape[1:], classes, regularizer, normalize=normalize, activation=settings.activation, **own)
    if settings.variant == "fast":
        mean, deviation = normalize
        some = x[:: -(-len(x) // WHITENED)]  # of all classes: folders are read one after the other
        network.get_layer("whitening").adapt((some - mean) / deviation)
    return network


def statistics(x):
    """Mean and standard deviation of images by channel, two float32 arrays; a deviation of 0 counts as 1."""
    import numpy as np

    pixels = x.reshape(-1, x.shape[-1])
    counts = np.stack([np.bincount(channel, minlength=256) for channel in pixels.T]) / len(pixels)
    mean = counts @ np.arange(256)
    deviation = np.sqrt(counts @ np.arange(256) ** 2 - mean**2)
    return mean.astype("float32"), np.where(deviation > 0, deviation, 1).astype("float32")


def _compiles(settings):
    """Whether XLA compiles the training step: as Keras decides, but not for fast networks on a processor."""
    import keras

    from recipes.machine.processor import is_on_processor

    slower = settings.variant in NORMALIZED and keras.backend.backend() == "tensorflow" and is_on_processor()
    return False if slower else "auto"


def train(settings, run, images):
    """Train the network, and judge it once on the test part.

    Args:
        settings: `Settings`.
        run: `recipes.run.run.Run`, the directory that the results go to.
        images: `recipes.data.Images`.

    Returns:
        A dict: what `judge` gives, and what `recipes.training.fit.fit` gives.
    """
    model, trained = fit(settings, run, images)
    run.save(model, title=f"{settings.variant} on {images.name}, {settings.optimizer}")
    _write_confusion(run, model, settings, images)
    return {**judge(model, settings, images), **trained}


def fit(settings, run, images, model=None, **options):
    """Train the network, and do not judge it.

    Args:
        settings, run, images: as in `train`.
        model: what `build_model` gives; by default it is built.
        options: `until`, `callbacks`, `verbose` of `recipes.training.fit.fit`.

    Returns:
        `(model, trained)`, the second a dict as `recipes.training.fit.fit` gives it.
    """
    from recipes.training import fit as training

    model = build_model(settings, images) if model is None else model
    full = settings.steps == "epoch"
    options["callbacks"] = [*blockwise(settings, images), *options.get("callbacks", ())]
    trained = training.fit(
        model,
        batches(settings, images, full),
        run,
        epochs=settings.epochs,
        seed=settings.seed,
        full=full,
        validation=_held_out(settings, images),
        patience=settings.early_stopping,
        keep=settings.keep,
        **options,
    )
    return model, trained


def blockwise(settings, images):
    """Callbacks that take gradients block by block, and normalise by what that has led to."""
    from callbacks import BlockGradient, GradientRegularizer, RecomputeStatistics, SharpnessAware

    size = settings.block_size
    found = [BlockGradient(size)] if size is not None else []
    if settings.gradient_regularizer:
        method = settings.gradient_regularizer_method
        found = [GradientRegularizer(settings.gradient_regularizer, method, block_size=size)]
    if settings.sharpness_aware:
        found = [SharpnessAware(settings.sharpness_aware, size)]
    if settings.variant == "full_batch" and settings.normalization == "batch":
        x = _trained_on(settings, images)[0]
        found.append(RecomputeStatistics(x, min(size or settings.batch_size, len(x))))
    return found


def _write_confusion(run, model, settings, images):
    """Write what test images are taken for; several processes do not."""
    import numpy as np

    from recipes.classification.confusion import confusion
    from recipes.classification.losses import probabilities
    from recipes.machine import strategies

    if strategies.process()[1] > 1:
        return
    x, y = images.test
    views, size = settings.test_time_augmentation, max(settings.batch_size, 128)
    shares = probabilities(test_time_augmentation.predict(model, x, views, size), settings.loss)
    found = confusion(shares, x, y)

    def write(path):
        with open(path, "wb") as file:
            np.savez_compressed(file, **found)

    run.write("confusion.npz", write)


def validate(model, settings, images):
    """How good a model is on the part that is held out: a dict of `OBJECTIVES`, of one view of each image."""
    loss, accuracy = model.evaluate(**_held_out(settings, images), verbose=0)
    return {"val_accuracy": accuracy, "val_loss": loss}


def find_rates(settings, images):
    """Between which learning rates a search makes sense, as `recipes.training.fit.find_rates` has it."""
    from recipes.training import fit as training

    full = settings.steps == "epoch"
    if full:
        images = images.part(min(1.0, TESTED / len(images.train[1])))
    return training.find_rates(build_model(settings, images), batches(settings, images, full), full)


def _held_out(settings, images):
    """The validation part as `evaluate` takes it, None if there is none."""
    from recipes.data import evaluation_batches

    if len(images.validation[1]) == 0:
        return None
    return evaluation_batches(*_samples(settings, images, images.validation), settings.batch_size)


def judge(model, settings, images):
    """How good a model is on the test part.

    Returns:
        A dict: `test_accuracy` (0 to 1, with test-time augmentation if the settings have it, and then also
        `test_accuracy_of_one_view`), `test_loss` (what was minimised, of one view), `test_images`.
    """
    import numpy as np

    from recipes.data import evaluation_batches
    from recipes.machine import strategies

    devices, (_, processes) = strategies.replicas(), strategies.process()
    batch_size = -(-max(settings.batch_size, 128) // devices) * devices
    loss, accuracy = model.evaluate(
        **evaluation_batches(*_samples(settings, images, images.test), batch_size), verbose=0
    )
    result = {"test_accuracy": accuracy, "test_loss": loss, "test_images": len(images.test[1])}
    if settings.test_time_augmentation == "none":
        return result
    if processes > 1:
        print("Several processes judge one view of each test image; `evaluate` judges all.")
        return result
    outputs = test_time_augmentation.predict(model, images.test[0], settings.test_time_augmentation, batch_size)
    augmented = float(np.mean(outputs.argmax(axis=1) == images.test[1]))
    return {**result, "test_accuracy": augmented, "test_accuracy_of_one_view": accuracy}


def summary(settings, result):
    """A result in one sentence."""
    one = result.get("test_accuracy_of_one_view")
    views = "" if one is None else f" ({settings.test_time_augmentation} views; {one:.1%} of one view)"
    return (
        f"Test accuracy {result['test_accuracy']:.1%}{views} on {result['test_images']} images of {settings.data} "
        f"after {result['updates']} updates."
    )


def horizon_matters(settings):
    """Whether a run of more epochs differs from this one from its first epoch on."""
    return has_horizon(settings.schedule)


def batches(settings, images, full):
    """The training part as `recipes.training.fit.fit` takes it: in fixed order for full batches, or else shuffled."""
    from recipes.data import Augmentation, ShuffledBatches, full_batches

    samples = _samples(settings, images, _trained_on(settings, images))
    if full:
        return full_batches(*samples, settings.batch_size, block_size=settings.block_size)
    augmentation = Augmentation(settings.translate, settings.flip, settings.cutout, settings.seed)
    return ShuffledBatches(
        *samples, settings.batch_size, settings.seed, augmentation, _drops_remainder(settings, images)
    )


def _trained_on(settings, images):
    """The training part, without what is behind the last whole block if that is to be dropped.

    Blocks are made of images in a random order that stays: sets that come class by class would give blocks of one
    class, whose statistics tell the class.
    """
    import numpy as np

    x, y = images.train
    if settings.variant != "full_batch" and settings.block_size is None:
        return x, y
    rows = np.random.default_rng([settings.seed, 2]).permutation(len(x))[: _count(settings, images)]
    return x[rows], y[rows]


def _count(settings, images):
    """How many images are trained on."""
    n, size = len(images.train[0]), settings.block_size
    return n if size is None or settings.remainder == "smaller" or n < size else n // size * size


def _samples(settings, images, part):
    from recipes.classification.losses import targets

    x, y = part
    return x, targets(y, settings.loss, len(images.classes), settings.label_smoothing)


def updates(settings, images):
    """Number of updates that a run makes."""
    if settings.steps == "epoch":
        return settings.epochs
    return settings.epochs * _batches(settings, images) // settings.steps


def _batches(settings, images):
    """Number of batches of an epoch."""
    n = _count(settings, images)
    return n // settings.batch_size if _drops_remainder(settings, images) else -(-n // settings.batch_size)


def _drops_remainder(settings, images):
    """Whether a smaller last batch is left out: batch normalisation would remember the statistics of few images."""
    variants = (*SPEED_RUN, "full_batch")  # as the papers have it
    return settings.variant in variants and settings.steps != "epoch" and len(images.train[0]) >= settings.batch_size
