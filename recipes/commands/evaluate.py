import inspect

from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras


def evaluate(run, data_dir=None, inception=None, generated=10_000):
    """Judge a finished run once more on its test part.

    Args:
        run: `SavedRun`.
        data_dir: where its images are, if they have moved.
        inception: path of the weights that FID and KID of a GAN are taken with; None: they are not.
        generated: int >= 2, images that are generated for them.

    Returns:
        A dict, as the recipe's `judge` gives it.

    Raises:
        CommandError: there is nothing to take FID of.
        WorldError: the images are not there, or are others than the run was trained on; there is no file `inception`.
    """
    if inception is not None and not hasattr(run.recipe, "inception"):
        raise CommandError(f"--inception is for GANs; {run.directory} has none")
    start_keras(dtype=run.recipe.DTYPE)
    inception = None if inception is None else run.recipe.inception(inception)
    data = run.recipe.load(run.settings, data_dir or run.data_dir)
    if data.about()["digest"] != run.data.get("digest"):
        raise WorldError(f"{run.directory} was trained on other images than those of {data.about()['name']} now")
    files = {"directory": run.directory} if "directory" in inspect.signature(run.recipe.judge).parameters else {}
    model = run.model()
    result = run.recipe.judge(model, run.settings, data, **files)
    if inception is not None:
        result |= inception.distances(model, data, generated)
    return result
