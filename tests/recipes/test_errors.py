"""What an exception of Keras or TensorFlow says, in one line."""

import keras
import numpy as np
import pytest
from keras import layers

from recipes.errors import first_of, one_line


class Multiplied(layers.Layer):
    """Multiplies by a matrix of three rows."""

    def call(self, x):
        return x @ keras.ops.ones((3, 3))


def reshaped():
    keras.Sequential([keras.Input((8,)), layers.Reshape((3,))])


def multiplied():
    keras.Sequential([keras.Input((8,)), Multiplied()])


def convolved():
    keras.Sequential([keras.Input((8,)), layers.Conv2D(4, 3)])


def trained_on_a_class_that_there_is_not():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.ones((4, 8)), np.array([0, 1, 2, 7]), verbose=0)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (reshaped, "The total size of the tensor must be unchanged. Received: input_shape=(8,), target_shape=(3,)"),
        (multiplied, "Dimensions must be equal, but are 8 and 3 for "),
        (
            convolved,
            "is incompatible with the layer: expected min_ndim=4, found ndim=2. Full shape received: (None, 8)",
        ),
        (
            trained_on_a_class_that_there_is_not,
            "Received a label value of 7 which is outside the valid range of [0, 3).",
        ),
    ],
)
def test_the_line_of_keras_and_tensorflow_that_says_what_was_wrong(wrong, line):
    with pytest.raises(Exception) as caught:
        wrong()
    assert line in one_line(caught.value)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n\n  the first\nthe second"), "the first"),
        (ValueError(), "ValueError"),
        (KeyError("width"), "'width'"),
        (ValueError("x" * 400), "x" * 300),
        (
            ValueError("Exception encountered when calling Dense.call().\n"),
            "Exception encountered when calling Dense.call().",
        ),
        (
            ValueError(
                "Graph execution error:\n\nDetected at node model/MatMul defined at (most recent call last):\n"
                "<stack traces unavailable>\nMatrix size-incompatible: In[0]: [4,3], In[1]: [4,2]\n"
                "\t [[{{node model/MatMul}}]] [Op:__inference_1]"
            ),
            "Matrix size-incompatible: In[0]: [4,3], In[1]: [4,2]",
        ),
    ],
)
def test_any_other(error, line):
    assert one_line(error) == line


@pytest.mark.parametrize(
    ("texts", "line"), [(["a"], "a"), (["a", "b"], "a; b"), (["a", "b", "c"], "a; b; …"), ([], "")]
)
def test_the_first_of_several_texts_are_told(texts, line):
    assert first_of(texts, most=2) == line
