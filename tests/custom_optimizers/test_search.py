"""What an optimizer with a search tells of it."""

import keras
import numpy as np
import pytest

from custom_optimizers import LBFGS, BatchGD
from custom_optimizers.minimizer import COUNTS, FLAT, NO_DECREASE, NOT_FINITE, STALLED

SENTENCES = {
    NO_DECREASE: "no decrease along the steepest descent: at the limit of float32",
    NOT_FINITE: "the loss or its gradient is not finite where the search begins",
    FLAT: "the gradient is zero",
    STALLED: "no lower loss at the last 60 evaluations: at the limit of float32",
}


@pytest.mark.parametrize("reason", SENTENCES)
@pytest.mark.parametrize("make", [LBFGS, lambda: BatchGD(0.1, line_search="barzilai_borwein")])
def test_each_reason_is_a_sentence(make, reason):
    optimizer = make()
    optimizer.build([keras.Variable(np.ones(3, "float32"))])
    counts = [{"evaluations": 7, "reason": reason}.get(name, 0) for name in COUNTS]
    optimizer.search.variables["counts"].assign(np.array(counts, "int32"))
    assert optimizer.search.read()["reason"] == SENTENCES[reason]


def test_a_rule_says_by_itself_why_it_ends():
    optimizer = BatchGD(0.1, line_search="polyak")
    optimizer.build([keras.Variable(np.ones(3, "float32"))])
    counts = [{"evaluations": 7, "reason": NO_DECREASE}.get(name, 0) for name in COUNTS]
    optimizer.search.variables["counts"].assign(np.array(counts, "int32"))
    said = optimizer.search.read()["reason"]
    assert said == "the loss is at `lowest`, or not finite along the steepest descent"
