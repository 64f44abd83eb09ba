"""A training step that takes the gradient by `callbacks.loss.Loss`, and tells the loss to an optimizer that needs it.

It does what Keras's own step does with metrics, variables that are not trained, and loss scaling.
"""

import keras
from keras import ops

from callbacks.batch_size import number_of_samples
from callbacks.loss import Loss, replicas, untrained_variables, values_in
from callbacks.step_of_fit import build_symbolically


def make_step(model, gradient_of_batch, *arguments):
    """Make a training step, and return what the model's own one returns.

    Args:
        model: compiled `keras.Model`.
        gradient_of_batch: function of `(model, weights, untrained, rate, scale, data)` that returns a `tuple` of the
            gradient times the loss scale, the values of the untrained variables after the batch, logs (None: the
            metrics have counted the batch, and give them), and the loss.
        arguments: of the model's `train_step`.
    """
    if keras.backend.backend() == "jax":
        return _stateless_step(model, gradient_of_batch, *arguments)
    return _step(model, gradient_of_batch, *arguments)


def gradient_of_samples(model, weights, untrained, scale, data, size, change=None):
    """`(gradient, values of the untrained variables, logs, loss)` of samples that are looked at together.

    Args:
        model: `keras.Model`.
        weights, untrained: lists of tensors, the values of its variables.
        scale: scalar tensor, by which the optimizer scales losses; None for 1.
        data: `(x, y, sample_weight)`.
        size: number of samples.
        change: function from the `Loss`, the weights and the gradient to the gradient that is used.
    """
    x, y, sample_weight = data
    loss = Loss(model, untrained, x, y, sample_weight, scale)
    (value, y_pred, after), gradients = loss.and_gradients(weights)
    gradients = gradients if change is None else change(loss, weights, gradients)
    count = len(model.non_trainable_variables)
    used = _has_weight(sample_weight)
    if used is not None:  # samples without any weight only fill the batch, and change no statistics
        kept = [ops.where(used, new, old) for new, old in zip(after[:count], untrained[:count], strict=True)]
        after = [*kept, *after[count:]]
    variables = untrained_variables(model)
    with keras.StatelessScope(list(zip(variables, after, strict=True))) as scope:
        model._loss_tracker.update_state(value, sample_weight=size)
        logs = model.compute_metrics(x, y, y_pred, sample_weight)
    return gradients, values_in(scope, variables, after), logs, value


def whole_gradient(owner, model, weights, untrained, rate, scale, data):
    """`gradient_of_batch` of a batch as it is."""
    data = keras.utils.unpack_x_y_sample_weight(data)
    size = number_of_samples(owner, *data[:2])
    gradients, *others = gradient_of_samples(model, weights, untrained, scale, data, size)
    return scaled_by(gradients, scale), *others


def scaled_by(gradients, scale):
    """Gradients times the loss scale, a scalar tensor; None stands for 1."""
    return gradients if scale is None else [g * ops.cast(scale, g.dtype) for g in gradients]


def _step(model, gradient_of_batch, data):
    build_symbolically(model, data)  # metrics have to exist before `ops.fori_loop` begins
    variables, scale = untrained_variables(model), _loss_scale(model.optimizer)
    rate = ops.copy(model.optimizer.learning_rate)
    weights, untrained = ([ops.copy(v) for v in each] for each in (model.trainable_variables, variables))
    gradients, untrained, logs, loss = gradient_of_batch(model, weights, untrained, rate, scale, data)
    for variable, value in zip(variables, untrained, strict=True):
        variable.assign(value)
    gradients = [gradient / replicas() for gradient in gradients]  # the optimizer sums those of all replicas
    _tell(model.optimizer, loss / replicas())
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return model.get_metrics_result() if logs is None else logs


def _stateless_step(model, gradient_of_batch, state, data):
    weights, non_trainable, optimizer_values, metrics = state
    with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer_values, strict=True))):
        rate = ops.convert_to_tensor(model.optimizer.learning_rate)
        scale = _loss_scale(model.optimizer)
    untrained = [*non_trainable, *metrics]
    gradients, untrained, logs, loss = gradient_of_batch(model, weights, untrained, rate, scale, data)
    _tell(model.optimizer, loss)
    weights, optimizer_values = model.optimizer.stateless_apply(optimizer_values, gradients, weights)
    if logs is None:
        with keras.StatelessScope(list(zip(untrained_variables(model), untrained, strict=True))):
            logs = model.get_metrics_result()
    count = len(non_trainable)
    return logs, (weights, untrained[:count], optimizer_values, untrained[count:])


def _tell(optimizer, loss):
    if getattr(optimizer, "needs_loss", False):
        optimizer.tell_loss(loss)


def _has_weight(sample_weight):
    """Whether some sample has a weight other than 0, a scalar bool tensor; None if there are no weights."""
    given = [leaf for leaf in keras.tree.flatten(sample_weight) if leaf is not None]
    if not given:
        return None
    return ops.any(ops.stack([ops.any(ops.not_equal(leaf, 0)) for leaf in given]))


def _loss_scale(optimizer):
    """The factor that an optimizer scales losses by, a scalar tensor; None if it does not."""
    if optimizer.loss_scale_factor is None and not hasattr(optimizer, "dynamic_scale"):
        return None
    return optimizer.scale_loss(ops.ones((), "float32"))
