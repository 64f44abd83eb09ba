"""`tune`: from a command line to the best run, and on from wherever it was interrupted."""

import csv
import dataclasses
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from callbacks.exact_resume import read_state
from recipes.__main__ import main
from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.cifar10_gan import Cifar10GAN
from recipes.commands import parse
from recipes.errors import CommandError
from recipes.settings.presets import resolve
from recipes.tuning import Search, tune
from recipes.tuning.space import usual_space
from tests.recipes.report.test_page import check, tags_of
from tests.recipes.tuning.test_trial import Plain

ROOT = pathlib.Path(__file__).parents[3]
LINE = ("linear_regression", "--max-epochs", "16", "--space", "learning_rate=0.05:0.9,momentum=0.0|0.5|0.9")
EPOCHS = 30
DIGITS = (
    *("cifar10_cnn", "--data", "digits", "--train-images", "100", "--optimizer", "momentum"),
    *(
        "--gradient-accumulation-steps",
        "1",
        "--max-epochs",
        str(EPOCHS),
        "--space",
        "schedule=constant|linear,learning_rate=0.01:1",
    ),
)


def tuned(capsys, directory, *options, recipe=LINE):
    status = main(["tune", *recipe, "--run-dir", str(directory), "--strategy", "cpu", *options])
    said = capsys.readouterr()
    return status, said.out, said.err


def rows(directory):
    with open(directory / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "tpe", "hyperband", "grid", "bayesian"])
def test_each_tuner_ends_with_a_table_pictures_and_a_command(tmp_path, capsys, pages, name):
    status, out, err = tuned(capsys, tmp_path / "search", "--tuner", name, "--trials", "5")
    assert status == 0, err
    table = rows(tmp_path / "search")
    assert {row["status"] for row in table} == {"COMPLETED"}
    assert len({row["configuration"] for row in table if row["rung"] == "0"}) == 5
    longest = [row for row in table if row["epochs"] == "16"]
    assert table[0]["score"] == min((row["score"] for row in longest), key=float)
    for picture in ("rates.png", "progress.png", "schedules.png"):
        assert (tmp_path / "search" / picture).stat().st_size > 5000
    best = json.loads((tmp_path / "search" / "result.json").read_text())["best"]
    (command,) = re.findall(r"^    (python -m recipes train .*)$", out, re.MULTILINE)
    assert f"--learning-rate {best['settings']['learning_rate']}" in command
    assert command.endswith(" --strategy cpu")
    assert dataclasses.asdict(recipe_by(command)) == best["settings"]
    page = (tmp_path / "search" / "report.html").read_text()
    check(page)
    assert f"<code>{command.removesuffix(' --strategy cpu')}" in re.sub("</?span>", "", page)
    assert sum(tag == "img" for tag, _ in tags_of(page)) == 3
    status, out, _ = tuned(capsys, tmp_path / "search", "--tuner", name, "--trials", "5", "--json")  # it is done
    assert status == 0
    told = json.loads(out)
    assert told["command"] == command
    assert [row["trial"] for row in told["trials"]] == [row["trial"] for row in table]


COMMANDS = [
    (Cifar10Fast, {"schedule": "cosine:end=0.1,warmup=0.02", "learning_rate": 0.123}),
    (Cifar10Fast, {"optimizer": "adamw", "learning_rate": 0.001}),
    (Cifar10Fast, {"optimizer": "momentum", "momentum": 0.5}),
    (Cifar10CNN, {"optimizer": "adam", "clipping": "none"}),
    (Cifar10CNN, {"optimizer": "batch_gd", "momentum": 0.0, "weight_decay": 0.01}),
]


@pytest.mark.parametrize(("cls", "given"), COMMANDS)
def test_the_command_of_the_best_trains_with_its_settings(cls, given):
    best = resolve(cls, given)
    assert recipe_by(best.command()) == best


@pytest.mark.parametrize("optimizer", ["adamw", "momentum", "batch_gd"])
def test_the_command_has_what_a_trial_keeps_of_the_preset_of_another_optimizer(optimizer):
    begun = resolve(Cifar10Fast, {})
    best = dataclasses.replace(begun, optimizer=optimizer, momentum=None, gradient_accumulation_steps="1")
    assert recipe_by(best.command()) == best


def test_the_command_names_a_preset_where_options_cannot_say_what_it_leaves_out():
    best = resolve(Cifar10Fast, {"variant": "fast", "epochs": 3}, "resnet9")
    assert "--preset resnet9" in best.command()
    assert recipe_by(best.command()) == best


def recipe_by(command):
    asked = parse(shlex.split(command)[3:])
    given = {name: value for name, value in vars(asked).items() if name in asked.recipe.settings()}
    return resolve(asked.recipe, given, asked.preset)


@pytest.mark.slow
def test_line_searches_are_searched_and_no_picture_is_of_rates(tmp_path, capsys, pages):
    options = ("--space", "optimizer=lbfgs:history=2|lbfgs:history=5", "--space", "line_search=armijo|hager_zhang")
    recipe = ("linear_regression", "--max-epochs", "12", *options)
    status, out, err = tuned(capsys, tmp_path, "--tuner", "grid", "--trials", "4", recipe=recipe)
    assert status == 0, err
    found = {(row["optimizer"], row["line_search"]): float(row["score"]) for row in rows(tmp_path)}
    assert found.keys() == {(f"lbfgs:history={n}", name) for n in (2, 5) for name in ("armijo", "hager_zhang")}
    assert max(found.values()) < 1e-6
    assert not list(tmp_path.glob("*rates*.png"))
    optimizer, line_search = min(found, key=found.get)
    (command,) = [line.strip() for line in out.splitlines() if "python -m recipes train" in line]
    best = parse(shlex.split(command)[3:])
    assert (best.optimizer, best.line_search, best.epochs) == (optimizer, line_search, 12)
    assert not hasattr(best, "learning_rate")
    text = (tmp_path / "report.html").read_text()
    check(text)
    assert f"optimizer {optimizer}, line search {line_search}" in text
    assert "learning rate 1" not in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--optimizer", "lbfgs", "--space", "learning_rate=0.1:1"),
            "--space learning_rate: it is without effect beside",
        ),
        (("--space", "optimizer=lbfgs|momentum,learning_rate"), "its line search finds the step, so leave it out"),
        (("--optimizer", "lbfgs", "--learning-rate", "0.1"), "--learning-rate 0.1 is without effect beside lbfgs"),
        (("--line-search", "armijo", "--space", "line_search"), "--line-search: line_search is searched for"),
    ],
    ids=str,
)
def test_a_rate_is_not_searched_where_there_is_none(tmp_path, capsys, options, said):
    status, _, err = tuned(capsys, tmp_path / "search", *options, recipe=("linear_regression",))
    assert (status, err.count("\n")) == (2, 1)
    assert said in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_combination_that_cannot_be_fails_and_the_others_are_trained(tmp_path, capsys):
    space = "optimizer=momentum|accelerated_gd,gradient_accumulation_steps=1|epoch"
    recipe = ("cifar10_cnn", "--data", "digits", "--train-images", "100", "--max-epochs", "1", "--space", space)
    status, out, error = tuned(capsys, tmp_path, "--tuner", "grid", "--trials", "9", recipe=recipe)
    assert status == 0, error
    failed = [row for row in rows(tmp_path) if row["status"] != "COMPLETED"]
    assert len(rows(tmp_path)) == 4
    assert [(row["optimizer"], row["gradient_accumulation_steps"]) for row in failed] == [("accelerated_gd", "1")]
    assert "accelerated_gd needs full batches" in failed[0]["message"]
    assert "failed: --gradient-accumulation-steps 1: accelerated_gd" in out


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_and_ends_as_if_nothing_had_been(tmp_path, capsys):
    """In the middle of its second trial, which then goes on from the epoch that it had saved."""
    options = ("--tuner", "random", "--trials", "2")
    assert tuned(capsys, tmp_path / "whole", *options, recipe=DIGITS)[0] == 0
    directory = tmp_path / "killed"
    process = begun(directory, *options)
    state = directory / "trials" / "0001" / "state.npz"
    while not state.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # in which its trial ends with it
    made = len(read_state(state)[0]["history"])
    assert tuned(capsys, directory, *options, recipe=DIGITS)[0] == 0
    if made < EPOCHS:  # on a busy machine it may have come to its end
        assert "Going on after epoch" in (directory / "trials" / "0001.txt").read_text()
    keep = ("trial", "status", "score", "schedule", "learning_rate", "epochs")
    assert [[row[name] for name in keep] for row in rows(directory)] == [
        [row[name] for name in keep] for row in rows(tmp_path / "whole")
    ]


def begun(directory, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "recipes", "tune", *DIGITS, "--run-dir", str(directory), "--strategy", "cpu"]
    return subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_more_trials_go_on_with_the_search(tmp_path, capsys):
    assert tuned(capsys, tmp_path, "--tuner", "random", "--trials", "2")[0] == 0
    first = {row["trial"]: row["score"] for row in rows(tmp_path)}
    assert tuned(capsys, tmp_path, "--tuner", "random", "--trials", "4")[0] == 0
    now = {row["trial"]: row["score"] for row in rows(tmp_path)}
    assert len(now) == 4
    assert first.items() <= now.items()


WRONG = {
    ("--tuner", "hyperbrand"): "did you mean hyperband",
    ("--trials", "0"): "--trials must lie in",
    ("--workers", "0"): "--workers must lie in",
    ("--metric", "val_accuracy"): "no metric 'val_accuracy'; there are: distance",
    ("--space", ""): "--space",
    ("--space", "learning_rat"): "did you mean learning_rate",
    ("--storage", "nonsense"): "--storage",
    ("--study", ""): "--study: the name is empty",
    ("--max-epochs", "0"): "--max-epochs must lie in",
    ("--space", "learning_rate=0.1:1,momentm=0.9"): "did you mean momentum",
    ("--space", "batch_size=10,100"): "--space: / stands between the values of a setting: write batch_size=10/100",
    ("--epochs", "3"): "no option '--epochs' of python -m recipes tune linear_regression; give --max-epochs N",
    ("--learning-rate", "0.1"): (
        "--learning-rate: learning_rate is searched for: give its values as --space learning_rate=LOW:HIGH or "
        "learning_rate=A/B, or a --space without it"
    ),
    ("--space", "loss,schedule=linear", "--loss", "mse"): "--space: loss is the same in all trials; give --loss",
    ("--space", "schedule=linear", "--schedule", "cosine"): (
        "--schedule: schedule is searched for: give its values as --space schedule=A/B, or a --space without it"
    ),
}


@pytest.mark.parametrize("options", WRONG)
def test_mistakes_are_told_in_one_line_and_write_nothing(tmp_path, capsys, options):
    recipe = ("linear_regression",) if "--space" in options else LINE
    status, _, error = tuned(capsys, tmp_path / "search", *options, recipe=recipe)
    assert status == 2
    assert WRONG[options] in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_not_there_binds_no_directory(tmp_path, capsys):
    options = ("--storage", "postgresql://nobody@127.0.0.1:1/x")
    status, _, error = tuned(capsys, tmp_path / "search", *options)
    assert (status, error.count("\n")) == (1, 1)
    assert not list(tmp_path.iterdir())


def test_kerastuners_workers_are_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    status, _, error = tuned(capsys, tmp_path / "search")
    assert status == 2
    assert "with the same --storage" in error


def test_the_directory_one_stands_in_can_be_that_of_the_search(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tuned(capsys, ".", "--tuner", "random", "--trials", "1")[0] == 0
    assert (tmp_path / "trials" / "0000" / "result.json").exists()


def test_the_directory_of_another_search_is_left_as_it_is(tmp_path, capsys):
    assert tuned(capsys, tmp_path, "--tuner", "random", "--trials", "2")[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    status, _, error = tuned(capsys, tmp_path, "--tuner", "tpe", "--trials", "2")
    assert status == 2
    assert "was begun with random, not tpe" in error
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.json")}


def test_a_recipe_that_raises_ends_the_search_in_one_line(tmp_path, capsys):
    options = ("--tuner", "random", "--trials", "5", "--batch-size", "100")
    recipe = (*LINE[:3], "--space", "learning_rate=1e30:1e35")
    status, _, error = tuned(capsys, tmp_path, *options, recipe=recipe)
    assert status == 1
    assert "no trial was completed; the last: training diverged" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_divergence_is_a_result_and_the_others_are_trained(tmp_path, capsys):
    """More in a row diverge than a search of trials that crash would live through."""
    recipe = (*LINE[:3], "--space", "learning_rate=1.2|1.3|1.4|1.5|0.5", "--max-epochs", "300")
    status, out, error = tuned(
        capsys, tmp_path, "--tuner", "grid", "--trials", "5", "--batch-size", "100", recipe=recipe
    )
    assert status == 0, error
    assert "5 trials of 5 configurations, 4 failed." in out
    assert rows(tmp_path)[0]["learning_rate"] == "0.5"


def test_a_trial_is_no_run_and_commands_of_runs_say_so(tmp_path, capsys):
    assert tuned(capsys, tmp_path / "what? 100%41", "--tuner", "random", "--trials", "1")[0] == 0
    trial = tmp_path / "what? 100%41" / "trials" / "0000"
    assert (tmp_path / "what? 100%41" / "search.db").exists()
    for command in (["evaluate", str(trial)], ["train", "linear_regression", "--run-dir", str(trial)]):
        assert main(command) == 2
        assert "holds a trial of a search" in capsys.readouterr().err
    assert main(["evaluate", str(trial.parents[1])]) == 2
    assert "holds a search" in capsys.readouterr().err
    started = json.loads((trial / "environment.json").read_text())["starts"]
    assert started[0]["command"][3:] == sys.argv[1:]


def test_the_usual_space_leaves_out_a_momentum_that_there_is_not():
    assert "momentum" in usual_space(resolve(Cifar10CNN, {}))
    assert "momentum" not in usual_space(resolve(Cifar10CNN, {"optimizer": "adamw"}))
    assert usual_space(Plain()) == []


def test_a_recipe_without_objectives_cannot_be_searched(tmp_path):
    with pytest.raises(CommandError, match="cifar10_gan can be trained, but not searched or compared"):
        tune(Cifar10GAN(), Search(space=("width=16|32",)), tmp_path / "search")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_recipe_that_has_neither_rate_nor_schedule_is_searched_in_what_it_has(tmp_path, capsys, pages):
    recipe, options = "tests.recipes.tuning.test_trial:Plain", ("--trials", "2")
    space = ("--max-epochs", "4", "--space", "batch_size=2|4")
    status, out, error = tuned(capsys, tmp_path / "search", *options, recipe=(recipe, *space))
    assert status == 0, error
    assert "Range test" not in out
    assert f"python -m recipes train {recipe} " in out
    assert {row["batch_size"] for row in rows(tmp_path / "search")} == {"2", "4"}
    assert sum(int(row["cost"]) for row in rows(tmp_path / "search")) == sum(
        int(row["epochs"]) for row in rows(tmp_path / "search")
    )
    assert (tmp_path / "search" / "progress.png").exists()
    assert (tmp_path / "search" / "report.html").exists()


@pytest.mark.slow
def test_bounds_of_rates_come_from_a_range_test_that_is_made_once(tmp_path, capsys):
    recipe = ("linear_regression", "--max-epochs", "8")  # whose space is then the usual one, as far as it has it
    status, out, error = tuned(capsys, tmp_path, "--tuner", "random", "--trials", "3", recipe=recipe)
    assert status == 0, error
    assert "Range test" in out
    low, high = re.search(r"learning rates from (\S+) to (\S+)\.", out).groups()
    assert all(float(low) <= float(row["learning_rate"]) <= float(high) for row in rows(tmp_path))
    assert "Range test" not in tuned(capsys, tmp_path, "--tuner", "random", "--trials", "4", recipe=recipe)[1]
