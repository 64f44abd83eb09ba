"""The grammar of what is written behind an option, held to its written specification."""

import contextlib
from unittest import mock

import pytest

from recipes.errors import CommandError
from recipes.settings import grammar
from recipes.settings.clippers import CLIPPERS
from recipes.settings.fields import REQUIRED, number, text, whole
from recipes.settings.optimizers import KERAS, OURS
from recipes.settings.schedules import SCHEDULES

PARAMETERS = {"end": number(0.0, least=0, most=1), "every": whole(3)}

ITEMS = {  # a list: its items, by the rules of the docstring
    # any comma that no key and equals sign follow begins the next item
    "adam,sgd": ["adam", "sgd"],
    "muon:momentum,adam": ["muon:momentum", "adam"],
    "cosine:0.1,linear": ["cosine:0.1", "linear"],
    # a comma goes on with the pairs of the value before it, if a key and an equals sign follow
    "adam,muon:size=none,others=momentum,sgd": ["adam", "muon:size=none,others=momentum", "sgd"],
    "cosine:0.1,warmup=400,linear:end=0.1,warmup=3": ["cosine:0.1,warmup=400", "linear:end=0.1,warmup=3"],
    "lookahead:momentum,sync_period=10,adam": ["lookahead:momentum,sync_period=10", "adam"],
    "agc:limit=0.02,exclude=head/|stem/,none": ["agc:limit=0.02,exclude=head/|stem/", "none"],
    # but only if that value has begun any, with a colon
    "cosine,warmup=400": ["cosine", "warmup=400"],
    "schedule,learning_rate=0.01:1,batch_size=32|64": ["schedule", "learning_rate=0.01:1", "batch_size=32|64"],
    # a chain goes on with the pairs of its last value
    "constant:until=0.5+cosine,end=0.1": ["constant:until=0.5+cosine", "end=0.1"],
    "constant:until=0.5+cosine:end=0.1,warmup=3": ["constant:until=0.5+cosine:end=0.1,warmup=3"],
    "centralize+by_global_norm:1.0,agc": ["centralize+by_global_norm:1.0", "agc"],
    "by_norm:1e+3,limit=2": ["by_norm:1e+3,limit=2"],  # the plus of a number begins no value
    # in a name capitals, dashes and underscores do not matter
    "Centralize+AutoClip:percentile=5,window=10,none": ["Centralize+AutoClip:percentile=5,window=10", "none"],
    "auto-clip:percentile=5,window=10,agc": ["auto-clip:percentile=5,window=10", "agc"],
    # an item may have something around a chain: it ends with its last value
    "momentum@batch_size=32,adam": ["momentum@batch_size=32", "adam"],
    "momentum@batch_size=32,weight_decay=0.1": ["momentum@batch_size=32", "weight_decay=0.1"],
    "muon:size=none@batch_size=32,others=adam": ["muon:size=none@batch_size=32", "others=adam"],
    "adam@schedule=cosine:end=0.1,warmup=3,sgd": ["adam@schedule=cosine:end=0.1,warmup=3", "sgd"],
    "stochastic:=sgd@batch_size=1,adam": ["stochastic:=sgd@batch_size=1", "adam"],
    "nesterov:=muon:size=none,others=momentum": ["nesterov:=muon:size=none,others=momentum"],
    "quick:=adam,beta_1=0.5": ["quick:=adam", "beta_1=0.5"],  # := is no colon of a value
    "schedule=linear|cosine:end=0.1,warmup=3": ["schedule=linear|cosine:end=0.1,warmup=3"],
    "schedule=cosine:end=0.1|linear,momentum=0.9": ["schedule=cosine:end=0.1|linear", "momentum=0.9"],
    # a key is a word of small letters, digits and underscores that begins with a letter
    "muon:size=none,Others=1": ["muon:size=none", "Others=1"],
    "muon:size=none,2nd=1": ["muon:size=none", "2nd=1"],
    "muon:size=none,_x=1": ["muon:size=none", "_x=1"],
    "adam:beta_1=0.5,beta_2=0.9": ["adam:beta_1=0.5,beta_2=0.9"],
    # spaces around items are nothing, and so is what is empty
    " adam , sgd ,": ["adam", "sgd"],
    "": [],
    ",,": [],
}


@pytest.mark.parametrize(("written", "found"), ITEMS.items(), ids=list(ITEMS))
def test_items_of_a_list(written, found):
    assert grammar.items(written) == found
    assert grammar.items([written, "last"]) == [*found, "last"]


def test_an_option_that_is_given_several_times_begins_an_item_each_time():
    """By which a value that takes commas can be written apart."""
    apart = ["schedule=cosine:end=0.1", "momentum=0.5|0.9"]
    assert grammar.items(apart) == apart
    assert grammar.items(",".join(apart)) == [",".join(apart)]
    assert grammar.items(("adam", "sgd,muon:size=none,others=adam")) == ["adam", "sgd", "muon:size=none,others=adam"]


@pytest.mark.parametrize(("written", "found"), ITEMS.items(), ids=list(ITEMS))
def test_a_comma_does_not_change_its_meaning_because_a_setting_was_added(written, found):
    """Whatever names there are: a recipe's settings, optimizers, schedules, clippers and their parameters."""
    words = {word for item in found for word in item.replace("=", ",").replace(":", ",").replace("@", ",").split(",")}
    with contextlib.ExitStack() as others:
        for table in (OURS, KERAS, SCHEDULES, CLIPPERS):
            others.enter_context(mock.patch.dict(table))  # which puts them back in their order
            for word in (*words, "end", "warmup", "momentum", "size"):
                if table.pop(word, None) is None:
                    table[word] = next(iter(table.values()))
        assert grammar.items(written) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("cosine", ["cosine"]),
        ("constant:until=0.5+cosine", ["constant:until=0.5", "cosine"]),
        ("centralize+by_global_norm:1.0", ["centralize", "by_global_norm:1.0"]),
        ("by_global_norm:1e+1+agc", ["by_global_norm:1e+1", "agc"]),
        ("Centralize+ByNorm:1E+1+AGC", ["Centralize", "ByNorm:1E+1", "AGC"]),
        ("a+", ["a+"]),
    ],
)
def test_values_of_a_chain(written, found):
    assert grammar.chain(written) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("cosine", ("cosine", None)),
        ("cosine:", ("cosine", "")),
        ("cosine:end=0.1,warmup=400", ("cosine", "end=0.1,warmup=400")),
        ("lookahead:muon:size=none", ("lookahead", "muon:size=none")),
    ],
)
def test_a_value_is_a_name_and_its_pairs(written, found):
    assert grammar.value(written) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (None, {}),
        ("0.5", {"end": 0.5}),  # a first text without a key is that of the first parameter
        ("0.5,every=2", {"end": 0.5, "every": 2}),
        ("every=2,end=1", {"every": 2, "end": 1.0}),
    ],
)
def test_pairs(written, found):
    assert grammar.pairs("it", PARAMETERS, written) == found


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "end must be a number in [0, 1]; it is empty"),
        ("0.5,2", "write parameter=value for '2'"),
        ("ennd=0.5", "no parameter of it 'ennd'; did you mean end?"),
        ("0.5,end=0.5", "end is given twice"),
        ("every=2,every=2", "every is given twice"),
        ("2", "end must be a number in [0, 1]; it is 2"),
        ("every=2.5", "every must be a whole number >= 1; it is 2.5"),
    ],
)
def test_pairs_that_cannot_be(written, said):
    with pytest.raises(CommandError) as caught:
        grammar.pairs("it", PARAMETERS, written)
    assert str(caught.value) == said


def test_a_parameter_that_is_needed_and_one_that_every_name_has():
    needed = {"inner": text(REQUIRED, range="the name of an optimizer", example="adam")}
    assert grammar.pairs("around", needed, "sgd") == {"inner": "sgd"}
    with pytest.raises(CommandError, match="write the name of an optimizer behind the name, such as around:adam"):
        grammar.pairs("around", needed, None)
    with pytest.raises(CommandError, match="it has no parameter of its own; there are: end, every"):
        grammar.pairs("it", PARAMETERS, "0.5", has_own=False)
    with pytest.raises(CommandError, match="it has no parameter of its own; nothing goes behind it"):
        grammar.pairs("it", {}, "0.5")


def test_what_is_written_can_be_read():
    written = grammar.written("it", PARAMETERS)
    assert written == "it:end=0.0,every=3"
    name, pairs = grammar.value(written)
    assert grammar.pairs(name, PARAMETERS, pairs) == {key: each.default for key, each in PARAMETERS.items()}
    assert grammar.written("it", {"limit": number(REQUIRED)}) == "it:limit=LIMIT"
    assert grammar.written("it", {"exclude": number(None)}) == "it"
