"""Micro-batches equal the whole on the backend under test, in each number of devices and processes."""

import sys

import keras
import pytest

from benchmarks.exactness import BOUND, CELLS, cell
from benchmarks.exactness_cell import KERAS_ROW, MANY, ROWS, measure

ALONE = ("auto", 1)  # one device, one process
HERE = [
    pytest.param(name, marks=[pytest.mark.slow] * (tuple(where) != ALONE))
    for name, (backend, *where) in CELLS.items()
    if backend == keras.backend.backend()
]


def rows_of(name):
    """Those of a cell of the table, of few samples; several devices or processes need processes of their own."""
    if CELLS[name][1:] == ALONE:
        return measure("cpu", [117], [32])  # the one device that "auto" has here, whatever tests have made of it
    return cell(sys.executable, *CELLS[name], "997", "256")


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_cell_of_the_table(name):
    found = rows_of(name)
    ours = [*ROWS, *map(MANY.format, ROWS)]
    assert {row: found[row] for row in ours if not found[row] <= BOUND} == {}
    theirs = found[KERAS_ROW]
    assert isinstance(theirs, str) or theirs > 100 * BOUND  # the difference that the table would show
