import csv
import io

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular


def table(rows):
    """Dicts as the text of a CSV file; its columns are all their keys, in the order of their first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace").decode()  # bytes of paths that are no text


def rows_of(path):
    """The rows of a CSV file, dicts; none if it is not there.

    Raises:
        WorldError: it cannot be read.
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
