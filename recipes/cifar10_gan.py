"""Generative adversarial networks for small images, judged beside what real images get.

On the embedded digits (8×8 scans enlarged to 32×32), conditional and not:

    python -m recipes train cifar10_gan --preset cpu5 --variant cgan_pd
    python -m recipes train cifar10_gan --preset cpu5

On CIFAR-10, about an hour on two cores with AMX:

    python -m recipes train cifar10_gan --preset cpu60 --data cifar10 --variant cgan_pd

| variant | discriminator | loss |
|---|---|---|
| dcgan | batch normalisation | non-saturating, Adam 2e-4 (0.5, 0.999) for both |
| sndcgan | spectral normalisation | hinge |
| cgan_pd | the same, told the class by projection; so is the generator | hinge |
| wgan_gp | none | Wasserstein, gradient penalty 10, three steps for each of the generator |
| r3gan_small | none, residual blocks | relativistic, gradients penalised at real and generated images (R1, R2) |

All but the last have the DCGAN's convolutions. The figure is a Fréchet classifier distance: of as many generated images
as the half of the training images that they are not compared with (5,000 at most), on the features of this package's
own classifier. It is no FID, and to be read beside its floor, the distance of two halves of the real images.
docs/gan.md has what was measured: `cgan_pd` gets to 0.13 on the digits (cpu5; three seeds, 0.13 to 0.14; floor 0.14),
and to 0.33 on CIFAR-10 (cpu60; two seeds, 0.32 and 0.34, on a GPU; floor 0.026).
"""

import dataclasses

from recipes.errors import CommandError
from recipes.run.saved_model import load_model
from recipes.settings import optimizers
from recipes.settings.clippers import parse_clipping
from recipes.settings.data_names import ALL, FLIPS, absolute, check_data_name
from recipes.settings.nearest import unknown
from recipes.settings.resolve import option, require, require_one_of
from recipes.settings.schedules import has_horizon, make_schedule, parse_schedule

VARIANTS = {name: name for name in ("sndcgan", "cgan_pd", "dcgan", "wgan_gp", "r3gan_small")}  # network: its own preset
CONDITIONAL = ("cgan_pd",)
NORMALIZATION = {"sndcgan": "spectral", "cgan_pd": "spectral", "dcgan": "batch", "wgan_gp": "none"}  # of the DCGAN's
_ADAM = "adam:beta_1=0.5,beta_2=0.999"
PRESETS = {
    "sndcgan": {},
    "cgan_pd": {},
    "dcgan": {
        "loss": "non_saturating",
        "generator_learning_rate": 0.0002,
        "discriminator_learning_rate": 0.0002,
        "schedule": "constant",
        "half_life": 0.0,
    },
    "wgan_gp": {
        "loss": "wasserstein",
        "penalty": "gradient",
        "discriminator_steps": 3,
        "generator_optimizer": "adam:beta_1=0.5,beta_2=0.9",
        "discriminator_optimizer": "adam:beta_1=0.5,beta_2=0.9",
    },
    "r3gan_small": {
        "loss": "relativistic",
        "penalty": "r1+r2",
        "width": 32,
        "discriminator_width": 32,
        "latent_size": 64,
        "generator_optimizer": "adam:beta_1=0.0,beta_2=0.99",
        "discriminator_optimizer": "adam:beta_1=0.0,beta_2=0.99",
    },
    "smoke": {"train_images": 300, "epochs": 3, "judge_every": 2},
    "cpu5": {"epochs": 300, "judge_every": 30},
    "cpu60": {
        "width": 32,
        "discriminator_width": 64,
        "epochs": 40,
        "judge_every": 2,
        "flip": "random",
    },
    "full": {
        "width": 64,
        "discriminator_width": 128,
        "epochs": 300,
        "judge_every": 10,
        "flip": "random",
        "augment": "translation",
    },
}
LAID_OVER = ("smoke", "cpu5", "cpu60", "full")  # presets that change the variant's own
LOSSES = {
    "hinge": "Hinge",
    "minimax": "Minimax",
    "non_saturating": "NonSaturating",
    "relativistic": "Relativistic",
    "wasserstein": "Wasserstein",
}
TURNS = ("alternating", "simultaneous")
PENALTIES = ("none", "gradient", "r1", "r2", "r1+r2")
AUGMENTATIONS = ("color", "translation", "cutout")
KEEP = ("best", "last")
DTYPE = None
DTYPES = ("float32", "bfloat16")  # nothing scales its losses for float16
DTYPE_OF_VARIANT = dict.fromkeys(VARIANTS, "auto")
SCORE = "distance"  # what several seeds are averaged by
COMMANDS = ("evaluate", "generate")  # that take a finished run
CLASSES = (
    "recipes.gan",
    "recipes.gan.penalties",
    "recipes.gan.networks.conditions",
    "recipes.gan.networks.r3gan",
)  # modules that files name
SHOWN = 64  # images of a grid


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run of this recipe is made of. Raises a CommandError for values that cannot be."""

    data: str = option("digits", f"images to train on: {', '.join(ALL)}")
    variant: str = option("sndcgan", f"what is trained: {', '.join(VARIANTS)}")
    loss: str = option("hinge", f"of both players: {', '.join(LOSSES)}")
    penalty: str = option("none", f"on the discriminator's slope: {', '.join(PENALTIES)}")
    penalty_weight: float | None = option(None, "10 for gradient; gamma of the others, 0.05")
    penalty_every: int = option(1, "steps of the discriminator for each that has the penalty, times so many")
    augment: str = option("none", "of real and generated images: color, translation, cutout, with commas between")
    flip: str = option("none", f"mirror images: {', '.join(FLIPS)} (in every other epoch)")
    width: int = option(16, "channels of the generator's last doubling")
    discriminator_width: int = option(32, "channels of the discriminator's first convolution")
    latent_size: int = option(128, "numbers of noise behind an image")
    generator_optimizer: str = option(_ADAM, "one of ours or of Keras: see list --optimizers")
    discriminator_optimizer: str = option(_ADAM, "the same")
    generator_learning_rate: float = option(0.001, "highest, > 0")
    discriminator_learning_rate: float = option(0.001, "highest, > 0")
    schedule: str = option("constant:until=0.5+linear:end=0.02", "of both learning rates; see list --schedules")
    clipping: str = option("none", "of both gradients: none, or what list --clippers has")
    discriminator_steps: int = option(1, "for each step of the generator, on images of their own")
    turns: str = option("alternating", "or simultaneous: both players step from the same weights")
    half_life: float = option(5000.0, "of the generator's average, in images; 0 for no average")
    batch_size: int = option(64, "real images of a step")
    epochs: int = option(100, "passes over the training part")
    train_images: int | None = option(None, "how many images to train on; all by default")
    judge_every: int = option(10, "epochs from one judgement and grid of samples to the next")
    keep: str = option("best", "best: the generator of the lowest distance seen; or last")
    seed: int = option(0, "of the initial weights, the noise and the order of the images")

    def __post_init__(self):
        check_data_name(self.data)
        object.__setattr__(self, "data", absolute(self.data))
        require_one_of("variant", self.variant, VARIANTS)
        require_one_of("loss", self.loss, LOSSES)
        require_one_of("penalty", self.penalty, PENALTIES)
        require_one_of("turns", self.turns, TURNS)
        require_one_of("flip", self.flip, FLIPS)
        require_one_of("keep", self.keep, KEEP)
        for name in ("generator_optimizer", "discriminator_optimizer"):
            self._check_optimizer(name)
        parse_schedule(self.schedule)
        parse_clipping(self.clipping)
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            value = getattr(self, name)
            require(0 < value < 1e38, f"--{name.replace('_', '-')} must be > 0 and < 1e38", value)
        weight = self.penalty_weight
        require(weight is None or 0 <= weight < 1e38, "--penalty-weight must be >= 0 and < 1e38", weight)
        require(
            weight is None or self.penalty != "none",
            "--penalty-weight is without effect: give --penalty, such as r1",
            weight,
        )
        require(0 <= self.half_life < 1e38, "--half-life must be >= 0 and < 1e38", self.half_life)
        for name, most in _MOST.items():
            value = getattr(self, name)
            require(0 < value < most, f"--{name.replace('_', '-')} must lie in 1 to {most - 1}", value)
        for name in ("width", "discriminator_width") if self.variant == "r3gan_small" else ():
            text, value = f"--{name.replace('_', '-')} of r3gan_small must be a multiple of 8", getattr(self, name)
            require(value % 8 == 0, text, value)
        require(
            self.penalty_every == 1 or self.penalty != "none",
            "--penalty-every is without effect: give --penalty, such as r1",
            self.penalty_every,
        )
        require(self.train_images is None or self.train_images > 0, "--train-images must be > 0", self.train_images)
        require(0 <= self.seed < 2**32, "--seed must lie in 0 to 4294967295", self.seed)
        _policies(self.augment)

    def _check_optimizer(self, name):
        option, text = f"--{name.replace('_', '-')}", getattr(self, name)
        try:
            needs_full_batches = optimizers.needs_full_batches(text)
        except CommandError as error:
            raise CommandError(str(error).replace("--optimizer", option)) from None
        if needs_full_batches:
            raise CommandError(f"{option} {text}: it needs full batches, and a GAN is trained in mini-batches")

    @property
    def classes(self):
        """Whether both players are told classes."""
        return self.variant in CONDITIONAL


_MOST = {
    **dict.fromkeys(("penalty_every", "discriminator_steps", "batch_size", "epochs", "judge_every"), 2**31),
    **dict.fromkeys(("width", "discriminator_width", "latent_size"), 4097),
}


def load(settings, data_dir=None, download=False):
    """The images of a run, as `recipes.data.load` gives them; the digits in one channel."""
    from recipes.data import load

    _check_devices()
    images = load(
        settings.data,
        validation_split=0.0,
        train_images=settings.train_images,
        seed=settings.seed,
        data_dir=data_dir,
        download=download,
    )
    _real_images(settings, images)
    if settings.data != "digits":
        return images
    (x, y), (x_test, y_test) = images.train, images.test
    return images._replace(train=(x[..., :1], y), test=(x_test[..., :1], y_test))


def build_model(settings, images):
    """Build and compile the GAN.

    Args:
        settings: `Settings`.
        images: `recipes.data.Images`.

    Returns:
        A compiled `recipes.gan.GAN` with seeded weights.
    """
    import keras

    from recipes.gan import GAN, DiffAugment, losses
    from recipes.gan.backend import jit_options

    if keras.config.dtype_policy().name == "mixed_float16":
        raise CommandError(f"GANs train in {' and '.join(DTYPES)}; the policy is mixed_float16")
    keras.utils.set_random_seed(settings.seed)
    shape, classes = images.train[0].shape[1:], len(images.classes) if settings.classes else 0
    gan = GAN(
        *_networks(settings, shape, classes),
        classes,
        loss=getattr(losses, LOSSES[settings.loss])(),
        penalty=_penalty(settings),
        augment=DiffAugment(_policies(settings.augment)),
        discriminator_steps=settings.discriminator_steps,
        simultaneous=settings.turns == "simultaneous",
        half_life=settings.half_life,
        seed=settings.seed,
    )
    gan.compile(
        _optimizer(settings, images, "generator"), _optimizer(settings, images, "discriminator"), **jit_options()
    )
    return gan


def updates(settings, images):
    """Number of updates of the generator that a run makes."""
    steps = len(images.train[0]) // _real_images(settings, images)
    return settings.epochs * steps


def horizon_matters(settings):
    """Whether a run of more epochs differs from this one from its first epoch on."""
    return has_horizon(settings.schedule)


def train(settings, run, images):
    """Train both players, and judge the generator's average.

    Args:
        settings: `Settings`.
        run: `recipes.run.run.Run`, the directory that the results go to.
        images: `recipes.data.Images`.

    Returns:
        A dict: what `judge` gives, and how long training was.
    """
    judge = _judge(settings, images, run.directory, run.write)
    model, trained = fit(settings, run, images, judge=judge)
    if settings.keep == "best":
        model = load_model(run.directory / "best.keras", CLASSES)
    run.save(model, title=f"{settings.variant} on {images.name}")
    return {**judge(model), **trained}


def fit(settings, run, images, model=None, judge=None, until=None, callbacks=(), verbose="auto"):
    """Train both players.

    Args:
        settings, run, images: as in `train`.
        model: what `build_model` gives; by default it is built.
        judge: `recipes.gan.judge.Judge` for the epochs between; None: nothing is judged.
        until: int, number of epochs to make now, of all; None for all. A later call goes on.
        callbacks: more of them.
        verbose: as in `fit` of Keras.

    Returns:
        `(model, trained)`, the second a dict: `outcome`, `epochs`, `updates`, `training_seconds`.
    """
    from recipes.gan.stop_at_nan import StopAtNaN
    from recipes.training.fit import FINISHED

    model = build_model(settings, images) if model is None else model
    batches = _batches(settings, images)
    recording = run.callbacks(settings.seed, follows=[])
    recorder = recording[-1]
    watching = [] if judge is None else _watching(settings, run, images, judge, recorder)
    model.fit(
        batches.endless(first_epoch=run.epochs_done()),
        steps_per_epoch=batches.num_batches,
        shuffle=False,
        epochs=settings.epochs if until is None else until,
        verbose=verbose,
        callbacks=[StopAtNaN(str(run.directory), run.epochs_done), *watching, *callbacks, *recording],
    )
    return model, {
        "outcome": FINISHED,
        "epochs": len(recorder.history),
        "updates": int(model.generator_optimizer.iterations),
        "training_seconds": round(sum(recorder.seconds), 3),
    }


def judge(model, settings, images, directory=None):
    """How good the generator's average is: a dict, as `recipes.gan.judge.Judge` gives it.

    Args:
        model: what `fit` gives.
        settings, images: as in `train`.
        directory: of the run that has the classifier; None: one is trained, the same on the same machine.
    """
    return _judge(settings, images, directory)(model)


def inception(path):
    """What FID and KID of a finished run are taken with, a `recipes.gan.inception.Inception`."""
    from recipes.gan.inception import Inception

    return Inception(path)


def summary(settings, result):
    """A result in one sentence."""
    labels = f", {result['label_accuracy']:.1%} of the labels" if "label_accuracy" in result else ""
    return (
        f"Fréchet classifier distance {result['distance']:.3g} of {result['generated_images']} generated images to "
        f"{result['reference_images']} of {settings.data}, {result['distance_over_floor']:.1f} times its floor "
        f"{result['distance_floor']:.2g} ± {result['distance_floor_deviation']:.2g} "
        f"({result['classifier_features']} features of classifier {result['classifier_hash']}, "
        f"{result['classifier_accuracy']:.1%}, {result['classifier_dead_features']} dead); entropy of classes "
        f"{result['class_entropy']:.1%}, confidence {result['confidence']:.1%}{labels}."
    )


def _check_devices():
    from recipes.gan.backend import backend_module, check_devices

    try:
        backend_module()
        check_devices()
    except RuntimeError as error:
        raise CommandError(f"cifar10_gan: {error}") from None


def _networks(settings, shape, classes):
    """The generator and the discriminator."""
    from recipes.gan.networks import dcgan, r3gan

    if settings.variant == "r3gan_small":
        return (
            r3gan.generator(shape, settings.latent_size, settings.width, classes),
            r3gan.discriminator(shape, settings.discriminator_width, classes),
        )
    return (
        dcgan.generator(shape, settings.latent_size, settings.width, classes),
        dcgan.discriminator(shape, settings.discriminator_width, classes, NORMALIZATION[settings.variant]),
    )


def _policies(text):
    """What `DiffAugment` takes, of what the command line has."""
    policies = [] if text == "none" else text.split(",")
    for policy in policies:
        if policy not in AUGMENTATIONS:
            raise CommandError(f"--augment: {unknown('augmentation', policy, ('none', *AUGMENTATIONS))}")
    return ",".join(policies)


def _penalty(settings):
    from recipes.gan.penalties import GradientPenalty, ZeroCentred

    if settings.penalty == "none":
        return None
    weight, every = settings.penalty_weight, settings.penalty_every
    if settings.penalty == "gradient":
        return GradientPenalty(10.0 if weight is None else weight, every)
    at = {"r1": "real", "r2": "fake", "r1+r2": "both"}[settings.penalty]
    return ZeroCentred(0.05 if weight is None else weight, at, every)


def _optimizer(settings, images, player):
    factor = settings.discriminator_steps if player == "discriminator" else 1
    highest = getattr(settings, f"{player}_learning_rate")
    return optimizers.make(
        getattr(settings, f"{player}_optimizer"),
        learning_rate=make_schedule(settings.schedule, highest, factor * updates(settings, images)),
        momentum=None,
        clipping=settings.clipping,
    )


def _real_images(settings, images):
    """Real images that one step of the generator goes with."""
    needed = settings.batch_size * settings.discriminator_steps
    require(
        needed <= len(images.train[0]),
        f"--batch-size times --discriminator-steps must be at most the {len(images.train[0])} training images",
        needed,
    )
    return needed


def _batches(settings, images):
    from recipes.data import Augmentation, ShuffledBatches

    augmentation = Augmentation(flip=settings.flip, seed=settings.seed)
    size = _real_images(settings, images)
    return ShuffledBatches(*images.train, size, settings.seed, augmentation, drop_remainder=True)


def _judge(settings, images, directory=None, write=None):
    """A judge by the classifier of a run; it is trained, and kept if there is a function to write files, if need be."""
    from recipes.gan.classifier import Classifier
    from recipes.gan.judge import Judge

    path = None if directory is None else directory / "classifier.keras"
    if path is not None and path.exists():
        return Judge(Classifier(load_model(path, CLASSES)), images, settings.classes)
    print("Training the classifier that generated images are judged by.", flush=True)
    classifier = Classifier.trained(images)
    if write is not None:
        write("classifier.keras", classifier.model.save)
    return Judge(classifier, images, settings.classes)


def _watching(settings, run, images, judge, recorder):
    from recipes.gan.judged import Judged
    from recipes.gan.sample_grid import SampleGrid

    def keep(model):
        run.write("best.keras", model.save)

    def write(name, write):
        (run.directory / name).parent.mkdir(exist_ok=True)
        run.write(name, write)

    columns = len(images.classes) if settings.classes else None
    return [
        Judged(judge, settings.judge_every, lambda: recorder.history, keep),
        SampleGrid(settings.judge_every, write, run.directory / "tensorboard" / "samples", SHOWN, columns),
    ]
