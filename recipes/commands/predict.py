from recipes import classification
from recipes import data as sets
from recipes import run as runs
from recipes.commands.parser import add_command, add_saved_run
from recipes.errors import CommandError
from recipes.machine.backend import start_keras
from recipes.settings.quantities import percent

SHOWN = 3  # classes that are printed for an image


def add(commands, name):
    """Add the parser of `predict`."""
    parser = add_command(commands, name, _predict, "classify image files by a finished run")
    add_saved_run(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="+")


def _predict(asked):
    predict(runs.SavedRun(asked.run_dir, "predict"), asked.images)


def predict(run, paths):
    """Classify image files by a finished run, and print the most probable classes of each.

    Args:
        run: `recipes.run.SavedRun` of an image classifier.
        paths: paths of image files of any size.

    Raises:
        CommandError: the run is not one of an image classifier.
        WorldError: a file is not an image, or is damaged.
    """
    if not isinstance(run.recipe, classification.Classification):
        raise CommandError(f"{run.directory} is no run of an image classifier")
    start_keras(float64=run.recipe.needs_float64)
    import numpy as np

    model = run.model()
    images = np.stack([sets.read_image(path, model.input_shape[1:]) for path in paths])
    views = classification.each_view(model, images, run.recipe.test_time_augmentation, len(images))
    shares = classification.probabilities(classification.mean_of_views(views), run.recipe.loss)
    for path, share in zip(paths, shares, strict=True):
        best = np.argsort(-share)[:SHOWN]
        print(f"{path}: " + ", ".join(f"{run.data['classes'][i]} {percent(share[i])}" for i in best))
