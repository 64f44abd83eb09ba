"""Cores and GPUs of this machine, divided among workers."""

import os
import pathlib


def cores_of(workers):
    """The cores that this process may use, divided among workers: a list of tuples of at least one core each."""
    return _shared_out(sorted(os.sched_getaffinity(0)), workers)


def gpus_of(workers):
    """The GPUs of CUDA_VISIBLE_DEVICES or of the machine, divided in the same way; a list of None without GPUs."""
    return _shared_out(visible_gpus(), workers) or [None] * workers


def _shared_out(devices, workers):
    """A list of tuples. If there are more workers than devices, several workers have the same device."""
    if workers >= len(devices):
        return [(devices[i % len(devices)],) for i in range(workers) if devices]
    return [tuple(devices[i::workers]) for i in range(workers)]


def visible_gpus():
    """Names of the GPUs, found without using them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name and name != "-1"]
    there = pathlib.Path("/proc/driver/nvidia/gpus")
    return [str(i) for i in range(len(list(there.iterdir())))] if there.is_dir() else []
