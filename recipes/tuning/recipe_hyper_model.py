import dataclasses
import tempfile

import keras_tuner

from recipes.errors import CommandError
from recipes.run.run import Run
from recipes.settings.nearest import unknown
from recipes.training.train import recipe_name
from recipes.tuning.space import Facts, declare, parse_space


class RecipeHyperModel(keras_tuner.HyperModel):
    """A recipe as KerasTuner takes it: each trial is the recipe with other settings.

    ```python
    settings = dataclasses.replace(settings, **values of the space, epochs=hp.values.get("tuner/epochs", epochs))
    build(hp) = recipe.build_model(settings, images);   fit(...) = recipe.fit, scored by the last epoch
    ```

    It works with any tuner of KerasTuner, in the process that searches; `recipes.tuning.Tuner` trains each trial in a
    process of its own, as a run that can be interrupted.

    Args:
        recipe: module of a recipe, such as `recipes.cifar10_cnn`.
        space: str or list of str, as `--space` takes them.
        settings: the recipe's `Settings` that all trials begin from; its `epochs` are those of the longest trial. By
            default the recipe's own.
        facts: `recipes.tuning.Facts`: bounds of learning rates, and the updates of the shortest trial.
        data_dir: directory of tensorflow-datasets.

    Raises:
        CommandError: the space is empty or has something that cannot be searched.

    Example:

    >>> import keras_tuner
    >>> from recipes import linear_regression
    >>> from recipes.tuning import RecipeHyperModel
    >>> hypermodel = RecipeHyperModel(linear_regression, "learning_rate=0.1:1,momentum=0.0|0.5")
    >>> hp = keras_tuner.HyperParameters()
    >>> hypermodel.declare_hyperparameters(hp)
    >>> [each.name for each in hp.space]
    ['learning_rate', 'momentum']
    >>> hypermodel.settings_of(hp).momentum
    0.0
    """

    def __init__(self, recipe, space, settings=None, facts=None, data_dir=None):
        super().__init__(recipe_name(recipe))
        self.recipe = recipe
        self.space = parse_space([space] if isinstance(space, str) else space, recipe)
        self.settings = recipe.Settings() if settings is None else settings
        self.facts = facts or Facts()
        self.data_dir = data_dir
        self._data = None

    def __getstate__(self):
        """Without the data, which a process has or loads."""
        return {**vars(self), "_data": None}

    @property
    def data(self):
        """The images or samples of all trials."""
        if self._data is None:
            self._data = self.recipe.load(self.settings, self.data_dir)
        return self._data

    @data.setter
    def data(self, data):
        self._data = data

    def declare_hyperparameters(self, hp):
        declare(self.space, hp, self.settings, self.facts)

    def given(self, hp):
        """The settings that a trial has instead, a dict; they need not fit together."""
        return declare(self.space, hp, self.settings, self.facts)

    def settings_of(self, hp):
        """The `Settings` of a trial.

        Raises:
            CommandError: they do not fit together.
        """
        epochs = hp.values.get("tuner/epochs", self.settings.epochs)
        return dataclasses.replace(self.settings, **self.given(hp), epochs=epochs)

    def objective(self, name=None):
        """The `keras_tuner.Objective` of a name; by default the recipe's first.

        Raises:
            CommandError: the recipe has none of that name.
        """
        known = self.recipe.OBJECTIVES
        name = next(iter(known)) if name is None else name
        if name not in known:
            raise CommandError(f"--metric: {unknown('metric', name, known)}")
        return keras_tuner.Objective(name, known[name])

    def build(self, hp):
        return self.recipe.build_model(self.settings_of(hp), self.data)

    def fit(self, hp, model, callbacks=(), verbose=0):
        """Train in a directory that is thrown away.

        Returns:
            A dict: the recipe's `OBJECTIVES` after the last epoch.
        """
        settings = self.settings_of(hp)
        with tempfile.TemporaryDirectory() as directory, Run(self.name, settings, directory) as run:
            run.begin(self.data.about())
            options = {"callbacks": callbacks, "verbose": verbose}
            self.recipe.fit(settings, run, self.data, model, **options)
            return self.recipe.validate(model, settings, self.data)
