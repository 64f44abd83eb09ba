"""What `--optimizer` and the options around it take, and what they refuse."""

import pytest

from recipes.errors import CommandError
from recipes.settings import optimizers


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
        ("Keras-Muon", "keras_muon"),
        ("ADAM", "adam"),
        ("batch-gd", "batch_gd"),
        ("Batch_GD", "batch_gd"),
        ("rms_prop", "rmsprop"),
    ],
)
def test_names_may_be_those_of_classes_or_written_in_another_way(written, name):
    assert optimizers.parse_optimizer(written).name == name


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("BatchGD", "batch_gd"),
        ("lbfgs:history=5", "lbfgs:history=5"),
        ("LBFGS:5", "lbfgs:5"),
        ("Accumulate:Adam", "accumulate:adam"),
        ("switch:RMSprop,then=self-scaled-broyden,after=5", "switch:rmsprop,then=self_scaled_broyden,after=5"),
        ("lookahead:sync_period=5,inner=AdamW", "lookahead:sync_period=5,inner=adamw"),
    ],
)
def test_one_optimizer_is_kept_under_one_name(written, canonical):
    assert optimizers.canonical(written) == canonical
    assert optimizers.canonical(canonical) == canonical
    assert optimizers.optimizer("sgd").checked("--optimizer", written) == canonical


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
        optimizers.check_steps(text, optimizers.accumulation().checked("--gradient-accumulation-steps", steps))


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
        ("quasi_hyperbolic:mu=2", "no parameter of quasi_hyperbolic 'mu'; there are: nu"),
        ("muon:size=big", "size: no size 'big'; there are: none, rms, spectral"),
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


def test_every_line_can_be_pasted():
    for written, _ in optimizers.optimizer_entries():
        optimizers.parse_optimizer(written.replace("INNER", "adam"))
