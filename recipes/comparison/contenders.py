"""What `compare` sets side by side.

adam                                an optimizer, as --optimizer takes it
momentum@batch_size=1@momentum=0.5  with settings of its own
stochastic:=sgd@batch_size=1        under a name of its own
adam,muon:others=momentum,sgd       several
"""

import dataclasses
import typing

from recipes.errors import CommandError
from recipes.settings.clippers import CLIPPERS
from recipes.settings.nearest import unknown
from recipes.settings.optimizers import KERAS, OURS
from recipes.settings.schedules import SCHEDULES

NAMED, SETTING = ":=", "@"
OF_OPTIMIZERS = ("momentum", "learning_rate_multipliers")  # each contender's own, and not settings of all
SAME = ("data", "train_images", "validation_split", "epochs", "seed", "variant")  # for all, or it is no comparison


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is compared with others: its name, and its settings where they differ from those of all.

    Args:
        label: str, unique.
        settings: dict.
    """

    label: str
    settings: dict


def parse_contenders(recipe, optimizers, clippings=None, schedules=None):
    """Read what is compared: each optimizer with each clipping and each schedule.

    Args:
        recipe: module of a recipe.
        optimizers, clippings, schedules: str, as on the command line; None for what the settings of all say.

    Returns:
        A list of `Contender`.

    Raises:
        CommandError: a setting is none of the recipe's or the same for all, a value is no value of it, or two are
            called the same.
    """
    fields = {field.name: field for field in dataclasses.fields(recipe.Settings)}
    if "optimizer" not in fields:
        raise CommandError(f"--optimizers: {recipe.__name__.rpartition('.')[2]} has but one")
    found = [_parse_one(text, fields) for text in _split(optimizers, (*OURS, *KERAS))]
    for name, texts, known in (("clipping", clippings, ("none", *CLIPPERS)), ("schedule", schedules, SCHEDULES)):
        if texts:
            found = [_with(contender, name, text) for contender in found for text in _split(texts, known)]
    labels = [contender.label for contender in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise CommandError(f"--optimizers: {twice} is there twice; write NAME{NAMED}{twice} for one of them")
    if not found:
        raise CommandError("--optimizers: nothing to compare; such as --optimizers sgd,adam")
    return found


def _split(texts, known):
    """The parts between commas, except commas between parameters: `muon:size=none,others=momentum`."""
    parts = []
    for word in filter(str.strip, texts.split(",")):
        name = word.strip().partition(SETTING)[0].partition(":")[0].partition("+")[0]
        if parts and name not in known and NAMED not in word and "=" in name and ":" in parts[-1]:
            parts[-1] += "," + word.strip()
        else:
            parts.append(word.strip())
    return parts


def _parse_one(text, fields):
    label, named, rest = text.partition(NAMED)
    optimizer, *given = (rest if named else text).split(SETTING)
    settings = {"optimizer": optimizer}
    for pair in given:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if name not in fields or name in SAME or not equals:
            several = [each for each in fields if each not in SAME]
            raise CommandError(f"--optimizers {text}: {unknown('setting', name, several)}")
        settings[name] = _value(fields[name], value)
    return Contender(label.strip() if named else text, settings)


def _with(contender, name, text):
    return Contender(f"{contender.label} {text}", {**contender.settings, name: text})


def _value(field, text):
    kind = field.type if isinstance(field.type, type) else typing.get_args(field.type)[0]
    try:
        return kind(text)
    except ValueError:
        raise CommandError(f"--optimizers: {field.name} must be {kind.__name__}; it is '{text}'") from None
