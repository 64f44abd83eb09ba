"""What has no effect beside the line search of an optimizer.

It finds the step of each update by the exact loss and gradient. So there is nothing that a schedule, a clipper or a
decay beside the loss could do: what is typed of that kind is refused, and what comes from a preset or a default is left
out. Where a line search begins after a switch alone, the optimizer before it has all that, but for full batches and
weights that are no average.
"""

from recipes.errors import CommandError
from recipes.settings.fields import option_of, written
from recipes.settings.optimizers import chosen_in

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
AFTER_A_SWITCH = ("gradient_accumulation_steps", "ema_momentum")  # of these, what has none beside a later one either


def has_line_search(recipe):
    """Whether the optimizer of a recipe finds the length of its steps by a line search."""
    chosen = chosen_in(vars(recipe))
    return chosen is not None and chosen.has_line_search


def has_search(recipe):
    """Whether the optimizer of a recipe goes by the loss of all samples: from its first update on or after a switch."""
    chosen = chosen_in(vars(recipe))
    return chosen is not None and chosen.has_search


def idle(recipe):
    """The settings of a recipe that have no effect beside the line search of its optimizer.

    Returns:
        A dict from them to the values that stand for none; an empty one where there is no line search.
    """
    settings, chosen = recipe.settings(), chosen_in(vars(recipe))
    if chosen is None or not chosen.has_search:
        return {}
    possible = IDLE if chosen.has_line_search else AFTER_A_SWITCH
    names = [name for name in possible if name in settings and (name != "learning_rate" or not chosen.has_rate)]
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
    for name, value in idle(recipe).items():
        if name in given and (name == "learning_rate" or settings[name].checked(name, given[name]) != value):
            raise CommandError(
                f"{option_of(name)} {written(given[name])} is without effect beside {recipe.optimizer}: "
                f"{IDLE[name][1]}, so leave it out"
            )


def dtypes_of(recipe):
    """The dtypes that a recipe computes in: beside a line search not float16, in which losses are scaled."""
    return tuple(each for each in recipe.dtypes if each != "float16" or not has_search(recipe))
