import numpy as np
import pytest

from recipes.errors import WorldError
from recipes.report.sections.fields import sections_of_fields


def left(directory, shape, names):
    axes = [np.linspace(-1, 1, n) for n in shape]
    solution = np.zeros(shape)
    solution[(0,) * len(shape)] = 2.0
    fields = {"solution": solution, "reference": np.zeros(shape), "residual": np.full(shape, -0.5)}
    where = {f"axis_{i}": axis for i, axis in enumerate(axes)}
    np.savez(directory / "fields.npz", **fields, **where, coordinates=np.array(names))


@pytest.mark.parametrize(("shape", "names", "place"), [((5,), ["x"], "x = -1"), ((5, 3), ["x", "t"], "x = -1, t = -1")])
def test_solution_error_and_residual_are_drawn_with_what_they_show_in_words(tmp_path, shape, names, place):
    left(tmp_path, shape, names)
    (section,) = sections_of_fields(tmp_path)
    assert section.title == "Solution"
    assert [picture.words for picture in section.pictures] == [
        f"Solution from 0 to 2, largest at {place}",
        f"Error from 0 to 2, largest at {place}",
        f"Residual from -0.5 to -0.5, largest at {place}",
    ]
    assert all(picture.svg.startswith("<svg") for picture in section.pictures)


def test_what_cannot_be_drawn_and_what_is_not_there_have_no_section(tmp_path):
    assert list(sections_of_fields(tmp_path)) == []
    left(tmp_path, (3, 3, 3), ["x", "y", "t"])
    assert list(sections_of_fields(tmp_path)) == []


def test_a_damaged_file_is_one_line(tmp_path):
    np.savez(tmp_path / "fields.npz", solution=np.zeros((2, 2)))
    with pytest.raises(WorldError, match=r"fields\.npz is damaged"):
        list(sections_of_fields(tmp_path))
