"""What the callbacks take from the inside of Keras, for which it has no public way: all of it, and why.

- `train_step`, `compute_loss` and `make_train_function`, replaced on one model for one `fit` (step_of_fit.py): a
  callback hears of batches and cannot change what is done with them.
- `_symbolic_build`, `_loss_tracker` (step_of_fit.py, block_gradient.py): a step of one's own keeps metrics as Keras's.
- `_losses_override`, `_compute_loss`, `_call_has_training_arg`, `_compute_loss_has_training_arg` (loss.py): the loss of
  a step as a function.
- `_compile_loss._flat_losses` (`each_loss` here): the compiled loss pairs losses with outputs by rules of its own.
- The mask of a tensor (`mask_of` here): nothing else says that a mean divides by what is not masked.
- The frame of `fit` (`callbacks_of_fit`, `DataOfFit` here): a callback is told neither of the others nor of the data.
- `_flatten_layers`, and `call` of a layer, replaced for the length of a pass (recompute_statistics.py): a layer that is
  used twice keeps the statistics of its last use.
- `_initial_epoch` (exact_resume.py): where `fit` begins, as in Keras's own `BackupAndRestore`.
- `save_own_variables`, `load_own_variables` of a `LossScaleOptimizer`, for one `fit` (`lend` here): it saves the
  variables of the optimizer inside without asking that.
- `_assert_compile_called`, `optimizer._learning_rate`, `_iterations` (learning_rate_finder.py): a test that leaves no
  trace.

tests/backends/test_inside_keras.py fails where a version of Keras has them no more.
"""

import contextlib
import functools
import sys

import keras
from keras.src.backend import get_keras_mask


def mask_of(tensor):
    """The mask that layers have given a tensor: an attribute on TensorFlow and torch, an entry of a table on JAX."""
    return get_keras_mask(tensor)


@contextlib.contextmanager
def each_loss(model, looks):
    """Call each `look(loss, y_true, y_pred)` for each Keras loss that the model computes inside the context.

    The compiled loss pairs losses with targets and outputs by rules of its own (lists, dictionaries, partial ones), so
    for the length of a call its list has losses that look first. Keras makes that list in its first call.
    """
    compiled = model._compile_loss
    if compiled is None:  # the model's losses are all `add_loss`
        yield
        return

    def put_in():
        own = compiled._flat_losses
        compiled._flat_losses = [each._replace(loss=functools.partial(_looked_at, looks, each.loss)) for each in own]

    def build(y_true, y_pred):
        type(compiled).build(compiled, y_true, y_pred)
        put_in()

    if compiled.built:
        put_in()
    else:
        vars(compiled)["build"] = build
    try:
        yield
    finally:
        vars(compiled).pop("build", None)
        if compiled._flat_losses is not None:
            compiled._flat_losses = [_own_loss(each) for each in compiled._flat_losses]


def _looked_at(looks, loss, y_true, y_pred, sample_weight=None):
    for look in looks:
        look(loss, y_true, y_pred)
    return loss(y_true, y_pred, sample_weight)


def _own_loss(entry):
    """An entry of the compiled loss's list with the loss that looks taken out."""
    is_put_in = isinstance(entry.loss, functools.partial) and entry.loss.func is _looked_at
    return entry._replace(loss=entry.loss.args[1]) if is_put_in else entry


def lend(outer, inner):
    """Let a `LossScaleOptimizer` save and load no more of the optimizer inside of it than that does by itself."""
    if outer is not inner:
        for name in ("save_own_variables", "load_own_variables"):
            vars(outer)[name] = functools.partial(_without_lent, inner, getattr(outer, name))


def take_back(outer):
    """End what `lend` has begun."""
    for name in ("save_own_variables", "load_own_variables"):
        vars(outer).pop(name, None)


def _without_lent(inner, function, store):
    with inner.nothing_lent():
        function(store)


def callbacks_of_fit():
    """The callbacks of the `fit` that is calling one of them, a list; empty outside of one."""
    for frame in _frames():
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller.callbacks
    return []


class DataOfFit:
    """The data that a `fit` trains on; to be made while it is calling `on_train_begin`.

    Keras's loops read the number of batches of a `keras.utils.PyDataset` too early to follow one that changes, and
    with several workers they mix the batches of two epochs: the batch that was taken to build a model is missing from
    the first one, what had been prepared behind it is put before the next, and so on in every epoch.

    Args:
        model: `keras.Model`, that is in `fit`.
    """

    def __init__(self, model):
        self._iterator = epoch_iterator_of(model)

    def forget_prepared(self):
        """Let the first epoch begin with its own batches: drop those of workers that were prepared before it."""
        enqueuer = getattr(getattr(self._iterator, "data_adapter", None), "enqueuer", None)
        if enqueuer is None or enqueuer.is_running() or self._iterator.data_adapter.num_batches is None:
            return  # data without an end go on where they were
        for queue in (enqueuer.ready_queue, enqueuer.future_queue):
            while not queue.empty():
                queue.get_nowait()

    def is_spent_after_one_epoch(self):
        """Whether the data are a generator of Python that nobody gives a number of steps.

        From the second epoch on Keras trains on the two batches that it has looked at before the first.
        """
        adapter = getattr(self._iterator, "data_adapter", None)
        return type(adapter).__name__ == "GeneratorDataAdapter" and self._iterator.steps_per_epoch is None

    def sizes(self):
        """The numbers of samples of its batches, a set of ints: of a whole one, and of the last; empty if not known."""
        adapter = getattr(self._iterator, "data_adapter", None)
        batches = getattr(adapter, "num_batches", None)
        if adapter is None or batches is None or getattr(adapter, "batch_size", None) is None:
            return set()
        last = adapter.partial_batch_size if adapter.has_partial_batch else None
        whole = adapter.batch_size if batches > (last is not None) else None
        return {size for size in (whole, last) if size}

    def length(self, otherwise):
        """The number of batches of the epoch that begins, which `fit` then follows; None where nobody knows it.

        Args:
            otherwise: int or None, what is known without it.
        """
        if self._iterator is None or self._iterator.steps_per_epoch is not None:
            return otherwise
        batches = self._iterator.data_adapter.num_batches
        if batches is None:
            return otherwise
        self._iterator._num_batches = batches
        return batches


def epoch_iterator_of(model):
    """What the nearest `fit` of a model that is calling trains on, and no other does; None where there is no such."""
    for frame in _frames():
        code = frame.f_code
        is_fit = code.co_name == "fit" and "epoch_iterator" in code.co_varnames + code.co_cellvars
        if is_fit and frame.f_locals.get("self") is model:
            return frame.f_locals.get("epoch_iterator")
    return None


def _frames():
    """The frames that are calling, from the nearest."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
