import dataclasses

import keras_tuner
import pytest

from recipes import cifar10_cnn, linear_regression
from recipes.errors import CommandError
from recipes.settings.resolve import resolve
from recipes.settings.schedules import SCHEDULES, make_schedule, parse_schedule
from recipes.tuning.space import FAMILIES, Between, Facts, OneOf, check, declare, parse_space

SPACES = {
    "learning_rate=0.01:1": {"learning_rate": Between(0.01, 1.0, log=True)},
    "label_smoothing=0.0:0.2": {"label_smoothing": Between(0.0, 0.2)},
    "batch_size=32|64": {"batch_size": OneOf((32, 64))},
    "batch_size=8:16": {"batch_size": Between(8, 16, whole=True)},
    "schedule=cosine:end=0.1,warmup=0.2|linear": {"schedule": OneOf(("cosine:end=0.1,warmup=0.2", "linear"))},
    "schedule=rex, momentum=0.5|0.9": {"schedule": OneOf(("rex",)), "momentum": OneOf((0.5, 0.9))},
    "optimizer=momentum|adam": {"optimizer": OneOf(("momentum", "adam"))},
    "learning_rate": {"learning_rate": None},
    "schedule=rex|cosine:end=0.1,warmup=0.2,momentum=0.5|0.9": {
        "schedule": OneOf(("rex", "cosine:end=0.1,warmup=0.2")),
        "momentum": OneOf((0.5, 0.9)),
    },
}
WRONG = {
    "": "--space is empty",
    "learning": "did you mean learning_rate",
    "epochs=1|2": "--max-epochs",
    "seed=1|2": "same in all trials",
    "translate": "between which values translate lies",
    "momentum,momentum": "given twice",
    "batch_size=a|b": "'a' is no int",
    "learning_rate=1:0.1": "lower than the second",
    "batch_size=32|32": "there twice",
}


@pytest.mark.parametrize("text", SPACES)
def test_reads_ranges_and_choices(text):
    assert parse_space([text], cifar10_cnn) == SPACES[text]


@pytest.mark.parametrize("text", WRONG)
def test_says_in_one_line_what_is_wrong(text):
    with pytest.raises(CommandError, match=WRONG[text].replace("|", r"\|")):
        parse_space([text], cifar10_cnn)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schedule=cosin|linear", "did you mean cosine"),
        ("clipping=none|by_normal", "did you mean by_norm"),
        ("optimizer=momentum|adan", "did you mean adam"),
        ("batch_size=0|1", "--batch-size"),
        ("label_smoothing=0.5:2", "--label-smoothing"),
        ("momentum=0.5|1.5", "--momentum"),
        ("optimizer=adam|adamw,momentum", "momentum: none of adam, adamw has one"),
    ],
)
def test_values_that_no_run_can_have_are_refused_before_anything_is_trained(text, message):
    space = parse_space([text], cifar10_cnn)
    with pytest.raises(CommandError, match=message):
        check(space, cifar10_cnn.Settings())


def random_trials(space, settings, facts, n):
    """Values as KerasTuner draws them, and the settings that a trial has of them."""
    hp = keras_tuner.HyperParameters()
    declare(space, hp, settings, facts)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", max_trials=n, hyperparameters=hp, seed=1)
    for number in range(n):
        mine = keras_tuner.HyperParameters()
        mine.values = oracle.populate_space(str(number))["values"]
        yield mine.values, declare(space, mine, settings, facts)


@pytest.mark.parametrize("variant", ["groupnorm", "fast"])
def test_every_trial_of_the_whole_space_is_a_run_that_can_be(variant):
    texts = ["schedule,learning_rate,momentum,clipping,optimizer,batch_size,weight_decay,label_smoothing"]
    space, settings = parse_space(texts, cifar10_cnn), resolve(cifar10_cnn, {"variant": variant})
    facts = Facts(rates={"muon": (0.01, 0.5)}, updates=40)
    check(space, settings)
    families = set()
    for _, given in random_trials(space, settings, facts, 200):
        made = dataclasses.replace(settings, **given)
        (part,) = parse_schedule(made.schedule)
        families.add(part.name)
        low, high = (
            (0.01, 0.5) if made.optimizer == "muon" else (1e-4, 1e-2) if made.optimizer == "adamw" else (1e-3, 1)
        )
        assert low * 0.999 <= made.learning_rate <= high * 1.001
        assert (made.momentum is None) == (made.optimizer == "adamw")
    assert families == set(FAMILIES)


def test_only_the_parameters_of_the_chosen_family_are_a_trials():
    space, settings = parse_space(["schedule,clipping"], cifar10_cnn), cifar10_cnn.Settings()
    for values, given in random_trials(space, settings, Facts(), 50):
        family, clipper = values["schedule"], values["clipping"]
        others = {name.partition(".")[0] for name in values if "." in name}
        assert others <= {family, clipper}
        assert given["schedule"].startswith(family)
        assert given["clipping"].startswith(clipper)


def test_the_family_names_are_schedules_and_their_parameters_theirs():
    for family, parameters in FAMILIES.items():
        known = {parameter.name for parameter in SCHEDULES[family].all_parameters}
        assert {name for name, _ in parameters} <= known


def test_another_recipe_is_searched_by_the_names_of_its_own_settings():
    space = parse_space(["learning_rate=0.1:1,batch_size=10|100"], linear_regression)
    assert set(space) == {"learning_rate", "batch_size"}
    with pytest.raises(CommandError, match="no setting 'clipping'"):
        parse_space(["clipping"], linear_regression)


@pytest.mark.parametrize(("updates", "warmups"), [(1, {0}), (7, {1}), (400, None)])
def test_a_warm_up_fits_into_the_shortest_trial(updates, warmups):
    space = parse_space(["schedule=warmup_stable_decay"], cifar10_cnn)
    found = set()
    for seed in range(20):
        hp = keras_tuner.HyperParameters()
        declare(space, hp, cifar10_cnn.Settings(), Facts(updates=updates))
        hp.values = {each.name: each.random_sample(seed) for each in hp.space}
        (part,) = parse_schedule(declare(space, hp, cifar10_cnn.Settings(), Facts(updates=updates))["schedule"])
        found.add(part.values["warmup"])
        make_schedule(f"warmup_stable_decay:warmup={part.values['warmup']},decay=0.5", 0.1, updates)
    assert found == warmups or (warmups is None and 1 <= min(found) < 10 < max(found) <= 100)
