import csv
import itertools
import pathlib
import sys

from recipes import classification
from recipes import data as sets
from recipes import run as runs
from recipes.commands.aside import aside
from recipes.commands.parser import add_command, add_json, add_saved_run
from recipes.errors import CommandError, WorldError, first_of
from recipes.machine.backend import start_keras
from recipes.settings.quantities import counted, percent

SHOWN = 3  # classes that are told of an image
AT_ONCE = 256  # images in memory


def add(commands, name):
    """Add the parser of `predict`."""
    parser = add_command(commands, name, _predict, "classify image files by a finished run")
    add_saved_run(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="a file, or a directory for all images under it")
    parser.add_argument("--top", metavar="K", type=int, default=SHOWN, help=f"classes that are told of each ({SHOWN})")
    form = parser.add_mutually_exclusive_group()
    add_json(form)
    form.add_argument("--csv", action="store_true", help="as CSV: path, class_1, probability_1, class_2, …")


def _predict(asked):
    if asked.top < 1:
        raise CommandError(f"--top must be at least 1; it is {asked.top}")
    tell = _tell_in_csv if asked.csv else _tell
    with aside(asked.json):
        run = runs.SavedRun(asked.run_dir, "predict")
        found, unread = [], {}
        for each in predicted(run, asked.images, asked.top, unread):
            found.append(each)
            if not asked.json:
                tell(*each, is_first=len(found) == 1)
    if asked.json:
        print(runs.text_of({"images": [_as_dict(*each) for each in found], "unread": unread}))
    if unread:
        count = len(found) + len(unread)
        why = first_of(list(unread.values()))
        raise WorldError(f"{len(unread)} of {counted(count, 'image')} could not be read: {why}")


def predicted(run, paths, top, unread):
    """Classify image files by a finished run.

    Args:
        run: `recipes.run.SavedRun` of an image classifier.
        paths: list of paths of image files of any size, or of directories for all images under them.
        top: int, how many of the most probable classes are wanted.
        unread: dict that gets what cannot be read: a line of why for each path.

    Yields:
        `(path, best)` for each image that can be read, where `best` is a list of `(class, probability)`.

    Raises:
        CommandError: the run is not one of an image classifier.
        WorldError: there is no image in a directory.
    """
    if not isinstance(run.recipe, classification.Classification):
        raise CommandError(f"{run.directory} is no run of an image classifier")
    files = list(_files(paths))
    start_keras(float64=run.recipe.needs_float64)
    model, classes = run.model(), run.data["classes"]
    read = _read(files, model.input_shape[1:], unread)
    while part := list(itertools.islice(read, AT_ONCE)):
        for (path, _), share in zip(part, _shares(run, model, [image for _, image in part]), strict=True):
            best = (-share).argsort()[:top]
            yield path, [(classes[i], float(share[i])) for i in best]


def _files(paths):
    """The image files of paths, those under directories too."""
    for path in paths:
        if not pathlib.Path(path).is_dir():
            yield path
            continue
        found = sets.image_files(path)
        if not found:
            raise WorldError(f"there is no image under {path} ({' '.join(sets.ENDINGS)})")
        yield from map(str, found)


def _read(paths, shape, unread):
    for path in paths:
        try:
            yield path, sets.read_image(path, shape)
        except WorldError as error:
            unread[path] = str(error)


def _shares(run, model, images):
    """The probability of each class for each image, `(images, classes)`."""
    import numpy as np

    views = classification.each_view(model, np.stack(images), run.recipe.test_time_augmentation, len(images))
    return classification.probabilities(classification.mean_of_views(views), run.recipe.loss)


def _tell(path, best, is_first):
    print(f"{path}: " + ", ".join(f"{name} {percent(share)}" for name, share in best), flush=True)


def _tell_in_csv(path, best, is_first):
    writer = csv.writer(sys.stdout)
    if is_first:
        numbers = range(1, len(best) + 1)
        writer.writerow(["path", *itertools.chain(*((f"class_{i}", f"probability_{i}") for i in numbers))])
    writer.writerow([path, *itertools.chain(*((name, f"{share:.6g}") for name, share in best))])


def _as_dict(path, best):
    return {"path": path, "best": [{"class": name, "probability": share} for name, share in best]}
