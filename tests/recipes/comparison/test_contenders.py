import pytest

from recipes import cifar10_cnn
from recipes.comparison.contenders import Contender, parse_contenders
from recipes.errors import CommandError

READ = {
    "adam": [Contender("adam", {"optimizer": "adam"})],
    "sgd,adam": [Contender("sgd", {"optimizer": "sgd"}), Contender("adam", {"optimizer": "adam"})],
    "stochastic:=sgd@batch_size=1@momentum=0.0": [
        Contender("stochastic", {"optimizer": "sgd", "batch_size": 1, "momentum": 0.0})
    ],
    "muon:size=none,others=momentum,adam": [
        Contender("muon:size=none,others=momentum", {"optimizer": "muon:size=none,others=momentum"}),
        Contender("adam", {"optimizer": "adam"}),
    ],
    "one:=adam, two:=adam": [Contender("one", {"optimizer": "adam"}), Contender("two", {"optimizer": "adam"})],
    "momentum@gradient-accumulation-steps=1": [
        Contender(
            "momentum@gradient-accumulation-steps=1", {"optimizer": "momentum", "gradient_accumulation_steps": "1"}
        )
    ],
}
WRONG = {
    "": "nothing to compare",
    "adam,adam": "adam is there twice",
    "sgd@batchsize=1": "did you mean batch_size",
    "sgd@batch_size=one": "batch_size must be int; it is 'one'",
    "sgd@epochs=3": "no setting 'epochs'",
    "sgd@seed=3": "no setting 'seed'",
}


@pytest.mark.parametrize("text", READ)
def test_reads_optimizers_with_settings_and_names(text):
    assert parse_contenders(cifar10_cnn, text) == READ[text]


def test_each_optimizer_goes_with_each_clipper_and_each_schedule():
    found = parse_contenders(cifar10_cnn, "sgd,adam", "none,agc:limit=0.02", "cosine,linear:end=0.1,warmup=5")
    assert len(found) == 8
    assert found[-1].label == "adam agc:limit=0.02 linear:end=0.1,warmup=5"
    assert found[-1].settings == {
        "optimizer": "adam",
        "clipping": "agc:limit=0.02",
        "schedule": "linear:end=0.1,warmup=5",
    }


@pytest.mark.parametrize("text", WRONG)
def test_says_in_one_line_what_is_wrong(text):
    with pytest.raises(CommandError, match=WRONG[text]):
        parse_contenders(cifar10_cnn, text)
