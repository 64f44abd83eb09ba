"""The contents of the files of a run. Each function takes the directory of the run, a path."""

import pathlib

from recipes.run.files import finite_number, read_json, write_json
from recipes.run.names import CONFIG, MEMORY, METRICS, RESULT
from recipes.run.tables import rows_of


def config_of(directory):
    """The dict of settings with which the run was begun; None if it was not begun."""
    return read_json(pathlib.Path(directory, CONFIG))


def result_of(directory):
    """The result of the run, a dict; None if it has none. It may be that of fewer epochs than are asked for now."""
    return read_json(pathlib.Path(directory, RESULT))


def metrics_of(directory):
    """The logs of all epochs, a list of dicts of strings; an empty one if there are none yet."""
    return rows_of(pathlib.Path(directory, METRICS))


def peak_memory_of(directory):
    """The largest memory of the process that trained a run of a comparison, in MiB; None if it was not measured."""
    recorded = read_json(pathlib.Path(directory, MEMORY))
    return None if recorded is None else finite_number(recorded, "peak")


def write_peak_memory(directory, mebibytes):
    """Write down the largest memory of the process that trained a run, in MiB."""
    write_json(pathlib.Path(directory, MEMORY), {"peak": mebibytes})
