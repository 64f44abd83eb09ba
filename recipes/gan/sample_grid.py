import keras
import numpy as np

from recipes.report.grid import grid


class SampleGrid(keras.callbacks.Callback):
    """Draws what a GAN makes of the same noise now and then: a PNG file each time, and for TensorBoard.

    Args:
        every: int >= 1, epochs; the last one is always drawn.
        write: function of a name such as "samples/epoch-0010.png" and a function that writes a file at a path.
        directory: path of TensorBoard's event files.
        count: int >= 1, images.
        columns: int, or None, as in `grid`.
    """

    def __init__(self, every, write, directory, count=64, columns=None):
        super().__init__()
        self.every, self.write, self.directory, self.count, self.columns = every, write, directory, count, columns

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        import tensorflow as tf

        picture = grid(self.model.generate(self.count, seed=0), self.columns)
        self.write(f"samples/epoch-{epoch + 1:04}.png", lambda path: picture.save(path, "PNG"))
        with tf.summary.create_file_writer(str(self.directory)).as_default() as writer:
            tf.summary.image("samples", np.asarray(picture.convert("RGB"))[None], epoch)
            writer.close()
