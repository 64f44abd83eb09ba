import dataclasses
import re

import keras_tuner
import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.cifar10_full_batch import Cifar10FullBatch
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression
from recipes.optimization import make_schedule
from recipes.settings import switch
from recipes.settings.beside_search import has_line_search
from recipes.settings.line_searches import LINE_SEARCHES, OF_DESCENT
from recipes.settings.presets import resolve
from recipes.settings.schedules import SCHEDULES, parse_schedule
from recipes.tuning import Facts, RecipeHyperModel
from recipes.tuning.axes import Between, OneOf
from recipes.tuning.hyperparameters import declare
from recipes.tuning.space import CLIPPINGS, FAMILIES, check, optimizers_of, parse_space, searching, usual_space
from tests.recipes.tuning.test_trial import Plain

SPACES = {
    "learning_rate=0.01:1": {"learning_rate": Between(0.01, 1.0, log=True)},
    "label_smoothing=0.0:0.2": {"label_smoothing": Between(0.0, 0.2)},
    "batch_size=32|64": {"batch_size": OneOf((32, 64))},
    "batch_size=8:16": {"batch_size": Between(8, 16, whole=True)},
    "schedule=cosine:end=0.1,warmup=0.2|linear": {"schedule": OneOf(("cosine:end=0.1,warmup=0.2", "linear"))},
    "schedule=rex, momentum=0.5|0.9": {"schedule": OneOf(("rex",)), "momentum": OneOf((0.5, 0.9))},
    "optimizer=momentum|adam": {"optimizer": OneOf(("momentum", "adam"))},
    "learning_rate": {"learning_rate": None},
    "schedule=Cosine|one-cycle|Linear:end=0.1": {"schedule": OneOf(("cosine", "one_cycle", "Linear:end=0.1"))},
    "momentum=0.5|0.9,schedule=rex|cosine:end=0.1,warmup=0.2": {
        "schedule": OneOf(("rex", "cosine:end=0.1,warmup=0.2")),
        "momentum": OneOf((0.5, 0.9)),
    },
}
WRONG = {
    "": "--space is empty",
    "learning": "did you mean learning_rate",
    "epochs=1|2": "epochs is the same in all trials; give --max-epochs instead",
    "seed=1|2": "seed is the same in all trials; give --seed instead",
    "train_images": "train_images is the same in all trials; give --train-images instead",
    "translate": "between which values translate lies: translate=LOW:HIGH or translate=A/B",
    "flip": "between which values flip lies: flip=A/B",
    "momentum,momentum": "given twice",
    "batch_size=32,64": "--space: / stands between the values of a setting: write batch_size=32/64",
    "flip,batch_size=32,64,128,momentum": "write batch_size=32/64/128",
    "learning_rate=0.1,1": "write learning_rate=0.1/1",
    "schedule=cosine,linear:end=0.1,momentum": "write schedule=cosine/linear:end=0.1",
    "optimizer=sgd,adam": "write optimizer=sgd/adam",
    "flip=none,random": "write flip=none/random",
    "batch_size=32,many": "--space: no setting 'many'",
    "lr=0.1:1": "--space: no setting 'lr'; did you mean learning_rate?",
    "batch_size=a|b": "--space batch_size must be a whole number >= 1; it is a",
    "batch_size=8:x": "--space batch_size must be a whole number >= 1; it is x",
    "learning_rate=1:0.1": "lower than the second",
    "learning_rate=0:0.1": "--space learning_rate must be a number in (0, 1e+38); it is 0",
    "learning_rate=0.1:inf": "--space learning_rate must be a number in (0, 1e+38); it is inf",
    "batch_size=32|32": "there twice",
    "flip=none|upside_down": "--space flip: no",
    "schedule=rex|cosine:end=0.1,momentum=0.5|0.9": "no parameter of cosine 'momentum'",
}


@pytest.mark.parametrize("text", SPACES)
def test_reads_ranges_and_choices(text):
    assert parse_space([text], Cifar10CNN) == parse_space([text], Cifar10CNN()) == SPACES[text]


def test_an_option_that_is_given_twice_adds_to_the_space():
    space = parse_space(["schedule=rex|cosine:end=0.1", "momentum=0.5|0.9"], Cifar10CNN)
    assert space == {"schedule": OneOf(("rex", "cosine:end=0.1")), "momentum": OneOf((0.5, 0.9))}


@pytest.mark.parametrize("text", [text for text in SPACES if "|" in text])
def test_a_slash_stands_between_values_and_so_does_what_a_shell_does_not_take(text):
    assert parse_space([text.replace("|", "/")], Cifar10CNN) == SPACES[text]


def test_a_comma_goes_on_with_the_last_of_several_values():
    space = parse_space(["schedule=linear/cosine:end=0.1,warmup=0.2", "optimizer=muon:exclude=head/|adam"], Cifar10CNN)
    assert space["schedule"] == OneOf(("linear", "cosine:end=0.1,warmup=0.2"))
    assert space["optimizer"] == OneOf(("muon:exclude=head/", "adam"))


@pytest.mark.parametrize("text", WRONG)
def test_says_in_one_line_what_is_wrong(text):
    with pytest.raises(CommandError, match=re.escape(WRONG[text])):
        parse_space([text], Cifar10CNN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule=cosin|linear", "did you mean cosine"),
        ("clipping=none|by_normal", "did you mean by_norm"),
        ("optimizer=momentum|adan", "did you mean adam"),
        ("batch_size=0|1", "--space batch_size must be"),
        ("label_smoothing=0.5:2", "--space label_smoothing must be"),
        ("momentum=0.5|1.5", "--momentum must lie in 0 to 1"),
        ("gradient_accumulation_steps=1|many", "--space gradient_accumulation_steps must be"),
        ("translate=0:4", "--translate: full batches are the same images"),
        ("optimizer=adam|adamw,momentum", "momentum: none of adam, adamw has one"),
        (
            "optimizer=lbfgs|momentum,learning_rate",
            "learning_rate: it is without effect beside lbfgs: its line search fi",
        ),
        ("learning_rate=0.1:1,optimizer=momentum|lbfgs:history=5", "without effect beside lbfgs:history=5"),
        ("optimizer=lbfgs,schedule=cosine|linear", "--space schedule: it is without effect beside lbfgs"),
        ("optimizer=lbfgs,clipping", "--space clipping: it is without effect beside lbfgs"),
        ("line_search=armijo|strong_wolfe,momentum", "--space momentum: it is without effect beside batch_gd"),
        ("optimizer=lbfgs|adam,line_search=armijo|hager_zhang", "--line-search armijo: adam has none; give"),
        ("line_search=armijo|wolfe", "did you mean strong_wolfe"),
        ("line_search=armijo|none", "none stands for no value, which cannot be searched"),
    ],
)
def test_values_that_no_run_can_have_are_refused_before_anything_is_trained(text, message):
    with pytest.raises(CommandError, match=message):
        check(parse_space([text], Cifar10CNN), Cifar10CNN())


FULL, MINI = {"gradient_accumulation_steps": "epoch"}, {"gradient_accumulation_steps": "1"}


@pytest.mark.parametrize(
    ("text", "recipe", "fits", "cannot"),
    [
        (
            "flip=none|random,gradient_accumulation_steps=1|epoch",
            Cifar10CNN(),
            [{"flip": "random", **MINI}, {"flip": "none", **FULL}],
            {"flip": "random", **FULL},
        ),
        (
            "optimizer=lbfgs|adam,flip=none|random",
            Cifar10CNN(),
            [{"optimizer": "lbfgs", "flip": "none"}, {"optimizer": "adam", "flip": "random"}],
            {"optimizer": "lbfgs", "flip": "random"},
        ),
        (
            "optimizer=lbfgs|momentum,gradient_regularizer=0.0|0.5",
            Cifar10CNN(gradient_regularizer=0.5),  # with which lbfgs by itself cannot be
            [{"optimizer": "lbfgs", "gradient_regularizer": 0.0}],
            {"optimizer": "lbfgs", "gradient_regularizer": 0.5},
        ),
        (
            "batch_size=24|32,block_size=12|16",
            Cifar10CNN(),
            [{"batch_size": 24, "block_size": 12}, {"batch_size": 32, "block_size": 16}],
            {"batch_size": 32, "block_size": 12},
        ),
    ],
    ids=["images of mini-batches", "beside an optimizer", "a penalty", "blocks"],
)
def test_values_that_fit_beside_some_of_the_others_are_searched(text, recipe, fits, cannot):
    """What does not fit is drawn too, and is a CommandError of its trial."""
    space = parse_space([text], Cifar10CNN)
    check(space, recipe)
    assert {each.optimizer for each in searching(space, recipe)} == set(optimizers_of(space, recipe))
    drawn = [given for _, given in random_trials(space, recipe, Facts(), 40)]
    for wanted in [*fits, cannot]:
        (given, *_) = [each for each in drawn if wanted.items() <= each.items()]
        if wanted is cannot:
            with pytest.raises(CommandError) as caught:
                dataclasses.replace(recipe, **given)
            assert "\n" not in str(caught.value)
        else:
            assert wanted.items() <= vars(dataclasses.replace(recipe, **given)).items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flip=none|random,batch_size=32|64", "--flip: full batches are the same images"),
        ("flip=random|alternating,gradient_accumulation_steps=epoch", "--flip: full batches are the same images"),
        ("batch_size=24|32,block_size=13|16", "--batch-size must be a multiple of --block-size 13, such as 26"),
        ("momentum=0.5|1.5,optimizer=momentum|adam", "--momentum must lie in 0 to 1"),
        ("line_search=armijo,gradient_regularizer=0.5|0.1", "--gradient-regularizer 0"),
    ],
)
def test_values_that_fit_beside_none_of_the_others_are_refused(text, message):
    with pytest.raises(CommandError, match=message):
        check(parse_space([text], Cifar10CNN), Cifar10CNN())


def test_whole_numbers_between_which_not_all_can_be_are_written_one_by_one():
    with pytest.raises(CommandError, match="not all whole numbers between can be; write width=A"):
        parse_space(["width=8:64"], Cifar10FullBatch)
    assert parse_space(["width=8|16"], Cifar10FullBatch) == {"width": OneOf((8, 16))}


class Switched(Plain):
    """A recipe with a switch."""

    shuffled: bool = switch(True, "whether samples come in random order")


def test_a_switch_is_searched_as_what_it_is():
    hypermodel, hp = RecipeHyperModel(Switched, "shuffled=yes|no,batch_size=2:4"), keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    found = set()
    for number in range(8):
        hp.values = {each.name: each.random_sample(number) for each in hp.space}
        found.add(hypermodel.recipe_of(hp).shuffled)
    assert found == {True, False}


def random_trials(space, recipe, facts, n):
    """Values as KerasTuner draws them, and the settings that a trial has of them."""
    hp = keras_tuner.HyperParameters()
    declare(space, hp, recipe, facts)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=n, hyperparameters=hp, seed=1)
    for number in range(n):
        mine = keras_tuner.HyperParameters()
        mine.values = oracle.populate_space(str(number))["values"]
        yield mine.values, declare(space, mine, recipe, facts)


@pytest.mark.parametrize("cls", [Cifar10CNN, Cifar10Fast])
def test_every_trial_of_the_whole_space_is_a_run_that_can_be(cls):
    texts = ["schedule,learning_rate,momentum,clipping,optimizer,batch_size,weight_decay,label_smoothing"]
    space, recipe = parse_space(texts, cls), resolve(cls, {})
    facts = Facts(rates={"muon": (0.01, 0.5)}, updates=40)
    check(space, recipe)
    families = set()
    for _, given in random_trials(space, recipe, facts, 200):
        made = dataclasses.replace(recipe, **given)
        (part,) = parse_schedule(made.schedule)
        families.add(part.name)
        low, high = (
            (0.01, 0.5) if made.optimizer == "muon" else (1e-4, 1e-2) if made.optimizer == "adamw" else (1e-3, 1)
        )
        assert low * 0.999 <= made.learning_rate <= high * 1.001
        assert (made.momentum is None) == (made.optimizer == "adamw")
    assert families == set(FAMILIES)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["optimizer=lbfgs:history=5|lbfgs:history=20"], {("lbfgs:history=5", None), ("lbfgs:history=20", None)}),
        (["optimizer=bfgs|nonlinear_cg:dai_yuan"], {("bfgs", None), ("nonlinear_cg:dai_yuan", None)}),
        (["optimizer=lbfgs:5|batch_gd", "line_search=armijo"], {("lbfgs:5", "armijo"), ("batch_gd", "armijo")}),
        (["line_search"], {("batch_gd", name) for name in LINE_SEARCHES if name not in OF_DESCENT}),
        (["line_search=ad_gd|cdat"], {("batch_gd", "ad_gd"), ("batch_gd", "cdat")}),
        (["optimizer=lbfgs|momentum,momentum=0.5|0.9"], {("lbfgs", None), ("momentum", None)}),
    ],
    ids=[
        "parameters of lbfgs",
        "other directions",
        "one search of two",
        "all searches",
        "rules for steps",
        "beside momentum",
    ],
)
def test_trials_with_line_searches_are_runs_that_can_be(texts, expected):
    space, recipe = parse_space(texts, Cifar10CNN), Cifar10CNN(weight_decay=0.1)
    check(space, recipe)
    made = [dataclasses.replace(recipe, **given) for _, given in random_trials(space, recipe, Facts(), len(expected))]
    made += [dataclasses.replace(recipe, **given) for _, given in random_trials(space, recipe, Facts(), 30)]
    assert {(each.optimizer, each.line_search) for each in made} == expected
    for each in made:
        assert (each.weight_decay is None) == has_line_search(each)
        assert (each.momentum is None) == has_line_search(each)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"optimizer": "lbfgs"}, ["line_search"]),
        ({"line_search": "armijo"}, ["learning_rate"]),  # the step that is tried first
        ({"optimizer": "adam"}, ["schedule", "learning_rate", "clipping"]),
        ({}, ["schedule", "learning_rate", "momentum", "clipping"]),
    ],
    ids=str,
)
def test_what_is_searched_without_a_space_has_an_effect(settings, expected):
    recipe = Cifar10CNN(**settings)
    assert usual_space(recipe) == expected
    check(parse_space(expected, recipe), recipe)


def test_only_the_parameters_of_the_chosen_family_are_a_trials():
    space = parse_space(["schedule,clipping"], Cifar10CNN)
    for values, given in random_trials(space, Cifar10CNN(), Facts(), 50):
        family, clipper = values["schedule"], values["clipping"]
        others = {name.partition(".")[0] for name in values if "." in name}
        assert others <= {family, clipper}
        assert given["schedule"].startswith(family)
        assert given["clipping"].startswith(clipper)


def test_the_family_names_are_schedules_and_their_parameters_theirs():
    for family, parameters in FAMILIES.items():
        assert {name for name, _ in parameters} <= SCHEDULES[family].all_parameters.keys()


def test_each_family_and_each_clipper_is_tried_before_anything_is_trained():
    with pytest.raises(CommandError, match="--schedule"):
        check({"schedule": OneOf((*FAMILIES, "cosin"))}, Cifar10CNN())
    with pytest.raises(CommandError, match="--clipping"):
        check({"clipping": OneOf((*CLIPPINGS, "agcc:1.0"))}, Cifar10CNN())


def test_another_recipe_is_searched_by_the_names_of_its_own_settings():
    space = parse_space(["learning_rate=0.1:1,batch_size=10|100"], LinearRegression)
    assert set(space) == {"learning_rate", "batch_size"}
    with pytest.raises(CommandError, match="no setting 'clipping'"):
        parse_space(["clipping"], LinearRegression)
    with pytest.raises(CommandError, match="--space batch_size must be a whole number from 1 to 100; it is 200"):
        parse_space(["batch_size=10|200"], LinearRegression)


def test_a_space_that_is_empty_is_told_with_what_the_recipe_has():
    with pytest.raises(CommandError, match=r"such as --space schedule,learning_rate$"):
        parse_space([], Cifar10CNN)
    with pytest.raises(CommandError, match=r"such as --space batch_size=LOW:HIGH or batch_size=A/B$"):
        parse_space([], Plain)


@pytest.mark.parametrize(("updates", "warmups"), [(1, {0}), (7, {1}), (400, None)])
def test_a_warm_up_fits_into_the_shortest_trial(updates, warmups):
    space, recipe = parse_space(["schedule=warmup_stable_decay"], Cifar10CNN), Cifar10CNN()
    found = set()
    for seed in range(20):
        hp = keras_tuner.HyperParameters()
        declare(space, hp, recipe, Facts(updates=updates))
        hp.values = {each.name: each.random_sample(seed) for each in hp.space}
        (part,) = parse_schedule(declare(space, hp, recipe, Facts(updates=updates))["schedule"])
        found.add(part.values["warmup"])
        make_schedule(f"warmup_stable_decay:warmup={part.values['warmup']},decay=0.5", 0.1, updates)
    assert found == warmups or (warmups is None and 1 <= min(found) < 10 < max(found) <= 100)
