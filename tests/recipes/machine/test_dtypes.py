import keras
import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_gan import Cifar10GAN
from recipes.errors import CommandError
from recipes.machine import dtypes
from recipes.machine.strategies import Strategy

CPU, GPU, TPU = Strategy("cpu", ("CPU:0",)), Strategy("gpu", ("GPU:0",)), Strategy("tpu", ("TPU:0", "TPU:1"))


@pytest.mark.parametrize(
    ("devices", "backend", "flags", "capability", "expected"),
    [
        (CPU, "tensorflow", {"amx_bf16", "avx512_bf16"}, None, "bfloat16"),
        (CPU, "torch", {"avx512_bf16"}, None, "bfloat16"),
        (CPU, "jax", {"amx_bf16"}, None, "float32"),
        (CPU, "tensorflow", {"avx2"}, None, "float32"),
        (GPU, "jax", {"amx_bf16"}, (9, 0), "bfloat16"),
        (GPU, "tensorflow", set(), (8, 0), "bfloat16"),
        (GPU, "torch", set(), (7, 5), "float16"),
        (GPU, "torch", set(), (6, 1), "float32"),
        (GPU, "jax", set(), None, "float32"),
        (TPU, "jax", set(), None, "bfloat16"),
    ],
)
def test_the_rule(monkeypatch, devices, backend, flags, capability, expected):
    monkeypatch.setattr(dtypes, "processor_flags", lambda: flags)
    monkeypatch.setattr(dtypes, "_compute_capability", lambda backend: capability)
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    dtype, reason = dtypes.chosen_by_rule(devices)
    assert dtype == expected
    assert reason


def test_a_recipe_computes_in_its_own_dtypes_whatever_the_rule_says(monkeypatch):
    monkeypatch.setattr(dtypes, "_compute_capability", lambda backend: (7, 5))
    assert Cifar10CNN.dtypes == dtypes.COMPUTED
    assert dtypes.chosen_by_rule(GPU, Cifar10CNN.dtypes)[0] == "float16"
    dtype, reason = dtypes.chosen_by_rule(GPU, Cifar10GAN.dtypes)
    assert (dtype, reason) == ("float32", "GPU of compute capability 7.5; the recipe does not compute in float16")


def test_the_processor_s_flags_are_words():
    assert all(flag == flag.strip() and " " not in flag for flag in dtypes.processor_flags())


@pytest.mark.parametrize("dtype", dtypes.COMPUTED)
def test_layers_of_the_policy_compute_in_it(dtype):
    before = keras.config.dtype_policy()
    with dtypes.policy(dtype):
        layer = keras.layers.Dense(1)
    assert (layer.compute_dtype, layer.variable_dtype) == (dtype, "float32")
    assert keras.config.dtype_policy() is before


@pytest.mark.parametrize(
    ("text", "among", "said"),
    [
        ("bfloat", dtypes.COMPUTED, "--dtype: no dtype 'bfloat'; did you mean bfloat16"),
        ("float64", dtypes.COMPUTED, "--dtype: no dtype 'float64'; did you mean"),
        ("float16", ("float32", "bfloat16"), "--dtype float16: a_recipe computes in float32 and bfloat16"),
        ("float32", ("float64",), "--dtype float32: a_recipe computes in float64"),
        ("auto", ("float64",), "--dtype auto: a_recipe computes in float64"),
        ("probe", ("float64",), "--dtype probe: a_recipe computes in float64"),
        ("float128", ("float64",), "--dtype: no dtype 'float128'"),
    ],
)
def test_what_is_no_dtype_or_none_of_a_recipe(text, among, said):
    with pytest.raises(CommandError, match=said):
        dtypes.check_dtype(text, among, "a_recipe")


@pytest.mark.parametrize(
    ("text", "among"),
    [
        *((dtype, dtypes.COMPUTED) for dtype in dtypes.DTYPES),
        ("float64", ("float64",)),
        ("auto", ("float32", "bfloat16")),
    ],
)
def test_what_a_recipe_computes_in(text, among):
    dtypes.check_dtype(text, among, "a_recipe")
