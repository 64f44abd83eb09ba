from recipes.errors import CommandError
from recipes.settings.nearest import unknown


def objective_of(recipe, name=None):
    """The metric by which trials of a recipe are compared, and whether it is maximised or minimised.

    Args:
        recipe: `recipes.recipe.Recipe`, or its class.
        name: str, one of the recipe's `objectives`; None for the first.

    Returns:
        `(name, "max" or "min")`.

    Raises:
        CommandError: the recipe has no objectives, or none of that name.
    """
    known = recipe.objectives
    if not known:
        raise CommandError(
            f"{recipe.name()} can be trained, but not searched or compared: it has no `objectives`, figures of what is "
            "held out that trials are compared by"
        )
    if name is None:
        return next(iter(known.items()))
    if name not in known:
        raise CommandError(f"--metric: {unknown('metric', name, known)}")
    return name, known[name]
