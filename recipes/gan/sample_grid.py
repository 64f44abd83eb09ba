import keras

from recipes.gan.grid import grid


class SampleGrid(keras.callbacks.Callback):
    """Draws what a GAN makes of the same noise now and then: a PNG file each time, and for TensorBoard.

    Args:
        every: int >= 1, epochs; the last one is always drawn.
        run: object with `write(name, write)` and `show(tag, picture, step)`, as `recipes.run.Run` has them.
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
        self.run.write(f"samples/epoch-{epoch + 1:04}.png", lambda path: picture.save(path, "PNG"))
        self.run.show("samples", picture, epoch)
