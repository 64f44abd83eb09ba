"""Every optimizer and clipper of `tests.family`, with what only TensorFlow has, and against JAX."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from callbacks import FullBatch
from recipes.data import full_batches
from tests.family import FAMILY, after_20_updates, model_of, trained
from tests.small import flat, relative, samples, scope

ROOT = pathlib.Path(__file__).parents[2]
each = pytest.mark.parametrize("case", FAMILY, ids=str)


@each
def test_jit_on_and_off(case):
    on, off = (trained(case, 4, compiling={"jit_compile": jit}) for jit in (True, False))
    assert relative(on, off) < case.tolerance


@each
def test_two_devices_equal_one(case):
    changes = []
    for devices in (1, 2):
        with scope(devices):
            model = model_of(case, gradient_accumulation_steps="epoch")
            batches = full_batches(*samples(50), 16)
        before = flat(model)
        model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
        changes.append(flat(model) - before)
    assert relative(*changes) < case.tolerance


def test_tensorflow_equals_jax_after_20_updates(tmp_path):
    command = [sys.executable, "-m", "tests.family", str(tmp_path / "jax.npz")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    on_jax = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    here = after_20_updates()
    said = on_jax.communicate(timeout=600)[1]
    assert on_jax.returncode == 0, said
    there = np.load(tmp_path / "jax.npz")
    apart = {str(case): relative(here[str(case)], there[str(case)]) for case in FAMILY}
    assert {name: value for case in FAMILY if (value := apart[name := str(case)]) > case.tolerance} == {}
