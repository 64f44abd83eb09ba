"""A model of a run in another format, and the record of which model.keras it was made from."""

import contextlib
import hashlib
import pathlib
import shutil
import tempfile

from recipes.machine.leaving import cleaned_up
from recipes.run.files import read_json, write_json
from recipes.run.names import EXPORTED, EXPORTS, MODEL, PART


def export_path(directory, form):
    """Where the exported model is.

    Args:
        directory: `pathlib.Path` of the run.
        form: str, one of `EXPORTS`.
    """
    return directory / EXPORTS[form]


def model_hash(directory):
    """The SHA-256 of the file of the model of a run, in hexadecimal digits."""
    with open(directory / MODEL, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_export_of(directory, form, model_hash):
    """Whether the exported model was made from the model with this hash: a run that goes on has another one later."""
    return (read_json(directory / EXPORTED) or {}).get(form) == model_hash


@contextlib.contextmanager
def new_export(directory, form, model_hash):
    """Yield the path to export a model to. It is moved into the run's directory unless the block raises.

    What was exported there before is replaced then.

    Args:
        directory: `pathlib.Path` of the run.
        form: str, one of `EXPORTS`.
        model_hash: str, SHA-256 of the run's model.
    """
    for left in directory.glob(f"{PART}*/"):  # by a process that was killed while it exported
        shutil.rmtree(left, ignore_errors=True)
    part, place = tempfile.mkdtemp(dir=directory, prefix=PART), export_path(directory, form)
    with cleaned_up(lambda: shutil.rmtree(part, ignore_errors=True)):
        made = pathlib.Path(part, EXPORTS[form])
        yield made
        if place.exists():
            place.rename(pathlib.Path(part, "before"))
        exported = read_json(directory / EXPORTED) or {}
        # before the move: a kill in between leaves an export that is missing, and none of another model
        write_json(directory / EXPORTED, {**exported, form: model_hash})
        shutil.move(made, place)
