import inspect

from recipes.commands.keras_session import start_keras
from recipes.errors import WorldError


def evaluate(run, data_dir=None):
    """Judge a finished run once more on its test part, and print the result.

    Args:
        run: `SavedRun`.
        data_dir: where its images are, if they have moved.

    Raises:
        WorldError: the images are not there, or are others than the run was trained on.
    """
    start_keras(dtype=run.recipe.DTYPE)
    data = run.recipe.load(run.settings, data_dir or run.data_dir)
    if data.about()["digest"] != run.data.get("digest"):
        raise WorldError(f"{run.directory} was trained on other images than those of {data.about()['name']} now")
    files = {"directory": run.directory} if "directory" in inspect.signature(run.recipe.judge).parameters else {}
    result = run.recipe.judge(run.model(), run.settings, data, **files)
    for name, value in result.items():
        print(f"{name:28} {value:.6g}" if isinstance(value, float) else f"{name:28} {value}")
