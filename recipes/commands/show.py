import inspect

from recipes import run as runs
from recipes.commands.parser import add_command, add_json
from recipes.commands.recipe_name import named
from recipes.settings.fields import written


def add(commands, name):
    """Add the parser of `show`."""
    parser = add_command(commands, name, _show, "what a recipe is, and its settings")
    parser.add_argument("recipe", metavar="NAME", type=named)
    add_json(parser)


def _show(asked):
    if asked.json:
        print(runs.text_of(described(asked.recipe)))
        return
    print(inspect.getdoc(asked.recipe))
    print("\nSettings:\n")
    for name, setting in asked.recipe.settings().items():
        print(f"    {name:28} {written(setting.default):20} {setting.described}")
    print("\nPresets:\n")
    for name, values in asked.recipe.presets.items():
        print(f"    {name:16} {_in_words(values)}{_whose(asked.recipe, name)}")


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
    return ", ".join(f"{name}={written(value)}" for name, value in values.items()) or "the settings above"


def _whose(cls, preset):
    """The variants that a preset belongs to, in words."""
    variants = [variant for variant, own in cls.variants.items() if own == preset]
    return f" (of variant {', '.join(variants)})" if variants else ""
