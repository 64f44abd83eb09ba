"""Every clipper: properties, and agreement with optax, TensorFlow and the formulas of the papers."""

import json

import keras
import numpy as np
import optax
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_optimizers import BatchGD
from custom_optimizers.clipping import (
    AGC,
    AdaGC,
    AutoClip,
    ByBlockRMS,
    ByGlobalNorm,
    ByNorm,
    ByValue,
    Centralize,
    Clipper,
    Normalize,
    Soft,
    ZClip,
)
from custom_optimizers.clipping.norms import global_norm
from tests import references
from tests.family import CLIPPERS


def norm(arrays):
    return np.sqrt(sum(np.sum(np.square(np.asarray(a, "float64"))) for a in arrays))


def largest_norm(arrays):
    return max(norm([a]) for a in arrays)


def largest_entry(arrays):
    return max(np.max(np.abs(a)) for a in arrays)


def largest_rms(arrays):
    return max(norm([a]) / a.size**0.5 for a in arrays)


def largest_ratio(arrays):
    """Of a gradient's norm to that of weights of 1, which `clip` has: each array is one unit."""
    return max(norm([a]) / a.size**0.5 for a in arrays)


BOUNDED = [  # and what each bounds
    (ByValue, largest_entry),
    (ByNorm, largest_norm),
    (ByGlobalNorm, norm),
    (ByBlockRMS, largest_rms),
    (AGC, largest_ratio),
]
entries = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)  # TensorFlow flushes those to 0
gradients = st.lists(st.lists(entries, min_size=1, max_size=5).map(np.float32), min_size=1, max_size=3)
limits = st.floats(1e-3, 1e3)


def clip(clipper, arrays):
    return clip_all(clipper, [arrays])[0]


def clip_all(clipper, sequence):
    """Each of several lists of gradients, one an update; the weights are 1."""
    variables = [keras.Variable(np.ones_like(a), name="kernel") for a in sequence[0]]
    for patterns in clipper.patterns:
        patterns.match([v.path for v in variables])
    state, clipped = clipper.initial_state(variables), []
    for arrays in sequence:
        state = tuple(keras.ops.convert_to_tensor(s) for s in state)
        after, state = clipper.clip([keras.ops.array(a) for a in arrays], variables, state)
        clipped.append([keras.ops.convert_to_numpy(g) for g in after])
    return clipped


@pytest.mark.slow_cases("AGC-largest_ratio")
@pytest.mark.parametrize(("cls", "bounded"), BOUNDED)
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


@pytest.mark.slow_cases("ByBlockRMS-largest_rms", "ByNorm-largest_norm")
@pytest.mark.parametrize(("cls", "bounded"), BOUNDED)
@settings(max_examples=20, deadline=None)
@given(arrays=gradients, limit=limits)
def test_twice_is_once(cls, bounded, arrays, limit):
    once = clip(cls(limit), arrays)
    for first, second in zip(once, clip(cls(limit), once), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.slow_cases("ByNorm")
@pytest.mark.parametrize("case", CLIPPERS, ids=str)
@settings(max_examples=15, deadline=None)
@given(
    sequence=st.lists(st.lists(entries, min_size=3, max_size=3).map(np.float32), min_size=1, max_size=8),
    size=st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_no_norm_is_raised_and_what_is_finite_stays_finite(case, sequence, size):
    sequence = [[a * np.float32(size), a[:1] * np.float32(size)] for a in sequence]
    for before, after in zip(sequence, clip_all(case.cls(**case.arguments), sequence), strict=True):
        assert all(np.isfinite(g).all() for g in after)
        if case.cls is not Normalize:
            assert norm(after) <= norm(before) * (1 + 1e-5)


positive = st.floats(2**-6, 2**6, width=32)
OVER_TIME = [
    (AutoClip(30), references.auto_clip(30)),
    (AutoClip(30, window=3), None),
    (ZClip(1.0, decay=0.9, warmup=3), references.z_clip(1.0, 0.9, 3)),
    (AdaGC(warmup=3), references.ada_gc(1.0, 1.05, 0.98, 3)),
]


@pytest.mark.parametrize(("clipper", "reference"), OVER_TIME, ids=[repr(clipper) for clipper, _ in OVER_TIME])
@settings(max_examples=10, deadline=None)
@given(sequence=st.lists(st.lists(positive, min_size=2, max_size=2).map(np.float32), min_size=5, max_size=12))
def test_bounds_that_move_follow_their_formulas(clipper, reference, sequence):
    clipped, history = clip_all(clipper, [[a] for a in sequence]), []
    for i, array in enumerate(sequence):
        if reference is None:  # only the latest three norms count
            recent = [norm([a]) for a in sequence[max(0, i - 2) : i + 1]]
            expected = references.to_norm(array, np.percentile(recent, 30))
        else:
            expected = reference(array.astype("float64"), None, history)
        np.testing.assert_allclose(clipped[i][0], expected, rtol=1e-3)


def test_normalize_gives_length_1_and_soft_stays_below_its_limit():
    arrays = [np.float32([3, 4]), np.float32([12])]
    assert norm(clip(Normalize(), arrays)) == pytest.approx(1)
    assert [norm([a]) for a in clip(Normalize("variable"), arrays)] == pytest.approx([1, 1])
    assert norm(clip(Soft(2.0), arrays)) == pytest.approx(13 / (1 + 13 / 2))
    assert clip(Normalize(), [np.zeros(2, "float32")])[0].tolist() == [0, 0]


def test_agc_lets_weights_leave_zero():
    """The norm of a unit counts as `eps` at least: a gradient of length 5 becomes one of 0.1 * 0.02."""
    variable = keras.Variable(np.zeros((2, 1)), name="kernel")
    (clipped,), _ = AGC(0.1, eps=0.02).clip([keras.ops.array([[3.0], [4.0]])], [variable], ())
    np.testing.assert_allclose(clipped, [[0.0012], [0.0016]], rtol=1e-6)


def test_agc_leaves_alone_what_is_excluded():
    variables = [keras.Variable(np.ones((2, 2)), name=name) for name in ("stem_kernel", "head_kernel")]
    optimizer = BatchGD(1.0, clipping=AGC(0.1, exclude=["head"]))
    optimizer.apply([keras.ops.ones((2, 2))] * 2, variables)
    np.testing.assert_allclose(variables[0], np.full((2, 2), 0.9), rtol=1e-6)
    np.testing.assert_allclose(variables[1], np.zeros((2, 2)))
    with pytest.raises(ValueError, match="`exclude`: 'haed' matches none"):
        BatchGD(1.0, clipping=AGC(0.1, exclude=["haed"])).build(variables)


UNITS = [  # (layer, shape of its input, axes within a unit)
    (keras.layers.Dense(3), (4,), (0,)),
    (keras.layers.Conv1D(3, 2), (5, 4), (0, 1)),
    (keras.layers.Conv2D(3, 2), (5, 5, 4), (0, 1, 2)),
    (keras.layers.Conv3D(3, 2), (3, 3, 3, 2), (0, 1, 2, 3)),
    (keras.layers.Conv2DTranspose(3, 2), (5, 5, 4), (0, 1, 3)),
    (keras.layers.DepthwiseConv2D(3), (5, 5, 4), (0, 1)),
    (keras.layers.Embedding(7, 3), (), (1,)),
    (keras.layers.Conv2D(3, 2, name="patch_embedding"), (5, 5, 4), (0, 1, 2)),
    (keras.layers.Conv2D(3, 2, name="transposed_block"), (5, 5, 4), (0, 1, 2)),
    (keras.layers.Dense(3, name="embedding_model"), (4,), (0,)),
]


@pytest.mark.parametrize(("layer", "shape", "axes"), UNITS, ids=lambda value: getattr(value, "name", None))
def test_units_are_those_of_keras_layers(layer, shape, axes):
    layer.build((None, *shape))
    variable = layer.trainable_variables[0]
    g = np.random.default_rng(0).normal(size=variable.shape).astype("float32")
    centred, _ = Centralize().clip([keras.ops.array(g)], [variable], ())
    np.testing.assert_allclose(centred[0], g - g.mean(axis=axes, keepdims=True), atol=1e-6)
    clipped, _ = AGC(1e-6).clip([keras.ops.array(g)], [variable], ())
    norms = np.sqrt(np.sum(np.square(clipped[0]), axis=axes))
    weights = np.sqrt(np.sum(np.square(keras.ops.convert_to_numpy(variable)), axis=axes))
    np.testing.assert_allclose(norms, 1e-6 * np.maximum(weights, 1e-3), rtol=1e-4)


def test_variables_without_a_gradient_do_not_disturb_those_with_one():
    a, b = keras.Variable([1.0, 1.0], name="a"), keras.Variable([1.0], name="b")
    optimizer = BatchGD(1.0, clipping=[AdaGC(warmup=1), AutoClip(100)])
    optimizer.build([a, b])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([keras.ops.array([0.3, 0.4]), None], [a, b])
    optimizer.apply([keras.ops.array([0.3, 0.4]), keras.ops.array([0.5])], [a, b])
    np.testing.assert_allclose(b, [0.5], rtol=1e-6)  # its first gradient is not clipped to an average of 0


def of_optax(transform):
    return lambda arrays: transform.update(arrays, transform.init(arrays))[0]


def agc_of_optax(arrays):
    transform, weights = optax.adaptive_grad_clip(0.5), [np.ones_like(a) for a in arrays]
    return transform.update(arrays, transform.init(weights), weights)[0]


def centred_by_optax(arrays):
    """optax takes means over all axes but the first, where torch has the units."""
    turned = [np.moveaxis(a, -1, 0) for a in arrays]
    return [np.moveaxis(a, 0, -1) for a in of_optax(optax.centralize())(turned)]


REFERENCES = [
    (ByValue(1.5), of_optax(optax.clip(1.5))),
    (ByNorm(1.5), lambda arrays: [tf.clip_by_norm(array, 1.5) for array in arrays]),
    (ByGlobalNorm(1.5), of_optax(optax.clip_by_global_norm(1.5))),
    (ByBlockRMS(1.5), of_optax(optax.clip_by_block_rms(1.5))),
    (AGC(0.5), agc_of_optax),
    (Normalize(eps=1e-6), of_optax(optax.normalize_by_update_norm(eps=1e-6))),
    (Centralize(), centred_by_optax),
]


@pytest.mark.parametrize(
    ("clipper", "reference"), REFERENCES, ids=lambda value: getattr(value, "__name__", repr(value))
)
def test_agrees_with_optax_and_tensorflow(clipper, reference):
    """50 times, on gradients of every size."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = 10 ** rng.uniform(-2, 2)
        arrays = [size * rng.normal(size=shape).astype("float32") for shape in ((3, 3, 2, 4), (2, 3), (5,), (1,))]
        arrays = [a.astype("float32") for a in arrays]
        for mine, other in zip(clip(clipper, arrays), reference(arrays), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6 * size)


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_of_short_floats_are_float32(dtype):
    """A sum of 4099 is none of these types."""
    norm = global_norm([keras.ops.ones((4099,), dtype)])
    assert norm.dtype == "float32"
    assert float(norm) == pytest.approx(4099**0.5, rel=1e-6)


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


OF_NUMPY = [  # a clipper of numbers of NumPy, and the same of Python's
    (AutoClip(np.int32(10), np.int64(5)), AutoClip(10, 5)),
    (ZClip(np.float64(2), np.float16(0.5), np.int64(3)), ZClip(2, 0.5, 3)),
    (AdaGC(np.int64(2), warmup=np.uint8(7)), AdaGC(2, warmup=7)),
    (ByNorm(np.float32(0.5)), ByNorm(0.5)),
    (AGC(np.float32(0.5), eps=np.int64(1)), AGC(0.5, eps=1)),
]


@pytest.mark.parametrize(("theirs", "ours"), OF_NUMPY, ids=repr)
def test_numbers_of_numpy_become_those_of_python(theirs, ours):
    assert json.dumps(keras.saving.serialize_keras_object(theirs)) == json.dumps(
        keras.saving.serialize_keras_object(ours)
    )
    assert repr(theirs) == repr(ours)


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


def test_a_subclass_may_clip_in_another_way():
    class ToNothing(ByGlobalNorm):
        def clip(self, gradients, variables, state):
            return [g * 0 for g in gradients], state

    w = keras.Variable([5.0])
    BatchGD(1.0, clipping=ToNothing(1.0)).apply([keras.ops.array([3.0])], [w])
    assert w.numpy() == [5.0]


def test_statistics_survive_a_norm_whose_square_overflows():
    sequence = [[np.float32([1e25])], *[[np.float32([1.0])]] * 150, [np.float32([1000.0])]]
    assert clip_all(ZClip(warmup=2, decay=0.5), sequence)[-1][0] < 1000


def test_a_gradient_too_large_to_go_with_the_rate_is_skipped_and_told():
    w = keras.Variable([5.0])
    optimizer = BatchGD(1e-3, momentum=0.9, clipping=ByGlobalNorm(1.0))
    optimizer.apply([keras.ops.array([1e37])], [w])
    assert (w.numpy(), optimizer.read_diagnostics()["skipped_updates"]) == ([5.0], 1)
    optimizer.apply([keras.ops.array([1e30])], [w])
    np.testing.assert_allclose(w, [4.999], rtol=1e-6)
