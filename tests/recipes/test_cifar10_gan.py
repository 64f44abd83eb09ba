"""The GAN recipe: what its presets are, what a run leaves behind, and what is made of a finished one."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from recipes import training
from recipes.__main__ import main
from recipes.cifar10_gan import Cifar10GAN
from recipes.errors import CommandError
from recipes.gan import Classifier, Judge, backend, classifier
from recipes.gan.losses import Hinge, Wasserstein
from recipes.gan.metrics import frechet_distance
from recipes.gan.penalties import GradientPenalty, ZeroCentred
from recipes.run import Run, load_model, read_directory
from tests.recipes.gan.inception_graph import graph
from tests.recipes.report.test_page import check

TINY = ("--train-images", "120", "--width", "8", "--discriminator-width", "8", "--batch-size", "16", "--epochs", "2")


@pytest.fixture(scope="module", autouse=True)
def _short_classifier():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "UPDATES", 60)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the conditional variant."""
    directory = tmp_path_factory.mktemp("gan") / "run"
    options = ("train", "cifar10_gan", "--preset", "smoke", "--variant", "cgan_pd", *TINY, "--dtype", "float32")
    assert main([*options, "--run-dir", str(directory)]) in (0, None)
    return directory


@pytest.fixture(scope="module")
def judged_by():
    """Images, and the classifier that is trained on them."""
    images = small().load()
    return images, Classifier.trained(images)


def said(capsys, *arguments):
    """`(status, out, err)` of a command."""
    status = main([str(argument) for argument in arguments])
    return status or 0, *capsys.readouterr()


def pixels_of(path):
    with Image.open(path) as picture:
        return np.array(picture)


def small(**given):
    return Cifar10GAN.from_preset("smoke", **{"train_images": 120, **given})


@pytest.mark.parametrize(
    ("variant", "preset", "expected"),
    [
        ("sndcgan", None, {"loss": "hinge", "epochs": 100, "generator_learning_rate": 0.001}),
        ("wgan_gp", "cpu5", {"loss": "wasserstein", "penalty": "gradient", "discriminator_steps": 3, "epochs": 300}),
        ("dcgan", "smoke", {"loss": "non_saturating", "epochs": 3, "generator_learning_rate": 0.0002}),
        ("cgan_pd", "full", {"classes": True, "width": 64, "augment": "translation"}),
    ],
)
def test_a_size_is_laid_over_what_a_variant_is(variant, preset, expected):
    found = Cifar10GAN.from_preset(preset, variant=variant)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("variant", Cifar10GAN.variants)
def test_networks_losses_and_optimizers_are_those_of_the_settings(variant):
    chosen = small(variant=variant, discriminator_steps=2, batch_size=16)
    images = chosen.load()
    gan = chosen.model(images)
    names = {type(layer).__name__ for layer in gan.discriminator.layers}
    assert ("SpectralNormalization" in names) == (variant in ("sndcgan", "cgan_pd"))
    assert ("FusedBatchNormalization" in names) == (variant == "dcgan")
    assert gan.classes == (10 if variant == "cgan_pd" else 0)
    assert images.train[0].shape == (120, 32, 32, 1)
    rates = [optimizer.learning_rate for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer)]
    assert [float(rate) for rate in rates] == pytest.approx([chosen.generator_learning_rate] * 2)
    assert isinstance(gan.adversarial_loss, Wasserstein) == (variant == "wgan_gp")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"penalty": "gradient"}, GradientPenalty(10.0)),
        ({"penalty": "r1+r2", "penalty_weight": 0.1, "penalty_every": 8}, ZeroCentred(0.1, "both", 8)),
    ],
)
def test_penalties(given, expected):
    chosen = small(batch_size=16, **given)
    gan = chosen.model(chosen.load())
    penalty = gan.penalty
    assert type(penalty) is type(expected)
    assert penalty is None or penalty.get_config() == expected.get_config()
    assert isinstance(gan.adversarial_loss, Hinge)


def test_the_schedule_counts_the_steps_of_each_player():
    chosen = small(discriminator_steps=3, batch_size=16, epochs=10)  # 2 steps of the generator an epoch
    images = chosen.load()
    gan = chosen.model(images)
    last = [float(gan.generator_optimizer._learning_rate(20)), float(gan.discriminator_optimizer._learning_rate(60))]
    assert chosen.updates(images) == 20
    assert last == pytest.approx([2e-5, 2e-5], rel=1e-4)
    assert float(gan.discriminator_optimizer._learning_rate(29)) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"variant": "sngan"}, "did you mean sndcgan"),
        ({"augment": "colour"}, "did you mean color"),
        ({"generator_optimizer": "adm"}, "--generator-optimizer adm: "),
        ({"discriminator_optimizer": "lookahead:accelerated_gd"}, "--discriminator-optimizer lookahead:.* needs full"),
        ({"penalty_weight": 3.0}, "give --penalty"),
        ({"width": 0}, "--width must be a whole number from 1 to 4096; it is 0"),
        ({"variant": "r3gan_small", "width": 12}, "--width of r3gan_small must be a multiple of 8; it is 12"),
        ({"variant": "r3gan_small", "discriminator_width": 9}, "--discriminator-width of r3gan_small must be"),
        ({"penalty_every": 8}, "--penalty-every is without effect: give --penalty"),
    ],
)
def test_settings_that_cannot_be(given, said):
    with pytest.raises(CommandError, match=said):
        small(**given)


def test_what_cannot_be_trained_is_said_before_anything_is(capsys, tmp_path):
    """Neither is a classifier trained, nor is the directory taken."""
    for options, words in (
        (("--batch-size", "64", "--discriminator-steps", "2"), "at most the 120 training images; it is 128"),
        (("--dtype", "float16"), "--dtype float16: cifar10_gan computes in float32 and bfloat16"),
    ):
        command = ("train", "cifar10_gan", "--preset", "smoke", *TINY, *options, "--run-dir", tmp_path / "run")
        status, out, err = said(capsys, *command)
        assert (status, err.count("\n")) == (2, 1)
        assert words in err
        assert "classifier" not in out
        assert not (tmp_path / "run" / "config.json").exists()


def test_several_devices_of_tensorflow(monkeypatch):
    monkeypatch.setattr(backend, "replicas", lambda: 2)
    with pytest.raises(CommandError, match="on one device of TensorFlow, or on several with KERAS_BACKEND=jax; here"):
        small().load()


def test_what_a_run_leaves_behind(finished):
    names = {path.name for path in finished.iterdir()}
    assert names >= {"best.keras", "classifier.keras", "curves.png", "metrics.csv", "model.keras", "result.json"}
    for picture in ("samples/epoch-0002.png", "real/epoch-0001.png"):
        assert pixels_of(finished / picture).shape == (6 * 68, 10 * 68)
    result = json.loads((finished / "result.json").read_text())
    assert (result["reference_images"], result["classifier_features"]) == (60, 32)
    assert result["distance"] == pytest.approx(result["distance_over_floor"] * result["distance_floor"])
    assert result["nearest_training_image"] > 0
    rows = (finished / "metrics.csv").read_text().splitlines()
    best = [float(row.split(",")[rows[0].split(",").index("distance")]) for row in rows[2:]]
    assert result["distance"] == pytest.approx(min(best), rel=1e-6)


@pytest.mark.slow
def test_a_run_in_two_parts_has_the_bits_of_one(tmp_path, judged_by):
    """Networks, optimizers, average, noise, the order of the images, what is judged, and the best that is kept."""
    chosen = small(variant="cgan_pd", width=8, discriminator_width=8, batch_size=16, epochs=2, judge_every=1)
    images, of = judged_by
    judge = Judge(of, images, classes=True)

    def trained(directory, *parts):
        with Run(chosen, directory) as run:
            run.begin(images.about())
            run.once("judge", lambda: judge)
            for until in parts:
                model, _ = training.fit(chosen, run, images, until=until, verbose=0)
        best = load_model(directory / "best.keras")
        arrays = [*model.get_weights(), *best.get_weights(), *(v.numpy() for v in model.optimizer.variables)]
        return (directory / "metrics.csv").read_text(), arrays

    (rows, weights), (other, same) = trained(tmp_path / "one", None), trained(tmp_path / "two", 1, None)
    assert rows == other
    assert len(rows.splitlines()) == 3
    assert all(np.array_equal(a, b) for a, b in zip(weights, same, strict=True))


class Breaks(keras.callbacks.Callback):
    """Makes a network's weights NaN in the third epoch, and keeps what was saved before."""

    def __init__(self, network, state):
        super().__init__()
        self.network, self.state = network, state

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.before = self.state.read_bytes()
            weights = getattr(self.model, self.network).weights
            weights[0].assign(np.nan * weights[0])


@pytest.mark.slow_cases("generator")
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_network_that_is_not_finite_ends_training_and_is_not_saved(tmp_path, judged_by, network):
    """On processors that take 0 for the larger of 0 and NaN, the loss of NaN images is finite: weights tell last."""
    chosen = small(width=8, discriminator_width=8, batch_size=16, epochs=4)
    images, of = judged_by
    breaks = Breaks(network, tmp_path / "state.npz")
    with Run(chosen, tmp_path) as run:
        run.begin(images.about())
        run.once("judge", lambda: Judge(of, images, classes=False))
        _, trained = training.fit(chosen, run, images, verbose=0, callbacks=[breaks])
        assert re.search("is not finite (in|after) epoch 3$", trained["reason"])
        assert (trained["outcome"], trained["epochs"]) == ("diverged", 2)
        assert 1 <= run.epochs_done() <= 2  # saved once a second
    assert (tmp_path / "state.npz").read_bytes() == breaks.before
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_run_that_diverges_ends_as_such_and_is_not_judged(capsys, tmp_path, pages):
    """Rates that no network stands."""
    rates = ("--generator-learning-rate", "1e37", "--discriminator-learning-rate", "1e37", "--schedule", "constant")
    command = ("train", "cifar10_gan", "--preset", "smoke", *TINY, *rates, "--dtype", "float32")
    status, _, err = said(capsys, *command, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1)
    assert re.search(r"training diverged within \d+ updates?: .* is not finite (in|after) epoch 1; lower the ", err)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert set(result) == {"outcome", "epochs", "updates", "training_seconds", "reason", "of"}
    assert (result["outcome"], result["epochs"]) == ("diverged", 0)
    assert "is not finite" in result["reason"]
    assert not (tmp_path / "run" / "model.keras").exists()
    again, *_ = said(capsys, *command, "--run-dir", tmp_path / "run")
    assert again == 1  # it is done, and this is what came of it
    for words in (("evaluate", tmp_path / "run"), ("generate", tmp_path / "run", "--out", tmp_path / "g.png")):
        status, _, err = said(capsys, *words)
        assert (status, err) == (1, f"recipes: the run in {tmp_path / 'run'} diverged, and has left no model\n")


def test_a_run_leaves_a_page_with_its_samples(finished):
    text = (finished / "report.html").read_text()
    check(text)
    result = json.loads((finished / "result.json").read_text())
    assert f"Fréchet classifier distance {result['distance']:.3g}" in text
    assert 'alt="Samples after epoch 2"' in text
    assert 'alt="Real images"' in text
    assert "real images (floor) from " in text
    assert 'aria-label="Fréchet classifier distance over' in text


def test_evaluate_finds_what_the_run_found(finished, capsys):
    status, out, _ = said(capsys, "evaluate", finished)
    found = dict(line.split(maxsplit=1) for line in out.splitlines())
    result = json.loads((finished / "result.json").read_text())
    assert status == 0
    assert float(found["distance"]) == pytest.approx(result["distance"], rel=1e-4)
    assert found["classifier_hash"] == result["classifier_hash"]


def test_evaluate_takes_fid_by_a_graph_on_disk(finished, capsys, tmp_path):
    path = graph(tmp_path / "inception.pb")
    status, out, _ = said(capsys, "evaluate", finished, "--inception", path, "--generated", "60")
    found = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith(("fid", "protocol")))
    assert status == 0
    assert float(found["fid"]) > 0
    assert found["protocol"].startswith("120 training images and 60 generated ones")


def test_generated_images_are_of_the_label_the_seed_and_the_number(finished, capsys, tmp_path):
    grids = [tmp_path / f"{name}.png" for name in "abc"]
    for grid, options in zip(grids, ([], ["--seed", "1"], ["--label", "7"]), strict=True):
        assert said(capsys, "generate", finished, "--n", "20", "--out", grid, *options)[0] == 0
    pictures = [pixels_of(grid) for grid in grids]
    assert [picture.shape for picture in pictures] == [(136, 680), (136, 680), (272, 340)]
    assert not np.array_equal(pictures[0], pictures[1])
    gan = load_model(finished / "model.keras")
    seven = gan.generate(20, [7] * 20, seed=0)[0, ..., 0]
    assert np.array_equal(pictures[2][:64:2, :64:2], seven)


def test_the_lines_of_its_card_make_images(finished):
    """The same for the GAN and for the generator alone, which `export` writes."""
    gan, recipe = load_model(finished / "model.keras"), read_directory(finished).recipe
    signature = recipe.signature(list("0123456789"))
    for network in (gan, recipe.served(gan)):
        names = {"np": np, "model": network}
        lines = [*signature.make, "outputs = model.predict(inputs, verbose=0)", *signature.use]
        exec(compile("\n".join(lines), "card", "exec"), names)
        assert np.abs(names["pixels"].astype(int) - gan.generate(16, seed=0)).max() <= 1  # of 255


@pytest.mark.slow
def test_the_generator_is_exported(finished, capsys, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    status, out, err = said(capsys, "export", tmp_path / "run")
    assert (status, err) == (0, "")
    names = {}
    exec(compile(out[out.index("import numpy") :], "printed", "exec"), names)
    assert np.abs(names["pixels"].astype(int) - load_model(finished / "model.keras").generate(16, seed=0)).max() <= 1


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("generate", ("--out", "g.png", "--label", "eight"), "no class 'eight'"),
        ("generate", ("--out", "g.txt"), "take .png"),
        ("generate", ("--out", "g.psd"), "take .png"),
        ("generate", ("--out", "g.png", "--n", "0"), "--n must lie in 1 to 100000; it is 0"),
        ("predict", ("a.png",), "a run of cifar10_gan takes evaluate, generate, export"),
        ("evaluate", ("--data", "digits"), "--data is for image classifiers"),
        ("evaluate", ("--inception", __file__), "give the graph of 2015 (.pb)"),
        ("evaluate", ("--generated", "1"), "--generated must lie in 2 to 1000000; it is 1"),
    ],
)
def test_what_cannot_be_asked_of_a_run(finished, capsys, tmp_path, monkeypatch, command, options, words):
    monkeypatch.chdir(tmp_path)
    status, _, err = said(capsys, command, finished, *options)
    assert (status, err.count("\n")) == (2, 1)
    assert words in err
    assert not list(tmp_path.iterdir())


def test_a_graph_that_is_not_there(finished, capsys):
    status, _, err = said(capsys, "evaluate", finished, "--inception", "none.pb")
    assert (status, err) == (1, "recipes: --inception none.pb: there is no such file\n")


def test_a_picture_that_is_there_stays(finished, capsys, tmp_path):
    (tmp_path / "g.png").write_text("mine")
    status, _, err = said(capsys, "generate", finished, "--out", tmp_path / "g.png")
    assert (status, (tmp_path / "g.png").read_text()) == (2, "mine")
    assert "is there already" in err


@pytest.mark.slow
def test_the_distance_of_real_images_is_that_of_halves(judged_by):
    """A GAN that hands out the other half of the training images is as far away as that half is."""
    images, of = judged_by
    judge = Judge(of, images, classes=False)
    reference, rest = judge._halves(0)
    assert len(np.intersect1d(reference, rest)) == 0
    x = images.train[0]

    class Thief:
        def generate(self, count, labels, seed):
            return x[rest][:count]

    found = judge(Thief())
    assert found["distance"] == pytest.approx(frechet_distance(of.features(x[reference]), of.features(x[rest])))
    assert found["nearest_training_image"] == 0 < found["nearest_training_image_of_test_images"]
    assert found["distance_over_floor"] == pytest.approx(1, abs=0.6)
    assert of.hash == Classifier.trained(images).hash
    labels = images.train[1][np.concatenate(Judge(of, images, classes=True)._halves(0))]
    assert np.bincount(labels).tolist() == [12] * 10
