"""The passes of an epoch of a search are compiled once, and nothing leaves the device between them."""

import contextlib
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from callbacks import FullBatch, GradientMonitor
from custom_optimizers import BFGS, LBFGS, BatchGD, NonlinearCG, SelfScaledBroyden, Switch
from custom_optimizers.directions import (
    BFGSDirection,
    ConjugateGradients,
    LBFGSDirection,
    SelfScaledBroydenDirection,
    Steepest,
)
from custom_optimizers.line_search.line_searches import BY_NAME
from custom_optimizers.minimizer import Minimizer
from tests.backends.searching import SEARCHING
from tests.small import flat, loss, samples

BACKEND = keras.backend.backend()
ROOT = pathlib.Path(__file__).parents[2]
EPOCHS, PASSES = 2, 6
TO_HOST = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2", "OutfeedEnqueue", "_Send", "_HostSend")
X, Y = samples(50)
DIRECTIONS = LBFGSDirection(3), Steepest(), BFGSDirection(), SelfScaledBroydenDirection(), ConjugateGradients()
OPTIMIZERS = {
    **{name: lambda search=name: with_line_search(search) for name in BY_NAME},
    "bfgs": BFGS,
    "self_scaled_broyden": SelfScaledBroyden,
    "nonlinear_cg": NonlinearCG,
    "switch": lambda: Switch(keras.optimizers.Adam(0.01), BFGS(), after=3),
}
WRITES = {  # what stands in a program for what is remembered: a row of the history, the diagonal of a matrix
    "strong_wolfe": ("TensorScatterUpdate", "dynamic_update_slice"),
    "bfgs": ("MatrixSetDiagV3", "iota"),
    "nonlinear_cg": ("MatMul", "dot_general"),
    "switch": ("MatrixSetDiagV3", "iota"),
}
of_each_kind = pytest.mark.parametrize("name", WRITES)


def with_line_search(name):
    """An optimizer with a line search, or with a rule for steps."""
    return BatchGD(line_search=name) if BY_NAME[name].is_for_descent else LBFGS(3, name)


def fitted(name="strong_wolfe", epochs=EPOCHS, passes=PASSES, callbacks=(), watched=True):
    """A model after some evaluations, with a record of norms if `watched`, in two micro-batches; and `trace`."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, "tanh"), layers.Dense(4)])
    optimizer = OPTIMIZERS[name]()
    if watched:
        optimizer.watch_gradients()
    model.compile(optimizer, loss(), jit_compile=BACKEND == "jax")
    full = FullBatch(passes_per_epoch=passes)
    model.fit(X, Y, batch_size=25, epochs=epochs, shuffle=False, verbose=0, callbacks=[full, *callbacks])
    return model, full.trace


@pytest.mark.skipif(BACKEND != "tensorflow", reason="it looks into a graph of TensorFlow")
@pytest.mark.slow_cases("bfgs", "nonlinear_cg")
@of_each_kind
def test_a_graph_is_made_once_and_calls_nothing_on_the_host(monkeypatch, name):
    from callbacks.passes._tensorflow import TensorflowPasses

    graphs, run = [], TensorflowPasses.__call__

    def looked_at(self, iterator):
        logs = run(self, iterator)
        assert self._run.experimental_get_tracing_count() == 1
        graphs.append(self._run.get_concrete_function(self._held).graph.as_graph_def())
        return logs

    monkeypatch.setattr(TensorflowPasses, "__call__", looked_at)
    fitted(name)
    assert len(graphs) == EPOCHS
    functions = [graphs[0].node, *(each.node_def for each in graphs[0].library.function)]
    operations = {node.op for nodes in functions for node in nodes}
    assert WRITES[name][0] in operations
    assert not operations & {*TO_HOST}


@pytest.mark.skipif(BACKEND != "jax", reason="it looks into a program of JAX")
@pytest.mark.slow_cases("bfgs", "nonlinear_cg")
@of_each_kind
def test_a_program_is_made_once_and_calls_nothing_on_the_host(monkeypatch, name):
    import jax

    from callbacks.passes._jax import JaxPasses

    programs, run = [], JaxPasses.__call__

    def looked_at(self, state, iterator):
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), state)
        made = run(self, state, iterator)
        assert self._run._cache_size() <= 1  # 0 in a process that has compiled so much that JAX keeps it elsewhere
        programs.append(str(self._run.trace(shapes, self._held).jaxpr))
        return made

    monkeypatch.setattr(JaxPasses, "__call__", looked_at)
    fitted(name)
    assert len(programs) == EPOCHS
    assert WRITES[name][1] in programs[0]
    assert not any(word in programs[0] for word in ("callback", "outfeed", "infeed"))


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="XLA compiles for the others")
@pytest.mark.parametrize("passes", [1, 5])
@pytest.mark.parametrize("optimizer", SEARCHING)
def test_xla_compiles_nothing_after_the_first_epoch(optimizer, passes):
    """In a process of its own, since XLA is told before it starts where to write down what it compiles."""
    command = [sys.executable, "-m", "tests.backends.compilations", optimizer, str(passes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["evaluations"] == 8 * passes
    assert found["counts"] == [found["counts"][0]] * 8
    assert found["counts"][0] > 0


@contextlib.contextmanager
def nothing_taken_out():
    """Context in which an error is raised where a value is taken out of a tensor, or decides about a shape."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from callbacks.passes._torch_recording import TAKES_OUT, _WithoutNumbers

    class Guard(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            tags = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
            assert not tags & set(function.tags), f"{function} waits for the device"
            return function(*args, **(kwargs or {}))

    assert {"item", "tolist", "numpy", "__bool__"} <= {*TAKES_OUT}
    with _WithoutNumbers(), Guard():
        yield


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile all passes together")
def test_the_guard_sees_what_waits_for_a_device():
    import torch

    tensor = torch.ones(3)
    for take in (lambda t: bool(t[0]), lambda t: t[0].item(), torch.Tensor.tolist, torch.Tensor.numpy, torch.nonzero):
        with pytest.raises(Exception, match=r"takes values out|waits for the device"), nothing_taken_out():
            take(tensor)
    with nothing_taken_out():
        assert (tensor + tensor).shape == (3,)


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile all passes together")
@pytest.mark.slow_cases("hager_zhang", "armijo", "nonmonotone_armijo", "ad_gd", "polyak", "cdat", "bfgs")
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "switch"])  # which asks once in a pass
def test_no_recorded_pass_takes_a_value_out(monkeypatch, name):
    """The way of a GPU: a processor computes with few numbers in NumPy."""
    from callbacks.passes import _torch, _torch_pass
    from custom_optimizers import _torch as steps

    usual, calls, run = fitted(name)[1], [], _torch_pass.RecordedPass.__call__

    def guarded(self):
        assert self._update._graphs[None] is not None
        with nothing_taken_out():
            calls.append(run(self))
        return calls[-1]

    monkeypatch.setattr(steps, "of_few", lambda owner, method, *values, whole=(): getattr(owner, method)(*values))
    monkeypatch.setattr(_torch_pass.RecordedPass, "__call__", guarded)
    monkeypatch.setattr(_torch, "number", lambda value: pytest.fail("it asks the device between passes"))
    precision, compared = (0.02, 8) if name == "cdat" else (1e-3, None)  # it takes a difference of two slopes
    for what, values in fitted(name)[1].items():
        np.testing.assert_allclose(values[:compared], usual[what][:compared], rtol=precision)
    assert len(calls) == EPOCHS * (PASSES - 2)  # the first and the last one of an epoch are made by the own step


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile all passes together")
def test_updates_before_and_after_a_hand_over_are_recorded(monkeypatch):
    from callbacks.passes import _torch_pass

    phases, run = [], _torch_pass._Update.__call__

    def looked_at(self, weights, of_optimizer, *given, in_place):
        if in_place:
            assert self._graph_of(of_optimizer, given[-1]) is not None
            phases.append(int(self._phase.value))
        run(self, weights, of_optimizer, *given, in_place=in_place)

    monkeypatch.setattr(_torch_pass._Update, "__call__", looked_at)
    many, _ = fitted("switch", epochs=2, passes=8, watched=False)
    one, _ = fitted("switch", epochs=16, passes=1, watched=False)
    assert phases[:3] == [0, 0, 1]  # the first of four passes is made by the model's own step
    assert {*phases[3:]} == {1}
    np.testing.assert_allclose(flat(many), flat(one), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile all passes together")
@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("line_search", BY_NAME)
def test_a_search_computes_without_values(line_search, direction):
    """With tensors of torch's device "meta", which have shapes and no values; it is none of a processor's, as a GPU."""
    import torch

    minimizer = Minimizer(direction, BY_NAME[line_search](), 5, "float32")
    with keras.device("meta"):
        begun = minimizer.initial_state(np.zeros(5)).items()
        state = {name: torch.as_tensor(array).to("meta") for name, array in begun}
        for _ in range(2):
            point = minimizer.next_point(state)
            state = minimizer.next(state, point.sum(), point)
    assert {name: (tuple(each.shape), each.device.type) for name, each in state.items()} == {
        name: (array.shape, "meta") for name, array in begun
    }


@pytest.mark.slow
def test_norms_are_those_of_the_accepted_points():
    """In the trace of many passes as after each one."""
    seen, last = [], GradientMonitor(layers=True)
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["gradient_norm"]))
    _, trace = fitted(epochs=2)
    model, _ = fitted(epochs=12, passes=1, callbacks=[last, look])
    np.testing.assert_allclose(trace["gradient_norm"], seen, rtol=1e-3)
    gradient = np.asarray(keras.ops.convert_to_numpy(model.optimizer.search.variables["gradient"]))
    assert seen[-1] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    each = np.array([*model.optimizer.read_variable_norms().values()])
    assert np.linalg.norm(each) == pytest.approx(seen[-1], rel=1e-5)
    assert len(each) == 4
    assert len(set(seen)) < len(seen)  # an evaluation that was not accepted changes no norm
