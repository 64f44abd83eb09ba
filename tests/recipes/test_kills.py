"""What no kill may change: each test compares with a run that nothing disturbed."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.kills import bits
from callbacks.exact_resume import read_state

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = ["--train-images", "200", "--epochs", "40", "--validation-split", "0.05"]


def start(directory, *options, recipe="cifar10_cnn"):
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [
        sys.executable,
        "-m",
        "recipes",
        "train",
        recipe,
        *SETTINGS,
        *options,
        "--run-dir",
        str(directory),
    ]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(directory, *options, recipe="cifar10_cnn"):
    process = start(directory, *options, recipe=recipe)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-2000:]
    return output


def epochs_done(directory):
    try:
        return len(read_state(directory / "state.npz")[0]["history"])
    except (OSError, ValueError):
        return 0


def stop_after(process, directory, epochs, how):
    """Send a signal once a number of epochs has been saved."""
    while epochs_done(directory) < epochs:
        assert process.poll() is None, process.stdout.read()[-2000:]
        time.sleep(0.02)
    process.send_signal(how)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


RUNS = {  # recipe, options, epochs
    "batch_gd": ("cifar10_cnn", ["--optimizer", "batch_gd"], 40),
    "lbfgs": ("cifar10_cnn", ["--optimizer", "lbfgs:history=5"], 40),  # killed in the middle of searches
    # batch normalisation, Muon, augmentation, a remainder, bfloat16 where the processor has it
    "cifar10_fast": ("cifar10_fast", ["--epochs", "8", "--train-images", "70", "--batch-size", "32"], 8),
}


@pytest.fixture(scope="module", params=RUNS)
def undisturbed(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    recipe, options, _ = RUNS[request.param]
    finish(directory, *options, recipe=recipe)
    return request.param, bits(directory)


@pytest.mark.slow
def test_three_kills_leave_no_trace(undisturbed, tmp_path):
    name, expected = undisturbed
    recipe, options, last = RUNS[name]
    directory = tmp_path / "run"
    for epochs in (1, 2, 3):
        status, _ = stop_after(start(directory, *options, recipe=recipe), directory, epochs, signal.SIGKILL)
        assert status == -signal.SIGKILL
    assert 3 <= epochs_done(directory) < last
    assert "Going on after epoch" in finish(directory, *options, recipe=recipe)
    assert bits(directory) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_an_interruption_says_how_to_go_on(tmp_path, how, status, word):
    directory = tmp_path / "run"
    code, output = stop_after(start(directory), directory, 1, how)
    assert code == status
    assert output.splitlines()[-1] == f"recipes: {word}; the same command goes on from the last epoch that was saved"
    assert "Traceback" not in output
    assert not list(directory.glob(".part*"))
    assert epochs_done(directory) >= 1


def test_no_signal_is_lost_while_a_command_starts(tmp_path):
    """Imports and callbacks of the garbage collector swallow exceptions, so the end must not come by one."""
    processes = [start(tmp_path / str(number), "--epochs", "100000") for number in range(4)]
    try:
        for process in processes:
            time.sleep(0.8)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not [output for output in said if "Exception ignored" in output]
    found = {process.returncode for process in processes}
    assert found <= {143, 130, -signal.SIGTERM, -signal.SIGINT}  # the last two before the command runs
    assert found & {143, 130}


@pytest.mark.slow
def test_a_kill_during_the_first_write_does_not_spoil_the_directory(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    for name in (".lock", ".part-1-config.json", ".part-1-state.npz"):
        (directory / name).write_bytes(b"half")
    finish(directory, "--epochs", "2")
    assert not list(directory.glob(".part*"))


@pytest.mark.slow
def test_a_second_process_is_refused_while_the_first_runs(tmp_path):
    directory = tmp_path / "run"
    first = start(directory)
    while not epochs_done(directory):
        time.sleep(0.02)
    second = start(directory)
    output, _ = second.communicate(timeout=300)
    assert (second.returncode, output) == (1, f"recipes: another process is at work in {directory}\n")
    first.kill()
    first.communicate()
