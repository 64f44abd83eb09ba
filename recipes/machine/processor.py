"""Where TensorFlow computes, and what the processor can do."""

import functools
import pathlib


def is_on_processor():
    """Whether TensorFlow has no GPU and no TPU here."""
    import tensorflow as tf

    return not (tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def slower_by_xla():
    """Whether XLA makes convolutions slower here: TensorFlow's on a processor."""
    import keras

    return keras.backend.backend() == "tensorflow" and is_on_processor()


@functools.cache
def processor_flags():
    """What Linux says the processor can do; nothing elsewhere."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def has_only_avx2():
    """Whether vectors are of 256 bits, for which oneDNN has slower convolutions than for 512."""
    flags = processor_flags()
    return "avx2" in flags and "avx512f" not in flags
