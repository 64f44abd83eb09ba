"""The precision that a training computes in, by name: `--dtype`. Weights and sums of gradients are float32 in each.

`auto` is a rule on what the hardware says of itself, the same on every start:

| devices | dtype |
|---|---|
| TPU | bfloat16 |
| GPU of compute capability 8.0 and up | bfloat16 |
| GPU of compute capability 7.0 and up | float16 |
| processor with AMX or AVX-512 for bfloat16, on TensorFlow and torch | bfloat16 |
| any other | float32 |

`probe` trains a few batches in each and takes the fastest; float16 on GPUs only. A recipe that does not compute in all
of them computes in float32 where the rule says another.
"""

import contextlib

from recipes.errors import CommandError
from recipes.machine.processor import processor_flags
from recipes.settings.nearest import unknown

DTYPES = ("auto", "float32", "bfloat16", "float16", "probe")
COMPUTED = ("float32", "bfloat16", "float16")
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
FLAGS = ("amx_bf16", "avx512_bf16")  # of processors that multiply bfloat16 matrices


def check_dtype(text, among, owner):
    """Raise a CommandError if `--dtype` has no such value, or none for a recipe.

    Args:
        text: str, what was given.
        among: dtypes that the recipe computes in.
        owner: str, name of the recipe.
    """
    if text in among:
        return
    if text not in DTYPES:
        raise CommandError(f"--dtype: {unknown('dtype', text, DTYPES)}")
    if len(among) == 1 or text in COMPUTED:
        raise CommandError(f"--dtype {text}: {owner} computes in {' and '.join(among)}")


def chosen_by_rule(strategy, among=COMPUTED):
    """What `auto` stands for on the devices of a `recipes.machine.strategies.Strategy`: `(dtype, reason)`.

    Where the hardware is best at a dtype that isn't `among` those of the recipe, it is float32.
    """
    dtype, reason = _by_rule(strategy)
    return (dtype, reason) if dtype in among else ("float32", f"{reason}; the recipe does not compute in {dtype}")


def _by_rule(strategy):
    import keras

    backend = keras.backend.backend()
    if strategy.name == "tpu":
        return "bfloat16", "TPU"
    capability = _compute_capability(backend) if is_gpu(strategy.devices[0]) else None
    if capability is not None:
        dtype = "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else "float32"
        return dtype, "GPU of compute capability {}.{}".format(*capability)
    flags = [flag for flag in FLAGS if flag in processor_flags()]
    if flags and backend in ("tensorflow", "torch"):
        return "bfloat16", f"the processor has {flags[0]}"
    return "float32", f"the processor has {flags[0]}, which JAX does not use" if flags else "no hardware for less"


def policy(dtype):
    """Context in which Keras makes layers that compute in `dtype`."""
    return _policy(POLICIES[dtype]) if dtype in POLICIES else contextlib.nullcontext()


@contextlib.contextmanager
def _policy(name):
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def floatx(name):
    """Context in which Keras's default for floats is another dtype: that of losses and metrics of what is compiled."""
    import keras

    before = keras.config.floatx()
    keras.config.set_floatx(name)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def is_gpu(device):
    """Whether this is the name of a GPU, on any backend."""
    return device.lower().startswith(("gpu", "cuda"))


def _compute_capability(backend):
    """`(major, minor)` of the first GPU, None if it does not say."""
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return details.get("compute_capability")
    if backend == "torch":
        import torch

        return torch.cuda.get_device_capability(0)
    import jax

    text = getattr(jax.devices("gpu")[0], "compute_capability", None)
    try:
        return tuple(int(part) for part in str(text).split("."))[:2]
    except ValueError:  # AMD's have names
        return None
