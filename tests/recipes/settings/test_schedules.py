"""What `--schedule` takes, and what it refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import CommandError
from recipes.settings import schedule
from recipes.settings.schedules import SCHEDULES, Part, has_horizon, parse_schedule, schedule_entries


def test_parts_one_after_the_other():
    first, second = parse_schedule("cosine:0.1,until=0.5,warmup=400+constant")
    assert first == Part("cosine", {"end": 0.1, "period": 1.0, "warmup": 400, "start": 0.1}, 0.5)
    assert second == Part("constant", {"warmup": 0, "start": 0.1}, None)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Cosine", ["cosine"]),
        ("one-cycle:rise=0.2", ["one_cycle"]),
        ("Constant:until=0.5+WarmupCosine", ["constant", "warmup_cosine"]),
    ],
)
def test_names_may_be_written_in_another_way(text, names):
    assert [part.name for part in parse_schedule(text)] == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant", False),
        ("constant:warmup=20", False),
        ("constant:warmup=0.1", True),
        ("linear", True),
        ("linear:until=60,warmup=0.5+constant", False),  # of the 60 updates
        ("linear:until=60+cosine", True),
        ("constant:until=0.5+constant", True),
        ("cosine:period=30", False),
        ("warmup_cosine:warmup=400,start=0,period=4000", False),
    ],
)
def test_whether_the_horizon_matters(text, expected):
    assert has_horizon(text) == expected


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    warmup=st.one_of(st.integers(0, 50), st.floats(0, 0.5).map(lambda share: round(share, 6))),
    start=st.floats(0, 1),
)
def test_every_schedule_takes_a_warm_up(name, warmup, start):
    (part,) = parse_schedule(f"{name}:warmup={warmup},start={start}")
    assert (part.values["warmup"], part.values["start"]) == (warmup, start)
    assert type(part.values["warmup"]) is type(warmup)  # updates, or a share of them


WRONG = [
    ("", "no schedule ''; there are: constant"),
    ("cosin", "did you mean cosine"),
    ("cosine:perid=3", "no parameter of cosine 'perid'; did you mean period"),
    ("cosine:1,end=0.5", "end is given twice"),
    ("cosine:", "end must be a number in [0, 1]; it is empty"),
    ("cosine:end=-0.1", "end must be a number in [0, 1]; it is -0.1"),
    ("cosine:period=0", "period must be a number of updates, such as 400, or a share in (0, 1]"),
    ("cosine:warmup=1.5", "warmup must be a number of updates, such as 400, or a share in [0, 1]"),
    ("cosine:warmup=99999999999999999999", "warmup must be"),
    ("cosine:start=2", "start must be a number in [0, 1]; it is 2"),
    ("step:0.1,0.2", "write parameter=value for '0.2'"),
    ("step:factor=0", "factor must be a number in (0, 1]; it is 0"),
    ("exponential:0", "end must be a number in (0, 1]; it is 0"),
    ("inverse_time:-1", "decay must be a number > 0; it is -1"),
    ("inverse_time:nan", "decay must be a number > 0; it is nan"),
    ("inverse_time:inf", "decay must be a number > 0; it is inf"),
    ("polynomial:0", "power must be a number > 0"),
    ("cosine_restarts:growth=0.5", "growth must be a number >= 1"),
    ("one_cycle:shape=lin", "shape: no shape 'lin'; did you mean linear?"),
    ("one_cycle:1", "rise must be a number in [0, 1); it is 1"),
    ("warmup_stable_decay:shape=sqrt", "shape: no shape 'sqrt'; did you mean 1-sqrt?"),
    ("constant:3", "constant has no parameter of its own; there are: warmup, start, until"),
    ("rex:0.5", "rex has no parameter of its own"),
    ("constant+cosine", "write until= for constant"),
    ("constant:until=0.5", "until=0.5 of constant: no schedule follows"),
    ("constant:until=0+rex", "until must be a number of updates"),
    ("constant:until=0.5+linear:until=0.4+rex", "until=0.4 does not come after until=0.5"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_cannot_be_is_refused_in_one_line(text, said):
    with pytest.raises(CommandError) as caught:
        schedule("constant").checked("--schedule", text)
    assert str(caught.value).startswith(f"--schedule {text}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_line_of_the_list_begins_with_what_can_be_written():
    entries = [written for written, _ in schedule_entries()]
    assert [written.partition(":")[0] for written in entries] == list(SCHEDULES)
    for written in entries:
        (all_written,), (by_name,) = parse_schedule(written), parse_schedule(written.partition(":")[0])
        assert all_written == by_name
