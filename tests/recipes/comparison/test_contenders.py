import dataclasses
import re

import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.comparison import Contender, parse_contenders
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression
from recipes.settings.presets import resolve
from tests.recipes.tuning.test_trial import Plain

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
    "momentum@schedule=cosine:end=0.1,warmup=5@momentum=0.5,sgd": [
        Contender(
            "momentum@schedule=cosine:end=0.1,warmup=5@momentum=0.5",
            {"optimizer": "momentum", "schedule": "cosine:end=0.1,warmup=5", "momentum": 0.5},
        ),
        Contender("sgd", {"optimizer": "sgd"}),
    ],
    "momentum@gradient-accumulation-steps=1": [
        Contender(
            "momentum@gradient-accumulation-steps=1", {"optimizer": "momentum", "gradient_accumulation_steps": "1"}
        )
    ],
}
WRONG = {
    "": "nothing to compare",
    "adam,adam": "adam is there twice",
    "BatchGD,batch_gd": "batch_gd is there twice",
    "sgd@batchsize=1": "did you mean batch_size",
    "sgd@batch_size=one": "--optimizers sgd@batch_size=one: --batch-size must be a whole number >= 1; it is one",
    "sgd@batch_size": "--optimizers sgd@batch_size: write batch_size=VALUE behind the @",
    "sgd@epochs=3": "epochs is no setting of one optimizer; give --budget epochs=N",
    "sgd@learning-rate=0.1": "learning_rate is no setting of one optimizer; it is searched for each optimizer",
    "sgd@optimizer=adam": "optimizer is no setting of one optimizer; it stands before the @",
    "sgd@seed=3": "seed is no setting of one optimizer; it is the same for all; give --seed instead",
    "sgd@validation_split=0.2": "it is the same for all; give --validation-split instead",
    "sgd@loss=mse": "it is the same for all; give --loss instead",
    "sgd@variant=basic": "it is the same for all; give --variant instead",
    "sgd@epoch=3": "no setting 'epoch'; there are: ",
    "adan": "did you mean adam",
    "sgd,muon:size=none,sise=rms": "no parameter of muon 'sise'",
}


@pytest.mark.parametrize("text", READ)
def test_reads_optimizers_with_settings_and_names(text):
    assert parse_contenders(Cifar10CNN, text) == parse_contenders(Cifar10CNN(), [text]) == READ[text]


def test_an_option_that_is_given_twice_adds_to_the_contenders():
    assert parse_contenders(Cifar10CNN, ["sgd", "muon:size=none", "adam"]) == parse_contenders(
        Cifar10CNN, "sgd,muon:size=none,adam"
    )


def test_each_optimizer_goes_with_each_clipper_and_each_schedule():
    found = parse_contenders(Cifar10CNN, "sgd,adam", "none,agc:limit=0.02", "cosine,linear:end=0.1,warmup=5")
    assert len(found) == 8
    assert found[-1].label == "adam agc:limit=0.02 linear:end=0.1,warmup=5"
    assert found[-1].settings == {
        "optimizer": "adam",
        "clipping": "agc:limit=0.02",
        "schedule": "linear:end=0.1,warmup=5",
    }


@pytest.mark.parametrize("text", WRONG)
def test_says_in_one_line_what_is_wrong(text):
    with pytest.raises(CommandError, match=re.escape(WRONG[text])):
        parse_contenders(Cifar10CNN, text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clippings": "none,by_normal:1.0"}, "--clippings by_normal:1.0: no clipper 'by_normal'"),
        ({"schedules": "cosin"}, "--schedules cosin: no schedule 'cosin'"),
    ],
)
def test_what_optimizers_are_combined_with_is_read_at_once_too(options, said):
    with pytest.raises(CommandError, match=said):
        parse_contenders(Cifar10CNN, "sgd", **options)


def test_a_recipe_that_has_not_what_is_compared_is_told_by_name():
    with pytest.raises(CommandError, match="test_trial:Plain has no setting optimizer"):
        parse_contenders(Plain, "sgd")
    with pytest.raises(CommandError, match="--clippings: linear_regression has no setting clipping"):
        parse_contenders(LinearRegression, "sgd", "none")


def test_what_means_something_else_for_each_optimizer_is_each_contenders_own():
    recipe = resolve(Cifar10Fast, {})
    assert (recipe.momentum, recipe.learning_rate_multipliers) == (0.6, "beta$=250,head/=5")
    contender = Contender("other", {"optimizer": "momentum", "momentum": 0.5})
    expected = dataclasses.replace(recipe, optimizer="momentum", momentum=0.5, learning_rate_multipliers="")
    assert contender.of(recipe) == expected
    with pytest.raises(CommandError, match="other: --momentum: adam has no momentum"):
        Contender("other", {"optimizer": "adam", "momentum": 0.5}).of(recipe)


def test_a_contender_with_a_line_search_leaves_out_what_has_no_effect_for_it():
    """The clipper and the schedule are those of all, which are the others' still."""
    recipe = resolve(Cifar10CNN, {"clipping": "agc:0.1", "schedule": "linear", "weight_decay": 0.1})
    for settings in ({"optimizer": "lbfgs"}, {"optimizer": "batch_gd", "line_search": "armijo"}):
        found = Contender("searching", settings).of(recipe)
        assert (found.clipping, found.schedule, found.weight_decay, found.momentum) == ("none", "constant", None, None)
    other = Contender("other", {"optimizer": "momentum"}).of(recipe)
    assert (other.clipping, other.schedule, other.weight_decay) == ("agc:0.1", "linear", 0.1)
    with pytest.raises(CommandError, match=r"own: --clipping agc:0\.2 is without effect beside lbfgs"):
        Contender("own", {"optimizer": "lbfgs", "clipping": "agc:0.2"}).of(recipe)


def test_the_directory_of_a_contender_has_a_name_that_any_system_takes():
    assert Contender("muon:size=none,others=a b/c", {}).directory == "muon_size=none_others=a_b_c"
