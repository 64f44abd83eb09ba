"""The built wheel, used from a foreign directory by an interpreter that does not see this checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PARTS = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "custom_optimizers", "callbacks", "recipes", "tests")
USE = """
import numpy as np, keras
from callbacks import FullBatch
from custom_optimizers import BatchGD
import custom_optimizers, recipes
assert {site!r} in custom_optimizers.__file__, custom_optimizers.__file__
assert {site!r} in recipes.__file__
model = keras.Sequential([keras.layers.Dense(1)])
model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
x = np.ones((10, 2), "float32")
model.fit(x, x[:, 0], batch_size=4, epochs=2, callbacks=[FullBatch()], verbose=0)
model.save("model.keras")
print(type(keras.saving.load_model("model.keras").optimizer).__name__, int(model.optimizer.iterations))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        path = ROOT / part
        shutil.copytree(path, source / part) if path.is_dir() else shutil.copy(path, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = (source / "dist").glob("keras_descent-*.whl")
    return built


def test_holds_the_three_packages_and_nothing_else(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {n for n in names if not n.endswith(".dist-info")} == {"custom_optimizers", "callbacks", "recipes"}
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".py")}
    there = {p.relative_to(ROOT).as_posix() for part in PARTS[4:7] for p in (ROOT / part).rglob("*.py")}
    assert packed == there


def test_works_in_a_foreign_directory(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = USE.format(site=str(site))
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["BatchGD", "2"], done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "recipes", "list"], cwd=elsewhere, env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith("allen_cahn"), done.stderr
