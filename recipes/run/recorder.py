import keras

from callbacks import ExactResume
from callbacks.write_whole import write_whole
from recipes.run.names import METRICS, STATE
from recipes.run.tables import table
from recipes.run.timing import write_seconds


class Recorder(ExactResume):
    """The callback that writes a run's state, from which training can go on, and its tables of metrics and times.

    Args:
        directory: `pathlib.Path` of the run.
        seed, carry, follows: as in `callbacks.ExactResume`.
    """

    def __init__(self, directory, seed, carry=(), follows=()):
        super().__init__(directory / STATE, seed, carry=carry, follows=follows, every_seconds=1.0)
        self.directory = directory

    def tell_restart(self):
        if self.model._initial_epoch < self.params["epochs"]:
            print(f"Going on after epoch {self.history[-1]['epoch'] + 1} of {self.params['epochs']}.", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, {**(logs or {}), **self._rate()})

    def _rate(self):
        """The learning rate, a dict; nothing where a line search finds the step, which is logged as `step_size`."""
        if getattr(self.model.optimizer, "search", None) is not None:
            return {}
        return {"learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))}

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self.write_tables()  # also if all epochs were done before: a kill may have prevented this

    def save(self):
        super().save()
        self.write_tables()

    def write_tables(self):
        """Write metrics.csv, which is the same in every repetition of a run, and timing.csv, which is not."""
        write_whole(self.directory / METRICS, lambda part: part.write_text(table(self.history)))
        write_seconds(self.directory, [row["epoch"] for row in self.history], self.seconds)
