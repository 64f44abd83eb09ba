import dataclasses
import inspect
import math
import tempfile

import keras_tuner

from recipes import run as runs
from recipes import training
from recipes.tuning.facts import Facts
from recipes.tuning.hyperparameters import declare
from recipes.tuning.objective import objective_of
from recipes.tuning.space import parse_space


class RecipeHyperModel(keras_tuner.HyperModel):
    """A recipe as a hypermodel of KerasTuner: each trial is the recipe with other settings.

    ```python
    trial = dataclasses.replace(recipe, **values of the space, epochs=hp.values.get("tuner/epochs", epochs))
    build(hp) = trial.model(data);   fit(...) = training.fit, scored by trial.validate after the last epoch
    ```

    Any tuner of KerasTuner can use it, and then trains in its own process. `recipes.tuning.Tuner` trains each trial in
    a separate process, as a run that can be interrupted.

    Args:
        recipe: `recipes.recipe.Recipe` that all trials begin from; its `epochs` are those of the longest trial. A class
            means the recipe that a command line without options trains.
        space: str or list of str, as `--space` takes them.
        facts: `recipes.tuning.Facts`: bounds of learning rates, and the updates of the shortest trial.
        data_dir: directory of tensorflow-datasets.

    Raises:
        CommandError: the space is empty, or a setting in it cannot be searched.

    Example:

    >>> import keras_tuner
    >>> from recipes.linear_regression import LinearRegression
    >>> from recipes.tuning import RecipeHyperModel
    >>> hypermodel = RecipeHyperModel(LinearRegression, "learning_rate=0.1:1,momentum=0.0/0.5")
    >>> hp = keras_tuner.HyperParameters()
    >>> hypermodel.declare_hyperparameters(hp)
    >>> [each.name for each in hp.space]
    ['learning_rate', 'momentum']
    >>> hypermodel.recipe_of(hp).momentum
    0.0
    """

    def __init__(self, recipe, space, facts=None, data_dir=None):
        super().__init__(recipe.name())
        self.recipe = recipe.from_preset() if inspect.isclass(recipe) else recipe
        self.space = parse_space([space] if isinstance(space, str) else space, recipe)
        self.facts = facts or Facts()
        self.data_dir = data_dir
        self._data = None

    def __getstate__(self):
        """Without the data, which each process loads or has already."""
        return {**vars(self), "_data": None}

    @property
    def data(self):
        """The images or samples of all trials."""
        if self._data is None:
            self._data = training.contract.load(self.recipe, self.data_dir)
        return self._data

    @data.setter
    def data(self, data):
        self._data = data

    def declare_hyperparameters(self, hp):
        declare(self.space, hp, self.recipe, self.facts)

    def given(self, hp):
        """The settings of a trial that differ from those of the recipe, a dict. They may not fit together."""
        return declare(self.space, hp, self.recipe, self.facts)

    def recipe_of(self, hp):
        """The recipe of a trial.

        Raises:
            CommandError: its settings do not fit together.
        """
        epochs = hp.values.get("tuner/epochs", self.recipe.epochs)
        return dataclasses.replace(self.recipe, **self.given(hp), epochs=epochs)

    def objective(self, name=None):
        """The `keras_tuner.Objective` of a name; by default the recipe's first.

        Raises:
            CommandError: the recipe has none, or none of that name.
        """
        return keras_tuner.Objective(*objective_of(self.recipe, name))

    def build(self, hp):
        return training.contract.model(self.recipe_of(hp), self.data)

    def fit(self, hp, model, callbacks=(), verbose=0):
        """Train in a temporary directory.

        Returns:
            A dict: the recipe's objectives after the last epoch; NaN if training diverged.
        """
        recipe = self.recipe_of(hp)
        with tempfile.TemporaryDirectory() as directory, runs.Run(recipe, directory) as run:
            run.begin(training.contract.about(recipe, self.data))
            model, trained = training.fit(recipe, run, self.data, model, callbacks=callbacks, verbose=verbose)
            if trained["outcome"] == training.DIVERGED:
                return dict.fromkeys(recipe.objectives, math.nan)
            return training.contract.validate(recipe, recipe.trained(model, run), self.data)
