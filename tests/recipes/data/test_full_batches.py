import keras
import numpy as np
import pytest

from custom_optimizers import BatchGD
from recipes.data import full_batches
from tests.small import change, compiled, relative, samples, scope


def collected(batches):
    x, y, weights = zip(*([t.numpy() for t in b] for b in batches), strict=True)
    return np.concatenate(x), np.concatenate(y), np.concatenate(weights).reshape(-1)


@pytest.mark.parametrize("n", [1, 9, 10, 11, 97])
@pytest.mark.parametrize("batch_size", [1, 4, 10, 1000])
def test_every_sample_counts_alike_and_the_filling_not_at_all(n, batch_size):
    x = np.arange(n, dtype="int32")
    batches = full_batches(x, -x, batch_size)
    shapes = {tuple(len(t) for t in batch) for batch in batches}
    assert shapes == {(min(batch_size, n),) * 3}
    assert len(batches) == -(-n // min(batch_size, n))
    rows, targets, weights = collected(batches)
    np.testing.assert_array_equal(rows[:n], x)
    np.testing.assert_array_equal(targets, -rows)
    assert set(rows[n:]) <= set(x)  # real rows
    np.testing.assert_allclose(weights, np.where(np.arange(len(rows)) < n, len(rows) / n, 0), rtol=1e-6)


@pytest.mark.parametrize(("n", "shapes"), [(20, [8, 8, 4]), (23, [8, 8, 8, 3]), (16, [8, 8]), (3, [3])])
def test_blocks_are_whole_and_the_rest_is_a_batch_of_its_own(n, shapes):
    """Blocks of four in batches of eight: what fills a batch is a whole block of weight 0."""
    batches = list(full_batches(np.arange(n), np.arange(n), 8, block_size=4))
    wanted = [8 if size == 4 else size for size in shapes]
    assert [len(x) for x, _, _ in batches] == wanted
    rows, _, weights = collected(batches)
    np.testing.assert_allclose(np.bincount(rows, weights, minlength=n), sum(wanted) / n, rtol=1e-6)
    whole = weights[: len(weights) - n % 4].reshape(-1, 4)
    assert set(map(tuple, whole > 0)) <= {(True,) * 4, (False,) * 4}


def test_weights_of_ones_own_and_sums():
    weights = np.arange(5.0)
    mean = collected(full_batches(np.arange(5), np.arange(5), 2, sample_weight=weights))[2]
    total = collected(full_batches(np.arange(5), np.arange(5), 2, sample_weight=weights, reduction="sum"))[2]
    np.testing.assert_allclose(mean, [0, 1.2, 2.4, 3.6, 4.8, 0])
    np.testing.assert_allclose(total, [0, 1, 2, 3, 4, 0])


def test_weights_may_have_more_axes():
    ((_, _, weights),) = full_batches(np.arange(3), np.arange(3), 3, sample_weight=np.ones((3, 1, 1)))
    assert weights.shape == (3, 1, 1)


def test_lists_become_tuples():
    (batch,) = full_batches(np.arange(6), [np.arange(6), np.arange(6)], 6)
    assert isinstance(batch[1], tuple)


def test_structures():
    x = {"a": np.arange(6), "b": np.arange(12).reshape(6, 2)}
    (batch,) = full_batches(x, (np.arange(6), np.arange(6)), 6)
    assert batch[0]["b"].shape == (6, 2)
    assert len(batch[1]) == 2


def test_images_stay_as_they_are():
    (batch,) = full_batches(np.zeros((4, 2, 2, 3), "uint8"), np.zeros(4, "int32"), 4)
    assert [t.dtype.name for t in batch] == ["uint8", "int32", "float32"]


def test_equal_weights_suffice():
    """The correction is in the weights: windows of one pass are exact without any callback."""
    x, y = samples(97)
    ours = compiled(lambda: BatchGD(0.1, gradient_accumulation_steps=10))
    ours.fit(full_batches(x, y, 10), epochs=2, shuffle=False, verbose=0)
    theirs = compiled(lambda: keras.optimizers.SGD(0.1))
    theirs.fit(x, y, batch_size=97, epochs=2, shuffle=False, verbose=0)
    assert relative(change(ours), change(theirs)) < 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"batch_size": 5, "replicas": 2}, "Use a multiple of 2, such as batch_size=4"),
        ({"batch_size": 1, "replicas": 2}, "batch_size=2"),
        ({"y": np.arange(9)}, "same number of samples"),
        ({"x": np.arange(0), "y": np.arange(0)}, "at least one"),
        ({"sample_weight": np.ones(3)}, "same number of samples"),
        ({"batch_size": 6, "block_size": 4}, "multiples of 4, such as batch_size=4"),
        ({"batch_size": 8, "block_size": 4, "replicas": 2}, "cannot share the last 2 of 10 samples"),
        ({"block_size": 0}, "block_size"),
        ({"replicas": 0}, "replicas"),
        ({"y": None}, "must be arrays"),
        ({"y": 1.0}, "must be arrays"),
        ({"reduction": "max"}, "reduction"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    arguments = {"x": np.arange(10), "y": np.arange(10), "batch_size": 4, **change}
    with pytest.raises(ValueError, match=said) as caught:
        full_batches(**arguments)
    assert "full_batches" in str(caught.value)


def test_takes_the_replicas_of_the_strategy():
    with scope(devices=2), pytest.raises(ValueError, match="2 replicas"):
        full_batches(np.arange(10), np.arange(10), 3)
