import contextlib

import keras
import numpy as np
from keras import ops

from custom_optimizers.backend import backend_module


class ModelState:
    """Everything that `fit` changes in a model, so that it can be undone.

    That is the variables of the model (weights, running statistics, states of random seeds), of its optimizer, which is
    built if it is not, and of its metrics, and torch's own random numbers, from which Keras's Dropout without a seed
    draws. What callbacks of Keras's kind keep outside of variables is not in it.

    Args:
        model: compiled and built `keras.Model`, outside of a training step.
    """

    def __init__(self, model):
        _build_optimizer(model)
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        of = {id(variable): variable for variable in variables}  # the metrics' are among the model's too
        self._values = [(v, np.array(ops.convert_to_numpy(v))) for v in of.values()]
        self._model, self._random = model, backend_module().random_state()

    def put_back(self):
        """Give every variable its value; metrics that were built since then start from nothing."""
        self._model.reset_metrics()
        for variable, value in self._values:
            variable.assign(value)
        backend_module().set_random_state(self._random)


def _build_optimizer(model):
    """Build the optimizer as its first step would, where TensorFlow has left that to it."""
    optimizer = model.optimizer
    if optimizer.built:
        return
    strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's: optimizers live where the weights do
    where = contextlib.nullcontext() if strategy is None else strategy.scope()
    with where, keras.name_scope(optimizer.name, caller=optimizer):
        optimizer.build(model.trainable_variables)
