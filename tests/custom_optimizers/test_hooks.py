"""The private parts of Keras that this package leans on. If one of these fails, Keras has changed under it."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

from callbacks.exact_resume import CARRIED
from tests.small import compiled, samples

OPTIMIZER_HOOKS = {
    "_filter_empty_gradients": ["self", "grads", "vars"],
    "_overwrite_variables_directly_with_gradients": ["self", "grads", "vars"],
    "_overwrite_variable_with_gradient": ["self", "variable"],
    "_check_variables_are_known": ["self", "variables"],
    "_clip_gradients": ["self", "grads"],
    "_get_variable_index": ["self", "variable"],
    "_use_weight_decay": ["self", "variable"],
    "_update_model_variables_moving_average": ["self", "trainable_variables"],
    "_overwrite_model_variables_with_average_value": ["self", "trainable_variables"],
    "_track_variable": ["self", "variable"],
}
OPTIMIZER_STATE = ["_variables", "_trainable_variables", "_iterations", "_distribution_strategy"]


@pytest.mark.parametrize("name", OPTIMIZER_HOOKS)
def test_method_of_the_optimizer(name):
    method = getattr(keras.optimizers.Optimizer, name, None)
    assert method is not None, f"keras.optimizers.Optimizer has lost {name}, which custom_optimizers/descent.py uses"
    assert list(inspect.signature(method).parameters) == OPTIMIZER_HOOKS[name]


@pytest.mark.parametrize("name", OPTIMIZER_STATE)
def test_attribute_of_the_optimizer(name):
    optimizer = keras.optimizers.SGD()
    optimizer.build([keras.Variable([1.0])])
    assert hasattr(optimizer, name), f"keras.optimizers.Optimizer has lost {name}"


def test_schedules_are_called_with_the_attribute_that_counts_updates_here():
    source = inspect.getsource(keras.optimizers.Optimizer._get_current_learning_rate)
    assert "self._learning_rate(self._iterations)" in source


def test_accumulators_of_keras_hang_on_the_argument_that_is_hidden_from_its_build():
    source = inspect.getsource(keras.optimizers.Optimizer.build)
    assert "if self.gradient_accumulation_steps:" in source
    assert source.count("add_variable_from_reference") == 1


def test_fit_makes_the_train_function_after_the_callbacks_have_their_model():
    source = inspect.getsource(TensorFlowTrainer.fit)
    assert source.index("CallbackList(") < source.index("self.make_train_function()")


def test_the_train_function_is_made_of_the_train_step_of_the_instance():
    assert "self._make_function(self.train_step)" in inspect.getsource(TensorFlowTrainer.make_train_function)


def test_compute_loss_is_called_by_keyword_or_in_this_order():
    names = ["x", "y", "y_pred", "sample_weight", "training"]
    assert list(inspect.signature(keras.Model.compute_loss).parameters)[1:] == names
    assert hasattr(keras.Model(), "_compute_loss_has_training_arg")


def test_validation_begins_before_the_epoch_ends_and_tells_the_callbacks_of_fit():
    source = inspect.getsource(TensorFlowTrainer.fit)
    assert source.index("self.evaluate(") < source.index("callbacks.on_epoch_end")
    assert "callbacks=callbacks" in source[source.index("self.evaluate(") :]


def test_the_train_step_computes_its_loss_by_the_method_of_the_instance():
    model = compiled(keras.optimizers.SGD)
    seen = []
    compute = model.compute_loss
    model.compute_loss = lambda *args, **kwargs: (seen.append(kwargs), compute(*args, **kwargs))[1]
    model.train_on_batch(*samples(4))
    assert seen


def test_compiled_losses_are_called_as_losses(monkeypatch):
    called = []
    call = keras.losses.Loss.__call__
    monkeypatch.setattr(keras.losses.Loss, "__call__", lambda *args: (called.append(args[0]), call(*args))[1])
    model = compiled(keras.optimizers.SGD)
    model.train_on_batch(*samples(4))
    assert [loss.reduction for loss in called] == ["sum_over_batch_size"] * len(called)
    assert called
    assert callable(called[0].call)


def test_losses_of_layers_and_of_regularizers_are_listed_together():
    layer = keras.layers.Dense(1, kernel_regularizer="l2", activity_regularizer="l1")
    layer(np.ones((2, 3), "float32"))
    assert len(layer.losses) == 2


def test_masks_lie_where_they_are_looked_for():
    logits = keras.ops.ones((2, 3))
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    assert getattr(loss.call(keras.ops.array([0, 1]), logits), "_keras_mask", None) is not None
    masked = keras.layers.Masking()(np.zeros((1, 2, 3), "float32"))
    assert getattr(masked, "_keras_mask", None) is not None


def test_loss_scaling_keeps_the_optimizer_where_it_is_looked_for():
    inner = keras.optimizers.SGD()
    assert keras.optimizers.LossScaleOptimizer(inner).inner_optimizer is inner


def test_replicas_merge_and_update_by_these_calls_of_tensorflow():
    merged = tf.__internal__.distribute.interim.maybe_merge_call(
        lambda strategy, a: a + 1, tf.distribute.get_strategy(), 1
    )
    assert merged == 2
    assert {"var", "fn", "args", "group"} <= set(inspect.signature(tf.distribute.StrategyExtended.update).parameters)


def test_a_callback_decides_the_first_epoch():
    """`callbacks.ExactResume`, as Keras's BackupAndRestore, sets it when training begins."""
    begun = []

    class Later(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model._initial_epoch = 2

        def on_epoch_begin(self, epoch, logs=None):
            begun.append(epoch)

    model = compiled(keras.optimizers.SGD)
    model.fit(*samples(8), epochs=4, callbacks=[Later()], verbose=0)
    assert begun == [2, 3]


@pytest.mark.parametrize("name", CARRIED)
def test_what_a_callback_remembers(name):
    """All that changes in these callbacks from epoch to epoch is what `callbacks.ExactResume` saves."""
    arguments = {"filepath": "x.weights.h5", "save_weights_only": True} if name == "ModelCheckpoint" else {}
    callback = getattr(keras.callbacks, name)(monitor="loss", **arguments)
    model = compiled(keras.optimizers.SGD)
    model.save_weights = lambda *_, **__: None
    seen = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(vars(callback))))
    model.fit(*samples(8), epochs=3, callbacks=[callback, note], verbose=0)
    changed = {key for key in seen[-1] if seen[1].get(key) is not seen[-1][key] and seen[1].get(key) != seen[-1][key]}
    assert changed <= {*CARRIED[name], "_current_epoch", "_last_batch_seen", "_batches_seen_since_last_saving"}
    assert set(CARRIED[name]) <= set(seen[-1])


def test_what_two_optimizers_of_keras_keep_apart():
    """`Accumulate` advances Nadam's product and knows Muon's second decay; others have an `update_step` and no more."""
    kernel = keras.Variable([[1.0]], name="kernel")
    nadam = keras.optimizers.Nadam()
    nadam.build([kernel])
    assert nadam._u_product.shape == ()
    muon = keras.optimizers.Muon(adam_weight_decay=0.5)
    muon.build([kernel, keras.Variable([1.0], name="bias")])
    assert [v is not None for v in muon.adam_velocities] == [False, True]
    assert muon.adam_weight_decay == 0.5
    with_steps_of_their_own = {
        name
        for name, cls in vars(keras.optimizers).items()
        if inspect.isclass(cls) and "_backend_update_step" in vars(getattr(keras.src.optimizers, name, cls))
    }
    assert with_steps_of_their_own - {"Optimizer"} == {"Nadam"}
