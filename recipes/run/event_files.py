"""Event files for TensorBoard on every backend, since `keras.callbacks.TensorBoard` needs TensorFlow."""

import io
import os
import tempfile
import time

import keras
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from recipes.run.names import PART


class EventFiles(keras.callbacks.Callback):
    """A callback that writes the logs of each epoch.

    Directories and tags are those of `keras.callbacks.TensorBoard`: `train` and `validation`, `epoch_loss` and so on.
    The step is the number of the epoch.

    Args:
        directory: `pathlib.Path`.
    """

    def __init__(self, directory):
        super().__init__()
        self.directory = directory
        self._writers = {}

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith("val_") else "train"
            _add(self._writer(part), scalar_pb("epoch_" + name.removeprefix("val_"), value), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, part):
        if part not in self._writers:
            self._writers[part] = EventFileWriter(str(self.directory / part))
        return self._writers[part]


def write_picture(directory, tag, picture, step):
    """Add a picture, as `tf.summary.image` does.

    Args:
        directory: `pathlib.Path`.
        tag: str, its name.
        picture: `PIL.Image.Image`.
        step: int, epoch.
    """
    png = io.BytesIO()
    picture.save(png, "PNG")
    image = Summary.Image(height=picture.height, width=picture.width, encoded_image_string=png.getvalue())
    writer = EventFileWriter(str(directory))
    _add(writer, Summary(value=[Summary.Value(tag=tag, image=image)]), step)
    writer.close()


def write_hparams(directory, name, values, scores, step):
    """Write a trial for TensorBoard's page of hyperparameters, in one step: a kill leaves all of it or nothing.

    Args:
        directory: `pathlib.Path` of all trials.
        name: str, of the trial.
        values: dict of its hyperparameters; those that are None are left out.
        scores: dict from metrics to floats.
        step: int, epochs.
    """
    if (directory / name).exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    given = {key: value for key, value in values.items() if value is not None}
    with tempfile.TemporaryDirectory(prefix=PART, dir=directory) as part:
        made = os.path.join(part, "made")
        writer = EventFileWriter(made)
        _add(writer, hparams_pb(given, trial_id=name), 0)
        for metric, score in scores.items():
            _add(writer, Summary(value=[Summary.Value(tag=metric, simple_value=score)]), step)
        writer.close()
        os.rename(made, directory / name)


def _add(writer, summary, step):
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
