import sys
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

LINES, MOVING, SILENT = 2, 1, 0  # as `verbose` of Keras's `fit`
WIDTH = 80  # columns of a line where there is no terminal
SECONDS = 1.0  # between lines of epochs, at least
REDRAWN = 0.1  # seconds between drawings of the line that moves, at least
FIRST = (  # of the figures of an epoch, where there is room for few
    *("loss", "val_loss", "accuracy", "val_accuracy"),
    *("distance", "generator_loss", "discriminator_loss"),
)
LAST = (  # what other places show, in this order if there is room
    *("learning_rate", "gradient_norm", "clipped_norm", "clipped_share", "skipped_updates"),
    *("vanishing_layers", "exploding_layers", "updates", "evaluations", "accepted", "step_size"),
)


class EpochProgress(keras.callbacks.Callback):
    """Says how far a training is: on a terminal by one line that moves, elsewhere by a short line for each epoch.

    The line that moves has the epochs of the whole training, the time that is left, and the figures of the last epoch.
    Of epochs that take less than a second each, lines are a second apart. Figures that count something and are 0 are
    left out.

    Args:
        epochs: int, of the whole training.
        verbose: 0 for nothing; 1 or 2 for the line that moves or for a line of each epoch with all figures; "auto" for
            what the standard output is for: a terminal or a file.

    Call `close` at the end, also of a training that something interrupts: a terminal has its cursor again then.
    """

    def __init__(self, epochs, verbose="auto"):
        super().__init__()
        is_terminal = sys.stdout.isatty()
        self._verbose = (MOVING if is_terminal else LINES) if verbose in ("auto", None) else int(verbose)
        self._has_all = verbose == LINES
        self._epochs, self._bar, self._waiting, self._told = epochs, None, None, -SECONDS
        if self._verbose == MOVING:
            self.on_train_batch_end = self._moved  # else Keras would call it in vain

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._begun = epoch, time.monotonic()
        if self._verbose == MOVING and self._bar is None:
            self._bar = _bar(self._epochs)
            self._task = self._bar.add_task("", total=self._epochs, completed=epoch, figures="", epoch=epoch + 1)
            self._bar.start()
            self._draw(epoch)

    def _moved(self, batch, logs=None):
        steps = self.params.get("steps")
        if self._bar is not None and steps and time.monotonic() - self._drawn > REDRAWN:
            self._draw(self._epoch + (batch + 1) / steps)

    def on_epoch_end(self, epoch, logs=None):
        if self._verbose == SILENT:
            return
        figures = figures_of(logs or {}, None if self._has_all else WIDTH - len(_head(epoch, self._epochs)) - 8)
        if self._bar is not None:
            self._bar.update(self._task, figures=figures)
            self._draw(epoch + 1)
            return
        now = time.monotonic()
        self._waiting = f"{_head(epoch, self._epochs)}{figures}, {now - self._begun:.1f} s"
        if self._has_all or now - self._told >= SECONDS:
            self._tell(now)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Tell the last epoch, if it has not been told, and give a terminal its cursor again."""
        if self._waiting is not None:
            self._tell(time.monotonic())
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _tell(self, now):
        print(self._waiting, flush=True)
        self._waiting, self._told = None, now

    def _draw(self, done):
        self._drawn = time.monotonic()
        self._bar.update(self._task, completed=done, epoch=min(int(done) + 1, self._epochs))
        self._bar.refresh()


def _bar(epochs):
    """The line that moves. It is drawn where it is asked to be, without a thread."""
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return Progress(
        TextColumn(f"epoch {{task.fields[epoch]}}/{epochs}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        TextColumn("{task.fields[figures]}", table_column=rest, markup=False),
        console=Console(file=sys.stdout, highlight=False),
        auto_refresh=False,
        transient=True,
        expand=True,
    )


def _head(epoch, epochs):
    return f"epoch {epoch + 1}/{epochs}: "


def figures_of(logs, width=None):
    """The figures of an epoch as a text, the ones that are looked at first.

    Args:
        logs: dict from names to numbers, as callbacks of Keras get them.
        width: int, the length that it may have; None for all figures.
    """
    names = [*(name for name in FIRST if name in logs), *(n for n in logs if n not in (*FIRST, *LAST))]
    names += [name for name in LAST if name in logs]
    found = [f"{name} {float(logs[name]):.4g}" for name in names if name not in LAST or float(logs[name]) != 0]
    while width is not None and len(found) > 1 and len(", ".join(found)) > width:
        found.pop()
    return ", ".join(found)
