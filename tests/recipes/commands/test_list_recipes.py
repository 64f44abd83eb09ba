import json

import pytest

from recipes.find import names
from recipes.settings.clippers import CLIPPERS
from recipes.settings.line_searches import LINE_SEARCHES
from recipes.settings.optimizers import KERAS, OURS
from recipes.settings.schedules import SCHEDULES

THERE = [
    ((), names()),
    (("--optimizers",), (*OURS, *KERAS)),
    (("--clippers",), CLIPPERS),
    (("--line-searches",), LINE_SEARCHES),
    (("--schedules",), SCHEDULES),
]


@pytest.mark.parametrize(("options", "known"), THERE)
def test_each_has_a_line(said, options, known):
    status, out, err = said("list", *options)
    assert (status, err) == (0, "")
    assert [line.split()[0].partition(":")[0] for line in out.splitlines()] == list(known)


@pytest.mark.parametrize(("options", "known"), THERE)
def test_each_is_in_json(said, options, known):
    status, out, _ = said("list", *options, "--json")
    assert status == 0
    found = json.loads(out)
    assert [each["name"] for each in found] == list(known)
    assert all(each["usage"].startswith(each["name"]) and len(each["about"]) > 5 for each in found)
