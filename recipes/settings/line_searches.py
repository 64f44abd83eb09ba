"""The line searches that `--line-search` takes, and what has no effect beside one.

An optimizer with a line search finds the step of each update by the exact loss and gradient. So there is nothing that a
schedule, a clipper or a decay beside the loss could do: what is typed of that kind is refused, and what comes from a
preset or a default is left out.
"""

import dataclasses

from recipes.errors import CommandError
from recipes.settings import fields
from recipes.settings.fields import option_of, written
from recipes.settings.nearest import spelled

LINE_SEARCHES = {
    "strong_wolfe": "enough decrease and a small slope, as L-BFGS-B looks for; that of lbfgs unless another is given",
    "hager_zhang": "the same by slopes, where losses differ by rounding only: near a minimum in float32",
    "armijo": "enough decrease, going back from the first step",
    "nonmonotone_armijo": "the same below the highest loss of the last ten updates, not below the last one",
}
_FOUND = "its line search finds the step"
_BOUNDED = "its line search bounds the step"
_IN_LOSS = "it goes by the loss alone, which a penalty on weights, such as --l2, is a part of"
_LOWEST = "it ends at the lowest loss itself"
_WHOLE = "it goes by the loss of all samples"
_ALONG = "it goes along a direction of its own"
IDLE = {  # settings without effect beside a line search: the value that stands for none, and why
    "learning_rate": (1.0, _FOUND),
    "schedule": ("constant", _FOUND),
    "learning_rate_multipliers": ("", _FOUND),
    "gradient_accumulation_steps": ("auto", _WHOLE),
    "momentum": (None, _ALONG),
    "clipping": ("none", _BOUNDED),
    "weight_decay": (None, _IN_LOSS),
    "weight_decay_mode": ("decoupled", _IN_LOSS),
    "exclude_from_weight_decay": (None, _IN_LOSS),
    "ema_momentum": (None, _LOWEST),
}


def named(default):
    """A parameter or setting: one of `LINE_SEARCHES`, however it is written."""

    def read(value):
        return spelled(value, LINE_SEARCHES) if isinstance(value, str) else None

    return dataclasses.replace(fields.choice(default, names=LINE_SEARCHES), read=read)


def line_search(default=None, help="how lbfgs or batch_gd finds the step of each update: see list --line-searches"):
    """A field of a recipe that has the field `optimizer`: what finds the length of its steps."""
    return dataclasses.replace(named(default), help=help, is_optional=True, of_optimizer=True, before=None)


def line_search_entries():
    """Every line search: `(its name, what it does)`."""
    width = max(map(len, LINE_SEARCHES))
    for name, text in LINE_SEARCHES.items():
        yield name.ljust(width), text


def idle(settings, chosen):
    """The settings that have no effect beside the line search of an optimizer, and the values that stand for none.

    Args:
        settings: dict, as `Recipe.settings` gives it.
        chosen: `recipes.settings.optimizers.Chosen`; None for an optimizer that is none of these.

    Returns:
        A dict; an empty one where there is no line search.
    """
    if chosen is None or chosen.line_search is None:
        return {}
    names = [name for name in IDLE if name in settings and (name != "learning_rate" or not chosen.has_rate)]
    return {name: IDLE[name][0] for name in names if _can_be(settings[name], IDLE[name][0])}


def _can_be(setting, value):
    """Whether a setting can have a value: a recipe of one's own may have other bounds."""
    return setting.is_optional if value is None else setting.read(value) is not None


def check_given(recipe, given):
    """Raise a CommandError for what is given and has no effect, since a line search is in its place.

    Args:
        recipe: `recipes.recipe.Recipe` that was made with it.
        given: dict of settings.
    """
    settings = recipe.settings()
    for name, value in idle(settings, recipe.chosen).items():
        if name in given and (name == "learning_rate" or settings[name].checked(name, given[name]) != value):
            raise CommandError(
                f"{option_of(name)} {written(given[name])} is without effect beside {recipe.optimizer}: "
                f"{IDLE[name][1]}, so leave it out"
            )


def dtypes_of(recipe):
    """The dtypes that a recipe computes in: beside a line search not float16, in which losses are scaled."""
    return tuple(each for each in recipe.dtypes if each != "float16" or not recipe.has_line_search)
