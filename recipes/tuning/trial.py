"""One trial of a search: a run of its own, which goes on where another rung of its configuration has been."""

import dataclasses
import pathlib
import shutil

from recipes.errors import CommandError
from recipes.machine import dtypes
from recipes.run.run import Run
from recipes.settings.schedules import shared_updates
from recipes.training.fit import DIVERGED
from recipes.training.train import computing, devices_for, recipe_name, settled_dtype

STATE = "state.npz"
PATIENCE = 15.0  # seconds in which the process of a trial that was taken over ends


@dataclasses.dataclass(frozen=True)
class Place:
    """How a trial is computed: `strategy`, `dtype` and `data_dir` as on the command line."""

    strategy: str = "auto"
    dtype: str | None = None
    data_dir: str | None = None


def train_trial(recipe, settings, directory, place, max_epochs=None, data=None):
    """Train one configuration for one budget, and judge it on what is held out.

    The schedule is that of `settings.epochs` epochs, so that it ends within the budget. What it has in common with the
    run of `max_epochs` is trained once, in that run's directory, and goes on from its last state: all of it for
    constant rates, all but the decay for warm-up, stable, decay, nothing for rates that fall from the beginning. The
    bits are those of a training from scratch.

    ```text
    DIRECTORY/epochs-2/   a run of 2 epochs        DIRECTORY/epochs-32/   the longest, from which the others may begin
    ```

    Args:
        recipe: module of the recipe.
        settings: its `Settings`, of the budget.
        directory: of the configuration.
        place: `Place`.
        max_epochs: int, of the longest budget; None if there is but one, whose run then lies in `directory` itself.
        data: what `recipe.load` gives; by default it is loaded.

    Returns:
        A dict: the recipe's `OBJECTIVES`, `outcome`, `epochs`, `updates`, `training_seconds`, and `trained_epochs`, how
        many of the epochs this trial made itself.

    Raises:
        CommandError: the settings do not fit together, training diverged, or an objective is not finite.
        WorldError: no settings can be trained here and now: the disk is full, or the images are not there.
    """
    extra = {**computing(recipe, settings, place.strategy, place.dtype), "judged_on": "validation"}
    name = recipe_name(recipe)
    with devices_for(settings, place.strategy) as devices:
        data = recipe.load(settings, place.data_dir) if data is None else data
        dtype = settled_dtype(recipe, settings, data, extra["dtype"], devices)
        extra |= {"strategy": devices.name, "dtype": dtype}
        with dtypes.policy(dtype):
            longest = settings if max_epochs is None else dataclasses.replace(settings, epochs=max_epochs)
            made, state = 0, None
            shared = shared_epochs(recipe, settings, data) if settings != longest else 0
            if shared:
                with Run(name, longest, place_of(directory, longest, max_epochs), extra, PATIENCE) as trunk:
                    made = _train_until(recipe, longest, trunk, data, shared)
                    state = trunk.directory / STATE if trunk.epochs_done() == shared else None
            with Run(name, settings, place_of(directory, settings, max_epochs), extra, PATIENCE) as run:
                if run.result is None:
                    run.finish(_train(recipe, settings, run, data, state, made))
                return _checked(recipe, run.result)


def place_of(directory, settings, max_epochs):
    """The directory of the run of one budget."""
    directory = pathlib.Path(directory)
    return directory if max_epochs is None else directory / f"epochs-{settings.epochs}"


def shared_epochs(recipe, settings, data):
    """How many epochs a run has in common with a longer one of the same settings."""
    updates = recipe.updates(settings, data)
    return shared_updates(settings.schedule, updates) * settings.epochs // updates


def _train_until(recipe, settings, run, data, until):
    """Train the first epochs of a run, unless they are there; the number of those that were not."""
    if run.result is not None or (done := run.epochs_done()) >= until:
        return 0
    run.begin(data.about())
    _, trained = recipe.fit(settings, run, data, until=until, verbose=0)
    return trained["epochs"] - done


def _train(recipe, settings, run, data, state, made):
    run.begin(data.about())
    if state is not None and not (run.directory / STATE).exists():
        run.write(STATE, lambda part: shutil.copyfile(state, part))
    done = run.epochs_done()
    model, trained = recipe.fit(settings, run, data, verbose=0)
    return {**recipe.validate(model, settings, data), **trained, "trained_epochs": trained["epochs"] - done + made}


def _checked(recipe, result):
    if result["outcome"] == DIVERGED:
        raise CommandError(f"training diverged within {result['updates']} updates")
    strange = next((name for name in recipe.OBJECTIVES if result[name] is None), None)  # of what JSON does not have
    if strange is not None:
        raise CommandError(f"{strange} is not finite")
    return result
