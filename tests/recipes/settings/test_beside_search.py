"""What has no effect beside a line search: what is typed is refused in one line, what is not is left out."""

import dataclasses

import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.cifar10_full_batch import Cifar10FullBatch
from recipes.classification import Classification
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression
from recipes.settings.beside_search import IDLE, dtypes_of, has_line_search, has_search, idle
from recipes.settings.optimizers import before_switch, chosen_in, parse_optimizer, with_line_search
from recipes.settings.presets import recorded, resolve, ways_to

FULL = {"normalization": "group", "block_size": None, "gradient_regularizer": 0.0}
OTHER = {  # a value of each setting that would have an effect beside another optimizer
    "learning_rate": 0.3,
    "schedule": "cosine",
    "learning_rate_multipliers": "kernel=2",
    "gradient_accumulation_steps": "1",
    "momentum": 0.9,
    "clipping": "by_norm:1",
    "weight_decay": 0.1,
    "weight_decay_mode": "coupled",
    "exclude_from_weight_decay": "bias",
    "ema_momentum": 0.9,
}


def test_every_setting_of_the_table_is_one_of_classifiers():
    assert OTHER.keys() == IDLE.keys() <= Classification.settings().keys()
    for name, (value, _) in IDLE.items():
        assert Classification.settings()[name].checked(name, value) == value


@pytest.mark.parametrize(
    ("cls", "given", "preset"),
    [
        (Cifar10CNN, {}, None),
        (Cifar10CNN, {"variant": "basic"}, None),  # whose preset has a rate, a schedule and batches of 32
        (Cifar10FullBatch, FULL, "fb_long"),  # a clipper, a decay and a schedule that are the recipe's own
        (Cifar10FullBatch, FULL, "sgd"),  # mini-batches
        (Cifar10Fast, {"flip": "none", "translate": 0}, None),
        (LinearRegression, {}, "mae"),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else None,
)
@pytest.mark.parametrize(
    "search",
    [
        {"optimizer": "lbfgs:history=3"},
        {"optimizer": "nonlinear_cg"},
        {"optimizer": "batch_gd", "line_search": "armijo"},
        {"optimizer": "batch_gd", "line_search": "cdat"},
    ],
    ids=str,
)
def test_what_defaults_and_presets_give_is_left_out(cls, given, preset, search):
    recipe = resolve(cls, {**given, **search}, preset)
    without = idle(recipe)
    assert {name: getattr(recipe, name) for name in without} == without
    assert without.keys() >= {"schedule", "momentum"}
    assert ("learning_rate" in without) == (search.get("line_search") != "armijo")  # the step that is tried first
    assert recipe.steps == "epoch"
    assert recorded(cls, dataclasses.asdict(recipe)) == recipe
    for chosen, rest in ways_to(recipe):
        variant = {"variant": recipe.variant} if cls.variants else {}
        assert resolve(cls, {**variant, **given, **rest}, chosen) == recipe


@pytest.mark.parametrize("name", IDLE)
@pytest.mark.parametrize("search", [{"optimizer": "lbfgs"}, {"line_search": "armijo"}], ids=str)
def test_what_is_given_is_refused_in_one_line_that_says_what_to_do(name, search):
    if name == "learning_rate" and "optimizer" not in search:
        assert resolve(Cifar10CNN, {name: 0.3, **search}).learning_rate == 0.3  # the step that is tried first
        return
    with pytest.raises(CommandError) as caught:
        resolve(Cifar10CNN, {name: OTHER[name], **search})
    option = f"--{name.replace('_', '-')}"
    assert str(caught.value).startswith(f"{option} {OTHER[name]} is without effect beside ")
    assert str(caught.value).endswith("so leave it out")
    assert "\n" not in str(caught.value)


def test_before_a_switch_there_is_all_but_micro_batches_and_averages():
    """Its first optimizer has a rate, a schedule and a clipper; the pass behind an update is one of all samples."""
    recipe = resolve(Cifar10CNN, {"optimizer": "switch:nesterov,then=bfgs,after=9", "momentum": 0.5})
    assert (has_line_search(recipe), has_search(recipe)) == (False, True)
    assert idle(recipe) == {"gradient_accumulation_steps": "auto", "ema_momentum": None}
    assert (recipe.learning_rate, recipe.schedule, recipe.clipping) == (0.2, "warmup_cosine", "by_global_norm:1.0")
    assert dtypes_of(recipe) == ("float32", "bfloat16")
    for name in idle(recipe):
        with pytest.raises(CommandError, match=r"without effect beside switch:adam: .* leave it out"):
            resolve(Cifar10CNN, {"optimizer": "switch:adam", name: OTHER[name]})
    assert before_switch("switch:adam,after=3") == "accumulate:adam"
    assert before_switch("switch:nesterov") == "nesterov"
    assert before_switch("lbfgs") == "lbfgs"


def test_what_is_given_and_is_a_default_is_refused_too_and_what_stands_for_none_is_not():
    default = Cifar10CNN.settings()["clipping"].default
    with pytest.raises(CommandError, match=r"--clipping by_global_norm:1\.0 is without effect"):
        resolve(Cifar10CNN, {"optimizer": "lbfgs", "clipping": default})
    with pytest.raises(CommandError, match=r"--learning-rate 1\.0 is without effect"):
        resolve(Cifar10CNN, {"optimizer": "lbfgs", "learning_rate": 1.0})
    given = {"optimizer": "lbfgs", "clipping": "none", "schedule": "constant", "momentum": None}
    assert resolve(Cifar10CNN, given) == Cifar10CNN(optimizer="lbfgs")


def test_another_optimizer_has_what_it_had():
    recipe = resolve(Cifar10CNN, {"optimizer": "momentum"})
    assert not has_line_search(recipe)
    assert (recipe.clipping, recipe.schedule, recipe.learning_rate) == ("by_global_norm:1.0", "warmup_cosine", 0.2)
    assert idle(recipe) == {}


def test_losses_are_not_scaled_beside_a_line_search():
    assert dtypes_of(Cifar10CNN()) == Cifar10CNN.dtypes
    assert dtypes_of(Cifar10CNN(optimizer="lbfgs")) == ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("text", "line_search", "found", "history"),
    [
        ("lbfgs", None, "strong_wolfe", None),
        ("lbfgs:20", "armijo", "armijo", 20),
        ("lbfgs:history=20", "hager_zhang", "hager_zhang", 20),
        ("LBFGS:line_search=HagerZhang", None, "hager_zhang", None),
        ("batch_gd", "nonmonotone_armijo", "nonmonotone_armijo", None),
        ("batch_gd:line_search=none", None, None, None),
        ("batch_gd", None, None, None),
        ("BFGS", "armijo", "armijo", None),
        ("batch_gd", "AdGD", "ad_gd", None),
    ],
)
def test_an_optimizer_and_its_line_search(text, line_search, found, history):
    chosen = parse_optimizer(with_line_search(text, line_search))
    assert (chosen.line_search, chosen.values.get("history")) == (found, history)
    assert (chosen.momentum is None) == (found is not None)
    assert chosen_in({"optimizer": text, "line_search": line_search}) == chosen


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "adam", "line_search": "armijo"}, "adam has none; give --optimizer batch_gd or lbfgs"),
        ({"optimizer": "nesterov", "line_search": "armijo"}, "nesterov has none"),
        ({"optimizer": "lookahead:batch_gd", "line_search": "armijo"}, "lookahead:batch_gd has none"),
        ({"optimizer": "lbfgs:line_search=armijo", "line_search": "armijo"}, "says already which; leave out one"),
        ({"optimizer": "lookahead:lbfgs"}, "lbfgs finds its steps by a line search, and cannot be wrapped"),
        ({"optimizer": "accumulate:lbfgs"}, "cannot be wrapped"),
        ({"optimizer": "batch_gd:nesterov=yes", "line_search": "armijo"}, "nesterov of batch_gd is of its momentum"),
        ({"optimizer": "batch_gd:velocity=torch,line_search=armijo"}, "velocity of batch_gd is of its momentum"),
        ({"optimizer": "bfgs", "line_search": "ad_gd"}, "is a rule for steps along the gradient, and bfgs has a"),
        ({"optimizer": "batch_gd:nesterov=yes", "line_search": "cdat"}, "nesterov of batch_gd is of its momentum"),
        (
            {"optimizer": "switch:adam,then=adam"},
            "no optimizer with a search of its own 'adam'; there are: bfgs",
        ),
        ({"optimizer": "switch:lbfgs"}, "lbfgs finds its steps by a line search, and cannot be wrapped"),
        ({"optimizer": "switch:adam,after=none"}, "give after or patience, such as after=100"),
        ({"optimizer": "switch:adam", "line_search": "armijo"}, "switch:adam has none; give --optimizer batch_gd or"),
        ({"optimizer": "switch:adam", "sharpness_aware": 0.1}, "--sharpness-aware 0.1: the gradient is not that of"),
        ({"optimizer": "nonlinear_cg:beta=cd"}, "no beta 'cd'; there are: dai_yuan"),
        ({"optimizer": "lbfgs:history=0"}, "history must be a whole number >= 1; it is 0"),
        ({"optimizer": "lbfgs", "line_search": "armjo"}, "--line-search: no line search 'armjo'; did you mean armijo?"),
        ({"optimizer": "lbfgs", "sharpness_aware": 0.1}, "--sharpness-aware 0.1: the gradient is not that of the loss"),
        ({"optimizer": "lbfgs", "gradient_regularizer": 0.1}, "give --gradient-regularizer 0"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(settings, said):
    with pytest.raises(CommandError) as caught:
        Cifar10CNN(**settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_is_fitted_to_all_samples():
    with pytest.raises(CommandError, match="--batch-size 10: the line search of lbfgs goes by the loss of all samples"):
        resolve(LinearRegression, {"optimizer": "lbfgs"}, "mini_batch")
