import dataclasses

from recipes.errors import CommandError
from recipes.settings.beside_search import check_given


@dataclasses.dataclass(frozen=True)
class Contender:
    """What is compared with others: its name, and its settings where they differ from those of all.

    Args:
        label: str, unique.
        settings: dict.
    """

    label: str
    settings: dict

    def of(self, recipe):
        """The recipe of the contender, made of the one that all begin from.

        Settings that mean something else for each optimizer are at their defaults unless they are the contender's own.
        Those of all that have no effect beside the line search of its optimizer are left out.

        Raises:
            CommandError: its settings do not fit together.
        """
        defaults = {name: each.default for name, each in recipe.settings().items() if each.of_optimizer}
        try:
            found = dataclasses.replace(recipe, **{**defaults, **self.settings})
            check_given(found, self.settings)
            return found
        except CommandError as error:
            raise CommandError(f"{self.label}: {error}") from error

    @property
    def directory(self):
        """The name of the directory of its trainings."""
        return "".join(c if c.isalnum() or c in "-_.=" else "_" for c in self.label)
