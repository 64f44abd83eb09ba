import dataclasses
import json

import numpy as np
import pytest

from recipes.errors import CommandError, WorldError
from recipes.run import Run
from tests.recipes.idle import Idle

DATA = {"name": "digits", "digest": "abc"}


class Other(Idle):
    """Another recipe."""


def begun(directory, recipe=None, data=DATA, **kind):
    run = Run(recipe or Idle(), directory, **kind)
    with run:
        run.begin(data)
    return run


def test_the_default_directory_is_named_after_recipe_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = begun(None)
    assert run.directory.parts[:2] == ("runs", "tests.recipes.idle.Idle")
    config = json.loads((run.directory / "config.json").read_text())
    assert config == {
        "kind": "run",
        "recipe": "tests.recipes.idle:Idle",
        **dataclasses.asdict(Idle()),
        "trained_on": DATA,
    }


def test_by_default_the_same_command_goes_on_and_a_finished_one_begins_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = begun(None)
    begun(None, Idle(learning_rate=0.2))
    again = begun(None)
    assert again.directory == first.directory
    with again:
        assert begun(None).directory != first.directory  # that one is being worked on
    again.finish({"score": 1})
    with Run(Idle(), extra={"seeds": 3}, kind="seeds") as group:
        group.begin_group()
    (tmp_path / "runs" / "tests.recipes.idle.Idle" / "damaged").mkdir()
    (tmp_path / "runs" / "tests.recipes.idle.Idle" / "damaged" / "config.json").write_text("{")
    runs = [begun(None) for _ in range(2)]
    assert runs[0].directory == runs[1].directory != first.directory
    assert runs[0].directory != group.directory == Run(Idle(), extra={"seeds": 3}, kind="seeds").directory


@pytest.mark.parametrize("starts", [None, 3, {}, [3], [None]])
def test_starts_that_are_none_are_told_in_one_line(tmp_path, starts):
    begun(tmp_path)
    (tmp_path / "environment.json").write_text(json.dumps({"starts": starts}))
    with pytest.raises(WorldError, match=r"environment\.json is damaged"):
        begun(tmp_path)
    assert json.loads((tmp_path / "environment.json").read_text()) == {"starts": starts}


def test_a_finished_run_has_its_result_until_more_epochs_are_asked_for(tmp_path):
    run = begun(tmp_path)
    assert run.result is None
    run.finish({"score": 1})
    assert Run(Idle(), tmp_path).result["score"] == 1
    more = Run(Idle(epochs=5), tmp_path)
    assert more.result is None
    assert more.is_raised
    assert not Run(Idle(), tmp_path).is_raised


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Idle(learning_rate=0.2), "--learning-rate: .* was begun with 0.1, not 0.2"),
        (Idle(epochs=2), "--epochs: .* was begun with 3, not 2"),
        (Idle(early_stopping=4), "--early-stopping: .* was begun with none, not 4; take"),
    ],
)
def test_a_changed_setting_is_named(tmp_path, recipe, said):
    begun(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(CommandError, match=said):
        Run(recipe, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_setting_that_the_recipe_had_not_yet_is_named(tmp_path):
    begun(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "learning_rate"}))
    with pytest.raises(CommandError) as caught:
        Run(Idle(), tmp_path)
    assert str(caught.value) == (
        f"--learning-rate: {tmp_path} was begun before there was this setting; give another --run-dir"
    )


def test_another_recipe_or_other_data(tmp_path):
    begun(tmp_path)
    with pytest.raises(CommandError, match=r"holds a run of tests\.recipes\.idle:Idle"):
        Run(Other(), tmp_path)
    with pytest.raises(WorldError, match="other images than those of digits now"):
        begun(tmp_path, data={**DATA, "digest": "def"})


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(WorldError, match="not empty and holds no run"):
        Run(Idle(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_nothing_is_written_before_the_run_begins(tmp_path):
    with Run(Idle(), tmp_path / "run"):
        assert not (tmp_path / "run").exists()


def test_a_second_process_is_refused_and_a_lock_does_not_outlive_its_process(tmp_path):
    with Run(Idle(), tmp_path) as run:
        run.begin(DATA)
        with pytest.raises(WorldError, match="another process is at work"):
            Run(Idle(), tmp_path).__enter__()
    with Run(Idle(), tmp_path):
        pass


def test_every_start_is_recorded(tmp_path, capsys):
    begun(tmp_path)
    begun(tmp_path)
    path = tmp_path / "environment.json"
    starts = json.loads(path.read_text())["starts"]
    assert len(starts) == 2
    assert starts[0]["versions"]["keras"]
    assert starts[0]["machine"]["cores"] >= 1
    assert capsys.readouterr().out == ""
    starts[-1]["versions"]["tensorflow"] = "1.0"
    path.write_text(json.dumps({"starts": starts}))
    begun(tmp_path)
    assert "Other versions than at the last start: the bits may differ." in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[1, 2", "[1, 2]", "3"])
def test_a_damaged_config_is_one_line(tmp_path, content):
    begun(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WorldError, match=r"config\.json is damaged"):
        Run(Idle(), tmp_path)


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    run = begun(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())

    def fails(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(WorldError, match=r"config\.json: No space left on device"):
        run.write("config.json", fails)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 3


@pytest.mark.parametrize(
    "name", ["tensorboard", "samples", "trials", "seed-0", "trials/3", "trials/3.txt", "search.db"]
)
@pytest.mark.parametrize("target", ["outside", "outside/secret", "outside/nothing"])
def test_nothing_is_written_through_a_link(tmp_path, name, target):
    inside = tmp_path / "inside"
    begun(inside)
    before = (inside / "environment.json").read_bytes()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (inside / name).parent.mkdir(exist_ok=True)
    (inside / name).symlink_to(tmp_path / target)
    if name.endswith(("txt", "db")) or target != "outside/secret":
        with pytest.raises(WorldError, match=f"{inside / name} is a link"):
            begun(inside)
        assert (inside / "environment.json").read_bytes() == before
    assert [each.name for each in (tmp_path / "outside").iterdir()] == ["secret"]
    assert (tmp_path / "outside" / "secret").read_text() == "secret"


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    begun(tmp_path / "run")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run" / ".lock").unlink(missing_ok=True)
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "secret")
    with pytest.raises(WorldError, match="is a link"):
        begun(tmp_path / "run")
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_link_to_a_file_that_is_replaced_and_a_linked_run_are_no_harm(tmp_path):
    begun(tmp_path / "run")
    (tmp_path / "run" / "environment.json").rename(tmp_path / "elsewhere.json")
    before = (tmp_path / "elsewhere.json").read_bytes()
    (tmp_path / "run" / "environment.json").symlink_to(tmp_path / "elsewhere.json")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    begun(tmp_path / "link")
    assert (tmp_path / "elsewhere.json").read_bytes() == before
    assert len(json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]) == 2


KINDS = ("run", "trial", "seeds", "search", "comparison")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_directory_is_of_is_its_kind(tmp_path, kind):
    begun(tmp_path, kind=kind)
    begun(tmp_path, kind=kind)
    for other in set(KINDS) - {kind}:
        with pytest.raises(CommandError, match=f"{tmp_path} holds .*, not .*; give another --run-dir"):
            begun(tmp_path, kind=other)


def test_what_auto_and_probe_stand_for_is_settled_and_stays(tmp_path):
    asked = {"strategy": "auto", "dtype": "probe", "backend": "jax"}
    with Run(Idle(), tmp_path, asked) as run:
        run.settle(strategy="cpu", dtype="bfloat16")
        run.begin(DATA)
    assert Run(Idle(), tmp_path, asked).recorded("dtype") == "bfloat16"
    assert Run(Idle(), tmp_path, {**asked, "strategy": "cpu"}).config["strategy"] == "cpu"
    with pytest.raises(CommandError, match=r"--dtype: .* was begun with bfloat16, not float32"):
        Run(Idle(), tmp_path, {**asked, "dtype": "float32"})
    with pytest.raises(CommandError, match=r"KERAS_BACKEND: .* was begun with jax, not torch"):
        Run(Idle(), tmp_path, {**asked, "backend": "torch"})
    with (
        Run(Idle(), tmp_path, asked) as run,
        pytest.raises(CommandError, match=r"--strategy: .* was begun with cpu, not gpu"),
    ):
        run.settle(strategy="gpu")


def test_what_is_made_once_is_made_the_first_time(tmp_path):
    run, made = Run(Idle(), tmp_path), []
    assert [run.once("judge", lambda: made.append(1) or "a judge") for _ in range(3)] == ["a judge"] * 3
    assert run.once("other", lambda: "another") == "another"
    assert made == [1]


def test_files_are_written_in_directories_that_are_made_for_them(tmp_path):
    run = begun(tmp_path)
    run.write("samples/epoch-0001.png", lambda path: path.write_text("a picture"))
    run.write_json("found.json", {"loss": float("nan"), "name": "é"})
    run.write_arrays("arrays.npz", counts=[[1, 2]], names=["a"])
    assert (tmp_path / "samples" / "epoch-0001.png").read_text() == "a picture"
    assert json.loads((tmp_path / "found.json").read_text()) == {"loss": None, "name": "é"}
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as arrays:
        assert (arrays["counts"].tolist(), arrays["names"].tolist()) == ([[1, 2]], ["a"])


def test_a_run_that_has_saved_nothing_has_no_epochs_and_a_damaged_state_is_one_line(tmp_path):
    run = begun(tmp_path)
    assert (run.history(), run.epochs_done()) == ([], 0)
    (tmp_path / "state.npz").write_bytes(b"half")
    with pytest.raises(WorldError, match=r"state\.npz is damaged"):
        run.epochs_done()
