"""What `compare` sets side by side.

adam                                an optimizer, as --optimizer takes it
momentum@batch_size=1@momentum=0.5  with settings of its own
stochastic:=sgd@batch_size=1        under a name of its own
adam,muon:others=momentum,sgd       several
"""

from recipes.comparison.contender import Contender
from recipes.errors import CommandError
from recipes.settings import grammar
from recipes.settings.fields import option_of
from recipes.settings.nearest import unknown

NAMED, SETTING = ":=", "@"
NOT_OWN = {  # settings that a contender does not have for itself, and what is to be done instead
    "epochs": "give --budget epochs=N",
    "optimizer": f"it stands before the {SETTING}",
    "learning_rate": "it is searched for each optimizer that has one",
}


def parse_contenders(recipe, optimizers, clippings=None, schedules=None):
    """Read what is compared: each optimizer with each clipping and each schedule.

    Args:
        recipe: `recipes.recipe.Recipe`, or its class.
        optimizers, clippings, schedules: as on the command line, str or a list of str; None for what the settings of
            all say.

    Returns:
        A list of `Contender`.

    Raises:
        CommandError: the recipe has not the settings that are compared; a contender's setting is none of the recipe's
            or the same for all, or a value is no value of it; or two are called the same.
    """
    settings = recipe.settings()
    missing = next((name for name in ("optimizer", "learning_rate") if name not in settings), None)
    if missing is not None:
        raise CommandError(f"--optimizers: {recipe.name()} has no setting {missing}, so there is nothing to compare")
    found = [_parse_one(text, settings) for text in grammar.items(optimizers)]
    for option, name, texts in (("--clippings", "clipping", clippings), ("--schedules", "schedule", schedules)):
        if texts:
            values = _values(recipe, option, name, texts)
            found = [_with(contender, name, value) for contender in found for value in values]
    _check_labels([contender.label for contender in found])
    return found


def _check_labels(labels):
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise CommandError(f"--optimizers: {twice} is there twice; give one of them another name: NAME{NAMED}sgd")
    if not labels:
        raise CommandError("--optimizers: nothing to compare; such as --optimizers sgd,adam")


def shared_settings(settings):
    """Names of the settings that are the same for all contenders, or it would be no comparison.

    Args:
        settings: dict, as `Recipe.settings` gives it.
    """
    return [name for name, setting in settings.items() if name == "variant" or not setting.is_searched]


def _parse_one(text, settings):
    label, named, rest = text.partition(NAMED)
    optimizer, *given = (rest if named else text).split(SETTING)
    own = {"optimizer": settings["optimizer"].checked("--optimizers", optimizer.strip())}
    for pair in given:
        name, value = _parse_setting(text, pair, settings)
        own[name] = value
    return Contender(label.strip() if named else SETTING.join([own["optimizer"], *given]), own)


def _parse_setting(text, pair, settings):
    name, equals, value = (word.strip() for word in pair.partition("="))
    name = name.replace("-", "_")
    _check_own(text, name, settings)
    if not equals:
        raise CommandError(f"--optimizers {text}: write {name}=VALUE behind the {SETTING}")
    try:
        return name, settings[name].checked(option_of(name), value)
    except CommandError as error:
        raise CommandError(f"--optimizers {text}: {error}") from None


def _check_own(text, name, settings):
    """Raise a CommandError for a setting that no contender has for itself."""
    same = shared_settings(settings)
    if name in NOT_OWN or name in same:
        instead = NOT_OWN.get(name, f"it is the same for all; give {option_of(name)} instead")
        raise CommandError(f"--optimizers {text}: {name} is no setting of one optimizer; {instead}")
    if name not in settings:
        own = [each for each in settings if each not in (*same, *NOT_OWN)]
        raise CommandError(f"--optimizers {text}: {unknown('setting', name, own)}")


def _values(recipe, option, name, texts):
    """The values of a setting that each optimizer is combined with."""
    settings = recipe.settings()
    if name not in settings:
        raise CommandError(f"{option}: {recipe.name()} has no setting {name}")
    return [settings[name].checked(option, text) for text in grammar.items(texts)]


def _with(contender, name, value):
    return Contender(f"{contender.label} {value}", {**contender.settings, name: value})
