import contextlib
import json
import zipfile

import keras
import numpy as np
import pytest

from callbacks import ExactResume, FullBatch, GradientMonitor
from callbacks.arrays_file import read_arrays, write_arrays
from callbacks.exact_resume import StateError, read_state
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import ShuffledBatches, full_batches

N, EPOCHS = 50, 6
X = np.random.default_rng(0).normal(size=(N, 8)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


class Killed(BaseException):
    """Ends `fit` as a kill would: nothing after it runs."""


class KillAt(keras.callbacks.Callback):
    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at, self.batch, self.epoch = epoch, batch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, self.batch):
            raise Killed

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at and self.batch is None:
            raise Killed


def network():
    """Dropout and noise draw numbers, batch normalisation keeps averages."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.GaussianNoise(0.1),
            layers.Dense(16, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1),
        ]
    )


pytestmark = pytest.mark.filterwarnings("ignore:FullBatch. the layer 'batch_norm")  # of which that network has one
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, 0.9),
    "adam with a moving average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=4),
    "batch_gd": lambda: BatchGD(0.2, 0.9, clipping=ByGlobalNorm(0.1)),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), dynamic_growth_steps=7),
}


def train(path, optimizer, *, epochs=EPOCHS, kill=None, carry=(), policy="float32"):
    """One process's `fit`: model, optimizer and callbacks are new, and the seed of the process is its own."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    model = network()
    model.compile(OPTIMIZERS[optimizer](), "mse", weighted_metrics=["mae"])
    full = optimizer == "batch_gd"
    batches = full_batches(X, Y, 16) if full else ShuffledBatches(X, Y, 16, seed=3)
    resume = ExactResume(path, seed=3, follows=[] if full else [batches], carry=carry)
    keras.utils.set_random_seed(np.random.SeedSequence().entropy % 2**32)  # what a new process would draw
    watch = [FullBatch(), GradientMonitor()] if full else []
    callbacks = [*watch, *carry, resume, *([kill] if kill else [])]
    try:
        model.fit(
            batches, shuffle=False, epochs=epochs, validation_data=(X[:10], Y[:10]), callbacks=callbacks, verbose=0
        )
    except Killed:
        return None
    state = [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]
    return state, resume.history


def same(first, second):
    for a, b in zip(first[0], second[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert first[1] == second[1]
    assert [row["epoch"] for row in first[1]] == list(range(len(first[1])))


@pytest.mark.slow  # tests/backends/test_exact_resume.py kills a few uses each time
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_fit_killed_three_times_has_the_bits_of_one_that_was_not(tmp_path, optimizer):
    undisturbed = train(tmp_path / "undisturbed.npz", optimizer)
    for kill in (KillAt(0, 2), KillAt(2, 1), KillAt(4)):
        assert train(tmp_path / "state.npz", optimizer, kill=kill) is None
    same(train(tmp_path / "state.npz", optimizer), undisturbed)


@pytest.mark.slow
def test_it_is_the_restart_that_is_exact_and_not_the_training_that_is_simple(tmp_path):
    """Without the order of data following the epoch, the same comparison fails."""
    undisturbed = train(tmp_path / "undisturbed.npz", "sgd")
    state = tmp_path / "state.npz"
    train(state, "sgd", kill=KillAt(2))
    keras.utils.clear_session()
    model = network()
    model.compile(OPTIMIZERS["sgd"](), "mse", weighted_metrics=["mae"])
    model.fit(
        ShuffledBatches(X, Y, 16, seed=3),
        shuffle=False,
        epochs=EPOCHS,
        callbacks=[ExactResume(state, seed=3)],
        verbose=0,
    )
    assert not np.array_equal(model.get_weights()[0], undisturbed[0][0])


@pytest.mark.slow
def test_more_epochs_go_on_where_the_last_ended(tmp_path):
    train(tmp_path / "state.npz", "sgd", epochs=3)
    same(train(tmp_path / "state.npz", "sgd", epochs=6), train(tmp_path / "once.npz", "sgd", epochs=6))


@pytest.mark.slow
def test_a_finished_fit_trains_no_more(tmp_path):
    first = train(tmp_path / "state.npz", "adam with a moving average")
    same(train(tmp_path / "state.npz", "adam with a moving average"), first)


def test_the_history_of_a_fit_that_went_on_is_that_of_one_that_did_not(tmp_path):
    def fitted(path, epochs):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        fit = {"epochs": epochs, "batch_size": 16, "shuffle": False, "verbose": 0}
        return model.fit(X[:, :3], Y, validation_data=(X[:, :3], Y), callbacks=[ExactResume(path)], **fit)

    whole = fitted(tmp_path / "whole.npz", 5)
    for epochs in (2, 5, 5):  # interrupted, gone on with, and done
        found = fitted(tmp_path / "parts.npz", epochs)
        assert found.epoch == list(range(epochs))
        assert found.history == {name: values[:epochs] for name, values in whole.history.items()}


def test_patience_goes_on_where_it_was(tmp_path):
    """A loss that stays as it is for three epochs ends `fit`, in one process or in two."""

    def epochs_of(most):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=3)
        resume = ExactResume(tmp_path / "state.npz", carry=[stopping])
        fit = {"shuffle": False, "validation_data": (X, Y), "verbose": 0}
        model.fit(X, Y, epochs=most, callbacks=[stopping, resume], **fit)
        return len(resume.history)

    assert [epochs_of(2), epochs_of(100)] == [2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("patience", [1, 2, 100])
def test_early_stopping_and_the_rate_on_plateaus_go_on_too(tmp_path, patience):
    def carried():
        return [
            keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.02),
        ]

    undisturbed = train(tmp_path / "undisturbed.npz", "sgd", epochs=12, carry=carried())
    for kill in (KillAt(0), KillAt(1, 2), KillAt(2), KillAt(3, 0), KillAt(7)):
        train(tmp_path / "state.npz", "sgd", epochs=12, carry=carried(), kill=kill)
    same(train(tmp_path / "state.npz", "sgd", epochs=12, carry=carried()), undisturbed)
    if patience == 1:
        assert len(undisturbed[1]) < 12


@pytest.mark.slow
def test_bfloat16_and_random_states_keep_their_bits(tmp_path):
    undisturbed = train(tmp_path / "undisturbed.npz", "sgd", policy="bfloat16")
    assert "bfloat16" in {str(array.dtype) for array in undisturbed[0]}
    assert any(
        name.startswith("seed_generator") for name, *_ in read_state(tmp_path / "undisturbed.npz")[0]["variables"]
    )
    train(tmp_path / "state.npz", "sgd", kill=KillAt(2), policy="bfloat16")
    same(train(tmp_path / "state.npz", "sgd", policy="bfloat16"), undisturbed)


def test_saving_less_often_changes_nothing_but_how_much_is_done_again(tmp_path):
    def fit(kill=None):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1, kernel_initializer="ones")])
        model.compile("sgd", "mse")
        resume = ExactResume(tmp_path / "state.npz", every_seconds=3600)
        begun = []
        note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
        callbacks = [resume, note, *([kill] if kill else [])]
        with contextlib.suppress(Killed):
            model.fit(X, Y, epochs=5, shuffle=False, callbacks=callbacks, verbose=0)
        return begun

    assert fit(KillAt(3)) == [0, 1, 2, 3]
    assert fit() == [1, 2, 3, 4]  # only the first epoch had been saved, and now the last
    assert fit() == []


def test_another_model_is_refused_in_words(tmp_path):
    train(tmp_path / "state.npz", "sgd", epochs=1)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match=r"another model, optimizer or callbacks: it has .* where there is kernel \[8, 3\]"
    ):
        model.fit(X, Y, callbacks=[ExactResume(tmp_path / "state.npz")], verbose=0)


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        middle = content.index(b"variable_2.npy") + 200
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("variable_0.npy", b"not an array")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "hostile"])
def test_a_damaged_file_is_refused_and_kept(tmp_path, how):
    path = tmp_path / "state.npz"
    train(path, "sgd", epochs=1)
    damage(path, how)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="damaged"):
        train(path, "sgd")
    assert path.read_bytes() == content


ABOUT = {
    "variables": [["kernel", [8, 16], "float32"]],
    "history": [{"epoch": 0, "loss": 1.0}],
    "seconds": [0.1],
    "stopped": False,
    "carried": [{"wait": 0, "best": None}],
}
OTHER = {
    "no end": {"stopped": None},
    "an end that is a text": {"stopped": "no"},
    "a row without an epoch": {"history": [{"loss": 1.0}]},
    "an epoch that is a text": {"history": [{"epoch": "0"}]},
    "an epoch before the first": {"history": [{"epoch": -1}]},
    "a variable that is none": {"variables": [3]},
    "a variable without a dtype": {"variables": [["kernel", [8, 16]]]},
    "a name that is none": {"variables": [[None, [8, 16], "float32"]]},
    "a shape that is none": {"variables": [["kernel", "8", "float32"]]},
    "sizes that are texts": {"variables": [["kernel", ["8", "16"], "float32"]]},
    "seconds that are a text": {"seconds": ["1"]},
    "seconds beyond any float": {"seconds": [10**400]},
    "what is carried that is none": {"carried": [3]},
    "what is carried that is a text": {"carried": [{"wait": "1"}]},
}


def with_about(path, change):
    """The same state, but for what it says of itself."""
    about, arrays = read_arrays(path)
    write_arrays(path, {**about, **change}, arrays)


@pytest.mark.parametrize("case", OTHER)
def test_a_state_that_says_something_else_of_itself_is_damaged(tmp_path, case):
    path = tmp_path / "state.npz"
    write_arrays(path, ABOUT, {})
    assert read_state(path)[0] == ABOUT
    with_about(path, OTHER[case])
    with pytest.raises(StateError, match=r"damaged .*remove it to start from the beginning"):
        read_state(path)


def test_what_is_carried_is_that_of_the_same_callbacks_and_whole(tmp_path):
    def stopping():
        return [keras.callbacks.EarlyStopping("val_loss", restore_best_weights=True)]

    path = tmp_path / "state.npz"
    train(path, "sgd", epochs=1, carry=stopping())
    about, arrays = read_arrays(path)
    write_arrays(path, {**about, "carried": [{"wait": 1, "model": 3}]}, arrays)
    with pytest.raises(StateError, match="other callbacks in `carry` than EarlyStopping"):
        train(path, "sgd", carry=stopping())
    write_arrays(path, about, {name: array for name, array in arrays.items() if name != "carried_0_1"})
    with pytest.raises(StateError, match="carried_0_1"):
        train(path, "sgd", carry=stopping())


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    undisturbed = train(tmp_path / "undisturbed.npz", "sgd")
    train(path, "sgd", epochs=2)

    def full(part, **arrays):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            train(path, "sgd")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.npz", "undisturbed.npz"]
    same(train(path, "sgd"), undisturbed)


def test_its_directory_is_made(tmp_path):
    train(tmp_path / "runs" / "own" / "state.npz", "sgd", epochs=1)
    assert [path.name for path in (tmp_path / "runs" / "own").iterdir()] == ["state.npz"]


def test_the_file_can_be_read_by_others(tmp_path):
    train(tmp_path / "state.npz", "batch_gd", epochs=2)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        number = [name for name, *_ in about["variables"]].index("kernel")
        kernel = file[f"variable_{number}"]
    assert about["variables"][number] == ["kernel", list(kernel.shape), "float32"] == ["kernel", [8, 16], "float32"]
    assert about["history"][1]["updates"] == 2


def test_only_callbacks_whose_state_is_known_are_carried():
    with pytest.raises(ValueError, match="EarlyStopping, ReduceLROnPlateau"):
        ExactResume("state.npz", carry=[keras.callbacks.TerminateOnNaN()])


@pytest.mark.parametrize("name", ["state", "state.keras", "."])
def test_a_path_that_is_no_npz_file_is_refused_before_anything_is_trained(tmp_path, name):
    with pytest.raises(ValueError, match=r"`path` must be that of a file that ends in \.npz"):
        ExactResume(tmp_path / name)


def test_it_says_what_it_goes_on_from(tmp_path, capsys):
    """A file may have been forgotten, and then it is not the training that was meant."""
    for epochs, told in ((2, ""), (3, f"ExactResume: goes on after epoch 2, from {tmp_path / 'state.npz'}; remove ")):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        model.fit(X, X[:, :3], epochs=epochs, callbacks=[ExactResume(tmp_path / "state.npz")], verbose=0)
        out = capsys.readouterr().out
        assert out.startswith(told)
        assert out.count("\n") == bool(told)
