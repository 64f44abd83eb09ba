import pytest

from recipes.commands.aside import aside


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_said_besides_goes_to_the_other_stream(capsys, wanted):
    with aside(wanted):
        print("besides")
    assert capsys.readouterr() == (("", "besides\n") if wanted else ("besides\n", ""))
