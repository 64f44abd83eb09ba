"""Micro-batches equal the whole on the backend under test, in each number of devices and processes."""

import sys

import keras
import pytest

from benchmarks.exactness import BOUND, CELLS, cell
from benchmarks.exactness_cell import KERAS_ROW, ROWS

BACKEND = keras.backend.backend()


@pytest.mark.parametrize("name", [name for name, (backend, *_) in CELLS.items() if backend == BACKEND])
def test_cell_of_the_table(name):
    found = cell(sys.executable, *CELLS[name], "997", "256")
    assert {row: found[row] for row in ROWS if not found[row] <= BOUND} == {}
    theirs = found[KERAS_ROW]
    assert isinstance(theirs, str) or theirs > 100 * BOUND  # the difference that the table would show
