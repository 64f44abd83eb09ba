import os

import keras_tuner
from keras_tuner.src.engine.stateful import Stateful

from callbacks.write_whole import write_whole


class WholeFiles:
    """Lets an oracle of KerasTuner write its files whole or not at all, so that a kill cannot tear them."""

    def save(self):
        write_whole(self._get_oracle_fname(), lambda part: Stateful.save(self, part))

    def _save_trial(self, trial):
        path = os.path.join(self._get_trial_dir(trial.trial_id), "trial.json")
        write_whole(path, trial.save)


class GridSearch(WholeFiles, keras_tuner.oracles.GridSearchOracle):
    """`keras_tuner.oracles.GridSearchOracle`, with files that are whole."""


class BayesianOptimization(WholeFiles, keras_tuner.oracles.BayesianOptimizationOracle):
    """`keras_tuner.oracles.BayesianOptimizationOracle`, with files that are whole."""
