import re

import pytest


@pytest.mark.slow_cases("cifar10_cnn")
@pytest.mark.parametrize("recipe", ["cifar10_cnn", "linear_regression"])
def test_it_says_what_a_run_would_be_and_leaves_nothing(said, tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    status, out, err = said("train", recipe, "--epochs", 1000, "--dry-run")
    assert (status, err) == (0, "")
    assert not list(tmp_path.iterdir())
    assert re.search(r"^epochs +1000$", out, re.MULTILINE)
    assert not re.search(r"^learning_rate", out, re.MULTILINE)  # what was changed alone
    assert re.search(r"^and \d+ settings as usual: --verbose shows them$", out, re.MULTILINE)
    parameters = int(re.search(r"([\d,]+) parameters", out).group(1).replace(",", ""))
    assert parameters == {"cifar10_cnn": 24346, "linear_regression": 2}[recipe]
    pattern = r"^(?:(\d+) min)? ?(?:([\d.]+) s)? expected on \d+ cores, ([\d.]+) s an epoch"
    minutes, seconds, epoch = (float(each or 0) for each in re.search(pattern, out, re.MULTILINE).groups())
    assert 60 * minutes + seconds >= 900 * (epoch - 0.005)
    assert 100 < float(re.search(r"([\d,]+) MiB", out).group(1).replace(",", "")) < 20_000


def test_a_training_that_diverges_is_one_line(said):
    status, _, err = said("train", "linear_regression", "--learning-rate", "1e30", "--dry-run")
    assert (status, err) == (
        1,
        "recipes: training diverges, so that no epoch can be measured: the loss is not finite in epoch 2\n",
    )
