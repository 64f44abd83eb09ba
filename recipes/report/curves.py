import csv


def curves(metrics, title):
    """Draw the learning curves of a run.

    Args:
        metrics: path of its metrics.csv, with a column `epoch` and any of loss, accuracy, gradient_norm and the same of
            the validation part (`val_`) or after clipping (`clipped_norm`).
        title: str, what was trained and on what.

    Returns:
        A `matplotlib.figure.Figure`: a panel each for loss, accuracy, and the gradient's norm if it was recorded.
    """
    from matplotlib.figure import Figure

    with open(metrics, newline="") as file:
        rows = list(csv.DictReader(file))
    panels = [panel for panel in PANELS if any(column in rows[0] for column, _ in panel[2])]
    figure = Figure(figsize=(4 * len(panels), 3.4), dpi=120, layout="constrained")
    figure.suptitle(title)
    for axes, (label, may_be_log, columns) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        lines = {name: tuple(_line(rows, column)) for column, name in columns if column in rows[0]}
        for name, (passes, values) in lines.items():
            axes.plot(passes, values, label=name)
        scale = "log" if may_be_log and _spans_a_decade(lines) else "linear"
        axes.set(xlabel="passes over the training part", ylabel=label, yscale=scale)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def _line(rows, column):
    """`(passes, values)` of a column, which not all epochs need have."""
    return zip(*((int(row["epoch"]) + 1, float(row[column])) for row in rows if row[column]), strict=True)


def _spans_a_decade(lines):
    values = [value for _, line in lines.values() for value in line if value > 0]
    return bool(values) and max(values) >= 10 * min(values)


PANELS = (
    ("losses", False, (("discriminator_loss", "discriminator"), ("generator_loss", "generator"))),
    ("Fréchet classifier distance", True, (("distance", "average of the generator"),)),
    ("share", False, (("class_entropy", "entropy of classes"), ("confidence", "confidence"))),
    ("loss", True, (("loss", "training"), ("val_loss", "validation"))),
    ("accuracy", False, (("accuracy", "training"), ("val_accuracy", "validation"))),
    ("gradient norm", True, (("gradient_norm", "before clipping"), ("clipped_norm", "after clipping"))),
)
