"""Many passes in one call of compiled code make the updates that an epoch for each pass makes, bit for bit."""

import json
import pathlib
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from callbacks import BlockGradient, ExactResume, FullBatch, GradientMonitor, LearningRateFinder, SharpnessAware
from custom_optimizers import Accumulate, BatchGD, Muon
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import compiled, flat, network, samples

BACKEND = keras.backend.backend()
ROOT = pathlib.Path(__file__).parents[2]
X, Y = samples(50)
PASSES, EPOCHS = 4, 3


def gd(**options):
    return lambda: BatchGD(**{"learning_rate": 0.1, "momentum": 0.9, **options})


def cosine():
    return keras.optimizers.schedules.CosineDecay(0.2, 12)


def with_layers(*more):
    """A compiled network with more layers, with the same weights at each call."""

    def make():
        keras.utils.set_random_seed(3)
        stack = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(8, "relu"), *(each() for each in more)]
        model = keras.Sequential([*stack, layers.Dense(4)])
        model.compile(BatchGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    return make


class Rows(keras.utils.PyDataset):
    """Batches of 20, 20 and 10."""

    def __init__(self):
        super().__init__(workers=1)

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[20 * i : 20 * i + 20], Y[20 * i : 20 * i + 20]


def endless():
    while True:
        yield from (Rows()[i] for i in range(3))


def twice():
    yield from (Rows()[i] for i in range(2))


WEIGHTS = np.linspace(0.1, 2, 50).astype("float32")
CASES = {  # a function that makes a model, arguments of `fit`, more callbacks
    "one batch": (lambda: compiled(gd()), {"batch_size": 50}, []),
    "two batches": (lambda: compiled(gd()), {"batch_size": 25}, []),
    "a smaller last one": (lambda: compiled(gd()), {"batch_size": 20}, []),
    "clipping": (lambda: compiled(gd(clipping=ByGlobalNorm(0.1))), {"batch_size": 20}, []),
    "a schedule": (lambda: compiled(gd(learning_rate=cosine())), {"batch_size": 20}, []),
    "decay and average": (
        lambda: compiled(gd(weight_decay=0.1, use_ema=True, ema_overwrite_frequency=5)),
        {"batch_size": 20},
        [],
    ),
    "adam": (lambda: compiled(lambda: Accumulate(keras.optimizers.Adam(0.01))), {"batch_size": 20}, []),
    "muon": (lambda: compiled(lambda: Muon(0.02)), {"batch_size": 50}, []),
    "a sum": (lambda: compiled(gd(learning_rate=0.001), "sum", regularizer="l2"), {"batch_size": 20}, []),
    "sample weights": (lambda: compiled(gd()), {"batch_size": 20, "sample_weight": WEIGHTS}, []),
    "class weights": (lambda: compiled(gd()), {"batch_size": 20, "class_weight": {0: 1, 1: 2, 2: 0.5, 3: 1}}, []),
    "metrics": (lambda: compiled(gd(), metrics=["accuracy"]), {"batch_size": 20}, []),
    "eager": (lambda: compiled(gd(), run_eagerly=True), {"batch_size": 20}, []),
    "dropout": (with_layers(lambda: layers.Dropout(0.5, seed=1)), {"batch_size": 20}, []),
    "batch normalisation": (with_layers(layers.BatchNormalization), {"batch_size": 20}, []),
    "a data set": (lambda: compiled(gd()), {"x": Rows(), "y": None}, []),
    "a generator": (lambda: compiled(gd()), {"x": endless, "y": None, "steps_per_epoch": 3}, []),
    "a monitor": (lambda: compiled(gd()), {"batch_size": 20}, [GradientMonitor]),
    "blocks": (lambda: compiled(gd()), {"batch_size": 20}, [lambda: BlockGradient(5)]),
    "sharpness-aware": (lambda: compiled(gd()), {"batch_size": 25}, [lambda: SharpnessAware(0.05)]),
    "validation": (lambda: compiled(gd()), {"batch_size": 20, "validation_data": (X[:10], Y[:10])}, []),
}


def fitted(name, passes_per_epoch, epochs):
    make, data, more = CASES[name]
    model = make()
    given = {"x": X, "y": Y, **data}
    given["x"] = given["x"]() if callable(given["x"]) else given["x"]
    callbacks = [FullBatch(passes_per_epoch=passes_per_epoch), *(each() for each in more)]
    history = model.fit(**given, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return model, history.history, callbacks[0]


@pytest.fixture(params=["by steps", "in one call"] if BACKEND == "jax" else [BACKEND])
def way(request, monkeypatch):
    """How the passes are made: on JAX there are two ways, and that of a network with convolutions is by steps."""
    if request.param == "in one call":
        monkeypatch.setattr("callbacks.passes._jax.JaxPasses._has_slow_loops", lambda *_: False)
    return request.param


BY_STEPS = ("one batch", "a smaller last one", "a monitor")  # else in `make test-all`
IN_ONE_CALL = (*BY_STEPS, "clipping", "a sum", "metrics", "batch normalisation")
LONG = (
    *(f"in one call-{name}" for name in CASES if name not in IN_ONE_CALL),
    *(f"by steps-{name}" for name in CASES if name not in BY_STEPS),
    *(f"tensorflow-{name}" for name in CASES if name not in IN_ONE_CALL),
)


@pytest.mark.slow_cases(*(name for name in LONG if name.startswith("tensorflow") == (BACKEND == "tensorflow")))
@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("way")
@pytest.mark.filterwarnings("ignore:FullBatch. the layer 'batch_norm")
def test_updates_are_those_of_an_epoch_for_each_pass(name):
    each, logs, _ = fitted(name, 1, PASSES * EPOCHS)
    many, logs_of_many, full = fitted(name, PASSES, EPOCHS)
    assert int(many.optimizer.iterations) == PASSES * EPOCHS
    np.testing.assert_allclose(flat(many), flat(each), rtol=0, atol=1e-5 if name == "muon" else 1e-6)
    for one, other in zip(each.optimizer.variables, many.optimizer.variables, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(other), keras.ops.convert_to_numpy(one), atol=1e-5)
    assert logs.keys() == logs_of_many.keys()
    for key in logs:  # those of the last pass of each epoch
        np.testing.assert_allclose(logs_of_many[key], logs[key][PASSES - 1 :: PASSES], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(full.trace["loss"], logs["loss"], rtol=1e-5)


@pytest.mark.usefixtures("way")
def test_the_trace_has_norms_where_they_are_recorded():
    _, logs, _ = fitted("a monitor", 1, PASSES * EPOCHS)
    _, _, full = fitted("a monitor", PASSES, EPOCHS)
    np.testing.assert_allclose(full.trace["gradient_norm"], logs["gradient_norm"], rtol=1e-5)
    assert set(fitted("one batch", PASSES, 1)[2].trace) == {"loss"}


@pytest.mark.usefixtures("way")
def test_a_training_that_diverges_ends_in_the_middle_of_an_epoch(capsys):
    model = compiled(gd(diagnostics=True))
    x = X.copy()
    x[3] = np.nan
    full = FullBatch(passes_per_epoch=1000)
    history = model.fit(x, Y, batch_size=20, epochs=3, verbose=0, callbacks=[full])
    assert len(history.history["loss"]) == 1
    assert len(full.trace["loss"]) == 5
    assert int(model.optimizer.iterations) == 0
    np.testing.assert_array_equal(flat(model), flat(network()))
    assert "the gradient was not finite 5 times in a row" in capsys.readouterr().out


@pytest.mark.usefixtures("way")
def test_it_goes_on_where_it_was_saved(tmp_path):
    def train(epochs, path):
        model = compiled(gd(clipping=ByGlobalNorm(0.5)))
        callbacks = [FullBatch(passes_per_epoch=PASSES), ExactResume(tmp_path / path)]
        model.fit(X, Y, batch_size=20, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
        return flat(model)

    train(2, "parts.npz")
    np.testing.assert_array_equal(train(4, "parts.npz"), train(4, "whole.npz"))


@pytest.mark.skipif(BACKEND == "torch", reason="loss scaling of Keras has no float16 on a processor of torch")
@pytest.mark.parametrize("scale", [2.0**10, 2.0**120])
@pytest.mark.usefixtures("way")
def test_micro_batches_that_loss_scaling_drops_void_their_pass(scale):
    def train(passes, epochs):
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = network()
            inner = BatchGD(0.1, diagnostics=True)
            outer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=scale, dynamic_growth_steps=10_000)
            model.compile(outer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(
                X,
                Y,
                batch_size=20,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=[FullBatch(passes_per_epoch=passes)],
            )
        finally:
            keras.config.set_dtype_policy("float32")
        return flat(model), inner.read_diagnostics(), float(outer.dynamic_scale)

    (one, seen, scale_of_one), (many, seen_of_many, scale_of_many) = train(1, 4), train(4, 1)
    np.testing.assert_allclose(many, one, atol=1e-5)
    assert scale_of_many == scale_of_one
    names = ("updates", "skipped_updates", "skipped_in_a_row")
    assert [seen_of_many[name] for name in names] == [seen[name] for name in names]


@pytest.mark.parametrize("passes", [0, -1, 1.5, True, "3", None])
def test_a_number_of_passes_that_cannot_be(passes):
    with pytest.raises(ValueError, match="FullBatch: `passes_per_epoch` must be an int >= 1"):
        FullBatch(passes_per_epoch=passes)


@pytest.mark.parametrize("shuffle", [False, True])
def test_steps_per_epoch_go_round_the_data(shuffle):
    model, full = compiled(gd()), FullBatch(passes_per_epoch=3)
    model.fit(X[:40], Y[:40], batch_size=10, steps_per_epoch=3, epochs=4, shuffle=shuffle, verbose=0, callbacks=[full])
    assert (int(model.optimizer.iterations), len(full.trace["loss"])) == (12, 12)


def test_a_generator_that_is_spent_is_told():
    model, full = compiled(gd()), FullBatch(passes_per_epoch=2)
    with pytest.raises(ValueError, match=r"the data ended before the 3 batches of an epoch did \(`steps_per_epoch`\)"):
        model.fit(twice(), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0, callbacks=[full])


def test_several_updates_a_pass_are_refused():
    model = compiled(gd(gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match="FullBatch: `passes_per_epoch` is for one update a pass"):
        model.fit(X, Y, batch_size=20, verbose=0, callbacks=[FullBatch(passes_per_epoch=3)])


@pytest.mark.parametrize("batch_size", [50, 20])
def test_compiled_once(batch_size, way):
    full = FullBatch(passes_per_epoch=10)
    compiled(gd()).fit(X, Y, batch_size=batch_size, epochs=5, shuffle=False, verbose=0, callbacks=[full])
    made = full._passes
    if BACKEND == "tensorflow":
        assert made._run.experimental_get_tracing_count() == 1
    elif BACKEND == "jax":
        compiled_for = made._run_step._cache_size() if way == "by steps" else made._run._cache_size()
        # In a process that has compiled a lot, JAX keeps less: there it may say 0.
        assert compiled_for <= (2 if (batch_size, way) == (20, "by steps") else 1)
    else:
        assert len(made._recorded._by_kind) == (1 if batch_size == 50 else 2)
        assert None not in made._recorded._by_kind.values()


@pytest.mark.parametrize("batch_size", [50, 20])
def test_a_model_that_is_not_built_yet(batch_size):
    def train(passes, epochs):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([layers.Flatten(), layers.Dense(4)])
        model.compile(BatchGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        full = FullBatch(passes_per_epoch=passes)
        model.fit(X, Y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=[full])
        return flat(model)

    np.testing.assert_allclose(train(4, 2), train(1, 8), atol=1e-6)


class Logs(keras.Sequential):
    """Logs what it likes."""

    def train_step(self, *arguments):
        found = super().train_step(*arguments)
        if BACKEND == "jax":
            return {"mine": found[0]["loss"] * 2}, found[1]
        return {"mine": found["loss"] * 2}


def test_a_step_logs_what_it_likes():
    def train(passes, epochs):
        keras.utils.set_random_seed(3)
        model, full = Logs([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4)]), FullBatch(None, passes)
        model.compile(BatchGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        fit = {"epochs": epochs, "shuffle": False, "verbose": 0, "callbacks": [full]}
        return model.fit(X, Y, batch_size=20, **fit).history, full.trace

    (each, _), (many, trace) = train(1, 8), train(4, 2)
    assert set(many) == set(each) == {"mine"}
    np.testing.assert_allclose(many["mine"], each["mine"][3::4], rtol=1e-5)
    assert trace == {}


def test_weights_that_are_none():
    """A generator may say that there are none; Keras on TensorFlow takes it from generators alone."""
    model, full = compiled(gd()), FullBatch(passes_per_epoch=4)
    data = ((x, y, None) for x, y in endless())
    model.fit(data, steps_per_epoch=3, epochs=2, shuffle=False, verbose=0, callbacks=[full])
    np.testing.assert_allclose(flat(model), flat(fitted("a smaller last one", 1, 8)[0]), atol=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="torch stacks nothing")
def test_sparse_data_are_refused():
    import scipy.sparse

    model = keras.Sequential([keras.Input((64,)), layers.Dense(4)])
    model.compile(BatchGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    sparse = scipy.sparse.csr_matrix(X.reshape(50, 64))
    with pytest.raises(ValueError, match="FullBatch: `passes_per_epoch` is for dense data"):
        model.fit(sparse, Y, batch_size=25, shuffle=False, verbose=0, callbacks=[FullBatch(passes_per_epoch=2)])


def test_a_range_test_is_refused():
    with pytest.raises(ValueError, match="LearningRateFinder looks at each update"):
        compiled(gd()).fit(X, Y, verbose=0, callbacks=[FullBatch(passes_per_epoch=2), LearningRateFinder()])


def test_data_are_held_once_and_let_go():
    full = FullBatch(passes_per_epoch=4)
    held = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: sizes.append(_bytes(full._passes._held)))
    sizes, model = [], with_layers()()
    model.fit(X, Y, batch_size=20, epochs=2, shuffle=False, verbose=0, callbacks=[full, held])
    data = X.astype("float32"), keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(Y))
    assert max(sizes) <= sum(each.nbytes for each in data)
    assert full._passes._held is None


def _bytes(held):
    return sum(keras.ops.convert_to_numpy(leaf).nbytes for leaf in keras.tree.flatten(held) if leaf is not None)


# What a recorded pass of torch could miss


class Doubles(layers.Layer):
    """Multiplies by an attribute of Python."""

    def __init__(self):
        super().__init__()
        self.factor = 1.0

    def call(self, x):
        return x * self.factor


class Branches(layers.Layer):
    """Asks NumPy what to do."""

    def call(self, x):
        return x * 0.5 if keras.ops.convert_to_numpy(x).mean() > 0.02 else x


class Masks(layers.Layer):
    """Has tensors whose shapes depend on values."""

    def call(self, x):
        return x * x[x > 0].mean()


class Draws(layers.Layer):
    """Draws from generators that Keras does not know."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def call(self, x):
        return x * self.draw()


def wrapped():
    import torch

    torch.manual_seed(0)
    return layers.TorchModuleWrapper(torch.nn.Linear(8, 8))


def drawn_by_torch():
    import torch

    return torch.rand(())


def anneal(model, epoch):
    model.layers[2].factor = 1 / (1 + epoch)


def freeze(model, epoch):
    model.layers[1].trainable = epoch == 0


def decay(model, epoch):
    model.optimizer.weight_decay = 0.1 * epoch


MISSED = {  # a layer, what a callback changes at the beginning of an epoch
    "an attribute": (Doubles, anneal),
    "a frozen layer": (Doubles, freeze),
    "an argument of the optimizer": (Doubles, decay),
    "a branch": (Branches, None),
    "a mask": (Masks, None),
    "a module of torch": (wrapped, None),
    "random numbers of NumPy": (lambda: Draws(np.random.rand), None),
    "random numbers of Python": (lambda: Draws(random.random), None),
    "random numbers of torch": (lambda: Draws(drawn_by_torch), None),
}


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile what they are given")
@pytest.mark.parametrize("name", MISSED)
def test_a_recorded_pass_misses_nothing(name):
    make, change = MISSED[name]

    def train(passes, epochs):
        model = with_layers(make)()
        keras.utils.set_random_seed(4)
        per_block = epochs // EPOCHS
        begins = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: change and epoch % per_block == 0 and change(model, epoch // per_block)
        )
        callbacks = [FullBatch(passes_per_epoch=passes), begins]
        model.fit(X, Y, batch_size=20, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
        return flat(model)

    np.testing.assert_array_equal(train(8, EPOCHS), train(1, 8 * EPOCHS))


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="a process has one device")
def test_several_devices_make_the_same_updates():
    """In a process of its own, since devices are made once."""
    command = [sys.executable, "-m", "tests.backends.passes_on_devices"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 2
    assert max(map(max, found.values())) < 1e-6
