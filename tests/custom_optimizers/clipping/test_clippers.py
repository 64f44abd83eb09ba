"""Every clipper: listed once, held to the same properties."""

import keras
import numpy as np
import optax
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm, ByNorm, ByValue, Clipper


def norm(arrays):
    return np.sqrt(sum(np.sum(np.square(np.asarray(a, "float64"))) for a in arrays))


def largest_norm(arrays):
    return max(norm([a]) for a in arrays)


def largest_entry(arrays):
    return max(np.max(np.abs(a)) for a in arrays)


CLIPPERS = [(ByValue, largest_entry), (ByNorm, largest_norm), (ByGlobalNorm, norm)]  # and what each bounds
entries = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)  # TensorFlow flushes those to 0
gradients = st.lists(st.lists(entries, min_size=1, max_size=5).map(np.float32), min_size=1, max_size=3)
limits = st.floats(1e-3, 1e3)


def clip(clipper, arrays):
    variables = [keras.Variable(np.zeros_like(a)) for a in arrays]
    clipped, state = clipper.clip([keras.ops.array(a) for a in arrays], variables, ())
    assert state == ()
    return [keras.ops.convert_to_numpy(g) for g in clipped]


@pytest.mark.parametrize(("cls", "bounded"), CLIPPERS)
@settings(max_examples=40, deadline=None)
@given(arrays=gradients, limit=limits)
def test_bound_is_kept_and_nothing_below_it_changes(cls, bounded, arrays, limit):
    clipped = clip(cls(limit), arrays)
    if bounded(arrays) <= limit * (1 - 1e-6):
        for before, after in zip(arrays, clipped, strict=True):
            np.testing.assert_array_equal(before, after)
    elif bounded(arrays) > limit:
        assert bounded(clipped) == pytest.approx(limit, rel=1e-5)
    assert norm(clipped) <= norm(arrays) * (1 + 1e-6)


@pytest.mark.parametrize("cls", [ByValue, ByNorm, ByGlobalNorm])
@settings(max_examples=20, deadline=None)
@given(arrays=gradients, limit=limits)
def test_twice_is_once(cls, arrays, limit):
    once = clip(cls(limit), arrays)
    for first, second in zip(once, clip(cls(limit), once), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)


def of_optax(transform):
    return lambda arrays: transform.update(arrays, transform.init(arrays))[0]


REFERENCES = [
    (ByValue, of_optax(optax.clip(1.5))),
    (ByNorm, lambda arrays: [tf.clip_by_norm(array, 1.5) for array in arrays]),
    (ByGlobalNorm, of_optax(optax.clip_by_global_norm(1.5))),
]


@pytest.mark.parametrize(("cls", "reference"), REFERENCES)
def test_agrees_with_optax_and_tensorflow(cls, reference):
    arrays = [np.float32([[3, -4], [0.5, 2]]), np.float32([10, -0.1]), np.float32([0.2])]
    for mine, other in zip(clip(cls(1.5), arrays), reference(arrays), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def test_by_norm_by_hand():
    clipped = clip(ByNorm(1.0), [np.float32([3, 4]), np.float32([0.3, 0.4])])
    np.testing.assert_allclose(clipped[0], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(clipped[1], np.float32([0.3, 0.4]))


@pytest.mark.parametrize("cls", [ByNorm, ByGlobalNorm])
@pytest.mark.parametrize("size", [1e30, 1e-30, 3e38])
def test_norms_beyond_the_square_root_of_float32(cls, size):
    """The sum of squares overflows or vanishes; the norm does not."""
    arrays = [np.float32([size, size / 2])]
    clipped = clip(cls(size / 10), arrays)
    assert norm(clipped) == pytest.approx(size / 10, rel=1e-5)


@pytest.mark.parametrize("cls", [ByNorm, ByGlobalNorm])
def test_float16_norms_are_taken_in_float32(cls):
    """A norm of 424 has a square beyond float16."""
    clipped = clip(cls(1.0), [np.float16([300, 300])])
    assert clipped[0].dtype == "float16"
    np.testing.assert_allclose(clipped[0], [0.707, 0.707], rtol=1e-3)


@pytest.mark.parametrize("cls", [ByValue, ByNorm, ByGlobalNorm])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_one_bad_entry_does_not_make_others_bad(cls, bad):
    arrays = [np.float32([bad, 1.0]), np.float32([2.0])]
    clipped = clip(cls(1.0), arrays)
    assert np.isfinite(clipped[0][1])
    assert np.isfinite(clipped[1][0])


@pytest.mark.parametrize("cls", [ByValue, ByNorm, ByGlobalNorm])
@pytest.mark.parametrize("limit", [0, -1.0, float("inf"), float("nan"), "1", True, None])
def test_limits_that_cannot_be_are_refused(cls, limit):
    with pytest.raises(ValueError, match="limit") as caught:
        cls(limit)
    assert cls.__name__ in str(caught.value)


@pytest.mark.parametrize("cls", [ByValue, ByNorm, ByGlobalNorm])
def test_config_round_trip(cls):
    config = keras.saving.serialize_keras_object(cls(0.5))
    assert config["registered_name"] == f"custom_optimizers>{cls.__name__}"
    assert keras.saving.deserialize_keras_object(config) == cls(0.5)
    assert cls(0.5) != cls(0.6)
    assert repr(cls(0.5)) == f"{cls.__name__}(limit=0.5)"


def test_clippers_are_applied_in_order():
    w = keras.Variable([0.0, 0.0])
    optimizer = BatchGD(1.0, clipping=[ByValue(1.0), ByGlobalNorm(1.0)])
    optimizer.apply([keras.ops.array([100.0, 1.0])], [w])
    np.testing.assert_allclose(w, [-(2**-0.5)] * 2, rtol=1e-6)
    w.assign([0.0, 0.0])
    other = BatchGD(1.0, clipping=[ByGlobalNorm(1.0), ByValue(1.0)])
    other.apply([keras.ops.array([100.0, 1.0])], [w])
    np.testing.assert_allclose(w, [-1.0, -0.01], rtol=1e-3)


@keras.saving.register_keras_serializable(package="tests")
class ByLargestSoFar(Clipper):
    """Scales the gradient by 1 over the largest norm so far, for tests of clippers with state and variables."""

    def initial_state(self, variables):
        return (keras.ops.zeros(()), keras.ops.zeros((), "int32"))

    def clip(self, gradients, variables, state):
        largest, count = state
        norm = keras.ops.sqrt(sum(keras.ops.sum(g**2) for g in gradients))
        largest = keras.ops.maximum(largest, norm)
        weights = sum(keras.ops.sum(keras.ops.abs(v)) for v in variables)
        return [g / largest * keras.ops.minimum(weights, 1.0) for g in gradients], (largest, count + 1)


def test_a_clipper_may_keep_state_and_see_the_variables():
    w = keras.Variable([5.0])
    optimizer = BatchGD(1.0, clipping=ByLargestSoFar())
    for gradient in (2.0, 1.0, 4.0):
        optimizer.apply([keras.ops.array([gradient])], [w])
    assert w.numpy()[0] == pytest.approx(5 - 1 - 0.5 - 1)
    assert [v.numpy() for v in optimizer._clipper_states[0]] == [4.0, 3]


def test_state_of_a_clipper_is_not_touched_by_a_skipped_update():
    w = keras.Variable([5.0])
    optimizer = BatchGD(1.0, clipping=ByLargestSoFar())
    optimizer.apply([keras.ops.array([2.0])], [w])
    optimizer.apply([keras.ops.array([np.nan])], [w])
    assert [v.numpy() for v in optimizer._clipper_states[0]] == [2.0, 1]
    assert w.numpy()[0] == 4.0
