import dataclasses
import json
import os
import pathlib
import time

from recipes.errors import WorldError


class Run:
    """The directory of one execution of a recipe.

    Holds config.json (every setting), metrics.csv (a row added each epoch), curves.png, model.keras and result.json.
    All but metrics.csv are written beside their place and then moved there, so that none is ever half there.

    Args:
        recipe: str, name of the recipe.
        settings: its dataclass of settings.
        directory: where to; by default runs/RECIPE/DATE-TIME under the current directory. It is made here, and
            refused if it holds anything.

    Raises:
        WorldError: the directory cannot be made or is not empty.
    """

    def __init__(self, recipe, settings, directory=None):
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.directory = pathlib.Path(directory or pathlib.Path("runs", recipe, stamp))
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            taken = any(self.directory.iterdir())
        except OSError as error:
            raise WorldError(f"no run directory at {self.directory}: {error.strerror}") from error
        if taken:
            raise WorldError(f"{self.directory} holds a run already; give another --run-dir")
        self.write_json("config.json", {"recipe": recipe, **dataclasses.asdict(settings)})

    def callbacks(self):
        """Callbacks for `fit` that record the run."""
        import keras

        return [keras.callbacks.CSVLogger(self.directory / "metrics.csv")]

    def save(self, model, title):
        """Save the trained model and the picture of its learning curves."""
        from recipes.report import curves

        self._replace("model.keras", model.save)
        figure = curves(self.directory / "metrics.csv", title)
        self._replace("curves.png", figure.savefig)

    def write_json(self, name, content):
        text = json.dumps(content, indent=2) + "\n"
        self._replace(name, lambda path: pathlib.Path(path).write_text(text))

    def _replace(self, name, write):
        """Write a file whole or not at all; `write` gets a path with the same ending."""
        part = self.directory / f"part-{os.getpid()}-{name}"
        try:
            write(part)
            os.replace(part, self.directory / name)
        except OSError as error:
            raise WorldError(f"cannot write {self.directory / name}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
