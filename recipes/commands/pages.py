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


def write_curves(directory):
    """Write the learning curves of a run, and say where; only the first of several processes still has it."""
    if pathlib.Path(directory).exists():
        start_keras(touch=False)  # which what writes files imports, and without what TensorFlow writes to the terminal
        _say("learning curves", lambda: report.write_curves(directory, words.title_of(runs.read_directory(directory))))


def write_page(directory):
    """Write the page of a run, a search or a comparison, and say where; several processes write none."""
    if not is_one_of_several():
        _say("report", lambda: report.write_report([directory]))


def write_card(directory):
    """Write the model card of a run, and say where; several processes write none."""
    if not is_one_of_several():
        _say("model card", lambda: report.write_model_card(directory))


def _say(name, write):
    try:
        print(f"{name.capitalize()}: {write()}")
    except Exception as error:  # whatever it is, the run is done
        print(f"No {name}: {one_line(error)}")
