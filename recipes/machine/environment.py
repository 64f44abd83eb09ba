"""What a result was obtained on: hardware, system and versions."""

import importlib.metadata
import os
import pathlib
import platform

PACKAGES = ("keras-descent", "keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn", "tensorflow-datasets")
VARIABLES = ("KERAS_BACKEND", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "XLA_FLAGS")


def machine():
    """What this machine is: processor, number of its cores that may be used, system."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor()
    return {"processor": processor, "cores": _cores(), "system": platform.system()}


def versions():
    """Versions of Python and of the packages whose arithmetic and data decide a result."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def environment():
    """`machine`, `versions`, devices, precision and the environment variables that change arithmetic."""
    import keras

    return {
        "machine": machine(),
        "versions": versions(),
        "backend": keras.backend.backend(),
        "devices": _devices(keras.backend.backend()),
        "dtype_policy": keras.config.dtype_policy().name,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _devices(backend):
    if backend == "torch":  # whose keras.distribution lists none
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or ["cpu"]
    if backend == "jax":  # whose keras.distribution has numbers only
        import jax

        return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]
    import keras

    return list(keras.distribution.list_devices())


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout that is not installed
