"""What `--clipping` takes, and what it refuses."""

import pytest

from recipes.errors import CommandError
from recipes.settings import clipping
from recipes.settings.clippers import CLIPPERS, clipper_entries, parse_clipping


def test_clippers_one_after_the_other():
    assert parse_clipping("none") == []
    assert parse_clipping("by_global_norm:1e+1") == [("by_global_norm", {"limit": 10.0})]
    assert parse_clipping("centralize+agc:0.02,exclude=head/|stem/") == [
        ("centralize", {}),
        ("agc", {"limit": 0.02, "exclude": ["head/|stem/"]}),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ByGlobalNorm:1.0", [("by_global_norm", {"limit": 1.0})]),
        ("by-global-norm:1.0", [("by_global_norm", {"limit": 1.0})]),
        ("BY_GLOBAL_NORM:1.0", [("by_global_norm", {"limit": 1.0})]),
        ("AGC", [("agc", {})]),
        (
            "Centralize+AutoClip:percentile=5,window=10",
            [("centralize", {}), ("auto_clip", {"percentile": 5.0, "window": 10})],
        ),
        ("None", []),
    ],
)
def test_names_may_be_those_of_classes_or_written_in_another_way(text, found):
    assert parse_clipping(text) == found
    assert clipping("none").checked("--clipping", text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ByNrom:1", "no clipper 'ByNrom'; did you mean by_norm"),
        ("by_nrom:1", "did you mean by_norm"),
        ("by_norm:1+none", "no clipper 'none'; there are: "),
        ("by_norm", "write a number > 0 behind the name, such as by_norm:1.0"),
        ("by_norm:0", "limit must be a number > 0; it is 0"),
        ("by_norm:x", "limit must be a number > 0; it is x"),
        ("by_norm:inf", "limit must be a number > 0; it is inf"),
        ("by_norm:", "it is empty"),
        ("by_norm:lim=1", "did you mean limit"),
        ("by_norm:1,limit=2", "limit is given twice"),
        ("auto_clip:101", "percentile must be a number in [0, 100]"),
        ("normalize:layer", "per: no per 'layer'; there are: model, variable"),
        ("agc:exclude=(", "exclude must be a regular expression"),
        ("centralize:1", "centralize has no parameter of its own; nothing goes behind it"),
        ("centralize+", "no clipper 'centralize+'"),
        ("none+centralize", "no clipper 'none'"),
        ("", "no clipper ''"),
    ],
)
def test_mistakes_are_told_in_one_line(text, said):
    with pytest.raises(CommandError) as caught:
        clipping("none").checked("--clipping", text)
    assert str(caught.value).startswith("--clipping ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_line_can_be_pasted():
    entries = [written for written, _ in clipper_entries()]
    assert [written.partition(":")[0] for written in entries] == list(CLIPPERS)
    for written in entries:
        parse_clipping(written.replace("LIMIT", "1"))
