import keras
from keras import layers

from recipes.classification import Classification


class KilledCNN(Classification):
    """A network of 754 weights on enlarged digits: a matrix with a row for each is saved in no time, passes take long.

    python -m recipes train benchmarks.killed_cnn:KilledCNN --optimizer self_scaled_broyden
    """

    shape = (8, 8, 1)
    learning_rate = 0.01
    epochs = 60
    presets = {"smoke": {"train_images": 300, "epochs": 3}}  # noqa: RUF012

    def network(self, data):
        x = inputs = keras.Input(self.shape, name="images")
        x = layers.UpSampling2D(4)(layers.Rescaling(1 / 255)(x))
        for _ in range(2):
            x = layers.Conv2D(8, 3, strides=2, activation="tanh")(x)
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, layers.Dense(len(data.classes), name="logits")(x), name="cnn")
