"""Every optimizer and clipper of `tests.family`, with what only TensorFlow has, and against JAX."""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from custom_optimizers import AcceleratedGD
from custom_optimizers._tensorflow import replica
from tests.family import FAMILY, GRADIENTS, START, after_20_updates, path_of
from tests.small import mirrored, relative

ROOT = pathlib.Path(__file__).parents[2]
each = pytest.mark.parametrize("case", FAMILY, ids=str)


@pytest.mark.slow  # the backends' own tests compile a step of each by Keras's rule
@each
def test_jit_on_and_off(case):
    under_xla = functools.partial(tf.function, jit_compile=True, autograph=False)
    on, off = (path_of(case.optimizer(), GRADIENTS, *compiled) - START for compiled in ([under_xla], []))
    assert relative(on, off) < case.tolerance


@each
def test_two_devices_equal_one(case):
    """In each of two micro-batches, each gets a part of its own of what the gradient is on average."""
    strategy, apart = mirrored(), np.linspace(-1, 1, START.size).reshape(START.shape)
    steps = 1 if case.cls is AcceleratedGD else 2

    def on_each(function):
        @tf.function(autograph=False)
        def on_all(gradient):
            for step in range(steps):
                later = (step - (steps - 1) / 2) * apart.T.reshape(START.shape)
                strategy.run(lambda later=later: function((gradient + later + apart * (-1.0) ** replica()) / 2))

        return on_all

    with strategy.scope():
        options = {"gradient_accumulation_steps": steps} if steps > 1 else {}
        two = path_of(case.optimizer(**options), GRADIENTS, on_each)
    assert relative(two - START, path_of(case.optimizer(), GRADIENTS) - START) < case.tolerance


@pytest.mark.slow
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
