"""timing.csv: the wall-clock seconds of each epoch."""

from recipes.run.files import may_be_damaged, write_file
from recipes.run.names import TIMING
from recipes.run.tables import rows_of, table


def write_seconds(directory, epochs, seconds):
    """Write the file.

    Args:
        directory: `pathlib.Path`.
        epochs, seconds: lists of the same length: numbers of the epochs, and their times.
    """
    rows = [{"epoch": epoch, "seconds": f"{each:.4f}"} for epoch, each in zip(epochs, seconds, strict=True)]
    write_file(directory / TIMING, lambda part: part.write_text(table(rows)))


def seconds_of(directory):
    """The seconds of each epoch, a list of floats. It is empty if there is no such file."""
    with may_be_damaged(directory / TIMING):
        return [float(row["seconds"]) for row in rows_of(directory / TIMING)]
