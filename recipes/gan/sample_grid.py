import io
import time

import keras

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
        picture = grid(self.model.generate(self.count, seed=0), self.columns)
        self.write(f"samples/epoch-{epoch + 1:04}.png", lambda path: picture.save(path, "PNG"))
        self._to_tensorboard(picture, epoch)

    def _to_tensorboard(self, picture, epoch):
        """As `tf.summary.image` does, on every backend."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        png = io.BytesIO()
        picture.save(png, "PNG")
        image = Summary.Image(height=picture.height, width=picture.width, encoded_image_string=png.getvalue())
        summary = Summary(value=[Summary.Value(tag="samples", image=image)])
        writer = EventFileWriter(str(self.directory))
        writer.add_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        writer.close()
