import keras
from keras import layers

from recipes.classification import Classification
from recipes.settings import choice, number, whole


class ScansMLP(Classification):
    """A perceptron on small scans of handwritten digits, in full batches.

        python -m recipes train scans_mlp:ScansMLP --preset smoke
        python -m recipes train scans_mlp:ScansMLP --data tfds:mnist

    It stands for any recipe of a user: one file, which no other file of the package knows of.
    """

    width: int = whole(64, "units of each hidden layer", most=8192)
    depth: int = whole(2, "hidden layers", most=64)
    activation: str = choice("relu", "of hidden layers", names=("relu", "gelu", "tanh"))
    dropout: float = number(0.0, "share of the units that are left out", least=0, below=1)

    shape = (28, 28, 1)
    learning_rate = 0.5
    epochs = 60
    presets = {"smoke": {"train_images": 300, "epochs": 3}, "wide": {"width": 512}}

    def network(self, data):
        x = inputs = keras.Input(self.shape, name="images")
        x = layers.Flatten()(layers.Rescaling(1 / 255)(x))
        for _ in range(self.depth):
            x = layers.Dense(self.width, self.activation)(x)
            if self.dropout:
                x = layers.Dropout(self.dropout, seed=self.seed)(x)
        return keras.Model(inputs, layers.Dense(len(data.classes), name="logits")(x), name="mlp")
