"""The private parts of Keras that the package leans on, on the backend under test."""

import inspect

import keras
import pytest

from tests.small import compiled, samples

BACKEND = keras.backend.backend()


def test_the_arguments_of_a_train_step():
    names = list(inspect.signature(keras.Model.train_step).parameters)
    assert names == (["self", "state", "data"] if BACKEND == "jax" else ["self", "data"])


def test_the_train_function_is_made_of_the_train_step_of_the_instance():
    source = inspect.getsource(keras.Model.make_train_function)
    assert "self.train_step" in source


def test_fit_makes_the_train_function_after_the_callbacks_have_their_model():
    source = inspect.getsource(keras.Model.fit)
    assert source.index("CallbackList(") < source.index("self.make_train_function()")
    assert source.index("self.evaluate(") < source.index("callbacks.on_epoch_end")


def test_fit_builds_the_optimizer_before_callbacks_see_the_model():
    if BACKEND == "tensorflow":
        pytest.skip("FullBatch builds it there")

    class Look(keras.callbacks.Callback):
        def set_model(self, model):
            super().set_model(model)
            seen.append(model.optimizer.built)

    seen = []
    compiled(keras.optimizers.SGD).fit(*samples(4), callbacks=[Look()], verbose=0)
    assert seen == [True]


def test_the_learning_rate_can_be_replaced_without_touching_the_variables():
    """`callbacks.LearningRateFinder` puts a callable there; the property would drop the variable."""
    optimizer = keras.optimizers.SGD(0.5)
    before, rate = optimizer.variables, optimizer._learning_rate
    optimizer._learning_rate = lambda: 0.25
    assert optimizer.learning_rate == 0.25
    optimizer._learning_rate = rate
    assert [id(v) for v in optimizer.variables] == [id(v) for v in before]
    assert optimizer.learning_rate is rate


@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_training_begins_by_a_check_that_the_model_was_compiled(method):
    source = inspect.getsource(getattr(keras.Model, method))
    first = source.index(f'self._assert_compile_called("{method}")')
    assert first < source.index("self.make_train_function()")
    assert BACKEND != "jax" or "_get_jax_state(" not in source[:first]


def test_the_mean_of_the_losses_is_a_metric():
    mean = compiled(keras.optimizers.SGD).metrics[0]
    assert (type(mean), mean.name) == (keras.metrics.Mean, "loss")
    assert {"total", "count"} <= set(vars(mean))


def test_callbacks_get_their_model_from_the_list_of_all():
    assert "callback.set_model(model)" in inspect.getsource(keras.callbacks.CallbackList.set_model)


@pytest.mark.skipif(BACKEND != "jax", reason="the state is JAX's")
def test_the_third_part_of_the_state_has_the_optimizer_s_variables():
    model = compiled(lambda: keras.optimizers.SGD(momentum=0.9))
    step, shapes = model.train_step, []

    def looked_at(state, data):
        shapes.append([tuple(value.shape) for value in state[2]])
        return step(state, data)

    vars(model)["train_step"] = looked_at
    model.fit(*samples(4), verbose=0)
    assert shapes == [[tuple(variable.shape) for variable in model.optimizer.variables]]


@pytest.mark.skipif(BACKEND != "jax", reason="variables are up to date elsewhere")
def test_a_callback_that_asks_for_its_model_gets_variables_that_are_up_to_date():
    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(int(self.model.optimizer.iterations.value))

    seen = []
    compiled(keras.optimizers.SGD).fit(*samples(12), batch_size=4, callbacks=[Count()], verbose=0)
    assert seen == [1, 2, 3]
