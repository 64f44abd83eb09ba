import inspect
import textwrap

from recipes import run as runs
from recipes.commands.parser import add_command, add_json
from recipes.commands.recipe_name import named
from recipes.settings.fields import written


def add(commands, name):
    """Add the parser of `show`."""
    parser = add_command(commands, name, _show, "what a recipe is, and its settings")
    parser.add_argument("recipe", metavar="NAME", type=named)
    form = parser.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--verbose", action="store_true", help="a line for each setting, of other recipes' too")


def _show(asked):
    if asked.json:
        print(runs.text_of(described(asked.recipe)))
        return
    print(inspect.getdoc(asked.recipe))
    settings, own = asked.recipe.settings(), asked.recipe.own_settings()
    told = settings if asked.verbose else own
    if told:
        print("\nSettings:\n" if asked.verbose else "\nSettings of its own, or with a default of its own:\n")
    for name in told:
        print(f"    {name:28} {written(settings[name].default):20} {settings[name].described}")
    print("\nPresets:\n")
    for name, values in asked.recipe.presets.items():
        print(f"    {name:16} {_in_words(values)}{_whose(asked.recipe, name)}")
    if rest := {name: setting.default for name, setting in settings.items() if name not in told}:
        print("\nSettings that other recipes have, too (--verbose says what they are):\n")
        print(textwrap.indent(textwrap.fill(_in_words(rest), 112, break_on_hyphens=False), "    "))


def described(cls):
    """A recipe as a dict: what it is, its settings, its presets, and the preset of each variant.

    Args:
        cls: class of the recipe.
    """
    return {
        "about": inspect.getdoc(cls),
        "settings": {name: _setting(setting) for name, setting in cls.settings().items()},
        "presets": cls.presets,
        "variants": cls.variants,
    }


def _setting(setting):
    return {
        "default": setting.default,
        "help": setting.help,
        "range": setting.range,
        "changes": setting.changes,
        "optional": setting.is_optional,
    }


def _in_words(values):
    return ", ".join(f"{name}={written(value)}" for name, value in values.items()) or "the defaults"


def _whose(cls, preset):
    """The variants that a preset belongs to, in words."""
    variants = [variant for variant, own in cls.variants.items() if own == preset]
    return f" (of variant {', '.join(variants)})" if variants else ""
