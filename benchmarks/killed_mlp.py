import keras
from keras import layers

from recipes.classification import Classification


class KilledMLP(Classification):
    """A perceptron of 682 weights on digits, so that a matrix with a row for each weight is saved in no time.

    python -m recipes train benchmarks.killed_mlp:KilledMLP --optimizer self_scaled_broyden
    """

    shape = (8, 8, 1)
    learning_rate = 0.01
    epochs = 60
    presets = {"smoke": {"train_images": 300, "epochs": 3}}  # noqa: RUF012

    def network(self, data):
        x = inputs = keras.Input(self.shape, name="images")
        x = layers.Flatten()(layers.Rescaling(1 / 255)(x))
        for _ in range(2):
            x = layers.Dense(8, "tanh")(x)
        return keras.Model(inputs, layers.Dense(len(data.classes), name="logits")(x), name="mlp")
