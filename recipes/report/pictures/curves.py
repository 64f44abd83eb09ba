"""The learning curves of a run."""

import pathlib

from matplotlib.figure import Figure

from recipes import run as runs
from recipes.errors import WorldError
from recipes.report.pictures.plain_text import plain_text
from recipes.report.pictures.scales import plain_powers

OF_LABELS = ("label_accuracy", "label accuracy")
OF_DISTANCES = (("distance", "generated images"), ("distance_floor", "real images (floor)"))
OF_OUTPUTS = (("real_output", "real images"), ("fake_output", "generated images"))
PANELS = (  # label, whether the scale may be logarithmic, columns and names of the lines
    ("losses", False, (("discriminator_loss", "discriminator"), ("generator_loss", "generator"))),
    ("Fréchet classifier distance", True, OF_DISTANCES),
    ("share", False, (("class_entropy", "entropy of classes"), ("confidence", "confidence"), OF_LABELS)),
    ("loss", True, (("loss", "training"), ("val_loss", "validation"))),
    ("accuracy", False, (("accuracy", "training"), ("val_accuracy", "validation"))),
    ("gradient norm", True, (("gradient_norm", "before clipping"), ("clipped_norm", "after clipping"))),
)
MORE_PANELS = (  # for pages only, which have more room
    ("output of the discriminator", False, OF_OUTPUTS),
    ("learning rate", False, (("learning_rate", "learning rate"),)),
    ("step along the direction", True, (("step_size", "of the last update"),)),
    ("share of clipped updates", False, (("clipped_share", "of all so far"),)),
)


@plain_text()
def curves(metrics, title):
    """Draw the learning curves of a run.

    Args:
        metrics: path of its metrics.csv, with a column `epoch`; those of the columns in `PANELS` that exist are drawn.
        title: str, the recipe and its data.

    Returns:
        A `matplotlib.figure.Figure` with a panel for each of `PANELS` that has values.
    """
    rows = runs.rows_of(metrics)
    found = panels(rows, PANELS)
    if not found:
        raise WorldError(f"{metrics} has no {'loss to draw' if rows else 'epoch, since none came to its end'}")
    figure = Figure(figsize=(4 * len(found), 3.4), dpi=120, layout="constrained")
    figure.suptitle(title)
    for axes, panel in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        draw(axes, panel, rows)
    return figure


def write_curves(directory, title):
    """Write the learning curves of a run to curves.png in its directory.

    Args:
        directory: path of the run.
        title: as in `curves`.

    Returns:
        The path of the picture.

    Raises:
        WorldError: the picture cannot be written, or metrics.csv is missing or damaged.
    """
    directory = pathlib.Path(directory)
    with runs.may_be_damaged(directory / runs.names.METRICS):
        figure = curves(directory / runs.names.METRICS, title)
    path = directory / runs.names.CURVES
    runs.write_file(path, figure.savefig)
    return path


def panels(rows, of):
    """Choose the panels for which rows of metrics.csv have values.

    Args:
        rows: list of dicts.
        of: `PANELS`, or other panels.
    """
    return [panel for panel in of if any(lines_of(panel, rows).values())]


def lines_of(panel, rows):
    """The lines of a panel: a dict from names to lists of `(pass, value)`, without epochs that have no value."""
    _, _, columns = panel
    return {
        name: [(int(row["epoch"]) + 1, float(row[column])) for row in rows if row.get(column)]
        for column, name in columns
        if rows and column in rows[0]
    }


def draw(axes, panel, rows):
    """Draw a panel.

    Args:
        axes: `matplotlib.axes.Axes`.
        panel: one of those that `panels` returns.
        rows: list of dicts, of metrics.csv.
    """
    label, may_be_log, _ = panel
    lines = {name: line for name, line in lines_of(panel, rows).items() if line}
    for name, line in lines.items():
        axes.plot(*zip(*line, strict=True), label=name, marker="." if len(line) < 3 else None)
    scale = "log" if may_be_log and _spans_a_decade(lines) else "linear"
    axes.set(xlabel="epoch", ylabel=label, yscale=scale)
    if scale == "log":
        plain_powers(axes.yaxis)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    if list(lines) != [label]:
        axes.legend(frameon=False)


def _spans_a_decade(lines):
    values = [value for line in lines.values() for _, value in line if value > 0]
    return bool(values) and max(values) >= 10 * min(values)
