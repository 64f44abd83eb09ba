from recipes.report.sections.environment import environment

FIRST = {"date": "2026-11-27T07:26:08+00:00", "command": ["python", "-m", "recipes"], "devices": ["cpu:0"]}


def test_of_a_later_start_only_what_changed_is_said():
    later = {**FIRST, "date": "2026-11-28T01:02:03+00:00", "devices": ["gpu:0", "gpu:1"]}
    (section,) = environment([FIRST, later])
    first, second = section.tables
    assert first.rows == [["date", "2026-11-27 07:26 UTC"], ["command", "python -m recipes"], ["devices", "cpu:0"]]
    assert second.rows == [["date", "2026-11-28 01:02 UTC"], ["devices", "gpu:0 gpu:1"]]
    assert [each.texts for each in environment([FIRST])] == [[]]
    assert list(environment([])) == []
