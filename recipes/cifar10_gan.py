from recipes import data as sets
from recipes import gan, optimization
from recipes.errors import CommandError
from recipes.recipe import Recipe, Signature
from recipes.settings import choice, clipping, images, number, optimizer, schedule, several, skip_broken, whole
from recipes.settings import optimizers as names
from recipes.settings.images import FLIPS, check_skip_broken
from recipes.settings.presets import is_of_preset
from recipes.settings.quantities import percent

_ADAM = "adam:beta_1=0.5,beta_2=0.999"
NETWORKS = ("sndcgan", "cgan_pd", "dcgan", "wgan_gp", "r3gan_small")
CONDITIONAL = ("cgan_pd",)
NORMALIZATION = {"sndcgan": "spectral", "cgan_pd": "spectral", "dcgan": "batch", "wgan_gp": "none"}  # of the DCGAN's
LOSSES = {
    "hinge": "Hinge",
    "minimax": "Minimax",
    "non_saturating": "NonSaturating",
    "relativistic": "Relativistic",
    "wasserstein": "Wasserstein",
}
PENALIZED = {"r1": "real", "r2": "fake", "r1+r2": "both"}  # where a zero-centred penalty is taken
WEIGHT, WEIGHT_OF_SLOPE = 0.05, 10.0  # of a penalty, unless it is given
SHOWN = 64  # images of a grid


class Cifar10GAN(Recipe):
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

    All but the last have the DCGAN's convolutions. The figure is a Fréchet classifier distance: of as many generated
    images as the half of the training images that they are not compared with (5,000 at most), on the features of this
    package's own classifier. It is no FID, and to be read beside its floor, the distance of two halves of the real
    images. docs/gan.md has what was measured: `cgan_pd` gets to 0.13 on the digits (cpu5; three seeds, 0.13 to 0.14;
    floor 0.14), and to 0.33 on CIFAR-10 (cpu60; two seeds, 0.32 and 0.34, on a GPU; floor 0.026).
    """

    variants = {name: name for name in NETWORKS}

    data: str = images("digits")
    skip_broken: bool = skip_broken()
    variant: str = choice("sndcgan", "what is trained", names=NETWORKS)
    loss: str = choice("hinge", "loss that both players are trained with", names=LOSSES)
    penalty: str = choice("none", "penalty on the slope of the discriminator", names=("none", "gradient", *PENALIZED))
    penalty_weight: float = number(
        None, "weight of the penalty; by default 10 for gradient and 0.05 (gamma) for the others", least=0, below=1e38
    )
    penalty_every: int = whole(
        1, "take the penalty at every Nth step of the discriminator only, with N times its weight"
    )
    augment: str = several("none", "changes of real and generated images", names=("color", "translation", "cutout"))
    flip: str = choice("none", "mirror images; alternating: in every other epoch", names=FLIPS, changes="data")
    width: int = whole(16, "channels of the generator's last doubling", most=4096)
    discriminator_width: int = whole(32, "channels of the discriminator's first convolution", most=4096)
    latent_size: int = whole(128, "numbers of noise that an image is made of", most=4096)
    generator_optimizer: str = optimizer(_ADAM, "optimizer of the generator: see list --optimizers")
    discriminator_optimizer: str = optimizer(_ADAM, "optimizer of the discriminator: see list --optimizers")
    generator_learning_rate: float = number(
        0.001, "highest learning rate of the generator", above=0, below=1e38, changes="schedule"
    )
    discriminator_learning_rate: float = number(
        0.001, "highest learning rate of the discriminator", above=0, below=1e38
    )
    schedule: str = schedule("constant:until=0.5+linear:end=0.02", "of both learning rates; see list --schedules")
    clipping: str = clipping("none", "of both gradients: none, or what list --clippers has")
    discriminator_steps: int = whole(
        1, "steps of the discriminator for each one of the generator, on images of their own"
    )
    turns: str = choice(
        "alternating",
        "alternating: one player after the other; simultaneous: both step from the same weights",
        names=("alternating", "simultaneous"),
    )
    half_life: float = number(
        5000.0,
        "half-life, in images, of the moving average of the generator; 0 for no average",
        least=0,
        changes="judgement",
    )
    batch_size: int = whole(64, "real images of a step of the discriminator", changes="data")
    epochs: int = whole(100, "passes over the training part")
    train_images: int = whole(None, "images to train on; all by default", changes="data")
    judge_every: int = whole(10, "epochs from one judgement and grid of samples to the next", changes="files")
    keep: str = choice(
        "best", "the generator of the lowest distance seen, or the last", names=("best", "last"), changes="judgement"
    )

    score = "distance"
    default_dtype = "auto"
    dtypes = ("float32", "bfloat16")  # nothing scales its losses for float16
    commands = ("evaluate", "generate", "export")
    laid_over = ("smoke", "cpu5", "cpu60", "full")
    presets = {
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

    def check(self):
        check_skip_broken(self)
        for player in ("generator", "discriminator"):
            text = getattr(self, f"{player}_optimizer")
            if names.needs_full_batches(text):
                raise CommandError(
                    f"--{player}-optimizer {text}: it needs full batches, and a GAN is trained in mini-batches"
                )
        for name in ("width", "discriminator_width") if self.variant == "r3gan_small" else ():
            if getattr(self, name) % 8:
                option = f"--{name.replace('_', '-')}"
                raise CommandError(f"{option} of r3gan_small must be a multiple of 8; it is {getattr(self, name)}")
        if self.penalty == "none" and (self.penalty_every != 1 or self.penalty_weight is not None):
            option = "--penalty-every" if self.penalty_every != 1 else "--penalty-weight"
            raise CommandError(f"{option} is without effect: give --penalty, such as r1")

    @property
    def classes(self):
        """Whether both players are told classes."""
        return self.variant in CONDITIONAL

    def load(self, data_dir=None, download=False):
        gan.check_backend()
        images = sets.load(
            self.data,
            shape=(32, 32, 1 if self.data == "digits" else 3),
            validation_split=0.0,
            train_images=self.train_images,
            or_all=is_of_preset(self, "train_images"),
            skip_broken=self.skip_broken,
            seed=self.seed,
            data_dir=data_dir,
            download=download,
        )
        self._real_images(images)
        return images

    def model(self, data):
        import keras

        if keras.config.dtype_policy().name == "mixed_float16":
            raise CommandError(f"GANs train in {' and '.join(self.dtypes)}; the policy is mixed_float16")
        keras.utils.set_random_seed(self.seed)
        classes = len(data.classes) if self.classes else 0
        made = gan.GAN(
            *self._networks(data.train[0].shape[1:], classes),
            classes,
            loss=getattr(gan.losses, LOSSES[self.loss])(),
            penalty=self._penalty(),
            augment=gan.DiffAugment("" if self.augment == "none" else self.augment),
            discriminator_steps=self.discriminator_steps,
            simultaneous=self.turns == "simultaneous",
            half_life=self.half_life,
            seed=self.seed,
        )
        made.compile(self._optimizer(data, "generator"), self._optimizer(data, "discriminator"), **gan.jit_options())
        return made

    def _networks(self, shape, classes):
        """The generator and the discriminator."""
        if self.variant == "r3gan_small":
            generator = gan.networks.r3gan.generator(shape, self.latent_size, self.width, classes)
            return generator, gan.networks.r3gan.discriminator(shape, self.discriminator_width, classes)
        generator = gan.networks.dcgan.generator(shape, self.latent_size, self.width, classes)
        normalization = NORMALIZATION[self.variant]
        return generator, gan.networks.dcgan.discriminator(shape, self.discriminator_width, classes, normalization)

    def _penalty(self):
        if self.penalty == "none":
            return None
        if self.penalty == "gradient":
            weight = WEIGHT_OF_SLOPE if self.penalty_weight is None else self.penalty_weight
            return gan.penalties.GradientPenalty(weight, self.penalty_every)
        weight = WEIGHT if self.penalty_weight is None else self.penalty_weight
        return gan.penalties.ZeroCentred(weight, PENALIZED[self.penalty], self.penalty_every)

    def _optimizer(self, data, player):
        factor = self.discriminator_steps if player == "discriminator" else 1
        highest = getattr(self, f"{player}_learning_rate")
        return optimization.make_optimizer(
            getattr(self, f"{player}_optimizer"),
            learning_rate=optimization.make_schedule(self.schedule, highest, factor * self.updates(data)),
            momentum=None,
            clipping=self.clipping,
        )

    def _real_images(self, data):
        """Real images that one step of the generator goes with."""
        needed, there = self.batch_size * self.discriminator_steps, len(data.train[0])
        if needed > there:
            raise CommandError(
                f"--batch-size times --discriminator-steps must be at most the {there} training images; it is {needed}"
            )
        return needed

    def batches(self, data):
        augmentation = sets.Augmentation(flip=self.flip, seed=self.seed)
        return sets.ShuffledBatches(*data.train, self._real_images(data), self.seed, augmentation, drop_remainder=True)

    def updates(self, data):
        """Those of the generator."""
        return self.epochs * (len(data.train[0]) // self._real_images(data))

    def callbacks(self, data, run):
        columns = len(data.classes) if self.classes else None
        count = gan.whole_rows(SHOWN, columns)
        real = gan.some_of_each(*data.train, count, len(data.classes) if self.classes else 0)
        return [
            gan.Judged(self._judge(data, run), self.judge_every, run),
            gan.SampleGrid(self.judge_every, run, count, columns, real),
        ]

    def trained(self, model, run):
        return run.model("best.keras") if self.keep == "best" else model

    def served(self, model):
        """The average of the generator, without the discriminator."""
        return model.average

    def signature(self, classes):
        noise = f"np.random.default_rng(0).normal(size=(16, {self.latent_size})).astype('float32')"
        labels = f"np.arange(16, dtype='int32') % {len(classes)}"
        both = f", and labels, int32 (n,), in this order: {', '.join(classes)}" if self.classes else ""
        channels = 1 if self.data == "digits" else 3
        return Signature(
            f"noise of standard deviation 1, float32 (n, {self.latent_size}){both}",
            f"images (n, 32, 32, {channels}), numbers from -1 to 1",
            make=(f"inputs = [{noise}, {labels}]" if self.classes else f"inputs = {noise}",),
            use=("pixels = np.clip(np.rint((np.asarray(outputs) + 1) * 127.5), 0, 255).astype('uint8')",),
            count=2 if self.classes else 1,
        )

    def judge(self, model, data, run):
        """How good the generator's average is: a dict, as `recipes.gan.Judge` gives it."""
        return self._judge(data, run)(model)

    def _judge(self, data, run):
        """A judge by the classifier of the run, which is trained, and left there, if need be."""

        def make():
            if (run.directory / "classifier.keras").exists():
                classifier = gan.Classifier(run.model("classifier.keras"))
            else:
                print("Training the classifier that generated images are judged by.", flush=True)
                classifier = gan.Classifier.trained(data)
                run.write("classifier.keras", classifier.model.save)
            return gan.Judge(classifier, data, self.classes)

        return run.once("judge", make)

    def summary(self, result):
        labels = f", {percent(result['label_accuracy'])} of the labels" if "label_accuracy" in result else ""
        return (
            f"Fréchet classifier distance {result['distance']:.3g} of {result['generated_images']} generated images to "
            f"{result['reference_images']} of {self.data}, {result['distance_over_floor']:.1f} times its floor "
            f"{result['distance_floor']:.2g} ± {result['distance_floor_deviation']:.2g} "
            f"({result['classifier_features']} features of classifier {result['classifier_hash']}, "
            f"{percent(result['classifier_accuracy'])}, {result['classifier_dead_features']} dead); entropy of classes "
            f"{percent(result['class_entropy'])}, confidence {percent(result['confidence'])}{labels}."
        )
