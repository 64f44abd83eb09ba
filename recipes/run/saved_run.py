from recipes.errors import CommandError, WorldError
from recipes.run.directory import read_directory
from recipes.run.exports import model_hash
from recipes.run.names import CONFIG, MODEL
from recipes.run.saved_model import load_model
from recipes.run.seed_directories import first_of_seeds

INSTEAD = {  # by kind of a directory: why it has no model, and what to do
    "search": "a search; train its best by the command that it ended with",
    "trial": "a trial of a search, which has no model; train it by `train`",
    "comparison": "a comparison; give one of its runs, such as {first}",
    "seeds": "the runs of several seeds; give one, such as {first}",
}


class SavedRun:
    """A run that is done, for commands that use its model. They write nothing to its directory, except exports.

    Args:
        directory: path of the run.
        command: str, name of the command that uses it.

    Raises:
        CommandError: the directory cannot be used by that command, such as that of a search.
        WorldError: there is no run, it is not done, or its files are damaged.
    """

    def __init__(self, directory, command):
        found = read_directory(directory)
        self.directory, self.recipe = found.directory, found.recipe
        if found.kind != "run":
            instead = INSTEAD[found.kind].format(first=first_of_seeds(self.directory))
            raise CommandError(f"{self.directory} holds {instead}")
        self.data = _checked_images(self.directory, found.config.get("trained_on"))
        known = self.recipe.commands
        if command not in known:
            raise CommandError(f"{command}: a run of {self.recipe.name()} takes {', '.join(known)}")
        if found.is_done and found.result.get("outcome") == "diverged":
            raise WorldError(f"the run in {self.directory} diverged, and has left no model")
        if not found.is_done or not (self.directory / MODEL).exists():
            raise WorldError(f"the run in {self.directory} is not done; train it to its end first")
        self._made = {}
        self.unwritten = {}  # arrays that a run writes, by the names of their files: this one is done

    @property
    def data_dir(self):
        """The directory of prepared image sets when the run was trained; None if the images come from elsewhere."""
        return (self.data.get("origin") or {}).get("data_dir")

    def model(self, name=MODEL):
        """Load a model of the run in safe mode."""
        return load_model(self.directory / name)

    def model_hash(self):
        """The SHA-256 of the file of its model, in hexadecimal digits."""
        return model_hash(self.directory)

    def once(self, name, make):
        """The result of `make()`, which is called only the first time that a name is given."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def write(self, name, write):
        """Write nothing: the run is done."""

    def write_arrays(self, name, **arrays):
        """Keep arrays in `unwritten`, and write nothing: the run is done."""
        self.unwritten[name] = arrays


def _checked_images(directory, data):
    """The dict that a run recorded about its images. Raises a WorldError unless it is as from `Images.about`."""
    wrong = None
    if not isinstance(data, dict):
        wrong = "it does not say what was trained on"
    elif not isinstance(data.get("classes", []), list) or not all(isinstance(c, str) for c in data.get("classes", [])):
        wrong = "the classes are no list of names"
    elif not isinstance(data.get("origin", {}), dict) or not isinstance(
        data.get("origin", {}).get("data_dir", ""), str
    ):
        wrong = "it does not say where the images were"
    if wrong is not None:
        raise WorldError(f"{directory / CONFIG} is damaged, or of another version: {wrong}")
    return data
