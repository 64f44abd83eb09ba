import functools
import weakref

import keras

from callbacks.inside_keras import epoch_iterator_of

CHANGED = "_changed_in_fit"  # the attribute of a model that holds its `_Changed`; it goes when the model goes


class StepOfFit(keras.callbacks.Callback):
    """Base class of callbacks that change the training step of the `fit` that they are given to, and of no other.

    ```python
    step = first.around_step(model, second.around_step(model, model.train_step))      # first is outside of second
    ```

    Their order in `callbacks` does not matter: one that makes the step itself (`makes_step`) is inside of all others,
    and of these there can be one.

    `fit` calls `make_train_function` after its callbacks have got their model, so the train function of this `fit` is
    made of the changed step. A later `fit` or `train_on_batch` makes its own of the model's own step, even after a
    `fit` that was interrupted: a function that survived from that would go on silently in the middle of a pass.
    """

    makes_step = False  # whether `around_step` makes a step of its own and does not call the one that it is given

    def __init__(self):
        super().__init__()
        self._in_fit = False  # from the beginning of training to its end, unless an exception ends it
        self._is_nested = False  # whether it is in an `evaluate` or `predict` that something in its `fit` has called

    def prepare(self, model):
        """Look at the model before its step is changed; raises an error if it cannot be."""

    def agree(self, model, others):
        """Look at the other callbacks that change this step, a list; raises an error if they do not go together."""

    def around_step(self, model, step, *arguments):
        """What stands in for `step(*arguments)`, the training step that there is without this callback."""
        return step(*arguments)

    def around_loss(self, model, compute_loss):
        """What stands in for the model's `compute_loss`."""
        return compute_loss

    def step_ended(self):
        """The step is not that of the model any more."""
        self._in_fit = False

    def set_model(self, model):
        super().set_model(model)
        changed = vars(model).get(CHANGED)
        if changed is not None and self in changed.callbacks and changed.is_under_way(model):
            self._is_nested = True
            return
        if changed is not None and changed.is_left_behind(self):
            restore(model)
        try:
            self.prepare(model)
            changed = vars(model).get(CHANGED) or _Changed(model)
            changed.add(self)
        except Exception:
            restore(model)
            raise

    def set_params(self, params):
        if self._is_nested:  # else the rest of `fit` would have those of something else
            return
        super().set_params(params)
        changed = vars(self._model).get(CHANGED)
        if changed is not None and self not in changed.callbacks:  # another one of its kind has taken its place
            restore(self._model)
            raise ValueError(f"{type(self).__name__}: `callbacks` has two of them; give it one.")

    def on_train_begin(self, logs=None):
        self._in_fit = True
        changed = vars(self._model).get(CHANGED)
        if changed is not None:
            changed.begin(self._model)

    def on_train_end(self, logs=None):
        restore(self.model)
        self.model.train_function = None  # made of methods that have just been taken away

    def on_test_end(self, logs=None):
        self._leave_what_is_no_fit()

    def on_predict_end(self, logs=None):
        self._leave_what_is_no_fit()

    def _leave_what_is_no_fit(self):
        """`evaluate` and `predict` take callbacks too."""
        self._is_nested = False
        if not self._in_fit:
            restore(self.model)


def restore(model):
    """Give a model its own methods back, those that it had of its own before too."""
    changed = vars(model).pop(CHANGED, None)
    if changed is None:
        return
    for name, method in changed.own.items():
        if method is None:
            vars(model).pop(name, None)
        else:
            vars(model)[name] = method
    for callback in changed.callbacks:
        callback.step_ended()


def build_symbolically(model, data):
    """Let Keras build what a model needs for training, such as metrics: of shapes, by losses of no data."""
    changed = vars(model)[CHANGED]
    changed.is_building = True
    try:
        model._symbolic_build(data_batch=data)
    finally:
        changed.is_building = False


class _Changed:
    """What the callbacks of one `fit` have made of a model's methods.

    The model holds it, and nothing else does: an exception that ends a `fit` leaves nothing behind that would keep the
    model in memory.
    """

    def __init__(self, model):
        self.callbacks, self.is_made, self.is_building = [], False, False
        self.own = {}  # what the model itself had there, by name, or None
        self._iterator = None  # of the data of this `fit`, a weak reference, by which it is known
        vars(model)[CHANGED] = self
        make = functools.partial(_make, weakref.ref(model), model.make_train_function)
        self.put(model, "make_train_function", make)

    def begin(self, model):
        """Training begins."""
        iterator = epoch_iterator_of(model)
        self._iterator = None if iterator is None else weakref.ref(iterator)

    def is_under_way(self, model):
        """Whether the `fit` that this is of is calling, and not one behind it."""
        iterator = epoch_iterator_of(model)
        return iterator is not None and self._iterator is not None and self._iterator() is iterator

    def is_left_behind(self, callback):
        """Whether this is of a `fit` that was interrupted, and not of the one that a callback is about to join."""
        return self.is_made or any(type(each) is type(callback) for each in self.callbacks)

    def add(self, callback):
        makers = [each for each in (*self.callbacks, callback) if each.makes_step]
        if len(makers) > 1:
            one, other = (type(each).__name__ for each in makers)
            raise ValueError(
                f"{other} and {one} both make the training step, so the one would do nothing: give `callbacks` one of "
                "them, or write a BlockGradient whose `block_gradient` does both."
            )
        self.callbacks.append(callback)

    def put(self, model, name, method):
        """Give this one model a method of its own until `restore`."""
        self.own.setdefault(name, vars(model).get(name))
        vars(model)[name] = method


def _make(reference, make_own, force=False):
    """Make the train function of the changed step, or of the model's own once that `fit` is over."""
    model = reference()
    changed = vars(model)[CHANGED]
    if not changed.is_made:
        try:
            for callback in changed.callbacks:
                callback.agree(model, [each for each in changed.callbacks if each is not callback])
        except Exception:
            restore(model)
            raise
        step, own_loss = model.train_step, model.compute_loss
        compute_loss = own_loss
        for callback in sorted(changed.callbacks, key=lambda each: not each.makes_step):  # from the inside
            step = functools.partial(callback.around_step, model, step)
            compute_loss = callback.around_loss(model, compute_loss)
        changed.put(model, "train_step", step)
        changed.put(model, "compute_loss", functools.partial(_compute_loss, changed, own_loss, compute_loss))
        changed.is_made = True
    elif not changed.is_under_way(model):
        restore(model)
    elif not force:  # else some callback has changed the model and wants the function anew
        names = " and ".join(type(callback).__name__ for callback in changed.callbacks)
        raise ValueError(
            f"{names}: the model is trained by something else inside of the `fit` that they change. Train it behind "
            "that, or another model."
        )
    make_own(force=True)


def _compute_loss(changed, own, watched, *arguments, **options):
    """The loss as callbacks have changed it, or the model's own where nothing but shapes is asked for."""
    return (own if changed.is_building else watched)(*arguments, **options)
