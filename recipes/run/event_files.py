import keras


class EventFiles(keras.callbacks.Callback):
    """Writes the logs of each epoch for TensorBoard, on every backend.

    As `keras.callbacks.TensorBoard` does, which needs TensorFlow: directories `train` and `validation`, tags
    `epoch_loss` and so on, a step an epoch.

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
            self._writer(part).add_scalar("epoch_" + name.removeprefix("val_"), value, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, part):
        from tensorboard.summary import Writer

        if part not in self._writers:
            self._writers[part] = Writer(str(self.directory / part))
        return self._writers[part]
