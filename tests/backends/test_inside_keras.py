"""What is taken from the inside of Keras is there, and does what it is taken for: a new version may have moved it."""

import inspect
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers

from callbacks import FullBatch, inside_keras
from callbacks.inside_keras import DataOfFit, callbacks_of_fit, mask_of, observe_losses
from custom_optimizers import BatchGD

BACKEND = keras.backend.backend()
SOURCES = pathlib.Path(inside_keras.__file__).parent
X, Y = np.arange(12, dtype="float32").reshape(6, 2), np.ones((6, 1), "float32")


def made(loss="mse", **options):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(BatchGD(0.01), loss, **options)
    return model


def owners():
    """What has each private name that the callbacks use."""
    model, layer = made(), layers.Dense(1)
    model.fit(X, Y, verbose=0)
    return {
        "_symbolic_build": model,
        "_loss_tracker": model,
        "_losses_override": model,
        "_compute_loss": model,
        "_call_has_training_arg": layer,
        "_compute_loss_has_training_arg": model,
        "_compile_loss": model,
        "_flat_losses": model._compile_loss,
        "_flatten_layers": model,
        "_seed_generators": layer,
        "_initial_epoch": model,
        "_assert_compile_called": model,
        "_learning_rate": model.optimizer,
        "_iterations": model.optimizer,
        "train_step": model,
        "compute_loss": model,
        "make_train_function": model,
    }


def test_each_name_is_there():
    assert [name for name, owner in owners().items() if not hasattr(owner, name)] == []


def test_the_list_has_all_that_the_callbacks_take():
    """Private names of Keras's objects in the sources are those of the list above."""
    used = set()
    for path in SOURCES.rglob("*.py"):
        used |= set(
            re.findall(r"\b(?:model|compiled|optimizer|_model|iterator|_iterator)\.(_[a-z]\w*)", path.read_text())
        )
    ours = {"_optimizer", "_in_fit", "_model", "_backend", "_iterator", "_record"}
    of_iterators = {
        "_num_batches",
        "_get_iterator",
        "_distribute_strategy",
        "_shuffle",
        "_inputs",
    }  # of the epoch iterator, tested below
    assert used - ours - of_iterators <= set(owners())
    names = re.findall(r"`(_\w+)", inspect.getdoc(inside_keras))
    assert set(names) <= set(owners()) | {"_compile_loss"} | of_iterators


class Looks(keras.callbacks.Callback):
    """Keeps what it sees of the `fit` that calls it."""

    def set_model(self, model):
        super().set_model(model)
        self.beside = callbacks_of_fit()

    def on_train_begin(self, logs=None):
        self.length = DataOfFit(self.model).length(None)


def test_the_frame_of_fit_has_callbacks_and_data():
    looks, other = Looks(), keras.callbacks.TerminateOnNaN()
    made().fit(X, Y, batch_size=4, verbose=0, callbacks=[looks, other])
    assert looks in looks.beside
    assert other in looks.beside
    assert looks.length == 2


def test_outside_of_fit_there_is_neither():
    assert callbacks_of_fit() == []
    assert DataOfFit(made()).length(7) == 7
    DataOfFit(made()).forget_prepared()


class Data(keras.utils.PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        self.batches = 2

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        return X[:2], Y[:2]


class Grows(Looks):
    """Lets data grow behind an epoch, and counts the batches of each."""

    def __init__(self, data):
        super().__init__()
        self.data, self.counts = data, []

    def on_train_begin(self, logs=None):
        self.of_fit = DataOfFit(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.lengths = [*getattr(self, "lengths", []), self.of_fit.length(None)]
        self.counts.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.counts[-1] += 1

    def on_epoch_end(self, epoch, logs=None):
        self.data.batches += 2


def test_fit_follows_the_length_that_it_is_told():
    data = Data()
    grows = Grows(data)
    made().fit(data, epochs=3, verbose=0, callbacks=[grows])
    assert grows.lengths == grows.counts == [2, 4, 6]


def test_a_mask_is_found():
    masked = layers.Masking()(keras.ops.zeros((2, 3, 1)))
    assert mask_of(masked) is not None
    assert mask_of(keras.ops.zeros((2, 3, 1))) is None


@pytest.mark.parametrize("is_built", [False, True])
def test_observed_losses_are_seen_and_put_back(is_built):
    """In the first call, in which Keras makes its list, and in a later one; after an error in it too."""
    model, seen = made(), []
    if is_built:
        model.train_on_batch(X, Y)
    with observe_losses(model, [lambda loss, true, predicted: seen.append((loss.name, tuple(predicted.shape)))]):
        model.compute_loss(X, keras.ops.array(Y), keras.ops.zeros((6, 1)), None)
    assert seen == [("mse", (6, 1))]

    def fails(*arguments):
        raise OSError

    with pytest.raises(OSError), observe_losses(model, [fails]):
        model.compute_loss(X, keras.ops.array(Y), keras.ops.zeros((6, 1)), None)
    assert "build" not in vars(model._compile_loss)
    assert all(isinstance(entry.loss, keras.losses.Loss) for entry in model._compile_loss._flat_losses)
    model.compute_loss(X, keras.ops.array(Y), keras.ops.zeros((6, 1)), None)
    assert len(seen) == 1


def test_after_a_fit_the_model_has_its_own_methods():
    model = made()
    before = set(vars(model))
    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[FullBatch()])
    assert not {"train_step", "compute_loss", "make_train_function", "_changed_in_fit"} & (set(vars(model)) - before)
