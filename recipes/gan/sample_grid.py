import keras

from recipes.gan.grid import grid


class SampleGrid(keras.callbacks.Callback):
    """Every few epochs, draws the images that a GAN makes from the same noise, as a PNG file and for TensorBoard.

    Args:
        every: int >= 1, epochs from one picture to the next; the last epoch always has one.
        run: object with the methods `show` and `history` of `recipes.run.Run`; the pictures are in its directory
            `samples`.
        count: int >= 1, images.
        columns: int, or None, as in `grid`.
        real: uint8 array of as many real images, which are drawn once, in the directory `real`; None for none.
    """

    def __init__(self, every, run, count=64, columns=None, real=None):
        super().__init__()
        self.every, self.run, self.count, self.columns, self.real = every, run, count, columns, real

    def on_train_begin(self, logs=None):
        if self.real is not None and not self.run.history():
            self.run.show("real", grid(self.real, self.columns), 0)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        picture = grid(self.model.generate(self.count, seed=0), self.columns)
        self.run.show("samples", picture, epoch)
