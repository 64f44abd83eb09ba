import json
import math

from recipes.run.json_text import text_of


def test_numbers_that_json_does_not_have_are_null():
    assert json.loads(text_of({"a": [math.nan, (math.inf, 1.5)], "ü": None})) == {"a": [None, [None, 1.5]], "ü": None}


def test_a_path_whose_bytes_are_no_text_can_be_written_and_is_the_same_again():
    text = text_of({"data": "folder:/\udcff"})
    text.encode()
    assert json.loads(text) == {"data": "folder:/\udcff"}
