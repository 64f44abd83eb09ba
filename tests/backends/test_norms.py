"""Norms at the ends of what a dtype holds, and of variables without entries, on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from custom_optimizers import BatchGD
from custom_optimizers.backend import backend_module
from custom_optimizers.clipping import AutoClip, ByGlobalNorm, Centralize, ZClip
from custom_optimizers.clipping.norms import global_norm
from tests.family import CLIPPERS, FAMILY

BACKEND = keras.backend.backend()
DTYPES = ("float32",) if BACKEND == "jax" else ("float32", "float64")  # JAX has float64 only where it is asked for
MANY = 10**6
NAN, INF = float("nan"), float("inf")


def array(values, dtype="float32"):
    return ops.convert_to_tensor(np.array(values, dtype))


def numbers(tensor):
    """A tensor or a variable as float64, also of bfloat16, which numpy does not have."""
    return np.asarray(ops.convert_to_numpy(tensor), "float64")


def largest(dtype):
    return float(np.finfo(dtype).max)


def smallest(dtype):
    """The smallest normal number."""
    return float(np.finfo(dtype).tiny)


def rooted(dtype):
    """A number whose square is the largest."""
    return largest(dtype) ** 0.5


ENTRIES = {  # (value of each entry, number of entries), of a dtype
    "largest": lambda dtype: (largest(dtype), 1),
    "two_of_nearly_the_largest": lambda dtype: (largest(dtype) / 1.5, 2),
    "many_large": lambda dtype: (largest(dtype) / 1.5e3, MANY),
    "squares_that_just_fit": lambda dtype: (rooted(dtype) / 1.1, 1),
    "squares_that_just_do_not": lambda dtype: (rooted(dtype) * 1.1, 1),
    "squares_that_fit_but_not_their_sum": lambda dtype: (rooted(dtype) / 30, MANY),
    "ones": lambda dtype: (1.0, 1000),
    "smallest": lambda dtype: (smallest(dtype), 1),
    "many_smallest": lambda dtype: (smallest(dtype), MANY),
    "squares_that_vanish_beside_others": lambda dtype: (smallest(dtype) ** 0.5 / 8, MANY),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES)
def test_a_norm_that_the_dtype_holds_is_right(entries, is_compiled, dtype):
    value, n = entries(dtype)
    found = (backend_module().compiled(global_norm) if is_compiled else global_norm)([array(np.full(n, value), dtype)])
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    np.testing.assert_allclose(numbers(found) / value, n**0.5, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_and_small_entries_together(dtype):
    large, small = largest(dtype) / 2, smallest(dtype) * 2
    assert numbers(global_norm([array([small, large], dtype), array([small], dtype)])) == large


NOT_HELD = [
    ([3e38, 3e38], INF),
    ([1e38] * 20, INF),
    ([INF, 1.0], INF),
    ([-INF, INF], INF),
    ([NAN, 1.0], NAN),
    ([NAN, 3e38], NAN),
    ([NAN, INF], NAN),
]


@pytest.mark.parametrize(("entries", "expected"), NOT_HELD, ids=str)
def test_a_norm_that_the_dtype_does_not_hold_is_not_finite(entries, expected):
    np.testing.assert_array_equal(numbers(global_norm([array(entries)])), expected)


@pytest.mark.parametrize("size", [1e30, 1e37, 8e37, 1e38, 2e38, 1e-30, 1e-36])
def test_by_global_norm_from_end_to_end(size):
    ((clipped,), _) = ByGlobalNorm(size / 10).clip([array([size, size / 2])], [None], ())
    np.testing.assert_allclose(numbers(clipped) / size, np.array([1, 0.5]) / 1.25**0.5 / 10, rtol=1e-5)


@pytest.mark.parametrize("case", CLIPPERS, ids=str)
def test_an_update_whose_norm_is_infinite_is_skipped(case):
    """Two finite entries, whose norm is 4.2e38: more than float32 holds."""
    optimizer, w = case.optimizer(), keras.Variable([1.0, 2.0])
    optimizer.apply([array([1.0, 2.0])], [w])
    kept = [w, *(each for state in optimizer._clipper_states for each in state)]
    before = [numbers(variable) for variable in kept]
    optimizer.apply([array([3e38, 3e38])], [w])
    recorded = optimizer.read_diagnostics()
    assert (recorded["updates"], recorded["skipped_updates"], recorded["gradient_norm"]) == (1, 1, INF)
    for variable, value in zip(kept, before, strict=True):
        np.testing.assert_array_equal(numbers(variable), value)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("case", FAMILY, ids=str)
def test_variables_without_entries_disturb_nothing(case):
    paths, empty = [], [(0, 3), (3, 0), (0,)]
    for shapes in ([(2, 2)], [(2, 2), *empty]):
        variables = [keras.Variable(np.ones(each), name=f"kernel_{i}") for i, each in enumerate(shapes)]
        optimizer, path = case.optimizer(diagnostics=True), []
        for gradient in ([1.0, -2.0, 0.5, 3.0], [2.0, -4.0, 1.0, 7.0]):
            optimizer.apply([array(np.reshape(gradient[: np.prod(each)], each)) for each in shapes], variables)
            path.append(numbers(variables[0]))
        paths.append(path)
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-6)
    assert (optimizer.read_diagnostics()["updates"], optimizer.read_diagnostics()["skipped_updates"]) == (2, 0)
    assert list(optimizer.read_variable_norms().values())[1:] == [0, 0, 0]


@pytest.mark.parametrize("case", FAMILY, ids=str)
def test_no_entries_at_all(case):
    optimizer, w = case.optimizer(diagnostics=True), keras.Variable(np.zeros((0, 3)), name="kernel")
    optimizer.apply([array(np.zeros((0, 3)))], [w])
    recorded = optimizer.read_diagnostics()
    assert (recorded["updates"], recorded["gradient_norm"], recorded["clipped_norm"]) == (1, 0, 0)


@pytest.mark.skipif("float64" not in DTYPES, reason="no float64")
@pytest.mark.parametrize("clipper", [AutoClip(100), ZClip(threshold=100.0, warmup=2)], ids=repr)
def test_what_is_kept_in_float32_clips_no_float64_by_rounding(clipper):
    state = tuple(map(ops.convert_to_tensor, clipper.initial_state([None])))
    for gradient in np.random.default_rng(0).normal(size=(20, 5)) * np.linspace(1, 1.2, 20)[:, None]:
        (clipped,), state = clipper.clip([array(gradient, "float64")], [None], state)
        np.testing.assert_array_equal(numbers(clipped), gradient)


@pytest.mark.skipif("float64" not in DTYPES, reason="no float64")
def test_a_norm_beyond_float32_does_not_spoil_the_percentile():
    clipper = AutoClip(50)
    state = tuple(map(ops.convert_to_tensor, clipper.initial_state([None])))
    for size in (1.0, 1e39, 2.0, 1e300):
        (clipped,), state = clipper.clip([array([size], "float64")], [None], state)
        assert np.isfinite(numbers(clipped))
    assert numbers(clipped) < largest("float32")


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", CLIPPERS, ids=str)
def test_short_floats_are_clipped_as_float32_and_stay_short(case, dtype):
    rng, shapes = np.random.default_rng(0), ((3, 2), (2,))
    variables = [keras.Variable(np.ones(shape), name="kernel") for shape in shapes]
    clipper = case.cls(**case.arguments)
    state = whole_state = tuple(map(ops.convert_to_tensor, clipper.initial_state(variables)))
    for size in (1, 2, 3, 1, 2, 30):
        gradients = [ops.cast(array(size * rng.normal(size=shape)), dtype) for shape in shapes]
        short, state = clipper.clip(gradients, variables, state)
        whole, whole_state = clipper.clip([ops.cast(g, "float32") for g in gradients], variables, whole_state)
        for one, other in zip(short, whole, strict=True):
            assert keras.backend.standardize_dtype(one.dtype) == dtype
            np.testing.assert_allclose(numbers(ops.cast(one, "float32")), numbers(other), rtol=1e-2, atol=1e-3)


def test_means_of_float16_do_not_vanish():
    """Of 4608 entries a summand of 1e-4 / 4608 is below the smallest float16."""
    gradient = ops.cast(array(np.full((4608, 2), 1e-4)), "float16")
    kernel = keras.Variable(np.ones((4608, 2)), name="kernel", dtype="float16")
    ((centred,), _) = Centralize().clip([gradient], [kernel], ())
    np.testing.assert_array_equal(numbers(centred), np.zeros((4608, 2)))


def test_what_is_clipped_is_recorded_where_squares_overflow():
    optimizer, w = BatchGD(1.0, clipping=ByGlobalNorm(1e30)), keras.Variable([0.0])
    optimizer.apply([array([2e38])], [w])
    recorded = optimizer.read_diagnostics()
    assert recorded["gradient_norm"] == pytest.approx(2e38, rel=1e-6)
    assert recorded["clipped_norm"] == pytest.approx(1e30, rel=1e-6)
    assert recorded["clipped_share"] == 1
    np.testing.assert_allclose(numbers(w), [-1e30], rtol=1e-6)
