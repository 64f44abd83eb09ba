"""What searches keep to on every backend: micro-batches come to the whole, in float64; nothing is asked of SciPy."""

import ast
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from benchmarks.exactness import free_port
from callbacks import FullBatch
from custom_optimizers import LBFGS, BatchGD
from tests import small
from tests.backends.search_exactness import MICRO, N, compiled, fitted
from tests.backends.searching import SEARCHING
from tests.small import flat, relative

ROOT = pathlib.Path(__file__).parents[2]
FILES = [path for package in ("custom_optimizers", "callbacks") for path in sorted((ROOT / package).rglob("*.py"))]
BACKEND = keras.backend.backend()
ROUNDED = {  # what Keras 3.15 leaves of float64 in `Dense`, group normalisation and losses: that of float32
    "jax": {"softmax": {"weights": 1e-10, "end": 1e-10}, "network": {"loss": 1e-6, "gradient": 1e-5}},
    "torch": {"softmax": {"loss": 1e-6, "end": 1e-6}, "network": {"loss": 1e-6, "gradient": 1e-5}},
}
EXACT = {
    "softmax": {"loss": 1e-12, "weights": 1e-10, "end": 1e-10},
    "network": {"loss": 1e-12, "gradient": 1e-12, "end": 1e-6},
}
WIDE = {f"wide {name}": bounds for name, bounds in EXACT.items()}
CASES = {
    "tensorflow": [(1, EXACT), (2, EXACT)],
    "jax": [(1, WIDE), (1, ROUNDED["jax"]), (4, WIDE)],
    "torch": [(1, WIDE), (1, ROUNDED["torch"])],
}


@pytest.fixture
def float64():
    """Models and data in float64."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before)


@pytest.mark.skipif(BACKEND == "jax", reason="float64 has to be enabled before JAX starts")
def test_micro_batches_come_to_the_whole_in_float64(float64):
    name = "softmax" if BACKEND == "tensorflow" else "wide softmax"
    whole, parts = compiled(name), compiled(name)
    assert fitted(parts, MICRO) == pytest.approx(fitted(whole, N), rel=1e-10)
    assert flat(whole).dtype == "float64"
    assert relative(flat(parts), flat(whole)) <= 1e-10


@pytest.mark.skipif(BACKEND != "jax", reason="the others compute in float64 wherever they are told to")
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64:UserWarning")
@pytest.mark.parametrize("make", [LBFGS, lambda: BatchGD(0.1, line_search="armijo")])
def test_float64_that_jax_would_round_is_refused(float64, make):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(make(), "mse")
    message = r"^\w+: 'sequential/dense/kernel' is to be float64, .* JAX_ENABLE_X64=1, .* or stay with [^\n]*$"
    with pytest.raises(ValueError, match=message):
        model.fit(np.zeros((4, 3)), np.zeros(4), verbose=0, callbacks=[FullBatch()])


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", SEARCHING)
@pytest.mark.parametrize(("devices", "bounds"), CASES[BACKEND])
def test_micro_batches_on_devices_come_to_the_whole_on_one(devices, bounds, optimizer):
    """In a process of its own, since devices and JAX's float64 are set before it starts."""
    if optimizer != "lbfgs":  # loss and gradient at a point are the same for all, and another end is as far away
        bounds = {name: each for name, each in bounds.items() if name.endswith("softmax")}
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.backends.search_exactness", optimizer, str(devices), *bounds]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    least = 15 if optimizer == "nonlinear_cg" else 30  # whose steps take two evaluations or three
    assert min(each["updates"] for each in found.values()) >= least
    slack = 100 if optimizer in ("self_scaled_broyden", "switch") else 1  # rounding grows with the scales of the matrix
    for name, of in bounds.items():
        assert all(found[name][what] <= slack * bound for what, bound in of.items()), found


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="DistributedDataParallel is of torch")
@pytest.mark.parametrize("optimizer", SEARCHING)
def test_processes_of_torch_come_to_one(tmp_path, optimizer):
    """In float32: DDP averages the gradients, and the two processes' losses are averaged by hand."""
    out = tmp_path / "weights.npy"
    command = [sys.executable, "-m", "tests.backends.ddp", str(free_port())]
    processes = [
        subprocess.Popen([*command, rank, str(out), optimizer], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    whole = small.compiled(SEARCHING[optimizer])
    whole.fit(*small.samples(24), batch_size=24, epochs=12, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(np.load(out), flat(whole)) < 1e-5


def imported(path):
    """The names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{each.name}" for each in node.names)


def arguments(path):
    """The names of the arguments of all functions of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.arguments):
            yield from (each.arg for each in (*node.posonlyargs, *node.args, *node.kwonlyargs))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the files are the same on each backend")
def test_the_packages_ask_no_other_optimizer_and_take_no_closure():
    """One pass is one evaluation: nothing asks for another in the middle of it."""
    taken = {path.name: {*imported(path)} for path in FILES}
    assert len(taken) > 50
    others = ("scipy.optimize", "torch.optim", "jax.scipy.optimize", "optax")
    assert not {name for name, modules in taken.items() if any(each.startswith(others) for each in modules)}
    assert not {path.name for path in FILES if any("closure" in name for name in arguments(path))}
