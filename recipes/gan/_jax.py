"""The training step of a GAN on JAX, where it is a function of the values of all variables."""

import jax
import keras
from jax import numpy as jnp


def train_step(gan, state, data):
    """The step that `fit` calls with the values of all variables and a batch. It returns `(logs, state)`."""
    parts = gan.trainable_variables, gan.non_trainable_variables, gan.optimizer.variables, gan.metrics_variables
    known = [pair for part, values in zip(parts, state, strict=True) for pair in zip(part, values, strict=True)]
    with keras.StatelessScope(known):
        logs = gan.step(data)
        return logs, tuple([variable.value for variable in part] for part in parts)


def pullback(function, values=(), variables=()):
    """As `pullback` on TensorFlow. Variables that the function writes are written after it was differentiated."""
    value, more, back = _differentiated(function, values, variables)
    return value, more, lambda gradient=None: back(jnp.ones_like(value) if gradient is None else gradient)


def pullback_of_two(function, addition, values=(), variables=()):
    """As `pullback_of_two` on TensorFlow."""

    def scalars(*values):
        (one, two), more = function(*values)
        added = addition(*values)
        return (one + added, two), (added, more)

    (one, two), (added, more), back = _differentiated(scalars, values, variables)
    of_one, of_two = (jnp.ones_like(one), jnp.zeros_like(two)), (jnp.zeros_like(one), jnp.ones_like(two))
    return (added, two), more, (lambda: back(of_one), lambda: back(of_two))


def _differentiated(function, values, variables):
    written = []

    def pure(values, weights):
        with _Inner(zip(variables, weights, strict=True)) as scope:
            value, more = function(*values)
            written[:] = scope.written()
            return value, (more, [variable.value for variable in written])

    weights = [variable.value for variable in variables]
    value, back, (more, after) = jax.vjp(pure, list(values), weights, has_aux=True)
    _write(written, after)

    def leads_back(gradient):
        by_values, by_weights = back(gradient)
        return [*by_values, *by_weights]

    return value, more, leads_back


def where_due(predicate, function):
    """As `where_due` on TensorFlow."""
    written = []

    def taken():
        with _Inner() as scope:
            value = function()
            written[:] = scope.written()
            return value, [variable.value for variable in written]

    jax.eval_shape(taken)  # finds the variables that are written
    value, after = jax.lax.cond(predicate, taken, lambda: (jnp.zeros(()), [variable.value for variable in written]))
    _write(written, after)
    return value


class _Inner(keras.StatelessScope):
    """A scope that has the values of the scope around it, and records which variables are written in it."""

    def __init__(self, known=()):
        super().__init__(known)
        self._written = {}

    def __enter__(self):
        super().__enter__()
        around = {} if self.original_scope is None else self.original_scope.state_mapping
        self.state_mapping = {**around, **self.state_mapping}
        return self

    def add_update(self, update):
        super().add_update(update)
        self._written[id(update[0])] = update[0]

    def written(self):
        return list(self._written.values())


def _write(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
