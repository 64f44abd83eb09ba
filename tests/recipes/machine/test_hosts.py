"""Training where the world is not as it should be, and on images of other kinds."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from callbacks.exact_resume import read_state
from recipes.__main__ import main
from tests.recipes.data.prepared import prepare

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = ["train", "cifar10_cnn", "--preset", "smoke"]


def in_a_small_disk(script, tmp_path, size="330k"):
    """Run a script of bash in a file system of its own, so large, at $disk; `train` trains into $disk/run."""
    train = f"{sys.executable} -m recipes {' '.join(TRAIN)} --run-dir $disk/run"
    prelude = f"""
        disk={tmp_path}/disk; mkdir $disk
        mount -t tmpfs -o size={size} tmpfs $disk || exit 99
        train() {{ {train} > {tmp_path}/out 2> {tmp_path}/err; }}
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", prelude + script],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    return done


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here")
def test_a_full_and_a_read_only_disk(tmp_path):
    script = """
        train; echo "full: $?"; tail -n 1 $disk/../err; cp $disk/run/state.npz $disk/..; ls -A $disk/run
        mount -o remount,size=10m,ro $disk; train; echo "read-only: $?"; tail -n 1 $disk/../err
        mount -o remount,rw $disk; train; echo "with room: $?"; tail -n 4 $disk/../out; cat $disk/run/metrics.csv
    """
    done = in_a_small_disk(script, tmp_path)
    if "full:" not in done.stdout:
        pytest.skip("mounting is not allowed here")
    assert "full: 1\nrecipes: " in done.stdout
    assert "state.npz: No space left on device" in done.stdout
    assert ".part" not in done.stdout
    assert "read-only: 1\nrecipes: cannot write " in done.stdout
    assert "Read-only file system" in done.stdout
    assert "with room: 0" in done.stdout
    assert "Test accuracy" in done.stdout
    assert len(read_state(tmp_path / "state.npz")[0]["history"]) == 1  # the last good one
    assert main([*TRAIN, "--run-dir", str(tmp_path / "undisturbed")]) == 0
    assert done.stdout.endswith((tmp_path / "undisturbed" / "metrics.csv").read_text())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here")
@pytest.mark.parametrize("size", ["4k", "12k", "16k"])
def test_a_disk_too_small_for_anything(tmp_path, size):
    done = in_a_small_disk('train; echo "full: $?"; cat $disk/../err', tmp_path, size)
    if "full:" not in done.stdout:
        pytest.skip("mounting is not allowed here")
    assert done.stdout.startswith("full: 1\n")
    assert "Traceback" not in done.stdout
    assert done.stdout.splitlines()[-1].startswith("recipes: ")


def test_a_directory_in_a_file(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert main([*TRAIN, "--run-dir", str(tmp_path / "file" / "run")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["groupnorm", "basic"])
def test_grey_images_of_another_size_train_without_special_care(capsys, tmp_path, variant):
    prepare(tmp_path / "data", "greys", sizes={"train": 400, "test": 40})
    options = ["--data", "tfds:greys", "--data-dir", str(tmp_path / "data"), "--variant", variant]
    assert main([*TRAIN, *options, "--run-dir", str(tmp_path / "run")]) == 0
    assert "on 40 images of tfds:greys" in capsys.readouterr().out


@pytest.mark.slow
def test_a_folder_of_mixed_images_trains_without_special_care(capsys, tmp_path):
    generator = np.random.default_rng(0)
    for label in ("cat", "dog", "emu"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(0, 256, (*generator.integers(5, 70, 2), 3), np.uint8)
            Image.fromarray(pixels).convert(["RGB", "L", "RGBA", "P"][i % 4]).save(
                tmp_path / "pets" / label / f"{i}.png"
            )
    run = tmp_path / "run"
    arguments = [*TRAIN, "--data", f"folder:{tmp_path / 'pets'}", "--train-images", "40", "--run-dir", str(run)]
    assert main(arguments) == 0
    assert main(["predict", str(run), str(tmp_path / "pets" / "emu" / "0.png")]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert {"cat", "dog", "emu"} <= set(line.replace(":", "").split())
    (tmp_path / "pets" / "emu" / "0.png").write_bytes(b"")
    assert main([*arguments[:-1], str(tmp_path / "other")]) == 1
    assert not (tmp_path / "other").exists()
    assert capsys.readouterr().err.count("\n") == 1
