"""The exactness table: micro-batches against the whole, on every backend and kind of devices.

    python -m benchmarks.exactness .venv-others/bin/python

The argument is a Python that has JAX and torch; TensorFlow is that of this one.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

from benchmarks.record import write

BOUND = 1e-5
ROOT = pathlib.Path(__file__).parents[1]
CELLS = {  # name: (backend, strategy, processes)
    "TensorFlow, 1 device": ("tensorflow", "auto", 1),
    "TensorFlow, 2 devices": ("tensorflow", "mirrored:2", 1),
    "JAX, 1 device": ("jax", "auto", 1),
    "JAX, 4 devices": ("jax", "mirrored:4", 1),
    "JAX, 2 processes": ("jax", "auto", 2),
    "torch": ("torch", "auto", 1),
}


def cell(python, backend, strategy, processes, *sizes):
    """What `benchmarks.exactness_cell` prints, run in processes of its own.

    Args:
        python: path of the interpreter.
        backend, strategy, processes: of `CELLS`.
        sizes: one number of samples and one micro-batch, both str; by default all of the table.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_DISTRIBUTION")}
    environment |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if processes > 1:
        address = f"127.0.0.1:{free_port()}"
        names = ("JOB_ADDRESSES", "NUM_PROCESSES")
        environment |= {f"KERAS_DISTRIBUTION_{n}": v for n, v in zip(names, (address, str(processes)), strict=True)}
    running = [
        subprocess.Popen(
            [python, "-m", "benchmarks.exactness_cell", strategy, *sizes],
            cwd=ROOT,
            env=environment | ({"KERAS_DISTRIBUTION_PROCESS_ID": str(number)} if processes > 1 else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    said = [process.communicate() for process in running]
    if any(process.returncode for process in running):
        raise SystemExit(f"{backend} {strategy}: " + said[0][1][-2000:])
    return json.loads(said[0][0].splitlines()[-1])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    others = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    found = {
        name: cell(sys.executable if backend == "tensorflow" else others, backend, strategy, processes)
        for name, (backend, strategy, processes) in CELLS.items()
    }
    rows = [row for row in next(iter(found.values())) if row not in ("backend", "version")]
    width = max(map(len, rows))
    print(" " * width, *(f"{name:>22}" for name in found))
    for row in rows:
        values = (found[name][row] for name in found)
        print(
            f"{row:{width}}", *(f"{value if isinstance(value, str) else format(value, '.1e'):>22}" for value in values)
        )
    worst = {name: max(column[row] for row in rows[:-1]) for name, column in found.items()}
    print(f"{'largest of ours':{width}}", *(f"{value:22.1e}" for value in worst.values()))
    write("exactness", {"bound": BOUND, "largest": worst, "cells": found})
    failed = [name for name, value in worst.items() if not value <= BOUND]
    if failed:
        raise SystemExit(f"More than {BOUND} in: {', '.join(failed)}")


if __name__ == "__main__":
    main()
