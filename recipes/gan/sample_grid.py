import math

import keras
import numpy as np

ENLARGED = 2  # pixels, each way, of one
GAP, GREY = 2, 64  # pixels to the right of each image and below it, before they are enlarged; what they are


def sample_grid(images, columns=None):
    """Images side by side, with a gap behind each.

    Args:
        images: uint8 array `(n, height, width, channels)`, of 1 or 3 channels.
        columns: int; by default as many as rows, or one more.

    Returns:
        A `PIL.Image.Image`, each pixel twice as wide and high.
    """
    from PIL import Image

    n, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = -(-n // columns)
    height, width = height + GAP, width + GAP
    filled = np.full((rows * columns, height, width, channels), GREY, "uint8")
    filled[:n, :-GAP, :-GAP] = images
    tiled = filled.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    whole = tiled.reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(whole[..., 0] if channels == 1 else whole)
    return picture.resize((picture.width * ENLARGED, picture.height * ENLARGED), Image.Resampling.NEAREST)


class SampleGrid(keras.callbacks.Callback):
    """Draws what a GAN makes of the same noise now and then: a PNG file each time, and for TensorBoard.

    Args:
        every: int >= 1, epochs; the last one is always drawn.
        write: function of a name such as "samples/epoch-0010.png" and a function that writes a file at a path.
        directory: path of TensorBoard's event files.
        count: int >= 1, images.
        columns: int, or None, as in `sample_grid`.
    """

    def __init__(self, every, write, directory, count=64, columns=None):
        super().__init__()
        self.every, self.write, self.directory, self.count, self.columns = every, write, directory, count, columns

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        import tensorflow as tf

        grid = sample_grid(self.model.generate(self.count, seed=0), self.columns)
        self.write(f"samples/epoch-{epoch + 1:04}.png", lambda path: grid.save(path, "PNG"))
        with tf.summary.create_file_writer(str(self.directory)).as_default() as writer:
            tf.summary.image("samples", np.asarray(grid.convert("RGB"))[None], epoch)
            writer.close()
