"""What a page says of a classifier's mistakes."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.report.page import Section, drawn, pixels
from recipes.report.pictures.plain_text import plain_text

LARGEST = 128  # pixels of a mistake's longer side
NAMES = ("counts", "labels", "guesses", "confidences")


def sections_of_confusion(directory, classes):
    """Yield sections on what test images are taken for; nothing for a run without confusion.npz.

    Args:
        directory: `pathlib.Path` of the run.
        classes: list of str, their names.

    Raises:
        WorldError: the file is damaged.
    """
    path = directory / "confusion.npz"
    if not path.exists():
        return
    found, images = _read(path, len(classes))
    counts = found["counts"]
    text = f"{counts.sum() - counts.trace()} of {counts.sum()} test images are taken for another class."
    yield Section("Confusion matrix", [text], pictures=[_matrix(counts, classes)])
    mistakes = list(_mistakes(found, images, classes))
    if mistakes:
        yield Section("Most confident mistakes", pictures=mistakes)


def _read(path, classes):
    """What the file says of so many classes: a dict of arrays, and the mistakes, a list of `PIL.Image.Image`."""
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in NAMES}
            images = [Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in file["images"]]
        if found["counts"].shape != (classes, classes):
            raise ValueError(f"counts of the shape {found['counts'].shape} for {classes} classes")
        return found, images
    except Exception as error:  # whatever NumPy and Pillow make of a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error


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
    about = "Confusion matrix: numbers of test images, the darker the larger a share of their class."
    return drawn(figure, f"{about} Recall: {right}", about)


def _write_counts(axes, counts, shares):
    """Write the number of images into each field of the matrix that has any."""
    for i, j in np.argwhere(counts):
        ink = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=ink)


def _mistakes(found, images, classes):
    parts = (found[name] for name in NAMES[1:])
    for picture, label, guess, confidence in zip(images, *parts, strict=True):
        picture.thumbnail((LARGEST, LARGEST))
        words = f"{classes[label]} taken for {classes[guess]}, {confidence:.0%}"
        yield pixels(picture, words, words, shape="small")
