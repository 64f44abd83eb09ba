"""Each notebook runs, and what is stored in it is what a whole run leaves."""

import copy
import functools
import os
import pathlib

import nbformat
import pytest
import traitlets
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELLS, BYTES, SECONDS = 15, 1_000_000, 120
OF_A_MACHINE = ("/work", "/tmp", "/home", "/root", "/Users")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@functools.cache
def read(path):
    return nbformat.v4.reads(path.read_text())


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_of(notebook) for output in cell.outputs]


def texts_of(output):
    """What an output says, a picture's bytes apart."""
    data = output.get("data", {})
    return [output.get("text", ""), *(value for kind, value in data.items() if not kind.startswith("image/png"))]


class KernelOfTheseTests(AsyncKernelManager):
    """A kernel in the Python that runs the tests, whichever are installed for the user."""

    @traitlets.default("kernel_spec_manager")
    def _native(self):
        return KernelSpecManager(kernel_dirs=[])


def test_there_are_eight():
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_", "5_", "6_", "7_", "8_"]


@pytest.mark.slow_cases(
    "2_cifar10_cnn",
    "3_momentum_and_clipping",
    "4_gan",
    "5_searching_schedules",
    "6_several_devices",
    "7_without_a_learning_rate",
    "8_your_own_model",
)
@each
def test_runs(path, tmp_path, monkeypatch):
    for name in ("HOME", "TMPDIR", "KERAS_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # set to files by the commands that other tests run
    notebook = copy.deepcopy(read(path))
    place = {"metadata": {"path": str(tmp_path)}}
    kernel = {"kernel_name": "python3", "kernel_manager_class": KernelOfTheseTests}
    NotebookClient(notebook, timeout=SECONDS, resources=place, **kernel).execute()
    assert not [output for output in outputs_of(notebook) if output.output_type == "error"]


@each
def test_is_short(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= CELLS
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < BYTES


@each
def test_outputs_are_stored(path):
    notebook = read(path)
    code, outputs = code_of(notebook), outputs_of(notebook)
    assert [cell.execution_count for cell in code] == list(range(1, 1 + len(code)))
    assert any(output.output_type == "stream" or "image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        assert not [text for text in texts_of(output) if any(place in text for place in OF_A_MACHINE)]
