"""The section of a page about the solution of an equation: the solution, its error and its residual."""

import numpy as np
from matplotlib.figure import Figure

from recipes import run as runs
from recipes.report.page import Section, picture_of_figure
from recipes.report.pictures.colours import COLOURS
from recipes.report.pictures.plain_text import plain_text


def sections_of_fields(directory):
    """Yield a section with pictures of a solution over one or two coordinates; none if the run has no fields.npz.

    Args:
        directory: `pathlib.Path` of the run.

    Raises:
        WorldError: the file is damaged.
    """
    path = directory / runs.names.FIELDS
    found = runs.read_arrays(path)
    if found is None:
        return
    with runs.may_be_damaged(path):
        names = [str(each) for each in found["coordinates"]]
        axes = [found[f"axis_{i}"] for i in range(len(names))]
        if len(names) > 2:
            return
        pictures = [_picture(title, field, names, axes) for title, field in _fields(found).items()]
    yield Section("Solution", pictures=pictures)


def _fields(found):
    solution, reference = found["solution"], found["reference"]
    return {"Solution": solution, "Error": solution - reference, "Residual": found["residual"]}


@plain_text()
def _picture(title, field, names, axes):
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    draw = _line if len(names) == 1 else _map
    draw(figure, title, field, names, axes)
    at = np.unravel_index(np.abs(field).argmax(), field.shape)
    place = ", ".join(f"{name} = {axis[i]:.3g}" for name, axis, i in zip(names, axes, at, strict=True))
    words = f"{title} from {field.min():.3g} to {field.max():.3g}, largest at {place}"
    return picture_of_figure(figure, words, words)


def _line(figure, title, field, names, axes):
    axis = figure.subplots()
    axis.plot(axes[0], field, color=COLOURS[0])
    axis.set(xlabel=names[0], ylabel=title.lower())


def _map(figure, title, field, names, axes):
    """Colours from blue to red around zero; the first coordinate goes upwards, the second to the right."""
    axis, most = figure.subplots(), np.abs(field).max() or 1.0
    extent = (axes[1][0], axes[1][-1], axes[0][0], axes[0][-1])
    image = axis.imshow(field, cmap="RdBu_r", vmin=-most, vmax=most, origin="lower", extent=extent, aspect="auto")
    axis.set(xlabel=names[1], ylabel=names[0], title=title)
    figure.colorbar(image, ax=axis)
