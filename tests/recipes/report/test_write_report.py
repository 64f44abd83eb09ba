"""`report`, and the page that a run leaves behind."""

import html
import json
import re
import shlex
import shutil

import numpy as np
import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.commands import parse
from recipes.report import write_model_card
from recipes.settings.presets import resolve
from recipes.settings.quantities import percent
from tests.recipes.report import made
from tests.recipes.report.test_page import check


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, to be changed."""
    return shutil.copytree(finished, tmp_path / "run")


def command_in(text):
    return shlex.split(re.search(r"<pre><code>python -m recipes (.*?)</code></pre>", without_words(text))[1])


def without_words(text):
    """A page whose commands are not cut into words."""
    return re.sub("</?span>", "", text)


def test_a_run_leaves_a_page_with_the_command_that_repeats_it(finished):
    text = (finished / "report.html").read_text()
    check(text)
    asked = parse(command_in(text))
    names = list(Cifar10CNN.settings())
    given = {name: getattr(asked, name) for name in names if hasattr(asked, name)}
    config = json.loads((finished / "config.json").read_text())
    found = resolve(Cifar10CNN, given, asked.preset)
    assert {name: getattr(found, name) for name in names} == {name: config[name] for name in names}


def begun(directory, command, backend):
    """As if the last start had been another."""
    for name, change in (
        ("config.json", lambda content: content.update(backend=backend)),
        ("environment.json", lambda content: content["starts"][-1].update(command=command)),
    ):
        content = json.loads((directory / name).read_text())
        change(content)
        (directory / name).write_text(json.dumps(content))


@pytest.mark.parametrize("given", [["--data-dir", "my data"], ["--data-dir", "other", "--data-dir=my data"]])
def test_it_repeats_on_the_backend_and_the_data_of_the_run(said, run, given):
    begun(run, ["python", "-m", "recipes", "train", "cifar10_cnn", *given], "jax")
    assert said("report", run)[0] == 0
    card = write_model_card(run).read_text()
    for text in (html.unescape((run / "report.html").read_text()), card):
        (command,) = re.findall("KERAS_BACKEND=jax python -m recipes train .*--data-dir 'my data'", without_words(text))
        assert command.count("--data-dir") == 1


def test_a_search_is_repeated_on_its_backend(said, tmp_path):
    directory = tmp_path / "search"
    made.search(directory)
    begun(directory, ["python", "-m", "recipes", "tune", "cifar10_cnn", "--data-dir=data"], "torch")
    assert said("report", directory)[0] == 0
    text = (directory / "report.html").read_text()
    text = without_words(text)
    assert "<code>KERAS_BACKEND=torch python -m recipes tune cifar10_cnn --data-dir=data</code>" in text
    (best,) = re.findall("<code>KERAS_BACKEND=torch python -m recipes train (.*)</code>", text)
    assert best.endswith("--data-dir data")
    assert "; the best has val_accuracy 0.9, optimizer momentum, learning rate 0.1, schedule constant:" in text


def test_its_mistakes_are_as_many_as_its_accuracy_says(finished):
    result = json.loads((finished / "result.json").read_text())
    wrong = round((1 - result["test_accuracy"]) * 360)
    with np.load(finished / "confusion.npz") as found:
        assert found["counts"].sum() - np.trace(found["counts"]) == wrong
    text = (finished / "report.html").read_text()
    assert f"{wrong} of 360 test images are taken for another class." in text
    assert f"Test accuracy {percent(result['test_accuracy'])}" in text


def test_curves_have_their_first_and_last_values_in_words(finished):
    text = (finished / "report.html").read_text()
    rows = (finished / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[rows[0].split(",").index("loss")]) for row in rows[1:]]
    assert f"Loss over 4 epochs: training from {losses[0]:.4g} to {losses[-1]:.4g}" in text
    for words in ("Accuracy", "Gradient norm", "Learning rate", "Share of clipped updates"):
        assert f'aria-label="{words} over 4 epochs' in text


def test_a_run_leaves_a_model_card(finished):
    text = (finished / "model_card.md").read_text()
    _, head, body = text.split("---\n", 2)
    found = dict(line.split(": ", 1) for line in head.splitlines())
    assert json.loads(found["datasets"]) == ["digits"]
    result = json.loads((finished / "result.json").read_text())
    assert f"| test_accuracy | {result['test_accuracy']:.6g} |" in body
    assert "    python -m recipes train cifar10_cnn --variant" in body


def test_several_directories_are_one_page(said, finished, run, tmp_path):
    status, out, _ = said("report", finished, run, "--out", tmp_path / "both.html")
    assert (status, out.strip()) == (0, str(tmp_path / "both.html"))
    text = (tmp_path / "both.html").read_text()
    check(text)
    assert text.count("<h2>What was run</h2>") == 2


def test_a_run_that_is_not_done_says_so(said, run):
    (run / "result.json").unlink()
    assert said("report", run)[0] == 0
    assert "Not done: 4 of 4 epochs." in (run / "report.html").read_text()


def test_a_run_of_the_version_before_is_read(said, run):
    config = json.loads((run / "config.json").read_text())
    del config["kind"]
    config |= {"activation": None, "width": 64, "normalization": "batch"}  # which it had and did not use
    (run / "config.json").write_text(json.dumps(config))
    assert said("report", run)[0] == 0
    text = (run / "report.html").read_text()
    check(text)
    assert command_in(text)[:2] == ["train", "cifar10_cnn"]
    assert "load_model" in write_model_card(run).read_text()


def test_the_runs_of_several_seeds_are_told_in_their_order(said, run, tmp_path):
    seeds = tmp_path / "seeds"
    for seed in (10, 9):
        shutil.copytree(run, seeds / f"seed-{seed}")
    config = json.loads((run / "config.json").read_text())
    (seeds / "config.json").write_text(json.dumps({**config, "kind": "seeds", "seeds": 2}))
    assert said("report", seeds)[0] == 0
    text = (seeds / "report.html").read_text()
    assert re.findall("<h1>(.*)</h1>", text) == [
        f"cifar10_cnn: groupnorm on digits: run in seed-{seed}" for seed in (9, 10)
    ]
    for seed in (9, 10):
        shutil.rmtree(seeds / f"seed-{seed}")
    status, _, err = said("report", seeds)
    assert (status, err.count("\n")) == (1, 1)
    assert "no run of a seed" in err


def test_a_run_that_diverged_says_so(said, run):
    result = {"outcome": "diverged", "reason": "the loss is not finite", "epochs": 4, "updates": 3, "of": {"epochs": 4}}
    (run / "result.json").write_text(json.dumps(result))
    assert said("report", run)[0] == 0
    assert "<p>Training diverged within 3 updates: the loss is not finite.</p>" in (run / "report.html").read_text()
    assert "There is no model" in write_model_card(run).read_text()


def test_names_of_classes_are_text(said, run):
    config = json.loads((run / "config.json").read_text())
    config["trained_on"]["classes"][3] = "<b onload=alert(1)>"
    (run / "config.json").write_text(json.dumps(config))
    assert said("report", run)[0] == 0
    text = (run / "report.html").read_text()
    check(text)
    assert "<b onload" not in text


def test_names_with_dollar_signs_are_no_formulas(said, run):
    config = json.loads((run / "config.json").read_text())
    config["trained_on"]["classes"][:2] = ["$5_$10", "$20+"]
    (run / "config.json").write_text(json.dumps(config))
    assert said("report", run)[0] == 0
    assert (run / "report.html").read_text().count(">$5_$10</text>") == 2  # a row and a column


def spoiled(name, content):
    def spoil(run):
        (run / name).write_bytes(content)

    return spoil


def without(name):
    return lambda run: (run / name).unlink()


WRONG = {
    "nothing": (without("config.json"), 1, "holds no run"),
    "config": (spoiled("config.json", b"{"), 1, "config.json is damaged"),
    "another version": (spoiled("config.json", b'{"recipe": "cifar10_cnn"}'), 1, "of another version"),
    "no recipe": (spoiled("config.json", b'{"recipe": "os.system"}'), 1, "of another version"),
    "confusion": (spoiled("confusion.npz", b"PK nothing"), 1, "confusion.npz is damaged"),
    "metrics": (spoiled("metrics.csv", b"epoch,loss\n0,zero\n"), 1, "is damaged"),
    "result": (spoiled("result.json", b'{"of": {"epochs": 4}}'), 1, "is damaged"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_damaged_is_told_in_one_line(said, run, case):
    spoil, expected, words = WRONG[case]
    before = (run / "report.html").read_bytes()
    spoil(run)
    status, _, err = said("report", run)
    assert (status, err.count("\n")) == (expected, 1)
    assert words in err
    assert (run / "report.html").read_bytes() == before


def test_a_file_that_is_there_stays(said, run, tmp_path):
    (tmp_path / "mine.html").write_text("mine")
    status, _, err = said("report", run, "--out", tmp_path / "mine.html")
    assert (status, (tmp_path / "mine.html").read_text()) == (2, "mine")
    assert "is there already" in err
