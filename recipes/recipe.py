"""What a recipe is: a model, its data and its optimizer, with the settings that give a stated result."""

import abc
import dataclasses
import inspect
import itertools
import shlex
import typing

from recipes.errors import CommandError
from recipes.settings.beside_search import idle
from recipes.settings.declare import check_arguments, check_fields, declare_settings
from recipes.settings.fields import option_of, whole, written
from recipes.settings.presets import check_names, resolve, ways_to
from recipes.settings.schedules import has_horizon

DTYPES = ("float64", "float32", "bfloat16", "float16")
OF_RUNS = ("evaluate", "predict", "generate", "export")  # commands that take a finished run
TAKEN = (  # names that no setting can have: options of commands, or keys of config.json
    *("backend", "kind", "recipe", "trained_on", "command", "parser", "help", "json", "quiet", "verbose"),
    *("preset", "config", "strategy", "dtype", "data_dir", "run_dir", "download", "seeds", "results", "dry_run"),
    *("tuner", "trials", "max_epochs", "space", "metric", "workers", "storage", "study"),
    *("optimizers", "clippings", "schedules", "budget", "target", "target_loss", "contenders", "judged_on"),
)


class Signature(typing.NamedTuple):
    """What the network of a recipe takes and gives, for those who use it without this package.

    `input` and `output` are sentences; `imports`, `make` and `use` are lines of Python with NumPy as `np`: the second
    make an array `inputs`, or a list of arrays if there are several, `count` of them; the third use the array
    `outputs`.
    """

    input: str
    output: str
    imports: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    count: int = 1


class Recipe:
    """A model, its data and its optimizer. The fields are the settings; the methods are what commands do with it.

    A subclass becomes a frozen dataclass by itself. It declares each setting with a field of `recipes.settings`, gives
    another default to one that it inherits by `epochs = 20`, and has the methods below that are abstract. What is
    missing, or cannot be, is a TypeError when the class is made. A class that others are made of, and that has not all
    methods itself, is declared with `class Base(Recipe, is_base=True)`.

    ```python
    class Line(Recipe):
        \"\"\"A line through points ...\"\"\"                        # the first line is what `list` shows

        learning_rate: float = number(0.1, "step", above=0)     # a setting, and an option of the command line
        presets = {"smoke": {"epochs": 3}}                      # sets of settings; smoke is the same in seconds

        def load(self, data_dir=None, download=False): ...      # data with train_size, about(), sizes(), part(share)
        def model(self, data): ...                              # a compiled model with seeded weights
        def batches(self, data): ...                            # what it is trained on
        def judge(self, model, data, run): ...                  # a dict of figures
        def summary(self, result): ...                          # these in a sentence
    ```

    `python -m recipes train mymodule:Line` trains one that is not of this package; so does
    `recipes.training.train(Line.from_preset(epochs=7))` in a notebook.

    Settings that have no effect beside the line search of an `optimizer`, such as a schedule, get the values that stand
    for none, whatever the recipe is made with; a command refuses one that is typed.

    Args:
        batch_size, epochs, seed: settings that every recipe has.

    Raises:
        CommandError: a value is out of its range, or two do not go together.
    """

    batch_size: int = whole(32, "samples in memory at once", changes="data")
    epochs: int = whole(10, "passes over the training part", is_searched=False)
    seed: int = whole(0, "that all randomness derives from", least=0, most=2**32 - 1, is_searched=False)

    presets: typing.ClassVar[dict] = {"smoke": {"epochs": 3}}
    variants: typing.ClassVar[dict] = {}  # each network of a setting `variant`, and the preset that is its own
    moved: typing.ClassVar[dict] = {}  # names of variants and presets that are of other recipes now, and of which
    laid_over: typing.ClassVar[tuple] = ("smoke",)  # presets that change that of the variant, and do not replace it
    score: typing.ClassVar[str]  # the figure of `judge` that several seeds are averaged by
    objectives: typing.ClassVar[dict] = {}  # what searches go by: figures of `validate`, each "max" or "min"
    dtypes: typing.ClassVar[tuple] = ("float32", "bfloat16", "float16")  # that it can compute in
    commands: typing.ClassVar[tuple] = ("evaluate", "export")  # that take a finished run

    def __init_subclass__(cls, is_base=False, **options):
        super().__init_subclass__(**options)
        declare_settings(cls, TAKEN)
        has_docstring = bool(cls.__doc__)  # a dataclass makes one for a class without it
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        check_fields(cls)
        if not is_base:
            _check_class(cls, has_docstring)

    def __new__(cls, **values):
        check_names(cls, values)
        return super().__new__(cls)

    def __post_init__(self):
        if missing := missing_methods(type(self)):
            raise TypeError(f"{type(self).__name__} is what recipes are made of, and has no method `{missing[0]}`")
        for name, setting in self.settings().items():
            object.__setattr__(self, name, setting.checked(option_of(name), getattr(self, name)))
        vars(self).update(idle(self))
        self.check()
        if self.passes > 1 and self.steps != "epoch":
            raise CommandError(f"--passes-per-epoch {self.passes} is of full batches; this training has mini-batches")

    @classmethod
    def from_preset(cls, preset=None, **settings):
        """A recipe as a command line makes it: settings over those of a preset, that of the variant by default."""
        return resolve(cls, settings, preset)

    @classmethod
    def settings(cls):
        """Its settings: a dict from names to `recipes.settings.fields.Setting`."""
        return {field.name: field.metadata["setting"] for field in dataclasses.fields(cls)}

    @classmethod
    def own_settings(cls):
        """The names of the settings that are its own, or have a default of its own, a list in their order."""
        return [name for name in cls.settings() if name in cls._own_settings]

    @classmethod
    def name(cls):
        """What the command line calls it: `cifar10_cnn`, or `mymodule:MyRecipe` if it is not of this package."""
        package, _, module = cls.__module__.rpartition(".")
        return module if package == __package__ else f"{cls.__module__}:{cls.__name__}"

    def check(self):
        """Raise a CommandError where settings do not go together. Each by itself is in its range."""

    @property
    def steps(self):
        """Batches behind an update: an int, or "epoch" for full batches."""
        return 1

    @property
    def passes(self):
        """Passes over the training part in an epoch: the setting `passes_per_epoch`, if there is one."""
        return getattr(self, "passes_per_epoch", 1)

    @property
    def default_dtype(self):
        """What it computes in unless `--dtype` says so; "auto" for what the hardware is best at."""
        return self.dtypes[0]

    @property
    def needs_float64(self):
        """Whether it computes in float64 alone, which JAX has to be told before it is loaded."""
        return self.dtypes == ("float64",)

    @abc.abstractmethod
    def load(self, data_dir=None, download=False):
        """Its data: an object with `train_size`, `about()`, `sizes()` and `part(share)`, as `recipes.data.Images`.

        `train_size` is an int; `about` gives a dict with texts `name` and `digest`, of which the second is another one
        for other data; `sizes` the numbers of samples in words; `part` the data of a share of the samples, 0 to 1.
        """

    @abc.abstractmethod
    def model(self, data):
        """A compiled `keras.Model` with seeded weights."""

    @abc.abstractmethod
    def batches(self, data):
        """The training part: `recipes.data.ShuffledBatches`, or `recipes.data.full_batches` if `steps` is "epoch"."""

    @abc.abstractmethod
    def judge(self, model, data, run):
        """How good a trained model is on the test part.

        Args:
            run: object with the run's `directory`, `write(name, write)` for files that it leaves there, and `once`.

        Returns:
            A dict of figures for result.json, `score` among them.
        """

    @abc.abstractmethod
    def summary(self, result):
        """A result, `judge`'s and `outcome`, `epochs`, `updates`, `training_seconds`, in one sentence."""

    def validation(self, data):
        """What `fit` evaluates after each epoch, as `recipes.data.evaluation_batches` gives it; None: nothing."""
        return None

    def callbacks(self, data, run):
        """Callbacks of `fit` that belong to the recipe, a list."""
        return []

    def trained(self, model, run):
        """The model that a run keeps and is judged by, of the one that training has ended with."""
        return model

    def served(self, model):
        """The network of a trained model that is used afterwards: `export` writes it."""
        return model

    def signature(self, classes):
        """What the served network takes and gives, a `Signature`; None where model card and exports do not say it.

        Args:
            classes: list of str, the names of the classes in the order of the labels; empty for data without.
        """
        return None

    def validate(self, model, data):
        """How good a model is by its `objectives`, on nothing that it is judged by: a dict of floats."""
        raise NotImplementedError(f"{type(self).__name__} has objectives, and no method `validate`")

    def updates(self, data):
        """How many updates a run makes."""
        if self.steps == "epoch":
            return self.epochs * self.passes
        return self.epochs * -(-data.train_size // self.batch_size) // self.steps

    @property
    def horizon_matters(self):
        """Whether a run of more epochs differs from this one from its first epoch on."""
        return "schedule" in self.settings() and has_horizon(self.schedule)

    def command(self, **places):
        """The command that trains with these settings; for a class that is defined in a notebook, what to call there.

        Args:
            places: `strategy`, `dtype` and `data_dir`, as `recipes.training.train` takes them.
        """
        preset, given = min(ways_to(self), key=lambda way: len(way[1]))
        options = {**given} if preset is None else {"preset": preset, **given}
        if self.variants:
            options = {"variant": self.variant, **options}
        if type(self).__module__ == "__main__":
            recipe = f"{type(self).__name__}.from_preset({_as_arguments(options)})"
            return f"training.train({', '.join(filter(None, (recipe, _as_arguments(places))))})"
        words = [f"{option_of(name)} {shlex.quote(written(value))}" for name, value in (options | places).items()]
        return " ".join(["python -m recipes train", self.name(), *words])


def _as_arguments(values):
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def missing_methods(cls):
    """The names of the methods that a class has only as an abstract one, a list.

    Args:
        cls: class of a recipe.
    """
    return [name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False)]


def _check_class(cls, has_docstring):
    """Raise a TypeError for what a class lacks, or has that cannot be."""
    for name in missing_methods(cls):
        about = (inspect.getdoc(getattr(cls, name)) or "").partition("\n")[0]
        raise TypeError(f"{cls.__name__} has no method `{name}`: {about}")
    if not has_docstring:
        raise TypeError(f"{cls.__name__} has no docstring, whose first line `list` shows")
    check_arguments(cls)
    for text, is_wrong in _faults(cls).items():
        if is_wrong:
            raise TypeError(f"{cls.__name__} {text}")
    for preset in (None, *cls.presets):
        _check_preset(cls, {}, preset)
    for variant, preset in itertools.product(cls.variants, cls.laid_over):
        _check_preset(cls, {"variant": variant}, preset)


def _check_preset(cls, given, preset):
    try:
        resolve(cls, given, preset)
    except (CommandError, TypeError) as error:
        of = "".join(f" with {name} {value}" for name, value in given.items())
        what = "defaults" if preset is None else f"preset {preset}"
        raise TypeError(f"{cls.__name__}, {what}{of}: {error}") from error


def _faults(cls):
    """What may be wrong with a class, and whether it is."""
    own = [preset for preset in cls.variants.values() if preset not in cls.presets]
    return {
        "has no preset `smoke`, the same in seconds": "smoke" not in cls.presets,
        "does not say its `score`, the figure that seeds are averaged by": not hasattr(cls, "score"),
        "has `objectives`, and no method `validate`": cls.objectives and cls.validate is Recipe.validate,
        "has `objectives` that are no dict from figures to max or min": not _is_objectives(cls.objectives),
        f"has `dtypes` that are not a tuple of {', '.join(DTYPES)}": not _is_tuple_of(cls.dtypes, DTYPES),
        f"has `commands` that are not a tuple of {', '.join(OF_RUNS)}": not _is_tuple_of(cls.commands, OF_RUNS),
        f"has no preset `{', '.join(own)}`, which a variant names": own,
        "has `variants`, and no setting `variant`": cls.variants and "variant" not in cls.settings(),
    }


def _is_tuple_of(values, known):
    return isinstance(values, tuple) and set(values) <= set(known)


def _is_objectives(values):
    return isinstance(values, dict) and set(values.values()) <= {"max", "min"}


declare_settings(Recipe, TAKEN)
dataclasses.dataclass(frozen=True, kw_only=True)(Recipe)
