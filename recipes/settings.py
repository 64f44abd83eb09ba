"""Settings of recipes: frozen dataclasses whose fields the command line offers as options."""

import dataclasses

from recipes.errors import CommandError
from recipes.nearest import unknown

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
