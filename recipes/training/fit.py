import keras

from callbacks import FullBatch, GradientMonitor
from callbacks.exact_resume import StateError, is_carried
from callbacks.inside_keras import KEPT_BYTES
from custom_optimizers.diagnostics import number
from recipes.errors import Diverged, WorldError
from recipes.machine import strategies
from recipes.machine.leaving import cleaned_up
from recipes.run.recorder import Recorder
from recipes.training import contract
from recipes.training.epoch_progress import EpochProgress
from recipes.training.outcomes import DIVERGED, FINISHED, STOPPED_EARLY
from recipes.training.stop_at_nan import StopAtNaN, check_finite


def fit(recipe, run, data, model=None, *, until=None, callbacks=(), verbose="auto"):
    """Train a recipe's model, and keep the state, the logs and the times of the run.

    Args:
        recipe: `recipes.recipe.Recipe`; its `epochs` include those before a restart.
        run: `recipes.run.Run`.
        data: what `recipe.load` returns.
        model: what `recipe.model` returns; by default it is built here.
        until: int, the epoch after which to stop; None for the last one. A later call goes on.
        callbacks: callbacks beside those of the recipe.
        verbose: 0, 1, 2 or "auto", as `EpochProgress` takes it.

    Returns:
        `(model, trained)`, the second a dict: `outcome` ("finished", "stopped early" by a callback, or "diverged"),
        `epochs` (without the one in which training diverged), `updates`, `training_seconds`, and `reason` if training
        diverged, or ended where a line search found no further step.

    Raises:
        WorldError: training cannot go on from the saved state.
    """
    if model is None:
        model = contract.model(recipe, data, begins=not run.epochs_done(), tell=print)
    batches, own_callbacks = contract.batches(recipe, data), contract.callbacks(recipe, data, run)
    training_data, steps, follows = data_for_fit(batches, recipe.steps == "epoch", run.epochs_done())
    carried = [callback for callback in own_callbacks if is_carried(callback)]
    recorder = Recorder(run.directory, recipe.seed, carried, follows)
    progress, reason = EpochProgress(until or recipe.epochs, verbose), None
    try:
        _fit(
            progress,
            model,
            training_data,
            steps_per_epoch=steps,
            shuffle=False,
            epochs=recipe.epochs if until is None else until,
            **_validation(recipe.validation(data)),
            callbacks=[
                *gradient_callbacks(model, recipe.steps == "epoch", recipe.passes, batches),
                StopAtNaN(),
                *own_callbacks,
                *callbacks,
                run.event_files(),
                recorder,
                progress,
            ],
        )
        check_finite(model, recorder.history[-1], recorder.history[-1]["epoch"])  # callbacks may change it at the end
    except StateError as error:
        raise WorldError(str(error)) from error
    except Diverged as error:
        reason = str(error)
        recorder.write_tables()  # with the last epochs, since the state is saved once a second
    return model, _trained(model, recorder, own_callbacks, until or recipe.epochs, reason)


def _fit(progress, model, *data, **options):
    """Train by Keras's `fit`, whose own progress is left out, and end ours in any case."""
    with cleaned_up(progress.close):
        model.fit(*data, **options, verbose=0)


def data_for_fit(batches, is_full, done):
    """The arguments of `fit` for batches: `(data, steps_per_epoch, data sets whose epoch has to be set)`.

    On TensorFlow, mini-batches are one data set for all epochs, from epoch `done` on.
    """
    if is_full or not hasattr(batches, "dataset"):
        return batches, None, []
    if keras.backend.backend() == "tensorflow":
        return batches.dataset(first_epoch=done), batches.num_batches, []
    return batches, None, [batches]


def gradient_callbacks(model, is_full, passes_per_epoch=1, batches=None):
    """The callbacks that make full batches, and that log gradients and end a training that has diverged.

    Batches that `recipes.data.full_batches` has made stay on the device if they are small.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if is_full:
        cache = True if kept_bytes(batches, 1) else None
        return [FullBatch(passes_per_epoch=passes_per_epoch, cache=cache), GradientMonitor()]
    return [GradientMonitor()] if getattr(optimizer, "diagnostics", False) else []


def kept_bytes(batches, passes):
    """How much memory the batches take that stay on the device between passes; 0 if they do not stay.

    Args:
        batches: what `recipes.data.full_batches` returns.
        passes: int, in an epoch.
    """
    size = getattr(batches, "nbytes", 0)
    stays = passes > 1 or (size <= KEPT_BYTES and strategies.replicas() == 1)
    return size if stays else 0


def _trained(model, recorder, own_callbacks, epochs, reason):
    diverged, stopped = reason is not None, any(getattr(callback, "stopped_epoch", 0) > 0 for callback in own_callbacks)
    early = stopped or len(recorder.history) < epochs
    reason = reason or _end_of_search(model)
    trained = {
        "outcome": DIVERGED if diverged else STOPPED_EARLY if early else FINISHED,
        "epochs": len(recorder.history),
        "updates": number(model.optimizer.iterations),
        "training_seconds": round(sum(recorder.seconds), 3),
    }
    return trained if reason is None else {**trained, "reason": reason}


def _end_of_search(model):
    """Why the line search of a model's optimizer has found no further step, a sentence; None if that is not so."""
    search = getattr(model.optimizer, "search", None)
    return None if search is None else search.read().get("reason")


def _validation(part):
    """The arguments of `fit` for the validation part."""
    if part is None:
        return {}
    if "y" not in part:
        return {"validation_data": part["x"]}
    return {"validation_data": (part["x"], part["y"]), "validation_batch_size": part["batch_size"]}
