import csv
import io

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular


def table(rows):
    """The text of a CSV file with a row for each dict. Columns are all keys, in the order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace").decode()  # bytes of paths that are not UTF-8


def rows_of(path):
    """The rows of a CSV file, a list of dicts of strings. It is empty if there is no such file.

    Raises:
        WorldError: the file cannot be read, or is damaged.
    """
    try:
        with io.TextIOWrapper(open_regular(path), "utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise WorldError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise WorldError(f"cannot read {path}: {one_line(error)}") from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise WorldError(f"{path} is damaged: line {number} has not as many cells as there are columns")
    return rows
