import pathlib

from recipes.errors import CommandError, WorldError
from recipes.run import read_json


class SavedRun:
    """A run that is done, as `evaluate`, `predict` and `export` take it.

    Args:
        directory: its directory.
        recipes: dict from the names of recipes to functions that import them.

    Raises:
        CommandError: there is no run, or it is not done.
    """

    def __init__(self, directory, recipes):
        self.directory = pathlib.Path(directory)
        config = read_json(self.directory / "config.json")
        if config is None:
            raise CommandError(f"{self.directory} holds no run (no config.json)")
        if not (self.directory / "model.keras").exists():
            raise CommandError(f"{self.directory} has no model.keras: the run is not done; train it to its end first")
        try:
            self.data = config.pop("trained_on")
            self.recipe = recipes[config.pop("recipe")]()
            self.settings = self.recipe.Settings(**config)
        except (KeyError, TypeError) as error:
            raise WorldError(f"{self.directory / 'config.json'} is damaged, or of another version: {error}") from error

    def model(self):
        """The trained model, loaded in safe mode."""
        import keras

        import custom_optimizers  # noqa: F401, whose classes the file names

        try:
            return keras.saving.load_model(self.directory / "model.keras")
        except Exception as error:  # Keras raises whatever a damaged file leads it to
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise WorldError(f"{self.directory / 'model.keras'} cannot be loaded: {reason}") from error
