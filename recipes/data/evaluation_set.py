import numpy as np

from recipes.data.folder import every_image, unreadable
from recipes.data.images import Images
from recipes.data.labelled import Labelled
from recipes.data.load import existing, labelled_set, tell_of_skipped
from recipes.errors import WorldError, first_of
from recipes.settings.images import check_data_name


def evaluation_set(name, classes, shape, data_dir=None, skip_broken=False):
    """Other images to judge a model by than those it was trained and tested on.

    Args:
        name: str as `load` takes it. Of a folder with a subfolder for each class all images are taken, of one with
            parts, and of a prepared set, the test part.
        classes: sequence of str, what the model tells apart. The images may be of some of them.
        shape: `(height, width, channels)` that images are brought to.
        data_dir: directory of tensorflow-datasets; by default its own.
        skip_broken: bool, whether images of a folder that cannot be read are left out, and a line says so.

    Returns:
        `Images` of the model's classes, with a test part alone.

    Raises:
        CommandError: `name` names no images.
        WorldError: the images are not there or are damaged, or one is of a class that the model does not know.
    """
    check_data_name(name)
    found, (x, y), origin = _named(name, shape, data_dir, skip_broken)
    if strange := [each for label, each in enumerate(found) if each not in classes and label in y]:
        raise WorldError(f"{name} has images of '{strange[0]}'; the model tells apart {first_of(list(classes))}")
    numbers = np.array([classes.index(each) if each in classes else -1 for each in found], np.int32)
    nothing = x[:0], numbers[:0]
    test = x, numbers[y]
    digest = Labelled(tuple(classes), nothing, test, {}).with_digest().digest
    return Images(name, tuple(classes), nothing, nothing, test, origin, digest)


def _named(name, shape, data_dir, skip_broken):
    """Names of the classes of a set, its images and labels, `(x, y)`, and where they come from, a dict."""
    if not name.startswith("folder:"):
        labelled = labelled_set(name, shape, data_dir).checked(name, shape)
        return labelled.classes, labelled.test, labelled.origin
    path = existing(name)
    classes, images, faults = every_image(path, shape)
    if faults and not skip_broken:
        raise unreadable(path, faults)
    tell_of_skipped(name, faults)
    if not len(images[1]):
        raise WorldError(f"no image of {path} can be read")
    return classes, images, {"folder": str(path), **({"skipped": faults} if faults else {})}
