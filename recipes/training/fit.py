"""What recipes have in common: one `fit` that is recorded, resumed and, where asked for, stopped early."""

from recipes.errors import WorldError

LOWEST_RATE, TEST_UPDATES = 1e-5, 100  # of a range test
FINISHED, STOPPED_EARLY, DIVERGED = "finished", "stopped early", "diverged"


def fit(
    model,
    batches,
    run,
    *,
    epochs,
    seed,
    full,
    validation=None,
    patience=None,
    keep="last",
    until=None,
    callbacks=(),
    verbose="auto",
):
    """Train a model, with everything that a run records.

    Args:
        model: a compiled `keras.Model`.
        batches: `recipes.data.ShuffledBatches`, or what `recipes.data.full_batches` gives.
        run: `recipes.run.run.Run`.
        epochs: int, passes over the data in all; those made before a restart count.
        seed: int, that all randomness derives from.
        full: bool. One update a pass, by `callbacks.FullBatch`.
        validation: what `recipes.data.evaluation_batches` makes of the part that is looked at after each epoch.
        patience: int, epochs without a lower validation loss after which training stops; None: never.
        keep: "last", or "best": the weights of the epoch with the lowest validation loss.
        until: int, number of epochs to make now, of all; None for all. A later call goes on.
        callbacks: more of them.
        verbose: as in `fit` of Keras.

    Returns:
        A dict: `outcome` ("finished", "stopped early" or "diverged"), `epochs`, `updates`, `seconds` of training.
    """
    from callbacks.exact_resume import StateError
    from custom_optimizers.diagnostics import number

    stopping = _stopping(epochs, patience, keep)
    carry = [] if stopping is None else [stopping]
    data, steps = (batches, None) if full else _shuffled(batches, run.epochs_done())
    recording = run.callbacks(seed, carry, follows=[batches] if data is batches and not full else [])
    try:
        model.fit(
            data,
            steps_per_epoch=steps,
            shuffle=False,
            epochs=epochs if until is None else until,
            **_validation(validation),
            verbose=verbose,
            callbacks=[*_watching(model, full), *carry, *callbacks, *recording],
        )
    except StateError as error:
        raise WorldError(str(error)) from error
    recorder = recording[-1]
    early = stopping is not None and stopping.stopped_epoch > 0
    whole = len(recorder.history) >= (until or epochs) and _is_finite(model, recorder.history[-1])
    return {
        "outcome": STOPPED_EARLY if early else FINISHED if whole else DIVERGED,
        "epochs": len(recorder.history),
        "updates": number(model.optimizer.iterations),
        "training_seconds": round(sum(recorder.seconds), 3),
    }


def find_rates(model, batches, full):
    """Between which learning rates a search makes sense, by a range test; the model is as before then.

    Args:
        model: a compiled `keras.Model`.
        batches, full: as for `fit`.

    Returns:
        `(low, high)`; None if the test finds none.
    """
    from callbacks import LearningRateFinder

    finder = LearningRateFinder(lowest=LOWEST_RATE, updates=TEST_UPDATES)
    data, steps = (batches, None) if full else _shuffled(batches, 0)
    epochs = TEST_UPDATES if full else -(-TEST_UPDATES // batches.num_batches)
    callbacks = [*_watching(model, full), finder]
    model.fit(data, steps_per_epoch=steps, shuffle=False, epochs=epochs, verbose=0, callbacks=callbacks)
    return finder.bounds


def _shuffled(batches, done):
    """`(data, steps_per_epoch)` of `fit`: one data set for all epochs where TensorFlow reads it."""
    import keras

    if keras.backend.backend() == "tensorflow":
        return batches.dataset(first_epoch=done), batches.num_batches
    return batches, None


def _validation(part):
    """A part as the arguments of `fit`."""
    if part is None:
        return {}
    if "y" not in part:
        return {"validation_data": part["x"]}
    return {"validation_data": (part["x"], part["y"]), "validation_batch_size": part["batch_size"]}


def _is_finite(model, logs):
    """Whether the last losses and all weights are finite."""
    import numpy as np

    values = [logs["loss"], logs.get("val_loss", 0.0), *model.get_weights()]
    return all(np.isfinite(value).all() for value in values)


def _stopping(epochs, patience, keep):
    import keras

    if patience is None and keep == "last":
        return None
    patience = epochs if patience is None else patience
    return keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=keep == "best")


def _watching(model, full):
    """What makes full batches, and what ends a training whose gradients are skipped."""
    from callbacks import FullBatch, GradientMonitor

    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if full:
        return [FullBatch(), GradientMonitor()]
    return [GradientMonitor()] if getattr(optimizer, "diagnostics", False) else []
