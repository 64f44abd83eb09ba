"""The sections of a page about a classifier's mistakes."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from recipes import classification
from recipes import run as runs
from recipes.report.page import Section, Table, picture_of_figure, picture_of_image
from recipes.report.pictures.plain_text import plain_text
from recipes.settings.quantities import percent

LARGEST = 128  # pixels of the longer side of an image that is shown
OF_MISTAKES = ("labels", "guesses", "confidences")  # arrays with a number for each mistake


def sections_of_confusion(directory, classes):
    """Yield sections on the classes that a model gives test images; none if the run has no confusion.npz.

    Args:
        directory: `pathlib.Path` of the run.
        classes: list of str, their names.

    Raises:
        WorldError: the file is damaged.
    """
    path = directory / runs.names.CONFUSION
    found = runs.read_arrays(path)
    if found is None:
        return
    with runs.may_be_damaged(path):
        counts, images = _checked_counts(found["counts"], classes), _as_pictures(found["images"])
    text = f"{counts.sum() - counts.trace()} of {counts.sum()} test images are taken for another class."
    yield Section(
        "Confusion matrix", [text], pictures=[_matrix(counts, classes)], tables=[_each_class(counts, classes)]
    )
    with runs.may_be_damaged(path):
        mistakes = list(_mistakes(found, images, classes))
    if mistakes:
        yield Section("Most confident mistakes", pictures=mistakes)


def _checked_counts(counts, classes):
    """The same counts; a ValueError unless there is a row and a column for each class."""
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"counts of the shape {counts.shape} for {len(classes)} classes")
    return counts


def _as_pictures(images):
    """An array of images `(n, height, width, 1 or 3)` as a list of `PIL.Image.Image`."""
    return [Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in images]


def _each_class(counts, classes):
    """The recall and the precision of each class, as a table; no precision where no image is taken for a class."""
    rows = [
        [name, found["images"], *("–" if share is None else percent(share) for share in _shares(found))]
        for name, found in classification.each_class(counts, classes).items()
    ]
    return Table(["class", "test images", "recall: found", "precision: right of those taken for it"], rows)


def _shares(found):
    return found["recall"], found["precision"]


@plain_text()
def _matrix(counts, classes):
    size = min(2 + 0.3 * len(classes), 12)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set(xlabel="predicted class", ylabel="true class", xticks=places, yticks=places, yticklabels=classes)
    axes.set_xticklabels(classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    if len(classes) <= 20:
        _write_counts(axes, counts, shares)
    right = "; ".join(f"{name} {share:.0%}" for name, share in zip(classes, shares.diagonal(), strict=True))
    about = "Confusion matrix: numbers of test images; a darker field is a larger share of its true class."
    return picture_of_figure(figure, f"{about} Recall: {right}", about)


def _write_counts(axes, counts, shares):
    """Write the number of images into each field of the matrix that is not empty."""
    for i, j in np.argwhere(counts):
        ink = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=ink)


def _mistakes(found, images, classes):
    parts = (found[name] for name in OF_MISTAKES)
    for picture, label, guess, confidence in zip(images, *parts, strict=True):
        picture.thumbnail((LARGEST, LARGEST))
        words = f"{classes[label]} taken for {classes[guess]}, {confidence:.0%}"
        yield picture_of_image(picture, words, words, shape="small")
