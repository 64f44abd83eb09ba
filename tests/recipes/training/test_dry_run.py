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
    parameters = int(re.search(r"([\d,]+) parameters", out).group(1).replace(",", ""))
    assert parameters == {"cifar10_cnn": 24346, "linear_regression": 2}[recipe]
    total, epoch = re.search(r"([\d,]+) s expected on \d+ cores, ([\d.]+) s an epoch", out).groups()
    assert float(total.replace(",", "")) >= 999 * (float(epoch) - 0.005)
    assert 100 < float(re.search(r"([\d,]+) MiB", out).group(1).replace(",", "")) < 20_000


def test_a_training_that_diverges_is_one_line(said):
    status, _, err = said("train", "linear_regression", "--learning-rate", "1e30", "--dry-run")
    assert (status, err) == (
        1,
        "recipes: training diverges, so that no epoch can be measured: the loss is not finite in epoch 2\n",
    )
