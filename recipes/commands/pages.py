"""What commands leave for readers in the directory of what has ended, whatever it was and even if it diverged.

A picture or a page that cannot be written undoes nothing: the run is done.
"""

import pathlib

from recipes import report
from recipes import run as runs
from recipes.errors import one_line
from recipes.machine.backend import start_keras
from recipes.machine.strategies import is_one_of_several
from recipes.report import words
from recipes.run import names


def write_curves(directory):
    """Write the learning curves of a run, and say where; only the first of several processes still has it."""
    if pathlib.Path(directory).exists():
        _say("learning curves", directory, names.CURVES, _curves)


def write_page(directory):
    """Write the page of a run, a search or a comparison, and say where; several processes write none."""
    if not is_one_of_several():
        _say("report", directory, names.REPORT, lambda directory: report.write_report([directory]))


def write_card(directory, is_kept=True):
    """Write the model card of a run, and say where; several processes write none.

    Args:
        directory: of the run.
        is_kept: bool, whether one that is newer than the result is left as it is.
    """
    if not is_one_of_several():
        _say("model card", directory, names.MODEL_CARD, report.write_model_card, is_kept)


def _curves(directory):
    start_keras(touch=False)  # which what writes files imports, and without what TensorFlow writes to the terminal
    return report.write_curves(directory, words.title_of(runs.read_directory(directory)))


def _say(what, directory, name, write, is_kept=True):
    """Say where a file is that is newer than the result, unless it is not kept, or write it."""
    try:
        path = pathlib.Path(directory, name)
        print(f"{what.capitalize()}: {path if is_kept and _is_newer(path) else write(directory)}")
    except Exception as error:  # whatever it is, the run is done
        print(f"No {what}: {one_line(error)}")


def _is_newer(path):
    """Whether a file was written after the result in its directory, so that Keras need not be started for it again."""
    result = path.with_name(names.RESULT)
    return path.exists() and result.exists() and path.stat().st_mtime_ns >= result.stat().st_mtime_ns
