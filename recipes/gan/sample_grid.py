import keras

from recipes.gan.grid import grid


class SampleGrid(keras.callbacks.Callback):
    """Draws what a GAN makes of the same noise now and then: a PNG file each time, and for TensorBoard.

    Args:
        every: int >= 1, epochs; the last one is always drawn.
        run: object with `show(tag, picture, epoch)`, as `recipes.run.Run` has it; the pictures lie in `samples`.
        count: int >= 1, images.
        columns: int, or None, as in `grid`.
    """

    def __init__(self, every, run, count=64, columns=None):
        super().__init__()
        self.every, self.run, self.count, self.columns = every, run, count, columns

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        picture = grid(self.model.generate(self.count, seed=0), self.columns)
        self.run.show("samples", picture, epoch)
