"""Settings of a run, from what a command line gives, and from what a config.json holds."""

import contextlib
import dataclasses

from recipes.errors import CommandError
from recipes.settings.beside_search import check_given, idle
from recipes.settings.fields import REQUIRED, check_moved, option_of, written
from recipes.settings.nearest import unknown


def resolve(cls, given, preset=None):
    """A recipe with the settings that were given, over those of the preset, over its defaults.

    Args:
        cls: class of a recipe, with `presets` and `variants` (each variant's own preset).
        given: dict of the settings that were asked for.
        preset: name of a preset; by default that of the variant. One that the recipe has in `laid_over` changes the
            variant's own, any other stands in its place; one that is a variant's own brings the variant with it. What
            means something else for each optimizer is left out of a preset if another optimizer is given.

    Raises:
        CommandError: there is no such preset or variant, or the settings cannot be.
    """
    if preset is not None and preset not in cls.presets:
        check_moved("--preset", preset, cls.moved)
        raise CommandError(f"--preset: {unknown('preset', preset, cls.presets)}")
    given = {**_variant(cls, given, preset), **given}
    own = cls.variants.get(given.get("variant"))
    check_names(cls, given)
    if preset in cls.laid_over or preset is None:
        values = _of_optimizer(cls, _preset(cls, own), given) | _preset(cls, preset)
    else:
        values = _of_optimizer(cls, _preset(cls, preset), given)
    recipe = cls(**(values | given))
    check_given(recipe, given)
    return recipe


def is_of_preset(recipe, name):
    """Whether the value of a setting is one that a preset of the recipe gives, and may not have been asked for."""
    return any(values.get(name) == getattr(recipe, name) for values in recipe.presets.values() if name in values)


def changed(recipe):
    """The settings of a recipe that are not those of its variant without any option, a dict."""
    variant = {"variant": recipe.variant} if recipe.variants else {}
    usual = resolve(type(recipe), variant)
    return {name: getattr(recipe, name) for name in recipe.settings() if getattr(recipe, name) != getattr(usual, name)}


def check_names(cls, values):
    """Raise a CommandError for a name that is no setting, with the nearest that are."""
    strange = next((name for name in values if name not in cls.settings()), None)
    if strange is not None:
        raise CommandError(unknown("setting", strange, cls.settings()))


def _preset(cls, name):
    """The values of a preset, a dict; an empty one for None."""
    values = cls.presets.get(name, {})
    check_names(cls, values)
    return values


def _variant(cls, given, preset):
    """The variant of a run, a dict; an empty one for a recipe that has none."""
    if not cls.variants:
        return {}
    of_preset = next((variant for variant, own in cls.variants.items() if own == preset), None)
    settings = cls.settings()["variant"]
    return {"variant": settings.checked("--variant", given.get("variant", of_preset or settings.default))}


def _of_optimizer(cls, values, given):
    """The values of a preset, without what is of its optimizer alone if another one is given."""
    settings = cls.settings()
    if "optimizer" not in given or given["optimizer"] == values.get("optimizer", settings["optimizer"].default):
        return values
    return {name: value for name, value in values.items() if not settings[name].of_optimizer}


def ways_to(recipe):
    """Ways to write a recipe's settings on a command line.

    Yields:
        `(preset, settings)`: the name of a preset or None, and a dict of what else has to be given.
    """
    wanted, cls = dataclasses.asdict(recipe), type(recipe)
    variant = {"variant": wanted["variant"]} if cls.variants else {}
    for preset in (None, *cls.presets):
        with contextlib.suppress(CommandError):  # of a preset that does not go with the optimizer
            first = _optimizer_if_another(cls, variant, preset, wanted)
            plain = dataclasses.asdict(resolve(cls, variant | first, preset))
            yield preset, first | {name: value for name, value in wanted.items() if value != plain[name]}
    without = idle(recipe)  # which cannot be given
    yield None, {name: value for name, value in wanted.items() if name not in without}


def _optimizer_if_another(cls, variant, preset, wanted):
    """The optimizer and its line search, as far as they are others than the preset's, which then gives less: a dict."""
    names = [name for name in ("optimizer", "line_search") if name in wanted]
    found = resolve(cls, variant, preset)
    return {name: wanted[name] for name in names if wanted[name] != getattr(found, name)}


class OtherSettings(ValueError):
    """What a config.json holds are the settings of a recipe as it was, and not as it is."""


def recorded(cls, values):
    """A recipe with the settings that a config.json holds.

    Args:
        cls: class of the recipe.
        values: dict of all its settings.

    Raises:
        OtherSettings: one is missing, or there is one that the recipe has not.
        ValueError: there are none, or one is of another type, or cannot be.
    """
    settings = cls.settings()
    if settings.keys().isdisjoint(values):
        raise ValueError(f"it has no settings of {cls.name()}")
    values = completed(cls, values)
    if missing := [name for name in settings if name not in values]:
        raise OtherSettings(f"before {cls.name()} had the setting {option_of(missing[0])}")
    if strange := [name for name in values if name not in settings]:
        raise OtherSettings(f"when {cls.name()} had the setting {option_of(strange[0])}, which it has no longer")
    for name, setting in settings.items():
        if not _is_of(values[name], setting):
            raise ValueError(f"{option_of(name)} is {_shown(values[name])}")
    try:
        return cls(**values)
    except CommandError as error:
        raise ValueError(str(error)) from error


def completed(cls, values):
    """What a config.json holds, with the values of settings that there were not when it was written.

    Values that are written in another way now, as `BatchGD` is `batch_gd`, are written so.
    """
    settings = cls.settings().items()
    values = {name: setting.before for name, setting in settings if setting.before is not REQUIRED} | values
    return values | {name: _as_kept(setting, values[name]) for name, setting in settings if name in values}


def _as_kept(setting, value):
    try:
        return setting.checked("", value) if isinstance(value, str) and setting.type is str else value
    except CommandError:
        return value


def _shown(value):
    return f"{value!r:.80}" if isinstance(value, str | list | dict) else written(value)


def _is_of(value, setting):
    if value is None or isinstance(value, bool):
        return setting.is_optional if value is None else setting.type is bool
    return isinstance(value, (int, float) if setting.type is float else setting.type)
