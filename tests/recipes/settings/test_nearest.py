"""Which names are offered for one that there is not."""

import pytest

from recipes.cifar10_fast import Cifar10Fast
from recipes.settings.clippers import CLIPPERS
from recipes.settings.fields import option_of
from recipes.settings.images import ALL, LOSSES
from recipes.settings.nearest import near, plain, spelled, unknown
from recipes.settings.optimizers import KERAS, OURS
from recipes.settings.schedules import SCHEDULES

SETTINGS = tuple(Cifar10Fast.settings())
OPTIONS = tuple(map(option_of, SETTINGS))
OPTIMIZERS = (*OURS, *KERAS)
ACTIVATIONS = ("relu", "gelu", "silu", "elu")
PRESETS = ("fast", "resnet9", "airbench", "smoke")

MISTAKES = [  # what was written, the names there are, what is offered first
    ("epoch", SETTINGS, "epochs"),
    ("epcohs", SETTINGS, "epochs"),
    ("epcoh", SETTINGS, "epochs"),
    ("seeds", SETTINGS, "seed"),
    ("lr", SETTINGS, "learning_rate"),
    ("learning", SETTINGS, "learning_rate"),
    ("lerning_rate", SETTINGS, "learning_rate"),
    ("learningRate", SETTINGS, "learning_rate"),
    ("batchsize", SETTINGS, "batch_size"),
    ("batch", SETTINGS, "batch_size"),
    ("bs", SETTINGS, "batch_size"),
    ("wd", SETTINGS, "weight_decay"),
    ("decay", SETTINGS, "weight_decay"),
    ("mometum", SETTINGS, "momentum"),
    ("label_smooting", SETTINGS, "label_smoothing"),
    ("val_split", SETTINGS, "validation_split"),
    ("early_stop", SETTINGS, "early_stopping"),
    ("--epoch", OPTIONS, "--epochs"),
    ("--optimiser", OPTIONS, "--optimizer"),
    ("--opt", OPTIONS, "--optimizer"),
    ("--learning_rate", OPTIONS, "--learning-rate"),
    ("--lr", OPTIONS, "--learning-rate"),
    ("--sheduler", OPTIONS, "--schedule"),
    ("--clip", OPTIONS, "--clipping"),
    ("adan", OPTIMIZERS, "adam"),
    ("adma", OPTIMIZERS, "adamax"),
    ("rmsprob", OPTIMIZERS, "rmsprop"),
    ("sdg", OPTIMIZERS, "sgd"),
    ("bach_gd", OPTIMIZERS, "batch_gd"),
    ("nesterv", OPTIMIZERS, "nesterov"),
    ("quasi-hyperbolic-momentum", OPTIMIZERS, "quasi_hyperbolic"),
    ("cosin", SCHEDULES, "cosine"),
    ("coisne", SCHEDULES, "cosine"),
    ("onecylce", SCHEDULES, "one_cycle"),
    ("poly", SCHEDULES, "polynomial"),
    ("by_nrom", CLIPPERS, "by_norm"),
    ("by_normal", CLIPPERS, "by_norm"),
    ("global_norm", CLIPPERS, "by_global_norm"),
    ("agcc", CLIPPERS, "agc"),
    ("digit", ALL, "digits"),
    ("cifar", ALL, "cifar10"),
    ("cifar100", ALL, "cifar10"),
    ("crossentropy", LOSSES, "cross_entropy"),
    ("rleu", ACTIVATIONS, "relu"),
    ("gleu", ACTIVATIONS, "gelu"),
    ("smok", PRESETS, "smoke"),
    ("fsat", PRESETS, "fast"),
    ("resnet", PRESETS, "resnet9"),
]


@pytest.mark.parametrize(("written", "known", "meant"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_in_writing_is_offered_the_name_that_was_meant(written, known, meant):
    assert near(written, known)[0] == meant


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("depth", SETTINGS),
        ("dropout", SETTINGS),
        ("hidden", SETTINGS),
        ("layers", SETTINGS),
        ("patience", SETTINGS),
        ("--epochs", ("--seeds", "--seed", "--target", "--trials", "--keep", "--dtype")),
        ("--max-lr", ("--label-smoothing", "--data", "--translate", "--keep")),
        ("adahessian", SCHEDULES),
        ("vgg", PRESETS),
        ("tanh", ACTIVATIONS),
        ("imagenet", ALL),
        ("hours", ("epochs", "updates", "seconds")),
        ("", SETTINGS),
        ("3", SETTINGS),
        ("x" * 100_000, SETTINGS),
    ],
    ids=lambda value: str(value)[:20],
)
def test_another_word_is_offered_none(written, known):
    assert near(written, known) == []


@pytest.mark.parametrize(
    ("written", "known", "said"),
    [
        ("fats", ("fast", "slow"), "no word 'fats'; did you mean fast?"),
        ("Fast", ("fast", "faster"), "no word 'Fast'; did you mean fast?"),  # the same but for a capital
        ("cifar10", ("cifar10_fast", "cifar10_cnn"), "no word 'cifar10'; did you mean cifar10_cnn or cifar10_fast?"),
        ("vgg", ("slow", "fast"), "no word 'vgg'; there are: fast, slow; or a:b"),
        ("vgg", [f"n{number:02}" for number in range(32)], "n28, n29, … (32 in all); or a:b"),
    ],
)
def test_the_line_has_the_nearest_names_or_all(written, known, said):
    assert unknown("word", written, known, "or a:b").endswith(said)


def test_all_names_are_told_where_none_is_near():
    assert unknown("word", "vgg", ("slow", "fast")) == "no word 'vgg'; there are: fast, slow"


@pytest.mark.parametrize("written", ["by_global_norm", "ByGlobalNorm", "by-global-norm", "BYGLOBALNORM"])
def test_a_name_may_be_written_in_several_ways(written):
    assert plain(written) == "byglobalnorm"
    assert spelled(written, CLIPPERS) == "by_global_norm"
    assert spelled(f"{written}s", CLIPPERS) is None
