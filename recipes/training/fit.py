import keras
import numpy as np

from callbacks import FullBatch, GradientMonitor
from callbacks.exact_resume import StateError, is_carried
from custom_optimizers.diagnostics import number
from recipes.errors import Diverged, WorldError
from recipes.run.recorder import Recorder
from recipes.training import contract
from recipes.training.outcomes import DIVERGED, FINISHED, STOPPED_EARLY


def fit(recipe, run, data, model=None, *, until=None, callbacks=(), verbose=None):
    """Train a recipe's model, with everything that a run records.

    Args:
        recipe: `recipes.recipe.Recipe`; its `epochs` are passes over the data in all, those before a restart too.
        run: `recipes.run.Run`.
        data: what `recipe.load` gives.
        model: what `recipe.model` gives; by default it is built.
        until: int, number of epochs to make now, of all; None for all. A later call goes on.
        callbacks: more of them.
        verbose: as in `fit` of Keras; None: a line an epoch if an epoch is worth one.

    Returns:
        `(model, trained)`, the second a dict: `outcome` ("finished", "stopped early" or "diverged"), `epochs`,
        `updates`, `training_seconds`, and where it ended before its time for a number that is not finite, `reason`.

    Raises:
        WorldError: what was saved cannot be gone on from.
    """
    model = contract.model(recipe, data) if model is None else model
    batches, own_callbacks = contract.batches(recipe, data), contract.callbacks(recipe, data, run)
    training_data, steps, follows = data_for_fit(batches, recipe.steps == "epoch", run.epochs_done())
    carried = [callback for callback in own_callbacks if is_carried(callback)]
    recorder = Recorder(run.directory, recipe.seed, carried, follows)
    reason = None
    try:
        model.fit(
            training_data,
            steps_per_epoch=steps,
            shuffle=False,
            epochs=recipe.epochs if until is None else until,
            **_validation(recipe.validation(data)),
            verbose=recipe.verbose if verbose is None else verbose,
            callbacks=[
                *gradient_callbacks(model, recipe.steps == "epoch"),
                *own_callbacks,
                *callbacks,
                run.event_files(),
                recorder,
            ],
        )
    except StateError as error:
        raise WorldError(str(error)) from error
    except Diverged as error:
        reason = str(error)
        recorder.write_tables()  # of the epochs before, which are saved once a second
    return model, _trained(model, recorder, own_callbacks, until or recipe.epochs, reason)


def data_for_fit(batches, is_full, done):
    """Batches as `fit` takes them: `(data, steps_per_epoch, data sets that have to be told their epoch)`.

    On TensorFlow, mini-batches are one data set for all epochs.
    """
    if is_full or not hasattr(batches, "dataset"):
        return batches, None, []
    if keras.backend.backend() == "tensorflow":
        return batches.dataset(first_epoch=done), batches.num_batches, []
    return batches, None, [batches]


def gradient_callbacks(model, is_full):
    """Callbacks that make full batches, and that end a training whose gradients are skipped."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if is_full:
        return [FullBatch(), GradientMonitor()]
    return [GradientMonitor()] if getattr(optimizer, "diagnostics", False) else []


def _trained(model, recorder, own_callbacks, epochs, reason):
    early = any(getattr(callback, "stopped_epoch", 0) > 0 for callback in own_callbacks)
    whole = reason is None and len(recorder.history) >= epochs and _is_finite(model, recorder.history[-1])
    trained = {
        "outcome": STOPPED_EARLY if early else FINISHED if whole else DIVERGED,
        "epochs": len(recorder.history),
        "updates": number(model.optimizer.iterations),
        "training_seconds": round(sum(recorder.seconds), 3),
    }
    return trained if reason is None else {**trained, "reason": reason}


def _validation(part):
    """A part as the arguments of `fit`."""
    if part is None:
        return {}
    if "y" not in part:
        return {"validation_data": part["x"]}
    return {"validation_data": (part["x"], part["y"]), "validation_batch_size": part["batch_size"]}


def _is_finite(model, logs):
    """Whether the last losses and all weights are finite."""
    losses = [value for name, value in logs.items() if name.endswith("loss")]
    return all(np.isfinite(value).all() for value in [*losses, *model.get_weights()])
