import sys

import pytest

from recipes.__main__ import main
from recipes.workers.processes import Processes


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The directory of a finished run on digits."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    assert main(["train", "cifar10_cnn", "--preset", "smoke", "--epochs", "4", "--run-dir", str(directory)]) == 0
    return directory


@pytest.fixture
def said(capsys):
    """A function that carries out a command line: `(status, output, error)`."""

    def carried_out(*arguments):
        capsys.readouterr()
        output = sys.stdout
        status = main([str(argument) for argument in arguments])
        if sys.stdout is not output:  # which main gives up on a full disk
            sys.stdout.close()
            sys.stdout = output
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return carried_out


@pytest.fixture(scope="module")
def processes():
    with Processes({"factor": 3}) as made:
        yield made
