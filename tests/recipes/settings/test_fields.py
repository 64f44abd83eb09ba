"""The fields that recipes declare their settings with: defaults, ranges, what is read and what is refused."""

import json
import math

import numpy as np
import pytest

from recipes.errors import CommandError
from recipes.settings import choice, expression, fields, number, several, switch, text, whole
from recipes.settings.fields import length, paths

WORDS = ("relu", "gelu")


def even(value):
    if len(value) % 2:
        raise CommandError("an odd number of letters")


FIELDS = {  # made, what it must be, pairs of what is given and what is kept, what is refused
    "number": (number(0.5), "a number", [("1e3", 1000.0), (2, 2.0), (-0.5, -0.5)], ["", "x", "nan", "inf", [], True]),
    "least": (number(0.5, least=0), "a number >= 0", [("0", 0.0), (np.float32(0.5), 0.5)], ["-0.1", -1, "-inf", "inf"]),
    "above": (number(0.5, above=0), "a number > 0", [("0.1", 0.1), (np.int64(3), 3.0)], ["0", 0.0, math.nan, False]),
    "most": (number(0.5, most=1), "a number <= 1", [("1", 1.0), (-1e30, -1e30)], ["1.1", 2, "-inf"]),
    "below": (number(0.5, below=1), "a number < 1", [("0.9", 0.9)], ["1", 1.0]),
    "share": (number(0.5, least=0, below=1), "a number in [0, 1)", [("0", 0.0), ("0.999", 0.999)], ["1", -1e-9]),
    "opened": (number(0.5, above=0, most=1), "a number in (0, 1]", [("1", 1.0)], ["0", 1.5]),
    "whole": (whole(3), "a whole number >= 1", [("7", 7), (7, 7), (np.int32(7), 7)], ["0", "7.0", 7.0, "-1", "", True]),
    "digits": (
        whole(3),
        "a whole number >= 1",
        [("2147483647", 2**31 - 1)],
        ["2147483648", "9" * 21, "1_0", " 1"],
    ),
    "bounded": (whole(3, least=0, most=9), "a whole number from 0 to 9", [("0", 0), (9, 9)], ["10", -1, np.int64(10)]),
    "multiple": (whole(8, least=8, multiple_of=8), "a multiple of 8 >= 8", [("64", 64)], ["12", 0, 12]),
    "choice": (choice("relu", names=WORDS), "relu or gelu", [("gelu", "gelu")], ["elu", "", 3, True, None, []]),
    "switch": (switch(False), "yes or no", [("yes", True), ("no", False), (True, True)], ["true", "", 1, 0]),
    "text": (text("a"), "a text", [("b c", "b c")], ["", 3, True, None]),
    "range": (text("a", range="a name"), "a name", [("b", "b")], ["", 3]),
    "check": (text("ab", check=even), "a text", [("abcd", "abcd"), ("", "")], ["abc", 3]),
    "several": (
        several("none", names=WORDS),
        "none, or of relu, gelu, with commas between",
        [("none", "none"), ("gelu", "gelu"), ("gelu,relu", "gelu,relu")],
        ["elu", "gelu,gelu", "", "none,gelu", 3, True],
    ),
    "expression": (
        expression("a|b"),
        "a regular expression, such as bias|beta",
        [("beta$", "beta$")],
        ["(", 3, True, b"a", "a{99999999999}", "(" * 5000],
    ),
    "paths": (
        paths(),
        "a regular expression for the paths of variables, such as head/|bias",
        [("a|b", ["a|b"])],
        ["(", "a{99999999999}"],
    ),
    "length": (
        length(0.1),
        "a number of updates, such as 400, or a share in [0, 1], such as 0.1",
        [("400", 400), ("0", 0), ("0.5", 0.5), ("1.0", 1.0), (np.int64(4), 4), (0.25, 0.25)],
        ["1.5", "-1", "x", "", "99999999999999999999", True],
    ),
    "some": (
        length(0.1, least=1),
        "a number of updates, such as 400, or a share in (0, 1], such as 0.1",
        [("1", 1), ("1.0", 1.0)],
        ["0", "0.0", 0, 0.0],
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_it_must_be_is_said_in_words(name):
    field, range_in_words, _, _ = FIELDS[name]
    assert (field.range or "a text") == range_in_words


@pytest.mark.parametrize(
    ("name", "given", "kept"), [(name, *pair) for name, (_, _, pairs, _) in FIELDS.items() for pair in pairs], ids=str
)
def test_a_value_is_read_from_text_and_from_its_type(name, given, kept):
    field = FIELDS[name][0]
    found = field.checked("--it", given)
    assert (found, type(found)) == (kept, type(kept))
    assert json.loads(json.dumps(found)) == kept  # as config.json keeps it
    assert field.checked("--it", found if name != "paths" else found[0]) == kept


REFUSED = [(name, value) for name, (*_, refused) in FIELDS.items() for value in refused]


@pytest.mark.parametrize(("name", "given"), REFUSED, ids=lambda value: repr(value)[:20])
def test_what_is_out_of_range_is_one_line_that_names_the_option(name, given):
    with pytest.raises(CommandError) as caught:
        FIELDS[name][0].checked("--an-option", given)
    assert str(caught.value).startswith("--an-option")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "given", "said"),
    [
        (whole(3, most=9), "10", "--an-option must be a whole number from 1 to 9; it is 10"),
        (number(0.5, above=0), "", "--an-option must be a number > 0; it is empty"),
        (text("a"), 3, "--an-option must be a text; it is 3"),
        (whole(3), True, "--an-option must be a whole number >= 1; it is yes"),
        (number(0.5), None, "--an-option must be a number; it is none"),
        (choice("relu", names=WORDS), "rleu", "--an-option: no an option 'rleu'; did you mean relu?"),
        (several("none", names=WORDS), "gleu", "--an-option gleu: no word 'gleu'; did you mean gelu?"),
        (text("ab", check=even), "abc", "--an-option abc: an odd number of letters"),
    ],
)
def test_the_line_says_what_is_wrong(field, given, said):
    with pytest.raises(CommandError) as caught:
        field.checked("--an-option", given)
    assert str(caught.value) == said


@pytest.mark.parametrize("name", FIELDS)
def test_the_default_is_a_value_of_its_own(name):
    field = FIELDS[name][0]
    assert field.checked("--it", field.default) == field.default


@pytest.mark.parametrize("make", [number, whole, text, expression])
def test_none_may_be_given_where_it_is_the_default(make):
    optional, needed = make(None), make({whole: 3, number: 0.5}.get(make, "a"))
    assert optional.is_optional
    assert optional.checked("--it", None) is None
    assert not needed.is_optional
    with pytest.raises(CommandError, match="--it must be"):
        needed.checked("--it", None)


def test_help_and_range_are_told_together():
    assert whole(3, "units of a layer", most=9).described == "units of a layer: a whole number from 1 to 9"
    assert text("a", "of the run; see list --schedules").described == "of the run; see list --schedules"
    assert whole(3).described == "a whole number >= 1"


@pytest.mark.parametrize("make", [number, whole, text, switch, expression, length])
def test_what_else_is_known_of_a_setting(make):
    field = make(None, "help", changes="data", is_searched=False, of_optimizer=True)
    assert (field.changes, field.is_searched, field.of_optimizer, field.help) == ("data", False, True, "help")
    assert field.changes in fields.CHANGES
    assert field.is_length == (make is length)


@pytest.mark.parametrize("make", [choice, several])
@pytest.mark.parametrize(
    ("names", "said"), [("relu", "they are 'relu'"), (["relu", 3], r"they are \['relu', 3\]")], ids=["text", "number"]
)
def test_the_words_of_a_choice_are_several(make, names, said):
    with pytest.raises(TypeError, match=rf"`names` must be several words, such as \('relu', 'gelu'\); {said}$"):
        make("none", names=names)
    assert make("none", names=(word for word in WORDS)).checked("--it", "relu") == "relu"


@pytest.mark.parametrize("make", [number, whole, text, switch, expression, length])
def test_what_a_setting_changes_is_one_of_the_words_for_it(make):
    with pytest.raises(TypeError) as caught:
        make(None, changes="weights")
    assert str(caught.value) == (
        "a setting's `changes` must be one of update, schedule, data, judgement, files; it is 'weights'"
    )


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "none"), (True, "yes"), (False, "no"), (3, "3"), (0.5, "0.5"), ("adam", "adam")]
)
def test_a_value_is_shown_as_the_command_line_takes_it(value, shown):
    assert fields.written(value) == shown


def test_options_are_named_after_settings():
    assert fields.option_of("batch_size") == "--batch-size"
