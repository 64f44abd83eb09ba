import abc

from recipes import classification, optimization
from recipes import data as sets
from recipes.errors import CommandError
from recipes.machine import strategies
from recipes.recipe import Recipe, Signature
from recipes.settings import (
    accumulation,
    choice,
    clipping,
    expression,
    images,
    line_search,
    multipliers,
    number,
    optimizer,
    passes_per_epoch,
    schedule,
    skip_broken,
    weights,
    whole,
)
from recipes.settings import optimizers as names
from recipes.settings.images import LOSSES, VIEWS, check_skip_broken
from recipes.settings.presets import is_of_preset
from recipes.settings.quantities import counted, percent

LEAST_AT_ONCE = 128  # images in memory at once, at least, where nothing is trained


class Classification(Recipe, is_base=True):
    """What recipes of image classifiers share: all but the network.

    A recipe has `shape`, which all images are brought to, and `network`:

    ```python
    class Perceptron(Classification):
        \"\"\"A perceptron on ...\"\"\"

        width: int = whole(256, "units of the hidden layer", most=8192)
        shape = (28, 28, 1)

        def network(self, data):
            return keras.Sequential([keras.Input(self.shape), ..., keras.layers.Dense(len(data.classes))])
    ```
    """

    data: str = images("digits")
    skip_broken: bool = skip_broken()
    weights: str = weights()
    optimizer: str = optimizer("batch_gd")
    line_search: str = line_search()
    gradient_accumulation_steps: str = accumulation("auto")
    learning_rate: float = number(0.2, "highest learning rate", above=0, below=1e38, changes="schedule")
    schedule: str = schedule("warmup_cosine")
    momentum: float = number(None, "for optimizers that have it; 0.9 for batch_gd and sgd", of_optimizer=True)
    clipping: str = clipping("by_global_norm:1.0")
    weight_decay: float = number(
        None, "share of the weights that each update takes, times the rate", least=0, below=1e38
    )
    weight_decay_mode: str = choice(
        "decoupled", "coupled: added to the gradient, as torch's SGD does", names=("decoupled", "coupled")
    )
    exclude_from_weight_decay: str = expression(None, "paths of variables that do not decay")
    learning_rate_multipliers: str = multipliers("")
    ema_momentum: float = number(
        None, "of the moving average of weights that training ends with", least=0, below=1, changes="judgement"
    )
    loss: str = choice(
        "cross_entropy", "what is minimised, mse and mae of probabilities", names=LOSSES, is_searched=False
    )
    label_smoothing: float = number(0.0, "share of each target that all classes get alike", least=0, below=1)
    batch_size: int = whole(128, "images in memory at once, the micro-batch of a full batch", changes="data")
    epochs: int = whole(150, "passes over the training part; in full batches also the updates", is_searched=False)
    passes_per_epoch: int = passes_per_epoch()
    train_images: int = whole(None, "images to train on; all by default", changes="data", is_searched=False)
    validation_split: float = number(
        0.1, "share of the training part that is held out", least=0, below=1, changes="data", is_searched=False
    )
    early_stopping: int = whole(
        None, "epochs without a lower validation loss after which training stops", is_searched=False
    )
    keep: str = choice(
        "last",
        "weights of the last epoch, or of that with the lowest validation loss",
        names=("last", "best"),
        changes="judgement",
        is_searched=False,
    )
    test_time_augmentation: str = choice(
        "none", "views of a test image", names=VIEWS, changes="judgement", is_searched=False
    )

    shape = (32, 32, 3)  # that all images are brought to: height, width, channels
    score = "test_accuracy"
    objectives = {"val_accuracy": "max", "val_loss": "min"}
    commands = ("evaluate", "predict", "export")
    drops_remainder = False  # whether mini-batches leave out a smaller last one, as batch normalisation asks for
    jit_compile = "auto"  # as `compile` of Keras takes it

    def __init_subclass__(cls, is_base=False, **options):
        if not isinstance(cls.shape, property) and not _is_shape(cls.shape):
            raise TypeError(
                f"{cls.__name__}: `shape` must be a tuple of whole numbers >= 1, the height, width and channels of "
                f"images, such as (28, 28, 1); it is {cls.shape!r:.80}"
            )
        super().__init_subclass__(is_base=is_base, **options)

    @abc.abstractmethod
    def network(self, data):
        """A `keras.Model` from uint8 images of `shape` to logits; `data` is `recipes.data.Images`."""

    def check(self):
        check_skip_broken(self)
        self._check_optimizer()
        if self.label_smoothing and self.loss != "cross_entropy":
            raise CommandError("--label-smoothing is of --loss cross_entropy; it must be 0 with another")
        if self.keep == "best" and self.ema_momentum is not None:
            raise CommandError("--keep best keeps weights, not their moving average: leave out --ema-momentum")
        if not self.validation_split and (self.keep == "best" or self.early_stopping is not None):
            raise CommandError(
                "--keep best and --early-stopping look at the validation part: --validation-split must be > 0"
            )

    def _check_optimizer(self):
        names.check_momentum(self.optimizer, self.momentum)
        names.check_steps(self._searching(), self.gradient_accumulation_steps)
        is_about_decay = self.weight_decay_mode == "coupled" or self.exclude_from_weight_decay is not None
        if self.weight_decay is None and is_about_decay and not names.decays(self.optimizer):
            raise CommandError(
                "--weight-decay-mode and --exclude-from-weight-decay are without effect: "
                f"{self.optimizer} has no decay of its own, so give --weight-decay"
            )

    def _searching(self):
        """The optimizer with its line search, as `--optimizer` takes it."""
        return names.with_line_search(self.optimizer, self.line_search)

    def _check_own(self, make):
        """Raise a CommandError for settings that are without effect beside an optimizer of the recipe's own."""
        if self.optimizer != self.settings()["optimizer"].default:
            raise CommandError(f"--optimizer {self.optimizer}: {self.name()} has an optimizer of its own; leave it out")
        if self.line_search is not None:
            raise CommandError(
                f"--line-search {self.line_search}: {self.name()} has an optimizer of its own; leave it out"
            )
        if self.momentum is not None and not optimization.has_momentum(make):
            raise CommandError(f"--momentum {self.momentum}: the optimizer of {self.name()} has no argument `momentum`")

    @property
    def steps(self):
        return names.accumulated_steps(self.optimizer, self.gradient_accumulation_steps)

    @property
    def augmentation(self):
        """What changes the images of mini-batches, a `recipes.data.Augmentation`; None: nothing."""
        return None

    def load(self, data_dir=None, download=False):
        return sets.load(
            self.data,
            shape=self.shape,
            validation_split=self.validation_split,
            train_images=self.train_images,
            or_all=is_of_preset(self, "train_images"),
            skip_broken=self.skip_broken,
            seed=self.seed,
            data_dir=data_dir,
            download=download,
        )

    def model(self, data):
        import keras

        keras.utils.set_random_seed(self.seed)
        self._check_updates(data)
        network = classification.checked_network(self, data)
        model, loss = classification.with_loss(network, self.loss, self.label_smoothing)
        model.compile(self.make_optimizer(data), loss, weighted_metrics=["accuracy"], jit_compile=self.jit_compile)
        if self.exclude_from_weight_decay or self.learning_rate_multipliers:
            optimization.build_optimizer(model)
        return model

    def _check_updates(self, data):
        """Raise a CommandError if the run is too short for an update."""
        if self.updates(data) < 1:
            raise CommandError(
                f"--gradient-accumulation-steps must be at most the {self._batches(data) * self.epochs} batches of "
                f"the run; it is {self.gradient_accumulation_steps}"
            )

    def make_optimizer(self, data, make=None):
        """What the model is compiled with.

        A recipe with an optimizer of its own overrides this: `return super().make_optimizer(data, HeavyBall)`.

        Args:
            data: what `load` returns.
            make: what makes the optimizer of the arguments of `custom_optimizers.Descent`, and of `momentum` if it has
                that argument: a class, or a function; by default the setting `optimizer` says which.
        """
        if make is not None:
            self._check_own(make)
        excluded, steps = self.exclude_from_weight_decay, self.steps
        momentum = names.default_momentum(self._searching()) if self.momentum is None else self.momentum
        average = {} if self.ema_momentum is None else {"use_ema": True, "ema_momentum": self.ema_momentum}
        return optimization.make_optimizer(
            make or self._searching(),
            learning_rate=optimization.make_schedule(self.schedule, self.learning_rate, self.updates(data)),
            momentum=momentum if make is None or optimization.has_momentum(make) else None,
            clipping=self.clipping,
            weight_decay=self.weight_decay,
            weight_decay_mode=self.weight_decay_mode if self.weight_decay_mode != "decoupled" else None,
            exclude_from_weight_decay=[excluded] if excluded else None,
            learning_rate_multipliers=names.parse_multipliers(self.learning_rate_multipliers) or None,
            gradient_accumulation_steps=steps if steps not in (1, "epoch") else None,
            **average,
        )

    def batches(self, data):
        samples = self._samples(data, self.trained_on(data))
        if self.steps == "epoch":
            return sets.full_batches(*samples, self.batch_size, block_size=getattr(self, "block_size", None))
        return sets.ShuffledBatches(*samples, self.batch_size, self.seed, self.augmentation, self._drops(data))

    def trained_on(self, data):
        """The images and labels of the training part that batches are made of, in their order."""
        return data.train

    def count(self, data):
        """How many images are trained on."""
        return len(data.train[0])

    def _samples(self, data, part):
        x, y = part
        return x, classification.targets(y, self.loss, len(data.classes), self.label_smoothing)

    def updates(self, data):
        if self.steps == "epoch":
            return self.epochs * self.passes
        return self.epochs * self._batches(data) // self.steps

    def _batches(self, data):
        """How many mini-batches an epoch has."""
        n = self.count(data)
        return n // self.batch_size if self._drops(data) else -(-n // self.batch_size)

    def _drops(self, data):
        return self.drops_remainder and self.steps != "epoch" and len(data.train[0]) >= self.batch_size

    def validation(self, data):
        if len(data.validation[1]) == 0:
            return None
        return sets.evaluation_batches(*self._samples(data, data.validation), self.batch_size)

    def callbacks(self, data, run):
        import keras

        if self.early_stopping is None and self.keep == "last":
            return []
        patience = self.epochs if self.early_stopping is None else self.early_stopping
        return [keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=self.keep == "best")]

    def validate(self, model, data):
        loss, accuracy = model.evaluate(**self.validation(data), verbose=0)
        return {"val_accuracy": accuracy, "val_loss": loss}

    def judge(self, model, data, run):
        """How good a model is on the test part, each view of each image looked at once.

        Returns:
            A dict: `test_accuracy` (0 to 1, of all views, and then also `test_accuracy_of_one_view`), `test_loss` (what
            was minimised, of one view), `test_images`.
        """
        devices, (_, processes) = strategies.replicas(), strategies.process()
        size = -(-max(self.batch_size, LEAST_AT_ONCE) // devices) * devices
        if processes > 1:
            return self._judged_together(model, data, size)
        x, y = data.test
        outputs = classification.each_view(model, x, self.test_time_augmentation, size)
        views = classification.mean_of_views(outputs)
        shares = classification.probabilities(views, self.loss)
        run.write_arrays("confusion.npz", **classification.confusion(shares, x, y))
        one, accuracy = float((outputs[0][1].argmax(axis=1) == y).mean()), float((views.argmax(axis=1) == y).mean())
        result = {
            "test_accuracy": accuracy,
            "test_loss": self._loss_of(model, data, outputs[0][1]),
            "test_images": len(y),
        }
        return result if len(outputs) == 1 else {**result, "test_accuracy_of_one_view": one}

    def _judged_together(self, model, data, size):
        """By several processes, of which none has all outputs."""
        if self.test_time_augmentation != "none":
            print("Several processes judge one view of each test image; `evaluate` judges all.")
        batches = sets.evaluation_batches(*self._samples(data, data.test), size)
        loss, accuracy = model.evaluate(**batches, verbose=0)
        return {"test_accuracy": accuracy, "test_loss": loss, "test_images": len(data.test[1])}

    def _loss_of(self, model, data, outputs):
        """What is minimised, of all outputs at once: Keras shares a loss out among the devices of TensorFlow."""
        from keras import ops

        y, outputs = ops.convert_to_tensor(self._samples(data, data.test)[1]), ops.convert_to_tensor(outputs)
        share = float(ops.convert_to_numpy(model.compute_loss(y=y, y_pred=outputs)))
        return share * strategies.shares_of_a_loss()

    def signature(self, classes):
        height, width, channels = self.shape
        mode, colours = ("RGB", "red, green and blue") if channels == 3 else ("L", "grey")
        kind = "logits, of which softmax makes probabilities" if self.loss == "cross_entropy" else "probabilities"
        return Signature(
            f"images (n, {height}, {width}, {channels}), {colours}, numbers from 0 to 255; images of another size were "
            "turned as their EXIF says, cut to these proportions in the middle and resized (bicubic)",
            f"(n, {len(classes)}), {kind}, of the labels in this order: {', '.join(classes)}",
            ("from PIL import Image, ImageOps",),
            (
                'image = ImageOps.exif_transpose(Image.open("photo.png"))  # of 8 bits a channel',
                f'image = ImageOps.fit(image.convert("{mode}"), ({width}, {height}))',
                f'inputs = np.asarray(image, "float32").reshape(1, {height}, {width}, {channels})',
            ),
            (f"labels = {list(classes)!r}", "print(labels[np.argmax(outputs[0])])"),
        )

    def summary(self, result):
        one = result.get("test_accuracy_of_one_view")
        views = "" if one is None else f" ({self.test_time_augmentation} views; {percent(one)} of one view)"
        return (
            f"Test accuracy {percent(result['test_accuracy'])}{views} on {result['test_images']} images of {self.data} "
            f"after {counted(result['updates'], 'update')}."
        )


def _is_shape(value):
    return isinstance(value, tuple) and len(value) == 3 and all(type(size) is int and size >= 1 for size in value)
