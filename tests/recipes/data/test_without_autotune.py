import numpy as np
import pytest

from recipes.data import ShuffledBatches, evaluation_batches, full_batches

x, y = np.arange(7, dtype="int32"), np.arange(7, dtype="int64")
PIPELINES = {
    "full batches": lambda: full_batches(x, y, 3),
    "full batches in blocks": lambda: full_batches(x, y, 4, block_size=2),
    "evaluation": lambda: evaluation_batches(x, y, 3)["x"],
    "shuffled": lambda: ShuffledBatches(x, y, 3, seed=0).dataset(),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_no_pipeline_is_tuned_by_a_thread(name):
    """TensorFlow waits for that thread at the end of every epoch."""
    assert PIPELINES[name]().options().autotune.enabled is False


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_batches_of_an_evaluation_hold_each_sample_once(batch_size):
    batches = [tuple(part.numpy() for part in batch) for batch in evaluation_batches(x, y, batch_size)["x"]]
    assert [len(rows) for rows, _ in batches] == [len(part) for part in np.split(x, range(batch_size, 7, batch_size))]
    for part, whole in zip(map(np.concatenate, zip(*batches, strict=True)), (x, y), strict=True):
        np.testing.assert_array_equal(part, whole)
        assert part.dtype == whole.dtype
