"""Recipes by name: those of this package, and `module:Class` of anybody's."""

import importlib
import inspect
import pathlib
import pkgutil

from recipes.errors import CommandError, WorldError, one_line
from recipes.machine.backend import import_foreign
from recipes.recipe import Recipe, missing_methods
from recipes.settings.nearest import unknown

NO_RECIPES = ("__main__", "errors", "find", "recipe")  # modules beside the recipes of this package


def names():
    """The names of the recipes of this package: its modules that are one."""
    found = pkgutil.iter_modules([str(pathlib.Path(__file__).parent)])
    return [module.name for module in found if not module.ispkg and module.name not in NO_RECIPES]


def importable():
    """The classes of the recipes of this package, a dict by name, and one line for each module that is none."""
    classes, faults = {}, []
    for name in names():
        try:
            classes[name] = find(name)
        except CommandError as error:
            faults.append(str(error))
    return classes, faults


def find(name):
    """The class of a recipe.

    Args:
        name: str, one of `names()`, or `module:Class` of a module that can be imported from here.

    Raises:
        CommandError: there is none of that name, or it is no recipe.
    """
    module, colon, cls = name.partition(":")
    if colon:
        return _foreign(name, module, cls)
    if name not in names():
        raise CommandError(unknown("recipe", name, names(), otherwise="one of your own is written module:Class"))
    try:
        return _own(importlib.import_module(f"{__package__}.{name}"))
    except CommandError:
        raise
    except Exception as error:  # of a recipe that is being written
        raise CommandError(f"{name}.py cannot be imported: {type(error).__name__}: {one_line(error)}") from error


def _own(module):
    """The recipe of a module of this package: the last class in it that lacks nothing."""
    mine = [each for each in vars(module).values() if _is_recipe(each) and each.__module__ == module.__name__]
    whole = [each for each in mine if not missing_methods(each)]
    if not whole:
        raise CommandError(f"{module.__file__} is no recipe: it has no subclass of recipes.recipe.Recipe")
    return whole[-1]


def _is_recipe(thing):
    return inspect.isclass(thing) and issubclass(thing, Recipe) and thing is not Recipe


def _foreign(name, module, cls):
    try:
        found = getattr(import_foreign(module), cls, None)
    except (CommandError, WorldError):
        raise
    except (Exception, SystemExit) as error:  # whatever code that is not ours does when it is imported
        raise CommandError(f"recipe {name}: {type(error).__name__}: {one_line(error)}") from error
    if not _is_recipe(found):
        what = "not there" if found is None else "no subclass of recipes.recipe.Recipe"
        where = "; it was defined in a notebook or a script" if module == "__main__" else ""
        raise CommandError(f"recipe {name}: {cls or 'the name of its class'} is {what}{where}")
    if missing := missing_methods(found):
        raise CommandError(f"recipe {name}: {cls} is what recipes are made of, and has no method `{missing[0]}`")
    return found
