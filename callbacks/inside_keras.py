"""All private parts of Keras that the callbacks use, and why: Keras has no public way to do this.

- `train_step`, `compute_loss` and `make_train_function`, replaced on one model for one `fit` (step_of_fit.py): a
  callback is called for each batch, but cannot change what is done with it.
- `_symbolic_build`, `_loss_tracker` (step_of_fit.py, block_gradient.py): a training step that is not Keras's has to
  keep metrics as Keras's does.
- `_losses_override`, `_compute_loss`, `_call_has_training_arg`, `_compute_loss_has_training_arg` (loss.py): the loss of
  a step as a function.
- `_compile_loss._flat_losses` (`observe_losses` here): the compiled loss pairs losses with outputs by rules of its own.
- The mask of a tensor (`mask_of` here): nothing else tells that a mean divides by the number of unmasked values.
- `_get_iterator`, `_num_batches`, `steps_per_epoch` and `steps_per_execution` of the epoch iterator
  (`DataOfFit.in_one_step` here): nothing else hands all batches of an epoch to one call of the train function.
- `_get_iterator` and `_distribute_strategy` of it, `_shuffle` and `_inputs` of its data adapter
  (`DataOfFit.keep_batches` here): Keras cuts arrays into batches anew in each epoch.
- The frame of `fit` (`callbacks_of_fit`, `DataOfFit` here): a callback gets neither the other callbacks nor the data.
- `_compile_loss` (full_batch.py): nothing else is another object after each `compile`, by which another loss is seen.
- `_seed_generators` of a layer (same_loss.py): whether a layer of one's own draws random numbers.
- `_flatten_layers`, and `call` of a layer, replaced for the length of a pass (recompute_statistics.py): a layer that is
  used twice keeps the statistics of its last use.
- `_initial_epoch` (exact_resume.py): where `fit` begins, as in Keras's own `BackupAndRestore`.
- `save_own_variables`, `load_own_variables` of a `LossScaleOptimizer`, for one `fit` (`hide_lent_window` here): it
  saves the variables of the optimizer inside by itself, and does not call that optimizer's own methods.
- `_assert_compile_called`, `optimizer._learning_rate`, `_iterations` (learning_rate_finder.py): a test of learning
  rates has to leave no trace.

tests/backends/test_inside_keras.py fails if a version of Keras no longer has them.
"""

import contextlib
import functools
import itertools
import math
import sys
import zlib

import keras
import numpy as np
from keras.src.backend import get_keras_mask

from custom_optimizers.backend import backend_module

ROWS = 1024  # of an array that are read at once
KEPT_BYTES = 1 << 28  # of arrays, at most, whose batches are kept from epoch to epoch


def mask_of(tensor):
    """The mask that layers have given a tensor: an attribute on TensorFlow and torch, an entry of a table on JAX."""
    return get_keras_mask(tensor)


@contextlib.contextmanager
def observe_losses(model, observers):
    """Call each of `observers`, as `observer(loss, y_true, y_pred)`, for each Keras loss computed inside the context.

    The compiled loss pairs losses with targets and outputs by rules of its own (lists, dictionaries, some left out). So
    in the context its list has losses that call the observers first. Keras makes that list in the first call.
    """
    compiled = model._compile_loss
    if compiled is None:  # the model's losses are all `add_loss`
        yield
        return

    def insert():
        own = compiled._flat_losses
        compiled._flat_losses = [each._replace(loss=functools.partial(_observed, observers, each.loss)) for each in own]

    def build(y_true, y_pred):
        type(compiled).build(compiled, y_true, y_pred)
        insert()

    if compiled.built:
        insert()
    else:
        vars(compiled)["build"] = build
    try:
        yield
    finally:
        vars(compiled).pop("build", None)
        if compiled._flat_losses is not None:
            compiled._flat_losses = [_without_observers(each) for each in compiled._flat_losses]


def _observed(observers, loss, y_true, y_pred, sample_weight=None):
    for observer in observers:
        observer(loss, y_true, y_pred)
    return loss(y_true, y_pred, sample_weight)


def _without_observers(entry):
    """An entry of the compiled loss's list, with the loss itself in place of one that calls observers."""
    is_inserted = isinstance(entry.loss, functools.partial) and entry.loss.func is _observed
    return entry._replace(loss=entry.loss.args[1]) if is_inserted else entry


def hide_lent_window(outer, inner):
    """Make a `LossScaleOptimizer` leave out the lent window of the optimizer inside when it saves and loads."""
    if outer is not inner:
        for name in ("save_own_variables", "load_own_variables"):
            vars(outer)[name] = functools.partial(_call_without_lent_window, inner, getattr(outer, name))


def unhide_lent_window(outer):
    """End what `hide_lent_window` has begun."""
    for name in ("save_own_variables", "load_own_variables"):
        vars(outer).pop(name, None)


def _call_without_lent_window(inner, function, store):
    with inner.without_lent_window():
        function(store)


def tell_progress_bars(callbacks, steps):
    """Tell the progress bars among callbacks how many steps an epoch has; Keras tells them before `fit` begins."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.ProgbarLogger):
            callback.target = steps


def callbacks_of_fit():
    """The callbacks of the `fit` that is calling one of them, a list; empty if none is."""
    for frame in _frames():
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller.callbacks
    return []


class DataOfFit:
    """The data that a `fit` trains on. It has to be made while `fit` is calling `on_train_begin`.

    Keras reads the number of batches of a `keras.utils.PyDataset` too early to notice that it changes. With several
    workers it mixes the batches of two epochs: the batch that was taken to build the model is missing from the first
    epoch, batches that workers had prepared come before those of the next epoch, and so on.

    Args:
        model: `keras.Model` whose `fit` is under way.
    """

    def __init__(self, model):
        self._iterator = epoch_iterator_of(model)
        self._cached = None  # `Epoch` that is read once, if the data are

    def forget_prepared(self):
        """Drop the batches that workers prepared before the first epoch, so that it begins with its own."""
        enqueuer = getattr(getattr(self._iterator, "data_adapter", None), "enqueuer", None)
        if enqueuer is None or enqueuer.is_running() or self._iterator.data_adapter.num_batches is None:
            return  # data without an end go on from where they are
        for queue in (enqueuer.ready_queue, enqueuer.future_queue):
            while not queue.empty():
                queue.get_nowait()

    def check_cache(self, cache):
        """Raise a ValueError if data are to be kept that are not the same in each epoch."""
        steps = self._iterator.steps_per_epoch
        if cache and steps is not None:
            raise ValueError(
                f"FullBatch: `cache=True` is for data that are the same in each epoch. With steps_per_epoch={steps} an "
                "epoch goes on where the one before has ended: leave out one of the two."
            )

    def check_whole(self, owner):
        """Raise a ValueError if an epoch is a part of the data, and so another one each time.

        Args:
            owner: str, the optimizer's class.
        """
        steps, batches = self._iterator.steps_per_epoch, self._iterator.data_adapter.num_batches
        if steps and batches and steps % batches:
            raise ValueError(
                f"{owner} needs the loss of all samples in each pass, and steps_per_epoch={steps} takes a part of the "
                f"{batches} batches, another one in each epoch: leave it out."
            )

    def checksum(self):
        """A number that tells the arrays of this `fit` from others, an int; None for other data."""
        if not is_of_arrays(self._iterator):
            return None
        found, leaves = 0, keras.tree.flatten(self._iterator.data_adapter._inputs)
        for each in (leaf for leaf in leaves if leaf is not None):
            array = keras.ops.convert_to_numpy(each) if hasattr(each, "__array__") else None  # a sparse one has none
            if array is None or array.dtype.hasobject:
                return None
            found = zlib.crc32(repr((array.shape, array.dtype)).encode(), found)
            for start in range(0, len(array), ROWS):
                found = zlib.crc32(np.ascontiguousarray(array[start : start + ROWS]), found)
        return found

    def keep_batches(self, cache):
        """Read the data once, and not in each epoch.

        Keras cuts arrays into batches and copies them in each epoch. On TensorFlow it makes two pipelines of data an
        epoch, 10 ms each, and a thread that tunes them delays the end of the epoch by tens of milliseconds more.

        Args:
            cache: bool, or None: small arrays on one device whose order stays.
        """
        if cache is None:
            cache = (
                self._iterator.steps_per_epoch is None
                and is_of_arrays(self._iterator)
                and self._keeps_order()
                and self._is_small()
            )
            cache = cache and not self._is_shared()
        if cache:
            epoch = self._cached = Epoch(self._iterator, cache)
            self._iterator._get_iterator = lambda: iter(epoch.batches())

    def _keeps_order(self):
        return self._iterator._num_batches == 1 or not self._iterator.data_adapter._shuffle

    def _is_small(self):
        """Whether the device can hold the arrays without anybody noticing."""
        arrays = keras.tree.flatten(self._iterator.data_adapter._inputs)
        return sum(getattr(each, "nbytes", math.inf) for each in arrays) <= KEPT_BYTES

    def _is_shared(self):
        """Whether several devices share the batches."""
        strategy = getattr(self._iterator, "_distribute_strategy", None)
        return keras.distribution.distribution() is not None or (strategy and strategy.num_replicas_in_sync > 1)

    def is_spent_after_one_epoch(self):
        """Whether the data are a Python generator, and `fit` was not given `steps_per_epoch`.

        From the second epoch on, Keras then trains on the two batches that it took from it before the first.
        """
        adapter = getattr(self._iterator, "data_adapter", None)
        return type(adapter).__name__ == "GeneratorDataAdapter" and self._iterator.steps_per_epoch is None

    def sizes(self):
        """The sizes of the batches, a set of ints: that of a whole batch and that of the last; empty if unknown."""
        adapter = getattr(self._iterator, "data_adapter", None)
        batches = getattr(adapter, "num_batches", None)
        if adapter is None or batches is None or getattr(adapter, "batch_size", None) is None:
            return set()
        last = adapter.partial_batch_size if adapter.has_partial_batch else None
        whole = adapter.batch_size if batches > (last is not None) else None
        return {size for size in (whole, last) if size}

    def in_one_step(self, cache):
        """From now on an epoch is one step of `fit`, which is given an `Epoch`: all batches of the epoch.

        Args:
            cache: bool, whether data are read once; None: arrays are.
        """
        iterator = self._iterator
        epoch = Epoch(iterator, cache)
        iterator._get_iterator = lambda: iter([epoch])
        iterator.steps_per_epoch, iterator._num_batches, iterator.steps_per_execution = None, 1, 1

    def length(self, otherwise):
        """The number of batches of the epoch that begins, which `fit` then follows; None if it is unknown.

        Args:
            otherwise: int or None, what to return if the data do not have it.
        """
        if self._iterator is None or self._iterator.steps_per_epoch is not None:
            return otherwise
        batches = self._iterator.data_adapter.num_batches
        if self._cached is not None and (batches is None or self._cached.is_read):
            batches = len(self._cached.batches())
        if batches is None:
            return otherwise
        self._iterator._num_batches = batches
        return batches


def is_of_arrays(iterator):
    """Whether an epoch iterator reads arrays, all of them in each epoch."""
    return type(getattr(iterator, "data_adapter", None)).__name__ == "ArrayDataAdapter"


class Epoch:
    """The batches that a `fit` trains on in an epoch, as tensors on the device.

    Arrays that `fit` was given are the same in each epoch, so their batches are made once. Their order does not matter
    for a full batch: it is that of the first epoch. Other data are read anew in each epoch, unless they are cached.

    Args:
        iterator: the epoch iterator of `fit`.
        cache: bool, whether the data are read once; None: arrays are.
    """

    def __init__(self, iterator, cache=None):
        self._read, self._steps = iterator._get_iterator, iterator.steps_per_epoch
        self._is_constant = self._steps is None and (is_of_arrays(iterator) if cache is None else cache)
        self._ends = type(iterator.data_adapter).__name__ == "GeneratorDataAdapter"  # and does not begin again
        self._under_way = self._kept = None
        self.is_over = False  # whether the batches of all epochs have been handed over

    @property
    def is_read(self):
        """Whether the batches of all epochs have been read."""
        return self._kept is not None

    def new_batches(self):
        """The batches of the next epoch, a list, which is not kept; None if they are those of the epoch before."""
        if self.is_over:
            return None
        found, self._kept, self.is_over = self.batches(), None, self._is_constant
        return found

    def batches(self):
        """The batches of the next epoch, a list."""
        if self._kept is not None:
            return self._kept
        if self._is_constant:
            backend = backend_module()
            with backend.random_numbers_of(backend.random_state()):  # a reader of torch draws one, in this epoch alone
                self._kept = [on_device(batch) for batch in self._read()]
            self._read = None  # what was read is not held too
            return self._kept
        if self._steps is None:
            return [on_device(batch) for batch in self._read()]
        return [on_device(batch) for batch in self._next_steps()]

    def _next_steps(self):
        """The next batches, as many as `steps_per_epoch`; behind the last one the data begin again."""
        found = [] if self._under_way is None else list(itertools.islice(self._under_way, self._steps))
        while len(found) < self._steps:
            ends, before = self._ends and self._under_way is not None, len(found)
            self._under_way = iter(self._read())
            found += itertools.islice(self._under_way, self._steps - before)
            if ends or len(found) == before:
                raise ValueError(
                    f"FullBatch: the data ended before the {self._steps} batches of an epoch did (`steps_per_epoch`)."
                )
        return found


def on_device(batch):
    """A batch as tensors on the device; on TensorFlow it is one already."""
    if keras.backend.backend() == "tensorflow":
        return batch
    return keras.tree.map_structure(lambda leaf: leaf if leaf is None else keras.ops.convert_to_tensor(leaf), batch)


def epoch_iterator_of(model):
    """The epoch iterator of the innermost `fit` of a model that is under way, None if none is.

    It is in the frame of `fit`. No other `fit` has the same one.
    """
    for frame in _frames():
        code = frame.f_code
        is_fit = code.co_name == "fit" and "epoch_iterator" in code.co_varnames + code.co_cellvars
        if is_fit and frame.f_locals.get("self") is model:
            return frame.f_locals.get("epoch_iterator")
    return None


def _frames():
    """The frames of the call stack, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
