"""What a training tells of its epochs: a line that moves on a terminal, and short lines elsewhere."""

import os
import pty
import re
import subprocess
import sys

import pytest

from recipes.training.epoch_progress import EpochProgress, figures_of

LOGS = {"accuracy": 0.9666666, "loss": 0.1234567, "val_accuracy": 1, "val_loss": 2e-7, "learning_rate": 0.1}
LOGS |= {"skipped_updates": 0, "clipped_share": 0.0, "gradient_norm": 0.02}


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (
            None,
            "loss 0.1235, val_loss 2e-07, accuracy 0.9667, val_accuracy 1, learning_rate 0.1, gradient_norm 0.02",
        ),
        (70, "loss 0.1235, val_loss 2e-07, accuracy 0.9667, val_accuracy 1"),
        (30, "loss 0.1235, val_loss 2e-07"),
        (3, "loss 0.1235"),
    ],
)
def test_the_figures_that_matter_come_first_and_counts_of_0_are_left_out(width, text):
    assert figures_of(LOGS, width) == text


def told(capsys, verbose, epochs=5):
    progress = EpochProgress(epochs, verbose)
    for epoch in range(epochs):
        progress.on_epoch_begin(epoch)
        progress.on_epoch_end(epoch, LOGS)
    progress.close()
    return capsys.readouterr().out.splitlines()


def test_short_epochs_have_a_line_a_second_and_the_last_has_one(capsys):
    lines = told(capsys, "auto")
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/5", "epoch 5/5"]
    assert all(len(line) <= 80 and line.isascii() and line.isprintable() for line in lines)


def test_with_verbose_each_epoch_has_a_line_with_all_figures(capsys):
    lines = told(capsys, 2)
    assert len(lines) == 5
    assert all("gradient_norm 0.02" in line for line in lines)


def test_it_is_silent_if_asked_to_be(capsys):
    assert told(capsys, 0) == []


ON_A_TERMINAL = """
import sys, time
from recipes.training.epoch_progress import EpochProgress
progress = EpochProgress(30)
progress.set_params({"steps": 2})
logs = {name: 0.123456789 for name in ("loss", "val_loss", "accuracy", "val_accuracy", "fake_output", "penalty")}
for epoch in range(30):
    progress.on_epoch_begin(epoch)
    for batch in range(2):
        time.sleep(0.06)
        progress.on_train_batch_end(batch, logs)
    progress.on_epoch_end(epoch, logs)
    if epoch == 7 and "stop" in sys.argv:
        break
progress.close()
print("done")
"""


def on_a_terminal(*arguments, columns=80):
    """What a process writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", "LINES": "24"}
    command = [sys.executable, "-c", ON_A_TERMINAL, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    process.wait()
    os.close(ours)
    return written.decode()


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "last"), [((), 30), (("stop",), 8)], ids=["whole", "stopped"])
def test_on_a_terminal_one_line_moves_and_never_wraps(arguments, last):
    text = on_a_terminal(*arguments)
    frames = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
    shown = [frame for frame in frames if frame.startswith("epoch")]
    assert all(len(frame) <= 80 for frame in frames)
    assert {int(frame.split("/")[0].split()[1]) for frame in shown} >= set(range(2, last + 1))
    assert "loss 0.1235, val_loss 0.1235" in shown[-1]
    assert re.search(r"\d\d:\d\d left", shown[-1])
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is there again
    assert [frame for frame in frames if frame][-1] == "done"
