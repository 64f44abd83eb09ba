"""How a step is carried out on JAX, where it is a function of the variables' values that is compiled as a whole.

Under `keras.distribution` the values are those of all devices and processes together: a gradient is that of the global
batch, and there is nothing to reduce.

What happens under a condition is the body of a loop that runs once or not at all, and not a branch: XLA lets a loop
work in place on donated buffers, and copies what goes through a branch (5 times the cost of adding up 10 million
gradients).
"""

import contextlib

import jax
import keras
import numpy as np
from jax import numpy as jnp
from keras import ops

from custom_optimizers._generators import random_numbers_of, random_state, set_random_state  # noqa: F401
from custom_optimizers.update import update, update_from_sums, write_one


def check_devices(owner):
    """All that Keras trains on will do."""


def scope(optimizer):
    """Where variables that join the optimizer later have to be created: anywhere."""
    return contextlib.nullcontext()


def replica():
    """One trace serves all devices."""
    return None


def replicas_in_sync():
    """One trace serves all devices, which hold one batch."""
    return 1


def begin_step(optimizer, outer, arguments):
    """Count a micro-batch that a training step is about to train on, whether or not loss scaling will drop it.

    Args:
        optimizer: `Descent`.
        outer: the model's optimizer, which may be a `LossScaleOptimizer` around it.
        arguments: `(state, data)` of the step; the third part of `state` has the values of `outer.variables`.

    Returns:
        `(arguments, is_first)`, the second whether the micro-batch is the first of its update.
    """
    (trainable, other, values, metrics), data = arguments
    window, place = optimizer._window, {id(variable): i for i, variable in enumerate(outer.variables)}
    is_first = jnp.equal(values[place[id(window.counted)]], 0)
    if window.seen is not None:
        seen = place[id(window.seen)]
        values = [*values[:seen], values[seen] + 1, *values[seen + 1 :]]
    return ((trainable, other, values, metrics), data), is_first


def count_seen(optimizer, data=None):
    """`begin_step` or `step` does it, which have the values of the variables."""


def step(optimizer, grads, variables):
    """Take in one batch's gradients."""
    if optimizer.gradient_accumulation_steps is None:
        update(optimizer, variables, grads)
        return
    window = optimizer._window
    _accumulate(optimizer, grads, variables)
    window.counted.assign_add(1)
    if window.seen is not None:
        window.seen.assign(ops.maximum(window.seen, window.counted))
    _when(optimizer, window.is_due(optimizer.steps_of_an_update()), lambda: _update_from_sums(optimizer, variables))


def finish_pass(optimizer):
    """Make the update from what has been accumulated; called outside of a training step."""
    _update_from_sums(optimizer, ())


def choose(optimizer, predicate, then, otherwise=None):
    """Carry out one of two functions that write variables, the second of which writes small ones."""
    if otherwise is not None:
        _select(optimizer, jnp.logical_not(predicate), otherwise)
    _when(optimizer, predicate, then)


def value_and_gradients(function, values):
    """`((value, more), gradients)` of `function(values)`, which returns `(value, more)`."""
    return jax.value_and_grad(function, has_aux=True)(values)


def hessian_product(function, values, vectors):
    """The product of the Hessian of `function(values)`, as above, with vectors."""
    return jax.jvp(lambda at: jax.grad(lambda w: function(w)[0])(at), (values,), (vectors,))[1]


def number_of_samples(owner, leaves):
    """The first axis that arrays have in common, an int."""
    return leaves[0].shape[0]


def checked(value, conditions, message):
    """An int whose conditions are known to hold: shapes are known here."""
    return value


def outside_of_the_step():
    """Context in which operations are carried out at once, also while a step is being traced."""
    return jax.ensure_compile_time_eval()


def compiled(function):
    """The same function of tensors, compiled."""
    return jax.jit(function)


def write(optimizer, variables, gradients, learning_rate, shared):
    """Change the variables by their gradients."""
    for variable, gradient in zip(variables, gradients.tensors, strict=True):
        write_one(optimizer, variable, gradient, gradients.factor, learning_rate, *shared)


def skip(optimizer):
    """Count a full batch whose gradient is not finite. Compiled code cannot raise an error: callbacks stop `fit`."""
    optimizer._record.count_skipped()


def separate(variables):
    """Give variables memory of their own: what two of them share cannot be donated by both."""
    for variable in variables:
        variable.assign(jnp.copy(variable.value))


def dense(gradient):
    """A gradient as a dense array, which it is."""
    return gradient


def known(tensor):
    """A tensor as an array, None where a step is being traced."""
    return None if isinstance(tensor, jax.core.Tracer) else np.asarray(tensor)


def sum_of_squares(tensor):
    """The sum of a tensor's squares."""
    return jnp.sum(jnp.square(tensor))


kernels = None  # XLA makes one pass of a rule


def _accumulate(optimizer, grads, variables):
    weight, divisor = optimizer.micro_batches.take(replica())
    window = optimizer._window
    for grad, variable in zip(grads, variables, strict=True):
        total = window.sum_of(variable)
        total.assign(total.value + ops.cast(grad, total.dtype) * ops.cast(weight, total.dtype))
    window.divisor.assign_add(ops.cast(divisor, window.divisor.dtype))
    window.fed.assign_add(window.one_for_each(variables))


def _update_from_sums(optimizer, now):
    window = optimizer._window
    update_from_sums(optimizer, lambda v: window.sum_of(v).value, window.divisor.value, lambda: window.fed.value, now)


def _select(optimizer, predicate, then):
    """Call `then`, which writes variables, and keep what it writes if `predicate` holds."""
    before = {id(v): v.value for v in optimizer.variables}
    then()
    for variable in optimizer.variables:
        if variable.value is not before[id(variable)]:
            variable.assign(jnp.where(predicate, variable.value, before[id(variable)]))


def _when(optimizer, predicate, then):
    """Call `then`, which writes variables, if `predicate` holds."""
    if not isinstance(predicate, jax.core.Tracer):  # outside of compiled code
        if predicate:
            then()
        return
    variables = [*optimizer._trainable_variables, *optimizer.variables]

    def body(state):
        with keras.StatelessScope(state_mapping=zip(variables, state[1], strict=True)) as values:
            then()
        return jnp.array(False), [values.get_current_value(v) for v in variables]

    _, after = jax.lax.while_loop(lambda state: state[0], body, (predicate, [v.value for v in variables]))
    for variable, value in zip(variables, after, strict=True):
        variable.assign(value)
