"""One trial of a search: a run of its own, which goes on where another rung of its configuration has been."""

import dataclasses
import pathlib

from recipes import optimization, training
from recipes import run as runs
from recipes.errors import CommandError

PATIENCE = 15.0  # seconds in which the process of a trial that was taken over ends


def train_trial(recipe, directory, place, max_epochs=None, data=None):
    """Train one configuration for one budget, and judge it on what is held out.

    The schedule is that of `recipe.epochs` epochs, so that it ends within the budget. What it has in common with the
    run of `max_epochs` is trained once, in that run's directory, and goes on from its last state: all of it for
    constant rates, all but the decay for warm-up, stable, decay, nothing for rates that fall from the beginning. The
    bits are those of a training from scratch.

    ```text
    DIRECTORY/epochs-2/   a run of 2 epochs        DIRECTORY/epochs-32/   the longest, from which the others may begin
    ```

    Args:
        recipe: `recipes.recipe.Recipe` with the settings of the configuration and the epochs of the budget.
        directory: of the configuration.
        place: `Place`.
        max_epochs: int, of the longest budget; None if there is but one, whose run then lies in `directory` itself.
        data: what `recipe.load` gives; by default it is loaded.

    Returns:
        A dict: the recipe's objectives, `outcome`, `epochs`, `updates`, `training_seconds`, and `trained_epochs`, how
        many of the epochs this trial made itself.

    Raises:
        CommandError: the settings do not fit together, training diverged, or an objective is not finite.
        WorldError: no settings can be trained here and now: the disk is full, or the images are not there.
    """
    data = recipe.load(place.data_dir) if data is None else data
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
    """Train what a budget has in common with the longest one, in the run of that.

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
    """How many epochs a run has in common with a longer one of the same settings: none without a known schedule."""
    updates = recipe.updates(data)
    if "schedule" not in recipe.settings() or not updates:
        return 0
    return optimization.shared_updates(recipe.schedule, updates) * recipe.epochs // updates


def _train_until(recipe, run, data, until):
    """Train the first epochs of a run, unless they are there; the number of those that were not."""
    if run.result is not None or (done := run.epochs_done()) >= until:
        return 0
    run.begin(data.about())
    _, trained = training.fit(recipe, run, data, until=until, verbose=0)
    return trained["epochs"] - done


def _trained(recipe, run, data, trunk, made):
    """Train a run to its end, from the last state of `trunk` unless that is None, and give its result."""
    run.begin(data.about())
    if trunk is not None:
        runs.begin_with_state_of(trunk, run.directory)
    done = run.epochs_done()
    model, trained = training.fit(recipe, run, data, verbose=0)
    trained["trained_epochs"] = trained["epochs"] - done + made
    if trained["outcome"] == training.DIVERGED:
        return trained
    return {**recipe.validate(recipe.trained(model, run), data), **trained}


def _checked(recipe, result):
    if result["outcome"] == training.DIVERGED:
        reason = f": {result['reason']}" if "reason" in result else ""
        raise CommandError(f"training diverged within {result['updates']} updates{reason}")
    strange = next((name for name in recipe.objectives if result[name] is None), None)  # of what JSON does not have
    if strange is not None:
        raise CommandError(f"{strange} is not finite")
    return result
