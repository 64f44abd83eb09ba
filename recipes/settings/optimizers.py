"""The optimizers that a command line can name: ours and Keras's.

    momentum                            a name
    muon:others=momentum                with parameters
    lbfgs:history=20                    one that finds its steps by itself
    accumulate:adam                     around an optimizer of Keras
    lookahead:momentum,sync_period=10
    switch:adam,then=bfgs,after=500     one after the other

`recipes.optimization.make_optimizer` makes them; names are looked up here, without importing Keras.
"""

import dataclasses
import re

from recipes.errors import CommandError
from recipes.settings import fields, grammar, line_searches
from recipes.settings.fields import check_expression, number, whole
from recipes.settings.nearest import plain, unknown
from recipes.settings.own_optimizers import OURS, UNIT

_OF_KERAS = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
)
_KERAS_WITH_DECAY = ("AdamW", "Muon")
_KERAS_WITH_MOMENTUM = ("Muon", "RMSprop", "SGD")
_BETAS = {"beta_1": number(0.9, least=0, most=1), "beta_2": number(0.999, least=0, most=1)}
_STEPS = "--gradient-accumulation-steps"
_FACTOR = number(1.0, least=0)  # of a learning rate
_PARAMETERS_OF_KERAS = {"adam": _BETAS, "adamw": _BETAS, "adamax": _BETAS, "nadam": _BETAS}


def snake_case(name):
    """`BatchGD` as `batch_gd`, `RMSprop` as `rmsprop`, `AdamW` as `adamw`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][A-Za-z])", "_", name).lower()


KERAS = {f"keras_{n}" if (n := snake_case(cls)) in OURS else n: cls for cls in _OF_KERAS}  # names and classes
_CLASSES = {named.cls: name for name, named in OURS.items() if named.preset is None}
_CLASSES = {cls: name for name, cls in KERAS.items()} | _CLASSES
_NAMES = {plain(cls): name for cls, name in _CLASSES.items()} | {plain(name): name for name in (*OURS, *KERAS)}


@dataclasses.dataclass(frozen=True)
class Chosen:
    """An optimizer as the command line names it: a key of `OURS` or `KERAS`, parameters, and what it wraps."""

    name: str
    values: dict = dataclasses.field(default_factory=dict)
    inner: "Chosen | None" = None

    @property
    def is_ours(self):
        return self.name in OURS

    @property
    def line_search(self):
        """What finds the length of its steps, a name; None where a learning rate gives it."""
        parameter = _parameters_of(self.name).get("line_search")
        return parameter and self.values.get("line_search", parameter.default)

    @property
    def has_line_search(self):
        """Whether the length of each of its steps is found."""
        return self.line_search is not None or (self.is_ours and OURS[self.name].searches)

    @property
    def has_search(self):
        """Whether it goes by the loss of all samples: from the first update on, or after a switch."""
        return self.has_line_search or "then" in self.values

    @property
    def has_rate(self):
        """Whether its learning rate has an effect; beside a line search it is the step that is tried first."""
        searches = self.is_ours and OURS[self.name].searches
        return not searches and self.line_search not in line_searches.WITHOUT_FIRST_STEP

    @property
    def momentum(self):
        """The pair of floats between which its momentum lies; None if it has none."""
        if self.has_line_search:
            return None
        if self.inner is not None:
            return self.inner.momentum
        if self.is_ours:
            return OURS[self.name].momentum
        return UNIT if KERAS[self.name] in _KERAS_WITH_MOMENTUM else None


def optimizer(default, help="one of ours, in full batches, or of Keras: see list --optimizers", **about):
    """A field of a recipe: an optimizer, as `parse_optimizer` takes it; it is kept as `canonical` writes it."""

    def read(value):
        return canonical(value) if isinstance(value, str) else None

    return dataclasses.replace(fields.text(default, help, **about), read=read)


def accumulation(
    default="auto",
    help="batches behind an update; epoch is all of them, auto is epoch with ours and 1 with Keras's",
    **about,
):
    """A field of a recipe: how many batches make an update."""
    count = whole(1)

    def read(value):
        return str(value) if value in ("auto", "epoch") or count.read(value) is not None else None

    words = "a number of batches >= 1, epoch or auto"
    return fields.Setting(default, help, str, words, read, **about)


def passes_per_epoch(default=1, help="passes over the training part in an epoch of full batches, each with its update"):
    """A field of a recipe: how many updates of full batches are made before anything else happens."""
    return whole(default, help, is_searched=False, before=1)


def multipliers(
    default="", help="of learning rates, by regular expressions of paths, such as beta$=64,head/=2", **about
):
    """A field of a recipe: learning rates that are not those of the rest, as `parse_multipliers` takes them."""
    return fields.text(default, help, check=parse_multipliers, **{"of_optimizer": True, **about})


def parse_optimizer(text, wrapped=False):
    """`"muon:others=momentum"` as `Chosen`.

    Args:
        text: str.
        wrapped: bool, whether it is what another one wraps.

    Raises:
        CommandError: there is no such optimizer or parameter, or a value is out of its range.
    """
    written, pairs = grammar.value(text)
    name = _NAMES.get(plain(written))
    if name is None:
        raise CommandError(unknown("optimizer", written, [*OURS, *KERAS]))
    wraps = name in OURS and OURS[name].wraps
    if wraps and wrapped:
        raise CommandError(f"{name} wraps an optimizer, and cannot be wrapped")
    values = grammar.pairs(name, _parameters_of(name), pairs)
    inner = parse_optimizer(values.pop("inner"), wrapped=True) if wraps else None
    chosen = Chosen(name, {**_always_given(name), **values}, inner)
    if chosen.has_line_search:
        _check_search(chosen, wrapped)
    if name == "switch" and chosen.values["after"] is None and chosen.values.get("patience") is None:
        raise CommandError(f"{name}: give after or patience, such as after=100, or it never switches")
    return chosen


def canonical(text):
    """`"BatchGD"` as `"batch_gd"`: an optimizer, and what it wraps, by the names that `list` has.

    Raises:
        CommandError: as `parse_optimizer`.
    """
    chosen = parse_optimizer(text)
    _, pairs = grammar.value(text)
    if chosen.inner is not None:
        pairs = ",".join(map(_with_own_name, pairs.split(",")))
    return chosen.name if pairs is None else f"{chosen.name}:{pairs}"


def _with_own_name(pair):
    """`"then=BFGS"` as `"then=bfgs"`: a parameter of an optimizer that wraps another one."""
    key, equals, value = pair.rpartition("=")
    return f"{key}{equals}{_NAMES.get(plain(value), value)}" if key in ("", "inner", "then") else pair


def _always_given(name):
    """The parameters of an optimizer that its class has no defaults for, a dict."""
    return {key: OURS[name].parameters[key].default for key in ("then", "after")} if name == "switch" else {}


def _check_search(chosen, wrapped):
    """Raise a CommandError for what an optimizer with a line search cannot have, or be."""
    if wrapped:
        raise CommandError(f"{chosen.name} finds its steps by a line search, and cannot be wrapped")
    is_descent = not OURS[chosen.name].searches
    if chosen.line_search in line_searches.OF_DESCENT and not is_descent:
        raise CommandError(
            f"{chosen.line_search} is a rule for steps along the gradient, and {chosen.name} has a direction of its "
            "own: give --optimizer batch_gd, or another line search"
        )
    own = _parameters_of(chosen.name) if is_descent else {}  # what is of descent at a given rate
    for name, value in chosen.values.items():
        if name != "line_search" and name in own and value != own[name].default:
            raise CommandError(f"{name} of {chosen.name} is of its momentum, which it has not beside a line search")


def with_line_search(text, line_search):
    """An optimizer with the setting `line_search` as a parameter: "lbfgs:history=20,line_search=armijo".

    Args:
        text: str, as `parse_optimizer` takes it.
        line_search: str of `recipes.settings.line_searches.LINE_SEARCHES`; None for what the optimizer has by itself.

    Raises:
        CommandError: the optimizer takes none, or says already which.
    """
    if line_search is None:
        return text
    chosen = parse_optimizer(text)
    if "line_search" not in _parameters_of(chosen.name):
        some = " or ".join(name for name, each in OURS.items() if "line_search" in each.parameters)
        raise CommandError(f"--line-search {line_search}: {text} has none; give --optimizer {some}")
    if "line_search" in chosen.values:
        raise CommandError(f"--line-search {line_search}: {text} says already which; leave out one of the two")
    return f"{text}{',' if ':' in text else ':'}line_search={line_search}"


def chosen_in(values):
    """The optimizer of a dict of settings, with its line search, as `Chosen`; None where there is none of that name."""
    try:
        parse_optimizer(str(values.get("optimizer")))
    except CommandError:
        return None
    return parse_optimizer(with_line_search(values["optimizer"], values.get("line_search")))


def _parameters_of(name):
    return OURS[name].parameters if name in OURS else _PARAMETERS_OF_KERAS.get(name, {})


def check_momentum(text, momentum):
    """Raise a CommandError if an optimizer is given a momentum that it cannot have."""
    if momentum is None:
        return
    bounds = parse_optimizer(text).momentum
    if bounds is None:
        raise CommandError(f"--momentum: {text} has no momentum")
    low, high = bounds
    if not low <= momentum <= high:
        raise CommandError(f"--momentum must lie in {low:g} to {high:g}; it is {momentum}")


def default_momentum(text):
    """The momentum that recipes give an optimizer that has 0 by itself; None for the optimizer's own."""
    chosen = parse_optimizer(text)
    inner = chosen.inner or chosen
    return 0.9 if inner.name in ("batch_gd", "sgd") and not inner.has_line_search else None


def before_switch(text):
    """The optimizer that trains before another one takes its place, as `--optimizer` takes it; `text` if none does."""
    chosen = parse_optimizer(text)
    if chosen.name != "switch":
        return text
    return chosen.inner.name if chosen.inner.is_ours else f"accumulate:{chosen.inner.name}"


def decays(text):
    """Whether an optimizer has a weight decay that is not 0 unless another is given."""
    chosen = parse_optimizer(text)
    return KERAS.get((chosen.inner or chosen).name) in _KERAS_WITH_DECAY


def accumulated_steps(text, steps):
    """How many batches are behind an update, an int or "epoch", where `steps` may say "auto"."""
    if steps == "auto":
        return "epoch" if parse_optimizer(text).is_ours else 1
    return steps if steps == "epoch" else int(steps)


def needs_full_batches(text):
    """Whether an optimizer cannot make updates of less than a pass."""
    return _of_full_batches(text) is not None


def _of_full_batches(text):
    """What of an optimizer asks for full batches, in words; None for nothing."""
    chosen = parse_optimizer(text)
    inner = chosen.inner or chosen
    if inner.has_line_search:
        return f"the line search of {inner.name}"
    if chosen.has_search:
        return f"the line search of {chosen.values['then']}"
    return inner.name if inner.name == "accelerated_gd" else None


def check_steps(text, steps):
    """Raise a CommandError if an optimizer cannot make an update of so many batches."""
    if steps == "epoch" and not parse_optimizer(text).is_ours:
        raise CommandError(f"{_STEPS} {steps}: {text} makes mini-batches; accumulate:{text} makes full batches")
    if steps not in ("auto", "epoch") and needs_full_batches(text):
        raise CommandError(f"{_STEPS} {steps}: {_of_full_batches(text)} needs full batches; leave it out")


def parse_multipliers(text):
    """`"beta$=64,dense/=2"` as a dict from regular expressions to numbers; an empty one without a text.

    Raises:
        CommandError: an expression is none, or a number is out of its range.
    """
    multipliers = {}
    for pair in text.split(",") if text else ():
        pattern, equals, factor = pair.rpartition("=")
        if not (equals and pattern):
            raise CommandError(f"write expression=number for '{pair}'")
        check_expression(pattern)
        multipliers[pattern] = _FACTOR.checked(pattern, factor)
    return multipliers


def optimizer_entries():
    """Every optimizer: `(its name and its parameters with their defaults, what it does)`."""
    for name, named in OURS.items():
        yield grammar.written(name, named.parameters), named.text
    for name, cls in KERAS.items():
        yield grammar.written(name, _PARAMETERS_OF_KERAS.get(name, {})), f"keras.optimizers.{cls}, in mini-batches"
