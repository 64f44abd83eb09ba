"""Every command and every example of README and docs is run, small."""

import pathlib
import re
import shlex
import subprocess

import keras
import numpy as np
import PIL.Image
import pytest

from recipes.__main__ import main
from recipes.commands import parse
from tests.recipes.data.prepared import prepare

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Words of a command that would take long, and what is said here instead; one that has no preset gets the smoke one.
SMALLER = {
    "--seeds": "2",
    "--trials": "2",
    "--budget": "epochs=1",
    "--optimizers": "batch_gd,mini:=sgd@batch_size=100",
    "--preset": "smoke",
    "--tuner": "random",
    "--dtype": "float32",
}
ELSEWHERE = {  # commands that need what this machine lacks, and the tests that run them with a stand-in
    "KERAS_DISTRIBUTION": "tests/recipes/machine/test_hosts.py",
    "KERAS_BACKEND=jax": "tests/backends/test_recipes.py",
    "postgresql://": "tests/recipes/workers/test_processes.py",
    "--archive": "tests/recipes/data/test_cifar10_archive.py",
    "export ": "tests/recipes/commands/test_export.py",
}


def blocks(page):
    """Indented blocks and fences without a language: what is typed in a shell, a command a line."""
    text = re.sub(r"```python\n.*?```", "", page.read_text(), flags=re.DOTALL)
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return [line.strip() for line in lines if re.match(r" {4,}(python|make|pip|export|KERAS_)", line)]


def inline(page):
    """Commands in the text."""
    return re.findall(r"`((?:python -m|make) [^`…]+)`", page.read_text().replace("\n", " "))


def put_modules(directory, monkeypatch):
    """Write the examples that begin with the name of their file, `# digits_mlp.py`, where they can be imported."""
    for page in PAGES:
        for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page.read_text(), re.DOTALL):
            (directory / name).write_text(code)
    monkeypatch.syspath_prepend(directory)


def words_of(command):
    return shlex.split(re.sub(r"\s+#.*", "", command))


def smaller(words):
    """The same command for seconds instead of minutes."""
    found = [SMALLER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    found += ["--preset", "smoke"] * (found[0] in ("train", "tune", "compare") and "--preset" not in found)
    found += ["--max-epochs", "2"] * (found[0] == "tune")
    found += ["--train-images", "64"] * (found[0] in ("tune", "compare") and found[1].startswith("cifar10"))
    found += ["--trials", "2"] * (found[0] in ("tune", "compare") and "--trials" not in found)
    found += ["--width", "8", "--train-images", "128", "--epochs", "1"] * ("cifar10_full_batch" in found)
    return found + ["--data-dir", "tfds"] * ("cifar10" in found)


def commands_of(page):
    """Those of `python -m recipes`."""
    found = blocks(page) + inline(page)
    return [command for command in found if re.match(r"(\w+=\S+ )?python -m recipes ", command)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A directory with a photo, a folder of photos and a tiny CIFAR-10."""
    root = tmp_path_factory.mktemp("world")
    images = np.random.default_rng(0).integers(0, 256, (420, 9, 9, 3)).astype("uint8")
    PIL.Image.fromarray(images[0]).save(root / "photo.jpg")
    for i, image in enumerate(images):
        path = root / "photos" / ("cat", "dog")[i % 2]
        path.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path / f"{i}.png")
    for name in ("more_photos", "holiday"):
        (root / name).symlink_to("photos")
    prepare(root / "tfds", "cifar10", (32, 32, 3), {"train": 400, "test": 40})
    return root


def run_in_their_order(commands, monkeypatch, capfd):
    """One after the other, as later ones take up the runs of earlier ones; what has become the same is run once."""
    monkeypatch.setattr("recipes.gan.classifier.UPDATES", 60)
    here = [command for command in commands if not any(name in command for name in ELSEWHERE)]
    for words in dict.fromkeys(tuple(smaller(words_of(command)[3:])) for command in here):
        assert main(list(words)) == 0, f"{words}\n{capfd.readouterr().err}"


def test_commands_of_the_readme(world, monkeypatch, capfd, tmp_path):
    for name in ("photo.jpg", "photos", "tfds"):
        (tmp_path / name).symlink_to(world / name)
    monkeypatch.chdir(tmp_path)
    run_in_their_order(commands_of(PAGES[0]), monkeypatch, capfd)


@pytest.mark.slow
def test_commands_of_all_pages(world, monkeypatch, capfd):
    monkeypatch.chdir(world)
    put_modules(world, monkeypatch)
    run_in_their_order([command for page in PAGES for command in commands_of(page)], monkeypatch, capfd)


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_what_runs_the_others_is_there(test):
    (needed,) = [name for name, path in ELSEWHERE.items() if path == test][:1]
    assert (ROOT / test).exists()
    assert any(needed in command for page in PAGES for command in blocks(page))


@pytest.mark.parametrize("page", [page for page in PAGES if inline(page) + blocks(page)], ids=lambda page: page.stem)
def test_commands_are_there(page, tmp_path, monkeypatch):
    """Options that exist, targets of make, benchmarks, which tests/benchmarks/test_small.py runs."""
    put_modules(tmp_path, monkeypatch)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in inline(page) + blocks(page):
        words = [word for word in words_of(command) if "=" not in word or not word.isupper()]
        if words[0] == "make":
            assert words[1] in targets, command
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        if words[:2] == ["python", "-m"] and words[2] != "recipes":
            path = ROOT / words[2].replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command
        if words[:3] == ["python", "-m", "recipes"] and len(words) > 3:
            assert parse(words[3:]), command


@pytest.mark.slow_cases("tune", "own_model", "README")  # the last also in tests/test_readme.py
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.stem
)
def test_examples_run(page, world, monkeypatch):
    """The examples of a page, one after the other."""
    monkeypatch.chdir(world)
    put_modules(world, monkeypatch)
    if "runs/digits/model.keras" in page.read_text() and not (world / "runs" / "digits").exists():
        assert main(["train", "cifar10_cnn", "--preset", "smoke", "--run-dir", "runs/digits"]) == 0
    scope = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        keras.utils.set_random_seed(0)
        exec(code, scope)
