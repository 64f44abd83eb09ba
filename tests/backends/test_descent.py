"""What an optimizer does with micro-batches, on every backend."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from benchmarks.exactness import free_port
from callbacks import FullBatch, GradientMonitor, StopOnConvergence
from custom_optimizers import BatchGD, Descent
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import change, compiled, flat, relative, samples

BACKEND = keras.backend.backend()
ROOT = pathlib.Path(__file__).parents[2]
FIT = {"epochs": 3, "shuffle": False, "verbose": 0}


def numbers(variable):
    return ops.convert_to_numpy(variable).tolist()


def test_windows_of_k_by_hand():
    w = keras.Variable([1.0, 2.0])
    optimizer = BatchGD(0.5, gradient_accumulation_steps=3)
    for gradient in ([3.0, 0.0], [0.0, 3.0], [6.0, 3.0], [100.0, 100.0]):
        optimizer.apply([ops.array(gradient)], [w])
    assert numbers(w) == [1.0 - 0.5 * 3, 2.0 - 0.5 * 2]
    assert (numbers(optimizer.iterations), numbers(optimizer.micro_batches_summed)) == (1, 1)


def test_micro_batches_of_ones_own_loop():
    w = keras.Variable([0.0])
    optimizer = BatchGD(1.0, gradient_accumulation_steps="epoch")
    optimizer.build([w])
    for known in (2, None):
        optimizer.begin_pass(known)
        for weight, gradient in ((3.0, 2.0), (1.0, 6.0)):
            with optimizer.micro_batch(weight):
                optimizer.apply([ops.array([gradient])])
        assert optimizer.end_pass() == ("nothing" if known else "updated")
    assert numbers(w) == [-6.0]  # twice (3 * 2 + 1 * 6) / 4


@pytest.mark.parametrize("velocity", ["keras", "torch"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_by_hand(velocity, nesterov):
    w, v, x = keras.Variable([1.0]), 0.0, 1.0
    optimizer = BatchGD(0.1, momentum=0.5, nesterov=nesterov, velocity=velocity)
    for g in (1.0, -2.0, 0.5):
        optimizer.apply([ops.array([g])], [w])
        v = 0.5 * v - 0.1 * g if velocity == "keras" else 0.5 * v + g
        step = v if velocity == "keras" else -0.1 * v
        ahead = 0.5 * v - 0.1 * g if velocity == "keras" else -0.1 * (g + 0.5 * v)
        x += ahead if nesterov else step
    np.testing.assert_allclose(numbers(w), [x], rtol=1e-6)


def test_rates_and_decay_by_path():
    """Each layer by itself, with `keras.optimizers.SGD` of its own rate and decay."""
    multipliers = {"conv": 0.5, "norm.*/gamma": 3, "dense.*/kernel": 0}
    ours = compiled(
        lambda: BatchGD(
            0.1,
            momentum=0.9,
            weight_decay=0.1,
            exclude_from_weight_decay=["bias$", "norm"],
            learning_rate_multipliers=multipliers,
        ),
        normalized=True,
    )
    before = flat(ours)
    gradients = [np.random.default_rng(i).normal(size=v.shape) for i, v in enumerate(ours.trainable_variables)]
    expected = []
    for i, (value, g) in enumerate(zip(ours.get_weights(), gradients, strict=True)):
        path = ours.trainable_variables[i].path
        rate = 0.1 * (0.5 if "conv" in path else 3 if "gamma" in path else 0 if "dense" in path and i == 4 else 1)
        decay = None if path.endswith("bias") or "norm" in path else 0.1
        alone = keras.Variable(value)
        theirs = keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay)
        for _ in range(3):
            theirs.apply([ops.array(g, "float32")], [alone])
        expected.append(ops.convert_to_numpy(alone).ravel())
    for _ in range(3):
        ours.optimizer.apply([ops.array(g, "float32") for g in gradients], ours.trainable_variables)
    assert relative(flat(ours), np.concatenate(expected)) < 1e-6
    assert relative(before, flat(ours)) > 0.01


def test_updates_that_are_not_finite_are_skipped_and_five_stop_the_fit(capsys):
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.1, clipping=ByGlobalNorm(1.0)))
    before = flat(model)
    x[7] = np.inf
    history = model.fit(x, y, batch_size=10, **{**FIT, "epochs": 9}, callbacks=[FullBatch(), GradientMonitor()]).history
    assert history["skipped_updates"] == [1, 2, 3, 4, 5]
    assert history["updates"] == [0] * 5
    np.testing.assert_array_equal(flat(model), before)
    assert "not finite 5 times in a row" in capsys.readouterr().out


def test_an_update_after_a_skipped_one():
    w = keras.Variable([1.0])
    optimizer = BatchGD(1.0, diagnostics=True, gradient_accumulation_steps=2)
    for gradient in (np.nan, 1.0, 1.0, 3.0):
        optimizer.apply([ops.array([gradient])], [w])
    seen = optimizer.read_diagnostics()
    assert (numbers(w), seen["skipped_updates"], seen["skipped_in_a_row"], seen["updates"]) == ([-1.0], 1, 0, 1)


def test_loss_scaling_voids_a_pass():
    """A scale beyond float16 drops micro-batches until it has come down; then passes are whole."""
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(lambda: keras.optimizers.LossScaleOptimizer(BatchGD(0.05), initial_scale=2.0**24))
    history = model.fit(
        *samples(40), batch_size=10, **{**FIT, "epochs": 6}, callbacks=[FullBatch(), GradientMonitor()]
    ).history
    assert history["skipped_updates"][0] == 1
    assert history["updates"][-1] + history["skipped_updates"][-1] == 6
    assert history["updates"][-1] >= 3


def test_saved_in_the_middle_of_a_window(tmp_path):
    x, y = samples(60)
    whole, part = (compiled(lambda: BatchGD(0.1, momentum=0.9, gradient_accumulation_steps=4)) for _ in range(2))
    whole.fit(x, y, batch_size=10, epochs=1, shuffle=False, verbose=0)
    part.fit(x[:30], y[:30], batch_size=10, epochs=1, shuffle=False, verbose=0)
    part.save(tmp_path / "model.keras")
    part = keras.saving.load_model(tmp_path / "model.keras")
    part.fit(x[30:], y[30:], batch_size=10, epochs=1, shuffle=False, verbose=0)
    assert relative(flat(part), flat(whole)) < 1e-6
    assert numbers(part.optimizer.micro_batches_summed) == 2


def test_monitor_logs_the_norm_of_each_layer():
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.1))
    history = model.fit(x, y, batch_size=10, **FIT, callbacks=[FullBatch(), GradientMonitor(layers=True)]).history
    layers = {name: values for name, values in history.items() if name.startswith("gradient_norm/")}
    assert len(layers) == 2
    np.testing.assert_allclose(
        np.sqrt(np.sum(np.square(list(layers.values())), axis=0)), history["gradient_norm"], rtol=1e-5
    )


def test_stops_on_a_small_gradient():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(BatchGD(0.5), "mse")
    x = np.array([[-1.0], [1.0]], "float32")
    stop = StopOnConvergence(gradient_norm=1e-3)
    history = model.fit(
        x, 2 * x, epochs=100, batch_size=1, verbose=0, callbacks=[FullBatch(), GradientMonitor(), stop]
    ).history
    assert history["gradient_norm"][-1] <= 1e-3 < history["gradient_norm"][-2]
    assert stop.stopped_epoch == len(history["loss"]) - 1


@pytest.mark.skipif(BACKEND != "jax", reason="optax is of JAX")
@pytest.mark.parametrize("k", [1, 4])
def test_equals_optax(k):
    import optax

    x = [np.random.default_rng(i).normal(size=(5, 3)).astype("float32") for i in range(12)]
    ours, theirs = keras.Variable(np.ones((5, 3), "float32")), np.ones((5, 3), "float32")
    optimizer = BatchGD(
        0.1, momentum=0.9, nesterov=True, velocity="torch", gradient_accumulation_steps=None if k == 1 else k
    )
    reference = optax.MultiSteps(optax.sgd(0.1, momentum=0.9, nesterov=True), k)
    state = reference.init(theirs)
    for gradient in x:
        optimizer.apply([ops.array(gradient)], [ours])
        updates, state = reference.update(gradient, state, theirs)
        theirs = optax.apply_updates(theirs, updates)
    np.testing.assert_allclose(numbers(ours), theirs, rtol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="torch.optim is of torch")
@pytest.mark.parametrize("nesterov", [False, True])
def test_equals_torch(nesterov):
    import torch

    x, y = samples(40)
    ours = compiled(
        lambda: BatchGD(
            0.1, momentum=0.9, nesterov=nesterov, velocity="torch", weight_decay=0.01, weight_decay_mode="coupled"
        )
    )
    theirs = compiled(keras.optimizers.SGD)
    sgd = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01)
    for _ in range(3):
        sgd.zero_grad()
        theirs.loss(ops.array(y), theirs(x, training=True)).backward()
        sgd.step()
    ours.fit(x, y, batch_size=7, **FIT, callbacks=[FullBatch()])
    assert relative(change(ours), change(theirs)) < 1e-5


@pytest.mark.skipif(BACKEND != "torch", reason="torch.optim is of torch")
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("nesterov", [False, True])
def test_50_steps_equal_torch(nesterov, decay):
    """Velocity, decay and clipping under a schedule, which torch's rate follows by hand."""
    import torch

    rates = keras.optimizers.schedules.CosineDecay(0.1, 60)
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(50, 4, 3)).astype("float32")
    options = {"weight_decay": decay, "weight_decay_mode": "coupled"} if decay else {}
    ours = BatchGD(rates, momentum=0.9, nesterov=nesterov, velocity="torch", clipping=ByGlobalNorm(2.0), **options)
    w, theirs = keras.Variable(start), torch.nn.Parameter(torch.tensor(start))
    sgd = torch.optim.SGD([theirs], 0.1, momentum=0.9, nesterov=nesterov, weight_decay=decay)
    for step, gradient in enumerate(gradients):
        ours.apply([ops.array(gradient)], [w])
        theirs.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([theirs], 2.0)
        sgd.param_groups[0]["lr"] = float(rates(step))
        sgd.step()
    np.testing.assert_allclose(numbers(w), theirs.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="DistributedDataParallel is of torch")
def test_processes_of_torch_equal_one(tmp_path):
    """Clipping acts on the gradient that DDP has reduced: it is the same as that of all samples at once."""
    port, out = str(free_port()), tmp_path / "weights.npy"
    command = [sys.executable, "-m", "tests.backends.ddp", port]
    processes = [
        subprocess.Popen([*command, rank, str(out)], cwd=ROOT, stderr=subprocess.PIPE, text=True) for rank in "01"
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    whole = compiled(lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5))
    whole.fit(*samples(24), batch_size=24, **FIT)
    assert relative(np.load(out), flat(whole)) < 1e-6


@pytest.mark.slow_cases("2")
@pytest.mark.parametrize("passes", [1, 2])
def test_arrays_whose_last_micro_batch_is_smaller_with_a_moving_average(passes):
    """Also in a second `fit`, which begins with what the first has made of the moving average."""
    x, y = samples(50)
    options = {"momentum": 0.9, "use_ema": True, "ema_momentum": 0.5}
    ours, theirs = compiled(lambda: BatchGD(0.1, **options)), compiled(lambda: keras.optimizers.SGD(0.1, **options))
    for _ in range(passes):
        ours.fit(x, y, batch_size=16, **FIT, callbacks=[FullBatch()])
        theirs.fit(x, y, batch_size=50, **FIT)
        if BACKEND == "jax":  # Keras's average shares its memory with the weights after `fit`
            for variable in theirs.optimizer.variables:
                variable.assign(np.array(variable.value))
    assert relative(change(ours), change(theirs)) < 1e-5


class Written(Descent):
    """A rule that is given as a function of gradient, slot and learning rate."""

    slot_names = ("kept",)
    formula = staticmethod(lambda gradient, kept, rate: -rate * gradient)

    def rule(self, gradient, slots, learning_rate):
        return self.formula(gradient, slots[0], learning_rate), (gradient,)


FORMULAS = [  # as anybody writes them, with numbers and scalars on either side
    lambda gradient, kept, rate: -rate * (0.9 * kept + gradient),
    lambda gradient, kept, rate: -(gradient + kept * 0.9) * rate,
    lambda gradient, kept, rate: (rate - gradient) * 2 + (3 - kept),
    lambda gradient, kept, rate: gradient - rate - 1 + (kept - 0.5),
    lambda gradient, kept, rate: rate / (2 + gradient * gradient) + 1 / (3 + kept / 2),
    lambda gradient, kept, rate: (rate + gradient) / (rate + 1) - kept / 4,
]


@pytest.mark.parametrize("formula", FORMULAS, ids=range(len(FORMULAS)))
def test_a_rule_may_be_written_in_any_order(formula):
    own = type("Own", (Written,), {"formula": staticmethod(formula)})(0.25)
    variables = [keras.Variable([1.0, -2.0]), keras.Variable([[3.0]])]
    expected, kept = [np.array([1.0, -2.0]), np.array([[3.0]])], [0.0, 0.0]
    for step in (1.0, -0.5):
        gradients = [np.array([0.5, step]), np.array([[step - 2]])]
        own.apply([ops.array(gradient, "float32") for gradient in gradients], variables)
        expected = [w + formula(g, k, 0.25) for w, g, k in zip(expected, gradients, kept, strict=True)]
        kept = gradients
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(numbers(variable), value, rtol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="the others compute with one variable at a time")
def test_a_rule_that_is_no_arithmetic_is_told_so():
    rules = [lambda gradient, *_: ops.sign(gradient), lambda g, *_: g.abs(), lambda g, *_: g**0.5, lambda g, *_: g > 0]
    for rule in rules:
        own = type("Own", (Written,), {"formula": staticmethod(rule)})(0.25)
        with pytest.raises(TypeError, match=r"^Own: on torch its `rule` .* write `arithmetic = False`\.$"):
            own.apply([ops.array([1.0])], [keras.Variable([1.0])])
