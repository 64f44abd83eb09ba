import inspect

import pytest

from custom_optimizers import clipping
from custom_optimizers.clipping import AGC, ByGlobalNorm, Centralize, ZClip
from recipes.errors import CommandError
from recipes.settings.clippers import CLIPPERS, arguments_of_keras, clipper_entries, make_clippers, parse_clipping


def test_the_table_holds_every_clipper_with_its_parameters():
    """They are written down because Keras is not imported to look a name up."""
    assert {named.cls for named in CLIPPERS.values()} == set(clipping.__all__) - {"Clipper", "ByFactor"}
    for name, named in CLIPPERS.items():
        assert tuple(p.name for p in named.parameters) == getattr(clipping, named.cls).arguments
        defaults = {p.name: p.default for p in named.parameters}
        if "limit" in defaults and len(defaults) == 1:
            assert make_clippers(f"{name}:2")[0].limit == 2
        else:
            signature = inspect.signature(getattr(clipping, named.cls).__init__).parameters
            assert {key: signature[key].default for key in defaults} == defaults


def test_by_name_in_order():
    assert make_clippers("none") == []
    assert make_clippers("by_global_norm:1e+1") == [ByGlobalNorm(10)]
    assert make_clippers("centralize+agc:0.02,exclude=head/|stem/+z_clip:decay=0.9") == [
        Centralize(),
        AGC(0.02, exclude=["head/|stem/"]),
        ZClip(decay=0.9),
    ]


def test_what_keras_has():
    assert arguments_of_keras("none") == {}
    assert arguments_of_keras("by_norm:2") == {"clipnorm": 2.0}
    assert arguments_of_keras("agc") is None
    assert arguments_of_keras("by_norm:2+by_value:1") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
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
        ("normalize:layer", "per must be model or variable"),
        ("agc:exclude=(", "exclude must be a regular expression"),
        ("centralize:1", "centralize has no parameter of its own; nothing goes behind it"),
        ("centralize+", "no clipper 'centralize+'"),
        ("none+centralize", "no clipper 'none'"),
        ("", "no clipper ''"),
    ],
)
def test_mistakes_are_told_in_one_line(text, said):
    with pytest.raises(CommandError) as caught:
        parse_clipping(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_line_can_be_pasted():
    for written, _ in clipper_entries():
        parse_clipping(written.replace("LIMIT", "1"))
