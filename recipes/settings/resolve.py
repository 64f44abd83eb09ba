"""Settings of recipes: frozen dataclasses whose fields the command line offers as options."""

import dataclasses
import typing

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

SMOKE = "smoke"  # the preset that every recipe has: the same code path in seconds


def option(default, text):
    """A field of the settings that the command line offers as an option, with its help."""
    return dataclasses.field(default=default, metadata={"help": text})


def require(true, what, value):
    """Raise a CommandError that says `what` has to be and what it is."""
    if not true:
        raise CommandError(f"{what}; it is {value}")


def require_one_of(kind, value, known):
    """Raise a CommandError with the nearest names if `value` is none of the `known` ones."""
    if value not in known:
        raise CommandError(f"--{kind.replace('_', '-')}: {unknown(kind.replace('_', ' '), value, known)}")


def resolve(recipe, given, preset=None):
    """The settings of a run: what was given, over those of the preset, over the recipe's defaults.

    Args:
        recipe: module of a recipe, with `Settings`, `PRESETS` and `VARIANTS` (each variant's own preset).
        given: dict of the settings that were asked for.
        preset: name of a preset; by default that of the variant. "smoke", and what the recipe names in `LAID_OVER`,
            change the variant's own. A preset that is a variant's own brings the variant with it. What of a preset is
            its optimizer's (`OF_OPTIMIZER`) is left out if another one is given.
    """
    if preset is not None:
        require_one_of("preset", preset, recipe.PRESETS)
    variants = {own: variant for variant, own in reversed(recipe.VARIANTS.items())}
    variant = given.get("variant", variants.get(preset, recipe.Settings.variant))
    require_one_of("variant", variant, recipe.VARIANTS)
    laid_over = getattr(recipe, "LAID_OVER", (SMOKE,))
    values = recipe.PRESETS[recipe.VARIANTS[variant] if preset in (None, *laid_over) else preset]
    if given.get("optimizer", values.get("optimizer")) != values.get("optimizer"):
        values = {name: value for name, value in values.items() if name not in getattr(recipe, "OF_OPTIMIZER", ())}
    if preset in laid_over:
        values = values | recipe.PRESETS[preset]
    given = {"variant": variant, **given}
    return recipe.Settings(**(values | given))


def recorded(recipe, values):
    """The settings that a config.json holds.

    Args:
        recipe: module of a recipe.
        values: dict of all its settings.

    Raises:
        ValueError: one is missing, strange, of another type, or cannot be.
    """
    fields = {field.name: field for field in dataclasses.fields(recipe.Settings)}
    different = sorted(fields.keys() ^ values.keys())
    if different:
        raise ValueError(f"{different[0]} is {'missing' if different[0] in fields else 'no setting'}")
    for name, field in fields.items():
        if not _is_of(values[name], field.type):
            raise ValueError(f"{name} is {values[name]!r:.80}")
    try:
        return recipe.Settings(**values)
    except CommandError as error:
        raise ValueError(str(error)) from error


def _is_of(value, kind):
    kinds = (kind,) if isinstance(kind, type) else typing.get_args(kind)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))
