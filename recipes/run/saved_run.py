import pathlib

from recipes.errors import CommandError, WorldError
from recipes.run.run import read_json
from recipes.run.saved_model import load_model
from recipes.settings.resolve import recorded

COMMANDS = ("evaluate", "predict", "export")  # that a recipe's finished run is for, unless it says otherwise


class SavedRun:
    """A run that is done, as `evaluate`, `predict` and `export` take it.

    Args:
        directory: its directory.
        recipes: dict from the names of recipes to functions that import them.
        command: str, what the run is taken for.

    Raises:
        CommandError: what is there is nothing for that command: a search, for instance.
        WorldError: there is no run, it is not done, or its files are damaged.
    """

    def __init__(self, directory, recipes, command):
        self.directory = pathlib.Path(directory)
        config = read_json(self.directory / "config.json")
        if config is None:
            raise WorldError(f"{self.directory} holds no run (no config.json)")
        if "tuner" in config:
            raise CommandError(f"{self.directory} holds a search; train its best by the command that it ended with")
        if "judged_on" in config:
            raise CommandError(f"{self.directory} holds a trial of a search, which has no model; train it by `train`")
        if "seeds" in config:
            raise CommandError(f"{self.directory} holds the runs of several seeds; give one, such as {self._first()}")
        try:
            self.data = dict(config.pop("trained_on"))
            name = config.pop("recipe")
            self.recipe = recipes[name]()
            for other in ("backend", "strategy", "dtype"):
                config.pop(other)
            self.settings = recorded(self.recipe, config)
            _check_images(self.data)
        except (KeyError, TypeError, ValueError) as error:
            raise WorldError(f"{self.directory / 'config.json'} is damaged, or of another version: {error}") from error
        known = getattr(self.recipe, "COMMANDS", COMMANDS)
        if command not in known:
            raise CommandError(f"{command}: a run of {name} takes {', '.join(known)}")
        result = read_json(self.directory / "result.json") or {}
        if result.get("of") != {"epochs": self.settings.epochs} or not (self.directory / "model.keras").exists():
            raise WorldError(f"the run in {self.directory} is not done; train it to its end first")

    def _first(self):
        return min(self.directory.glob("seed-*"), default=self.directory / "seed-0")

    @property
    def data_dir(self):
        """Where the images were when the run was trained."""
        return (self.data.get("origin") or {}).get("data_dir")

    def model(self):
        """The trained model, loaded in safe mode."""
        return load_model(self.directory / "model.keras", getattr(self.recipe, "CLASSES", ()))


def _check_images(data):
    """Raise a ValueError unless what a run has written down of its images is what `Images.about` gives."""
    classes, origin = data.get("classes", []), data.get("origin", {})
    if not isinstance(classes, list) or not all(isinstance(each, str) for each in classes):
        raise ValueError("the classes are no list of names")
    if not isinstance(origin, dict) or not isinstance(origin.get("data_dir", ""), str):
        raise ValueError("it does not say where the images were")
