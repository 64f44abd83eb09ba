"""How a step is carried out on JAX. A step is a function of the variables' values and is compiled as a whole.

Under `keras.distribution` a value is that of all devices and processes together: a gradient is already the gradient of
the global batch, and nothing has to be reduced.

A condition is carried out by a loop that runs once or not at all, and not by `jax.lax.cond`: XLA lets the body of a
loop work in place on donated buffers, but copies whatever goes through a branch (5 times the cost of adding up 10
million gradients).
"""

import contextlib

import jax
import keras
import numpy as np
from jax import numpy as jnp
from keras import ops

from custom_optimizers._generators import random_numbers_of, random_state, set_random_state  # noqa: F401
from custom_optimizers.update import update, update_from_sums, write_one

ROWS = 64  # of a matrix that are changed at once: they stay in a core's cache


def check_devices(owner):
    """Check nothing: every device that Keras trains on is supported."""


def check_dtypes(owner, variables):
    """Raise a ValueError for float64 variables whose values JAX has made float32, as it does unless it is told."""
    for variable in variables:
        if variable.dtype == "float64" and variable.value.dtype != "float64":
            raise ValueError(
                f"{owner}: '{variable.path}' is to be float64, and JAX has made it float32. Before the model is made, "
                'set the environment variable JAX_ENABLE_X64=1, or call jax.config.update("jax_enable_x64", True); or '
                'stay with keras.config.set_floatx("float32").'
            )


def scope(optimizer):
    """Context in which variables of the optimizer have to be created. On JAX any will do: this does nothing."""
    return contextlib.nullcontext()


def replica():
    """Number of the replica that is being traced: None, since one trace serves all devices."""
    return None


def replicas_in_sync():
    """How many replicas share a batch: one, since one trace serves all devices, which hold one batch together."""
    return 1


def begin_step(optimizer, outer, arguments):
    """Count a micro-batch that a training step is about to train on, whether or not loss scaling will drop it.

    Args:
        optimizer: `Descent`.
        outer: the model's optimizer, which may be a `LossScaleOptimizer` around it.
        arguments: `(state, data)` of the step; the third part of `state` has the values of `outer.variables`.

    Returns:
        `(arguments, is_first)`: the arguments with the new count, and whether the micro-batch is the first of its
        update.
    """
    (trainable, non_trainable, values, metrics), data = arguments
    window, place = optimizer._window, {id(variable): i for i, variable in enumerate(outer.variables)}
    is_first = True
    if not optimizer.takes_batches_whole:
        is_first = jnp.equal(values[place[id(window.micro_batches_summed)]], 0)
        if window.micro_batches_begun is not None:
            i = place[id(window.micro_batches_begun)]
            values = [*values[:i], values[i] + 1, *values[i + 1 :]]
    if optimizer.needs_loss:
        state = {name: values[place[id(variable)]] for name, variable in optimizer.search.variables.items()}
        following = optimizer.search.next_weights(trainable, state)
        trainable = [jnp.where(is_first, new, old) for new, old in zip(following, trainable, strict=True)]
    return ((trainable, non_trainable, values, metrics), data), is_first


def count_begun(optimizer, data=None):
    """Do nothing: on JAX `begin_step` or `step` counts, since they have the values of the variables."""


def step(optimizer, grads, variables):
    """Use the gradients of one batch: add them to the sums, and make an update if one is due."""
    if optimizer.takes_batches_whole:
        optimizer.micro_batches.take(replica())  # once in a step
        update(optimizer, variables, grads, loss=optimizer.loss_of_micro_batch())
        return
    window = optimizer._window
    _accumulate(optimizer, grads, variables)
    window.micro_batches_summed.assign_add(1)
    if window.micro_batches_begun is not None:
        window.micro_batches_begun.assign(ops.maximum(window.micro_batches_begun, window.micro_batches_summed))
    _when(optimizer, window.is_due(optimizer.steps_of_an_update()), lambda: _update_from_sums(optimizer, variables))


def finish_pass(optimizer):
    """Make the update from what has been accumulated; called outside of a training step."""
    _update_from_sums(optimizer, ())


def cond(optimizer, predicate, then, otherwise=None):
    """Call `then` if `predicate` holds, else `otherwise`. Both write variables; those of `otherwise` have to be small.

    What `otherwise` writes is computed in any case, and copied.
    """
    if otherwise is not None:
        _select(optimizer, jnp.logical_not(predicate), otherwise)
    _when(optimizer, predicate, then)


def value_and_gradients(function, values):
    """`((value, more), gradients)` of `function(values)`, which returns `(value, more)`."""
    return jax.value_and_grad(function, has_aux=True)(values)


def hessian_product(function, values, vectors):
    """The product of vectors with the Hessian of a function as `value_and_gradients` takes it."""
    return jax.jvp(lambda at: jax.grad(lambda w: function(w)[0])(at), (values,), (vectors,))[1]


def number_of_samples(owner, leaves):
    """The length of the first axis, which all arrays have in common: an int."""
    return leaves[0].shape[0]


def checked(value, conditions, message):
    """`value` itself: on JAX shapes are known while a step is traced, so conditions have been checked by then."""
    return value


def eager_scope():
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


def unalias(variables):
    """Copy the values of variables, since a buffer that two variables share cannot be donated for both."""
    for variable in variables:
        variable.assign(jnp.copy(variable.value))


def dense(gradient):
    """A gradient as a dense array, which it always is on JAX."""
    return gradient


def static_value(tensor):
    """A tensor as an array; None while a step is being traced."""
    return None if isinstance(tensor, jax.core.Tracer) else np.asarray(tensor)


def sum_of_squares(tensor):
    """The sum of a tensor's squares."""
    return jnp.sum(jnp.square(tensor))


def dot(a, b):
    """The product of two vectors, or of a matrix and a vector, in full precision on every device."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def value_of(variable):
    """The value of a variable, a tensor."""
    return variable.value


def of_few(owner, method, *values, whole=()):
    """What a method computes of a few numbers: a tuple of tensors. Here it is a part of the compiled step."""
    return getattr(owner, method)(*values)


def with_row(matrix, row, values, when):
    """A matrix with other values in one row where `when` holds."""
    values = jnp.where(when, values, jax.lax.dynamic_index_in_dim(matrix, row, keepdims=False))
    return jax.lax.dynamic_update_index_in_dim(matrix, values, row, 0)


def added_if(when, matrix, scale, diagonal, mix, rows):
    """`scale * matrix + rows.T @ mix @ rows`, and a number added to its diagonal, where a condition holds.

    A loop over blocks of rows that may have no turn: with `cond`, XLA would copy the matrix where nothing is to be
    done, and what a loop with one turn multiplies it would multiply before the loop, whether or not there is a turn.
    """
    n = len(matrix)
    size, right = min(n, ROWS), dot(mix, rows)

    def added(block, matrix):
        start = jnp.minimum(block * size, n - size)
        before = jax.lax.dynamic_slice_in_dim(matrix, start, size)
        place = start + jnp.arange(size)[:, None]
        after = scale * before + dot(jax.lax.dynamic_slice_in_dim(rows, start, size, axis=1).T, right)
        after = after + jnp.where(place == jnp.arange(n)[None], diagonal, 0)
        after = jnp.where(place >= block * size, after, before)  # the last block may overlap the one before
        return jax.lax.dynamic_update_slice_in_dim(matrix, after, start, axis=0)

    return jax.lax.fori_loop(0, jnp.where(when, -(-n // size), 0), added, matrix)


kernels = None  # none are needed: XLA fuses a rule into one pass over memory


def _accumulate(optimizer, grads, variables):
    weight, divisor = optimizer.micro_batches.take(replica())
    window = optimizer._window
    for grad, variable in zip(grads, variables, strict=True):
        total = window.sum_of(variable)
        total.assign(total.value + ops.cast(grad, total.dtype) * ops.cast(weight, total.dtype))
    window.divisor.assign_add(ops.cast(divisor, window.divisor.dtype))
    window.gradient_counts.assign_add(window.one_for_each(variables))
    if optimizer.needs_loss:
        loss = ops.cast(optimizer.loss_of_micro_batch(), window.loss.dtype)
        window.loss.assign_add(loss * ops.cast(weight, window.loss.dtype))


def _update_from_sums(optimizer, current):
    window = optimizer._window
    update_from_sums(
        optimizer,
        lambda variable: window.sum_of(variable).value,
        window.divisor.value,
        lambda: window.gradient_counts.value,
        current,
        loss=window.loss.value if optimizer.needs_loss else None,
    )


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
