import contextlib

import keras
import numpy as np
from keras import ops

from custom_optimizers.backend import backend_module


class ModelState:
    """Everything that `fit` changes in a model, so that it can be undone.

    That is the variables of the model (weights, running statistics, states of random seeds), of its optimizer, which is
    built if it is not yet, and of its metrics, and the state of torch's own generators, from which Keras's Dropout
    draws if it has no seed. What callbacks keep outside of variables is not part of it.

    Args:
        model: compiled and built `keras.Model`, outside of a training step.
    """

    def __init__(self, model):
        _build_optimizer(model)
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        by_id = {id(variable): variable for variable in variables}  # some of the metrics' are among the model's too
        self._values = [(v, np.array(ops.convert_to_numpy(v))) for v in by_id.values()]
        self._model, self._random = model, backend_module().random_state()

    def restore(self):
        """Give every variable its value again; metrics that have been built since then are reset."""
        self._model.reset_metrics()
        for variable, value in self._values:
            variable.assign(value)
        backend_module().set_random_state(self._random)


def _build_optimizer(model):
    """Build the optimizer as its first step would; on TensorFlow `fit` leaves that to the first step."""
    optimizer = model.optimizer
    if optimizer.built:
        return
    strategy = getattr(model, "distribute_strategy", None)  # of TensorFlow: the optimizer has to be in its scope
    where = contextlib.nullcontext() if strategy is None else strategy.scope()
    with where, keras.name_scope(optimizer.name, caller=optimizer):
        optimizer.build(model.trainable_variables)
