import inspect

import keras
import pytest

import custom_optimizers
from custom_optimizers import Accumulate
from custom_optimizers.clipping import AGC, ByGlobalNorm, Centralize
from recipes.errors import CommandError
from recipes.settings import optimizers

OPTIMIZERS_THAT_WRAP = {"LossScaleOptimizer", "MultiOptimizer", "Optimizer", "Descent"}
WRITTEN = {"accumulate": "accumulate:adam", "lookahead": "lookahead:adam"}  # what is not a name alone
NAMES = [WRITTEN.get(name, name) for name in (*optimizers.OURS, *optimizers.KERAS)]


def optimizers_of(module):
    found = {n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, keras.optimizers.Optimizer)}
    return found - OPTIMIZERS_THAT_WRAP


def make(text, clipping="none", momentum=None, **options):
    return optimizers.make(text, learning_rate=0.5, momentum=momentum, clipping=clipping, **options)


def test_the_tables_hold_every_optimizer():
    """They are written down because Keras is not imported to look a name up."""
    assert {named.cls for named in optimizers.OURS.values()} == optimizers_of(custom_optimizers)
    assert set(optimizers.KERAS.values()) == optimizers_of(keras.optimizers)


@pytest.mark.parametrize("text", NAMES)
def test_every_optimizer_can_be_made(text):
    optimizer = make(text, "by_global_norm:2")
    name = text.partition(":")[0]
    expected = optimizers.OURS[name].cls if name in optimizers.OURS else optimizers.KERAS[name]
    assert type(optimizer).__name__ == expected
    assert float(optimizer.learning_rate.numpy()) == 0.5
    assert optimizer.global_clipnorm == 2.0 or optimizer.clipping == ByGlobalNorm(2.0)
    assert optimizers.accumulated_steps(text, "auto") == ("epoch" if name in optimizers.OURS else 1)


@pytest.mark.parametrize("name", [*optimizers.OURS, *optimizers.KERAS])
def test_momentum_and_parameters_are_those_of_the_class(name):
    named = optimizers.OURS.get(name)
    cls = getattr(custom_optimizers, named.cls) if named else getattr(keras.optimizers, optimizers.KERAS[name])
    arguments = inspect.signature(cls.__init__).parameters
    chosen = optimizers.Chosen(name)
    assert (chosen.momentum is not None) == ("momentum" in arguments)
    if named:
        optimizer = make(WRITTEN.get(name, name))
        for parameter in named.parameters:
            assert parameter.name in arguments
            if parameter.name != "inner" and named.preset is None:
                assert getattr(optimizer, parameter.name) == parameter.default


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("BatchGD", "batch_gd"),
        ("batchgd", "batch_gd"),
        ("RMSprop", "rmsprop"),
        ("AdamW", "adamw"),
        ("ScheduleFreeAdamW", "schedule_free_adamw"),
        ("SGD", "sgd"),
        ("Muon", "muon"),
        ("keras_muon", "keras_muon"),
    ],
)
def test_names_may_be_those_of_classes(written, name):
    assert optimizers.parse_optimizer(written).name == name


def test_presets_and_parameters():
    assert make("momentum").momentum == 0.9
    assert make("nesterov").nesterov
    assert make("nesterov", momentum=0.5).momentum == 0.5
    assert make("batch_gd").momentum == 0
    assert make("quasi_hyperbolic:0.5").nu == 0.5
    muon = make("muon:others=momentum,nesterov=no,exclude=head/|stem/")
    assert (muon.others, muon.nesterov, muon.exclude) == ("momentum", False, ["head/|stem/"])
    lookahead = make("lookahead:momentum,sync_period=7", "agc:0.1")
    assert (lookahead.sync_period, lookahead.inner.momentum, lookahead.clipping) == (7, 0.9, AGC(0.1))
    assert make("lookahead:sgd", momentum=0.5).inner.momentum == 0.5
    assert make("lookahead:accelerated_gd").inner.gradient_accumulation_steps is None
    assert make("accelerated_gd").gradient_accumulation_steps == "epoch"


def test_an_optimizer_of_keras_clips_by_itself_where_it_can():
    assert make("sgd", "by_value:0.5").clipvalue == 0.5
    assert type(make("sgd")) is keras.optimizers.SGD
    wrapped = make("sgd", "centralize+by_norm:0.5", momentum=0.9)
    assert type(wrapped) is Accumulate
    assert wrapped.inner.momentum == 0.9
    assert wrapped.clippers[0] == Centralize()
    assert optimizers.accumulated_steps("sgd", "auto") == 1  # it goes on making mini-batches


OPTIONS = {
    "weight_decay_mode": "coupled",
    "exclude_from_weight_decay": ["beta$"],
    "learning_rate_multipliers": {"beta$": 64.0},
    "gradient_accumulation_steps": 4,
}


@pytest.mark.parametrize("text", ["nesterov", "sgd", "lookahead:sgd", "lookahead:nesterov", "accumulate:sgd"])
def test_decay_rates_by_path_and_accumulation_reach_the_optimizer(text):
    optimizer = make(text, weight_decay=0.01, **OPTIONS)
    config = optimizer.get_config()
    assert {name: config[name] for name in OPTIONS} == OPTIONS
    assert getattr(optimizer, "inner", optimizer).weight_decay == 0.01


def test_without_options_an_optimizer_of_keras_stays_what_it_is():
    optimizer = make("sgd", weight_decay=0.01, gradient_accumulation_steps=None)
    assert type(optimizer) is keras.optimizers.SGD
    assert optimizer.weight_decay == 0.01


@pytest.mark.parametrize(
    ("text", "steps", "found"),
    [("nesterov", "1", 1), ("nesterov", "auto", "epoch"), ("sgd", "8", 8), ("accumulate:adam", "epoch", "epoch")],
)
def test_batches_behind_an_update(text, steps, found):
    optimizers.check_steps(text, steps)
    assert optimizers.accumulated_steps(text, steps) == found


@pytest.mark.parametrize(
    ("text", "steps", "said"),
    [
        ("sgd", "epoch", "accumulate:sgd makes full batches"),
        ("nesterov", "0", "a number of batches >= 1, epoch or auto"),
        ("nesterov", "1.5", "a number of batches >= 1, epoch or auto"),
        ("accelerated_gd", "1", "accelerated_gd needs full batches"),
        ("lookahead:accelerated_gd", "4", "accelerated_gd needs full batches"),
    ],
)
def test_batches_that_cannot_be_are_refused(text, steps, said):
    with pytest.raises(CommandError, match=said):
        optimizers.check_steps(text, steps)


def test_multipliers_are_read():
    assert optimizers.parse_multipliers("") == {}
    assert optimizers.parse_multipliers("beta$=64,head/(a|b)=.5") == {"beta$": 64.0, "head/(a|b)": 0.5}
    for text, said in (("beta", "write expression=number"), ("b=-1", "number >= 0"), ("(=1", "no regular expression")):
        with pytest.raises(CommandError, match=said):
            optimizers.parse_multipliers(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch_dg", "did you mean batch_gd"),
        ("adm", "did you mean adam"),
        ("qq", "there are: accelerated_gd"),
        ("sgd:0.9", "sgd has no parameter of its own"),
        ("quasi_hyperbolic:nu=2", "nu must be a number in [0, 1]; it is 2"),
        ("quasi_hyperbolic:mu=2", "did you mean nu"),
        ("muon:size=big", "size must be rms or spectral or none"),
        ("muon:exclude=(", "exclude must be a regular expression"),
        ("muon:nesterov=1", "nesterov must be yes or no"),
        ("muon:ns_steps=0", "ns_steps must be a whole number >= 1"),
        ("lookahead", "such as lookahead:adam"),
        ("lookahead:adm", "did you mean adam"),
        ("lookahead:accumulate", "cannot be wrapped"),
    ],
)
def test_mistakes_are_told_in_one_line(text, said):
    with pytest.raises(CommandError) as caught:
        optimizers.parse_optimizer(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "momentum", "said"),
    [
        ("adam", 0.5, "adam has no momentum"),
        ("lookahead:adam", 0.5, "has no momentum"),
        ("sgd", 1.5, "0 to 1"),
        ("optimistic_gd", -1.5, "-1 to 1"),
        ("batch_gd", -0.5, "0 to 1"),
    ],
)
def test_momentum_that_cannot_be_is_refused(name, momentum, said):
    with pytest.raises(CommandError, match=said):
        optimizers.check_momentum(name, momentum)
    optimizers.check_momentum(name, None)


def test_what_the_class_refuses_is_told_as_a_mistake_of_the_command():
    with pytest.raises(CommandError, match="momentum"):
        make("sign_momentum", momentum=1.0)


def test_every_line_can_be_pasted():
    for written, _ in optimizers.optimizer_entries():
        optimizers.parse_optimizer(written.replace("INNER", "adam"))
