"""What an update is, the same on every backend: clip, decay, rule, moving average, constraints, counting.

What differs lies in the module of the backend, `optimizer._backend`: how a condition is carried out (`choose`), how
variables are written (`write`), and what a sparse gradient is made dense by (`dense`).
"""

import functools

from keras import ops

from custom_optimizers.clipping.norms import global_norm, norms


def update_from_sums(optimizer, variables, sums, divisor, replicas=1):
    """Make an update from what has been accumulated, and begin the next full batch.

    Args:
        optimizer: `Descent`.
        variables: list of the variables that have gradients.
        sums: list of tensors, the weighted sums of their gradients over micro-batches and replicas.
        divisor: scalar tensor, the sum of the weights.
        replicas: int. Keras divides a replica's loss by it, and the weighted mean does so again.
    """
    weighed = ops.not_equal(divisor, 0)  # 0 where nothing has weight
    scale = ops.where(weighed, ops.divide(replicas, ops.where(weighed, divisor, 1)), 0)
    update(optimizer, variables, [s * ops.cast(scale, s.dtype) for s in sums])
    optimizer._window.empty()


def update(optimizer, variables, gradients):
    """Clip the gradients of a full batch and use them, unless they are watched and not finite."""
    backend, record = optimizer._backend, optimizer._record
    if optimizer.diagnostics or optimizer.weight_decay_mode == "coupled":
        gradients = [backend.dense(g) for g in gradients]  # an embedding's gradient
    clipped, states = optimizer.full_batch_gradients(gradients, variables)
    write = functools.partial(_write, optimizer, variables, clipped, states)
    if not optimizer.diagnostics:
        write()
        return
    before = global_norm(gradients)
    after = before if clipped is gradients else global_norm(clipped)
    record.gradient_norm.assign(ops.cast(before, "float32"))
    record.clipped_norm.assign(ops.cast(after, "float32"))
    record.variable_norms.assign(_of_all_variables(optimizer, variables, norms(gradients)))
    backend.choose(
        optimizer,
        ops.isfinite(before),
        functools.partial(_write_and_count, record, write, before, after),
        functools.partial(backend.skip, optimizer),
    )


def _of_all_variables(optimizer, variables, values):
    """Values of some of the optimizer's variables as a vector for all of them, 0 for the others."""
    of = {optimizer._get_variable_index(v): value for v, value in zip(variables, values, strict=True)}
    zero = ops.zeros((), "float32")
    return ops.stack([of.get(i, zero) for i in range(len(optimizer._trainable_variables))])


def _write_and_count(record, write, before, after):
    write()
    # A gradient that is only rescaled by rounding is not a clipped one.
    record.clipped_updates.assign_add(ops.cast(after < before * (1 - 1e-6), record.clipped_updates.dtype))
    record.skipped_in_a_row.assign(0)


def _write(optimizer, variables, gradients, states):
    optimizer._backend.write(optimizer, variables, gradients, ops.convert_to_tensor(optimizer.learning_rate))
    for state, values in zip(optimizer._clipper_states, states, strict=True):
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
    _average(optimizer)
    for variable in variables:
        if getattr(variable, "constraint", None) is not None:
            variable.assign(variable.constraint(variable))
    optimizer._iterations.assign_add(1)


def write_one(optimizer, variable, gradient, learning_rate):
    """Change one variable by its gradient: its rate, its decay, and the rule.

    Args:
        optimizer: `Descent`.
        variable: as Keras knows it, or as TensorFlow does where it is written.
        gradient: tensor.
        learning_rate: scalar tensor.
    """
    multiplier = optimizer.multiplier_of(variable)
    rate = learning_rate if multiplier == 1 else learning_rate * multiplier
    if optimizer.decays(variable):
        gradient = optimizer.decayed(gradient, variable, rate)
    optimizer.update_step(gradient, variable, rate)


def _average(optimizer):
    """Keep the moving average of the weights."""
    if not optimizer.use_ema:
        return
    variables = optimizer._trainable_variables
    optimizer._update_model_variables_moving_average(variables)
    if optimizer.ema_overwrite_frequency:
        optimizer._backend.choose(
            optimizer,
            ops.equal((optimizer.iterations + 1) % optimizer.ema_overwrite_frequency, 0),
            functools.partial(optimizer._overwrite_model_variables_with_average_value, variables),
        )
