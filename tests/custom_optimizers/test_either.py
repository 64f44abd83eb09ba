"""Arithmetic with a few numbers: the same with NumPy and with tensors."""

import math

import numpy as np
import pytest
from keras import ops

from custom_optimizers import either

UPPER = np.array([[2.0, 1.0, 3.0], [0.0, 4.0, -1.0], [0.0, 0.0, 0.5]], "float32")
ROW = np.array([1.0, -2.0, 3.0], "float32")
ONE, TWO = np.float32(1), np.float32(2)
OF_A_SUM = UPPER, TWO, ONE, UPPER[:2, :2] + UPPER[:2, :2].T, UPPER[:2]
SAME = {
    "where": (lambda a, b: either.where(a < b, a, b), (ONE, TWO)),
    "where of a vector": (lambda a, b: either.where(a < b, a, b), (ROW, 0 * ROW)),
    "larger": (either.larger, (ONE, TWO)),
    "smaller": (either.smaller, (ONE, TWO)),
    "clip": (either.clip, (np.float32(7), ONE, TWO)),
    "sqrt": (either.sqrt, (TWO,)),
    "sign": (either.sign, (-TWO,)),
    "zeros": (either.zeros_like, (ROW,)),
    "stack": (lambda a, b: either.stack([a, b, 3], a), (ONE, TWO)),
    "unstack": (lambda v: either.unstack(v)[1], (ROW,)),
    "take": (lambda m, i: either.take(m, i, axis=1), (UPPER, np.array([2, 0]))),
    "positions": (either.positions, (UPPER,)),
    "transpose": (either.transpose, (UPPER,)),
    "dot": (either.dot, (UPPER, ROW)),
    "dot of vectors": (either.dot, (ROW, ROW)),
    "dot of matrices": (either.dot, (UPPER, UPPER.T.copy())),
    "reshape": (lambda m: either.reshape(m, (-1,)), (UPPER,)),
    "sum": (either.sum_of, (UPPER,)),
    "joined": (lambda m, n: either.joined([m, n], axis=1), (UPPER, UPPER.T)),
    "rows": (lambda a, b: either.side_by_side([a, b]), (ROW, 2 * ROW)),
    "columns": (lambda a, b: either.side_by_side([a, b], axis=1), (ROW, 2 * ROW)),
    "with a row": (lambda m, r, i: either.with_row(1 * m, i, r, i > 0), (UPPER, ROW, np.int32(2))),
    "without a row": (lambda m, r, i: either.with_row(1 * m, i, r, i < 0), (UPPER, ROW, np.int32(2))),
    "added": (lambda *values: either.added_if(values[0] > 0, 1 * values[1], *values[2:]), (ONE, *OF_A_SUM)),
    "not added": (lambda *values: either.added_if(values[0] < 0, 1 * values[1], *values[2:]), (ONE, *OF_A_SUM)),
}


@pytest.mark.parametrize("name", SAME)
def test_numpy_and_tensors_agree(name):
    function, values = SAME[name]
    by_numpy = function(*values)
    by_tensors = function(*map(ops.convert_to_tensor, values))
    assert isinstance(by_numpy, either.NUMPY)
    assert not isinstance(by_tensors, either.NUMPY)
    np.testing.assert_allclose(ops.convert_to_numpy(by_tensors), by_numpy, rtol=1e-6)


def test_numbers():
    assert either.number(3).dtype == "float64"
    assert either.number(ONE) is ONE
    assert either.cast(True, ONE) == 1
    assert either.cast(True, ONE).dtype == "float32"
    assert either.clip(np.float32(math.nan), ONE, TWO) == 1
    assert either.chosen(np.bool_(False), (1, 2), (3, 4)) == (3, 4)
    assert either.unless(np.bool_(True), lambda: 1 / 0, 7) == 7
    assert either.unless(np.bool_(False), lambda: 3, 7) == 3
    assert either.unless(ops.convert_to_tensor(True), lambda: 3, 7) == 3
    assert not either.isfinite(np.float64(math.inf))
