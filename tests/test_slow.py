"""tests/slow.txt names tests that are there."""

import re

from tests.conftest import ROOT, SLOW


def test_every_line_is_a_test():
    """Of a file and a function; that a parameter is gone makes nothing slow."""
    for line in SLOW:
        path, function = re.fullmatch(r"(tests/[\w/]+\.py)::(?:Test\w+::)?(test_\w+)(?:\[.*\])?", line).groups()
        assert f"def {function}(" in (ROOT / path).read_text(), line
