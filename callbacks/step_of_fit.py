import functools
import weakref

import keras

_changed = weakref.WeakKeyDictionary()  # model: _Changed


class StepOfFit(keras.callbacks.Callback):
    """Base class of callbacks that change the training step of the `fit` that they are given to, and of no other.

    ```python
    step = first.around_step(model, second.around_step(model, model.train_step))      # callbacks=[first, second]
    ```

    `fit` calls `make_train_function` after its callbacks have got their model, so the train function of this `fit` is
    made of the changed step. A later `fit` or `train_on_batch` makes its own of the model's own step, even after a
    `fit` that was interrupted: a function that survived from that would go on silently in the middle of a pass.
    """

    def __init__(self):
        super().__init__()
        self._in_fit = False  # from the beginning of training to its end, unless an exception ends it

    def prepare(self, model):
        """Look at the model before its step is changed; raises an error if it cannot be."""

    def around_step(self, model, step, *arguments):
        """What stands in for `step(*arguments)`, the training step that there is without this callback."""
        return step(*arguments)

    def around_loss(self, model, compute_loss):
        """What stands in for the model's `compute_loss`."""
        return compute_loss

    def step_ended(self):
        """The step is not that of the model any more."""

    def set_model(self, model):
        super().set_model(model)
        if model in _changed and _changed[model].is_left_behind(self):
            restore(model)
        self.prepare(model)
        if model not in _changed:
            _changed[model] = _Changed(model)
        _changed[model].callbacks.append(self)

    def on_train_begin(self, logs=None):
        self._in_fit = True

    def on_train_end(self, logs=None):
        self._in_fit = False
        restore(self.model)
        self.model.train_function = None  # made of methods that have just been taken away


def restore(model):
    """Give a model its own methods back, those that it had of its own before too."""
    changed = _changed.pop(model, None)
    if changed is None:
        return
    for name, method in changed.own.items():
        if method is None:
            vars(model).pop(name, None)
        else:
            vars(model)[name] = method
    for callback in changed.callbacks:
        callback.step_ended()


class _Changed:
    """What the callbacks of one `fit` have made of a model's methods."""

    def __init__(self, model):
        self.callbacks, self.is_made = [], False
        self.own = {}  # what the model itself had there, by name, or None
        make = functools.partial(_make, weakref.ref(model), model.make_train_function)
        self.put(model, "make_train_function", make)

    def is_left_behind(self, callback):
        """Whether this is of a `fit` that was interrupted, and not of the one that a callback is about to join."""
        return self.is_made or any(type(each) is type(callback) for each in self.callbacks)

    def put(self, model, name, method):
        """Give this one model a method of its own until `restore`."""
        self.own.setdefault(name, vars(model).get(name))
        vars(model)[name] = method


def _make(reference, make_own, force=False):
    """Make the train function of the changed step, or of the model's own once that `fit` is over."""
    model = reference()
    changed = _changed[model]
    if not changed.is_made:
        step, compute_loss = model.train_step, model.compute_loss
        for callback in reversed(changed.callbacks):
            step = functools.partial(callback.around_step, model, step)
            compute_loss = callback.around_loss(model, compute_loss)
        changed.put(model, "train_step", step)
        if compute_loss is not model.compute_loss and compute_loss != model.compute_loss:
            changed.put(model, "compute_loss", compute_loss)
        changed.is_made = True
    elif not (force and any(callback._in_fit for callback in changed.callbacks)):
        restore(model)  # else some callback has changed the model and wants the function anew
    make_own(force=True)
