import functools
import weakref

import keras

from callbacks.inside_keras import epoch_iterator_of

CHANGED = "_changed_in_fit"  # the attribute of a model that holds its `_Changed`, which ends with the model


class StepOfFit(keras.callbacks.Callback):
    """Base class of callbacks that change the training step in the `fit` that they are given to, and in no other.

    ```python
    step = first.around_step(model, second.around_step(model, model.train_step))      # first is outside of second
    ```

    Their order in `callbacks` does not matter: a callback that makes the step itself (`makes_step`) is inside of all
    others, and a `fit` can have only one such callback.

    `fit` calls `make_train_function` after its callbacks have got their model, so the train function of this `fit` is
    made of the changed step. A later `fit` or `train_on_batch` makes a new one of the model's own step, even after a
    `fit` that was interrupted: the train function of that one would silently go on in the middle of a pass.
    """

    makes_step = False  # whether `around_step` makes a step of its own and does not call the one that it is given

    def __init__(self):
        super().__init__()
        self._in_fit = False  # True from the beginning of training until the model has got its own step back
        self._is_nested = False  # True in an `evaluate` or `predict` that is called inside of the `fit`

    def prepare(self, model):
        """Called before the step of a model is changed; raises an error if it cannot be changed."""

    def check_others(self, model, others):
        """Called with the other callbacks that change the step, a list; raises an error if they do not go together."""

    def around_step(self, model, step, *arguments):
        """Called in place of `step(*arguments)`, the training step without this callback; returns what that returns."""
        return step(*arguments)

    def around_function(self, model, function):
        """What `fit` calls in place of its train function `function`."""
        return function

    def around_loss(self, model, compute_loss):
        """A function that is called in place of the model's `compute_loss`, and may call it."""
        return compute_loss

    def step_restored(self):
        """Called when the model has got its own training step back."""
        self._in_fit = False

    def set_model(self, model):
        super().set_model(model)
        changed = vars(model).get(CHANGED)
        if changed is not None and self in changed.callbacks and changed.is_under_way(model):
            self._is_nested = True
            return
        if changed is not None and changed.is_left_over(self):
            restore(model)
        try:
            self.prepare(model)
            changed = vars(model).get(CHANGED) or _Changed(model)
            changed.add(self)
        except Exception:
            restore(model)
            raise

    def set_params(self, params):
        if self._is_nested:  # these are of the inner `evaluate` or `predict`, and not of the `fit`
            return
        super().set_params(params)
        changed = vars(self._model).get(CHANGED)
        if changed is not None and self not in changed.callbacks:  # another callback of its class has replaced it
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
        self._after_evaluate_or_predict()

    def on_predict_end(self, logs=None):
        self._after_evaluate_or_predict()

    def _after_evaluate_or_predict(self):
        """Give the model its own step back if this was given to an `evaluate` or `predict`, and not to a `fit`."""
        self._is_nested = False
        if not self._in_fit:
            restore(self.model)


def callbacks_of_step(model):
    """The callbacks that change the step of a model in the `fit` under way, a list."""
    return vars(model)[CHANGED].callbacks


def own_of_instance(model, name):
    """The attribute that a model had itself, beside that of its class, before callbacks replaced it; None for none."""
    return vars(model)[CHANGED].own.get(name)


def restore(model):
    """Give a model back the methods that it had before callbacks replaced them."""
    changed = vars(model).pop(CHANGED, None)
    if changed is None:
        return
    for name, method in changed.own.items():
        if method is None:
            vars(model).pop(name, None)
        else:
            vars(model)[name] = method
    for callback in changed.callbacks:
        callback.step_restored()


def build_symbolically(model, data):
    """Let Keras build what a model needs for training, such as metrics, from the shapes of data alone."""
    changed = vars(model)[CHANGED]
    changed.is_building = True
    try:
        model._symbolic_build(data_batch=data)
    finally:
        changed.is_building = False


class _Changed:
    """The methods of a model that the callbacks of one `fit` have replaced.

    Only the model refers to this object, so that a `fit` that an exception ends leaves nothing that would keep the
    model in memory.
    """

    def __init__(self, model):
        self.callbacks = []  # that change the step
        self.is_made = False  # whether the changed step has been made
        self.is_building = False  # whether `build_symbolically` is under way
        self.own = {}  # the attributes that the model had in place of the replaced methods, by name; None for none
        self._iterator = None  # weak reference to the epoch iterator of this `fit`, by which the `fit` is recognised
        vars(model)[CHANGED] = self
        make = functools.partial(_make, weakref.ref(model), model.make_train_function)
        self.put(model, "make_train_function", make)

    def begin(self, model):
        """Called when training begins: remember which `fit` this is."""
        iterator = epoch_iterator_of(model)
        self._iterator = None if iterator is None else weakref.ref(iterator)

    def is_under_way(self, model):
        """Whether the `fit` that replaced the methods is the one that is calling, and not a later one."""
        iterator = epoch_iterator_of(model)
        return iterator is not None and self._iterator is not None and self._iterator() is iterator

    def is_left_over(self, callback):
        """Whether this is left over from a `fit` that was interrupted, and is not of the one that gets a callback."""
        return self.is_made or any(type(each) is type(callback) for each in self.callbacks)

    def add(self, callback):
        makers = [each for each in (*self.callbacks, callback) if each.makes_step]
        if len(makers) > 1:
            one, other = (type(each).__name__ for each in makers)
            raise ValueError(
                f"{other} and {one} both make the training step, so one of them would do nothing: give `callbacks` one "
                "of them, or write a BlockGradient whose `block_gradient` does both."
            )
        self.callbacks.append(callback)

    def put(self, model, name, method):
        """Replace a method of this model until `restore`."""
        self.own.setdefault(name, vars(model).get(name))
        vars(model)[name] = method


def _make(reference, make_own, force=False):
    """Make the train function: of the changed step, or of the model's own step once that `fit` is over."""
    model = reference()
    changed = vars(model)[CHANGED]
    if not changed.is_made:
        try:
            for callback in changed.callbacks:
                callback.check_others(model, [each for each in changed.callbacks if each is not callback])
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
    elif not force:  # with `force` a callback has changed the model, and needs a new function
        names = " and ".join(type(callback).__name__ for callback in changed.callbacks)
        raise ValueError(
            f"{names}: the model is trained by something else inside of the `fit` that they change. Train it after "
            "that `fit`, or train another model."
        )
    make_own(force=True)
    for callback in changed.callbacks:
        model.train_function = callback.around_function(model, model.train_function)


def _compute_loss(changed, own, watched, *arguments, **options):
    """The loss as callbacks have changed it, or the model's own loss while Keras builds from shapes alone."""
    return (own if changed.is_building else watched)(*arguments, **options)
