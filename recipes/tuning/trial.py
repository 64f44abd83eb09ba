"""One trial of a search: a run that goes on from the run of another rung of its configuration, where it can."""

import dataclasses
import pathlib

from recipes import optimization, training
from recipes import run as runs
from recipes.errors import CommandError

PATIENCE = 15.0  # seconds to wait for the former process of a trial, which is about to end


def train_trial(recipe, directory, place, max_epochs=None, data=None):
    """Train one configuration for one budget, and judge it on the validation part.

    The schedule has `recipe.epochs` epochs, so it ends with the budget. The epochs in which its rates are those of the
    run of `max_epochs` are trained once, in the directory of that longest run, and the trial goes on from there. With a
    constant schedule these are all epochs, with warm-up, stable, decay all but the decay, and none with rates that fall
    from the beginning. The result has the same bits as training from scratch.

    ```text
    DIRECTORY/epochs-2/   a run of 2 epochs        DIRECTORY/epochs-32/   the longest run, with the common epochs
    ```

    Args:
        recipe: `recipes.recipe.Recipe` with the settings of the configuration and the epochs of the budget.
        directory: path of the configuration's directory.
        place: `Place`.
        max_epochs: int, of the longest budget; None if there is one budget, whose run is in `directory` itself.
        data: what `recipe.load` returns; by default it is called.

    Returns:
        A dict: the recipe's objectives, `outcome`, `epochs`, `updates`, `training_seconds`, and `trained_epochs`, the
        number of epochs that this trial trained itself.

    Raises:
        CommandError: the settings do not fit together, training diverged, or an objective is not finite.
        WorldError: no trial can be trained now: the disk is full, or the images are not there.
    """
    data = training.contract.load(recipe, place.data_dir) if data is None else data
    with place.computing(recipe, data) as computed:
        trunk, made = _trained_in_common(recipe, directory, computed, max_epochs, data)
        with _run(recipe, directory, computed, max_epochs) as run:
            if run.result is None:
                run.finish(_trained(recipe, run, data, trunk, made))
            return _checked(recipe, run.result)


def _run(recipe, directory, computed, max_epochs):
    return runs.Run(recipe, place_of(directory, recipe, max_epochs), computed, PATIENCE, kind="trial")


def place_of(directory, recipe, max_epochs):
    """The directory of the run of one budget."""
    directory = pathlib.Path(directory)
    return directory if max_epochs is None else directory / f"epochs-{recipe.epochs}"


def _trained_in_common(recipe, directory, computed, max_epochs, data):
    """Train the epochs that a budget has in common with the longest one, in the run of the longest one.

    Returns:
        `(directory, epochs)`: the run from whose state the budget's own run may begin, None if there is no such run;
        how many epochs were trained for it.
    """
    longest = recipe if max_epochs is None else dataclasses.replace(recipe, epochs=max_epochs)
    shared = shared_epochs(recipe, data) if recipe != longest else 0
    if not shared:
        return None, 0
    with _run(longest, directory, computed, max_epochs) as trunk:
        made = _train_until(longest, trunk, data, shared)
        return trunk.directory if trunk.epochs_done() == shared else None, made


def shared_epochs(recipe, data):
    """How many epochs a run has in common with a longer run of the same settings: 0 without a setting `schedule`."""
    updates = recipe.updates(data)
    if "schedule" not in recipe.settings() or not updates:
        return 0
    return optimization.shared_updates(recipe.schedule, updates) * recipe.epochs // updates


def _train_until(recipe, run, data, until):
    """Train the first epochs of a run, unless that was done before. Returns how many epochs were trained now."""
    if run.result is not None or (done := run.epochs_done()) >= until:
        return 0
    run.begin(training.contract.about(recipe, data))
    _, trained = training.fit(recipe, run, data, until=until, verbose=0)
    return trained["epochs"] - done


def _trained(recipe, run, data, trunk, made):
    """Train a run to its end, from the last state of `trunk` unless that is None. Returns its result."""
    run.begin(training.contract.about(recipe, data))
    if trunk is not None:
        runs.begin_with_state_of(trunk, run.directory)
    done = run.epochs_done()
    model, trained = training.fit(recipe, run, data, verbose=0)
    trained["trained_epochs"] = trained["epochs"] - done + made
    if trained["outcome"] == training.DIVERGED:
        return trained
    return {**training.contract.validate(recipe, recipe.trained(model, run), data), **trained}


def _checked(recipe, result):
    if result["outcome"] == training.DIVERGED:
        reason = f": {result['reason']}" if "reason" in result else ""
        raise CommandError(f"training diverged within {result['updates']} updates{reason}")
    strange = next((name for name in recipe.objectives if result[name] is None), None)  # None stands for NaN in JSON
    if strange is not None:
        raise CommandError(f"{strange} is not finite")
    return result
