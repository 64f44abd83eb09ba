"""The torch reference, against its description and by hand; without convolutions that take long."""

# ruff: noqa: E402  (what needs torch is imported once it is known to be there)

import itertools
import json
import math
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn import functional

from benchmarks import cifar10_torch
from benchmarks.cifar10_torch import (
    ACTIVATIONS,
    Augmented,
    Lookahead,
    Network,
    Trainer,
    Worker,
    factor,
    fit,
    judge,
    lookahead_decay,
    normalised,
    optimizer_of,
    serve,
    timed_run,
    views,
    whitening_filters,
)
from recipes.data import Labelled
from recipes.errors import CommandError, WorldError

SMALL = (24, 24, 32)
UPDATES = 476  # of 9.9 epochs of 48 batches


def random_images(n, seed=0):
    """uint8 `(n, 32, 32, 3)`, whose neighbours are alike, as in photographs."""
    coarse = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(seed + 1))
    x = functional.interpolate(coarse, 32, mode="bilinear") * 0.9 + fine * 0.1
    return (255 * x).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def labelled(n, seed=0):
    """Images of ten classes, each of another brightness and another colour."""
    y = np.arange(n, dtype="int32") % 10
    x = random_images(n, seed) // 4 + (y * 15)[:, None, None, None] + (40 * (y % 2))[:, None, None, None] * [1, 0, 0]
    return x.astype("uint8"), y


def trained(epochs=2, n=64, batch_size=16, seed=0, **network):
    """A small network after `fit`, and what was reported."""
    torch.manual_seed(seed)
    x, y = labelled(n)
    trainer, lines = Trainer(Network(SMALL, **network)), []
    trainer.network.whiten(normalised(torch.from_numpy(x)))
    fit(trainer, Augmented(x, y, batch_size, seed), epochs, lines.append)
    return trainer, lines


def bits(network):
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


class TestNetwork:
    def test_the_number_of_parameters(self):
        first = 24 * 3 * 2 * 2 + 24
        convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 256 * 256 + 256 * 256 + 256 * 256)
        scales, offsets = [2 * (64 + 256 + 256)] * 2
        head = 256 * 10
        parameters = list(Network().parameters())
        assert sum(each.numel() for each in parameters) == first + convolutions + scales + offsets + head == 1_972_792
        learnt = sum(each.numel() for each in parameters if each.requires_grad)
        assert learnt == 24 + convolutions + offsets + head

    def test_the_shapes_on_the_way(self):
        network, shapes = Network(SMALL), []
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.Linear):
                module.register_forward_hook(lambda _, inputs, output: shapes.append(tuple(output.shape[1:])))
        network(torch.zeros(1, 3, 32, 32))
        groups = [
            shape
            for channels, before, after in ((24, 31, 15), (24, 15, 7), (32, 7, 3))
            for shape in ((channels, before, before), (channels, after, after), (channels, after, after))
        ]
        assert shapes == [(24, 31, 31), *groups, (32, 1, 1), (10,)]

    def test_computes_in_bfloat16_with_channels_last_and_keeps_float32(self):
        network, outputs = Network(SMALL), []
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.BatchNorm2d | nn.GELU):
                module.register_forward_hook(lambda _, inputs, output: outputs.append(output))
        logits = network(normalised(torch.from_numpy(random_images(2))))
        assert {each.dtype for each in outputs} == {torch.bfloat16}
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in outputs)
        assert logits.dtype == torch.float32
        assert {each.dtype for each in network.state_dict().values() if each.is_floating_point()} == {torch.float32}

    def test_second_convolutions_start_as_the_identity(self):
        network = Network()
        convolutions = [module for module in network.rest.modules() if isinstance(module, nn.Conv2d)]
        for convolution in convolutions[1::2]:
            x = torch.randn(2, convolution.in_channels, 5, 5)
            assert torch.equal(convolution(x), x)

    def test_first_convolutions_pass_their_input_on_and_are_random_beyond(self):
        convolutions = [module for module in Network().rest.modules() if isinstance(module, nn.Conv2d)]
        for convolution in convolutions[:4:2]:
            inputs = convolution.in_channels
            x = torch.randn(2, inputs, 5, 5)
            torch.testing.assert_close(convolution(x)[:, :inputs], x, rtol=0, atol=1e-6)
            bound = 1 / math.sqrt(9 * inputs)
            beyond = convolution.weight[inputs:].detach()
            assert 0.99 * bound < beyond.abs().max() <= bound
            assert beyond.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)

    def test_the_dense_layer_starts_uniform(self):
        weight = Network().rest[-1].weight.detach()
        assert 0.95 / 16 < weight.abs().max() <= 1 / 16

    def test_running_statistics_keep_six_tenths(self):
        network = Network(SMALL).train()
        norm = network.rest[1][2]
        norm.running_mean.fill_(10.0)
        seen = []
        norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float().mean((0, 2, 3))))
        network(torch.randn(4, 3, 32, 32))
        torch.testing.assert_close(norm.running_mean, 6.0 + 0.4 * seen[0], rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("name", ACTIVATIONS)
    def test_each_activation_stands_in_every_place(self, name):
        kind = type(ACTIVATIONS[name]())
        assert sum(isinstance(module, kind) for module in Network(SMALL, name).modules()) == 7

    def test_activations_by_their_formulas(self):
        x = torch.linspace(-3, 3, 13)
        expected = {
            "gelu": x * (1 + torch.erf(x / math.sqrt(2))) / 2,
            "relu": x.clamp(0),
            "silu": x * torch.sigmoid(x),
            "elu": torch.where(x > 0, x, x.exp() - 1),
            "celu": torch.where(x > 0, x, 0.3 * ((x / 0.3).exp() - 1)),
        }
        assert expected.keys() == ACTIVATIONS.keys()
        for name, values in expected.items():
            torch.testing.assert_close(ACTIVATIONS[name]()(x), values)


class TestWhitening:
    def test_outputs_are_uncorrelated_and_of_moment_1(self):
        x = normalised(torch.from_numpy(random_images(200)))
        outputs = functional.conv2d(x, whitening_filters(x, epsilon=0.0)).transpose(0, 1).flatten(1)
        moments = outputs[:12] @ outputs[:12].T / outputs.shape[1]
        torch.testing.assert_close(moments, torch.eye(12), rtol=0, atol=1e-3)

    def test_a_small_direction_is_not_blown_up(self):
        x = normalised(torch.from_numpy(random_images(200) // 16 + 120))  # hardly any contrast
        outputs = functional.conv2d(x, whitening_filters(x)).transpose(0, 1).flatten(1)
        moments = outputs.square().mean(1)
        assert moments[0] > 0.99
        assert moments[11] < 0.9
        assert (moments[:12].diff() < 1e-4).all()  # by falling eigenvalue

    def test_the_other_half_are_negatives(self):
        filters = whitening_filters(torch.randn(50, 3, 8, 8))
        assert filters.shape == (24, 3, 2, 2)
        assert torch.equal(filters[12:], -filters[:12])

    def test_the_network_takes_them(self):
        x, network = torch.randn(50, 3, 32, 32), Network(SMALL)
        network.whiten(x)
        assert torch.equal(network.whitening.weight, whitening_filters(x))
        assert not network.whitening.weight.requires_grad


class TestRates:
    def test_the_ends(self):
        assert [factor(update, UPDATES) for update in (0, 109, UPDATES)] == pytest.approx([0.2, 1.0, 0.07])

    def test_linear_between_them(self):
        factors = np.array([factor(update, UPDATES) for update in range(UPDATES + 1)])
        assert np.diff(factors[:110]) == pytest.approx(np.full(109, 0.8 / 109))
        assert np.diff(factors[109:]) == pytest.approx(np.full(367, -0.93 / 367))

    def test_they_are_the_published_ones_of_the_summed_loss(self):
        unit = 1024 * (1 + 1 / (1 - cifar10_torch.MOMENTUM))
        decay = 0.0153 * 1024 / unit  # of an update, at factor 1
        assert pytest.approx(1024 * 11.5 / unit) == cifar10_torch.RATE
        assert pytest.approx(64 * cifar10_torch.RATE) == cifar10_torch.BETA_RATE
        assert pytest.approx(decay / cifar10_torch.RATE, rel=1e-4) == cifar10_torch.L2
        assert pytest.approx(decay / cifar10_torch.BETA_RATE, rel=1e-4) == cifar10_torch.BETA_L2

    def test_slow_weights_keep_more_and_more(self):
        decays = [lookahead_decay(update, UPDATES) for update in range(UPDATES + 1)]
        assert (decays[0], decays[-1]) == (0, pytest.approx(0.95**5))
        assert decays[238] == pytest.approx(0.95**5 / 8)
        assert decays == sorted(decays)


class TestOptimizer:
    def test_the_groups(self):
        network = Network(SMALL)
        others, betas = optimizer_of(network).param_groups
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        learnt = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        assert [tuple(each.shape) for each in betas["params"]] == [(24,)] * 4 + [(32,)] * 2
        assert {names[id(each)] for each in betas["params"]} == {
            f"rest.{group}.{place}.bias" for group in (1, 2, 3) for place in (2, 5)
        }
        assert {names[id(each)] for each in others["params"] + betas["params"]} == learnt
        assert len(others["params"]) == 1 + 6 + 1
        assert (others["lr"], others["weight_decay"]) == (1.5, 1.3304e-3)
        assert (betas["lr"], betas["weight_decay"]) == (96.0, 2.0788e-5)

    def test_three_updates_by_hand(self):
        network = Network(SMALL)
        trainer = Trainer(network)
        watched = {0: network.rest[2][4].weight, 1: network.rest[2][2].bias}  # one of each group
        gradients = {which: [] for which in watched}
        for which, parameter in watched.items():
            parameter.register_hook(gradients[which].append)
        values = {which: parameter.detach().double() for which, parameter in watched.items()}
        factors = (0.2, 0.1, 0.05)
        for each in factors:
            trainer.step(torch.randn(8, 3, 32, 32), torch.arange(8), each)
        for which, (rate, decay) in enumerate(((1.5, 1.3304e-3), (96.0, 2.0788e-5))):
            w, velocity = values[which], 0.0
            for each, gradient in zip(factors, gradients[which], strict=True):
                gradient = gradient.double() + decay * w
                velocity = 0.85 * velocity + gradient
                w = w - each * rate * (gradient + 0.85 * velocity)
            torch.testing.assert_close(watched[which].detach().double(), w, rtol=1e-4, atol=1e-5)

    def test_a_bias_that_does_not_learn_stays_to_the_bit(self):
        network = Network(SMALL)
        trainer, x, y = Trainer(network), torch.randn(8, 3, 32, 32), torch.arange(8)
        trainer.step(x, y, 1.0)
        before = network.whitening.bias.detach().clone()
        assert before.abs().max() > 0
        network.learn_bias(False)
        trainer.step(x, y, 1.0)
        assert torch.equal(network.whitening.bias, before)
        assert not network.whitening(x).requires_grad  # so that backward ends behind it
        network.learn_bias(True)
        trainer.step(x, y, 1.0)
        assert not torch.equal(network.whitening.bias, before)

    def test_what_is_frozen_stays(self):
        trainer, _ = trained()
        x = normalised(torch.from_numpy(labelled(64)[0]))
        assert torch.equal(trainer.network.whitening.weight, whitening_filters(x))
        norms = [module for module in trainer.network.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all((norm.weight == 1).all() for norm in norms)


class TestLookahead:
    def test_by_hand(self):
        network = Network(SMALL)
        tensors = network.rest[1][4].weight, network.rest[1][2].running_mean
        before = [tensor.detach().clone() for tensor in tensors]
        lookahead = Lookahead(network)
        with torch.no_grad():
            for tensor in tensors:
                tensor.add_(1.0)
        lookahead.update(0.75)
        for tensor, was in zip(tensors, before, strict=True):
            torch.testing.assert_close(tensor.detach(), was + 0.25)

    def test_covers_all_float_state(self):
        network = Network(SMALL)
        lookahead = Lookahead(network)
        with torch.no_grad():
            for tensor in itertools.chain(network.parameters(), network.buffers()):
                tensor.add_(1)
        lookahead.update(1.0)
        fresh = [(name, tensor) for name, tensor in network.state_dict().items() if tensor.is_floating_point()]
        assert len(fresh) == len(lookahead.slow)
        assert all(torch.equal(tensor, slow) for (_, tensor), slow in zip(fresh, lookahead.slow, strict=True))

    def test_what_comes_after_the_last_regular_one_is_discarded(self, monkeypatch):
        decays = []
        real = Lookahead.update
        monkeypatch.setattr(Lookahead, "update", lambda self, decay: (decays.append(decay), real(self, decay)))
        trained(epochs=3, n=32, batch_size=8)
        assert decays == pytest.approx([lookahead_decay(5, 12), lookahead_decay(10, 12), 1.0])


class TestAugmented:
    def halves(self, n):
        """Images with a bright half, left in the even ones; each has its number as its label."""
        x = np.zeros((n, 32, 32, 3), "uint8")
        x[0::2, :, :16], x[1::2, :, 16:] = 255, 255
        return x, np.arange(n)

    def sides(self, batches, epoch):
        """By the image's number, whether its left half is the brighter one."""
        found = {}
        for x, y in batches.epoch(epoch):
            left = x[..., :16].mean((1, 2, 3)) > x[..., 16:].mean((1, 2, 3))
            found |= dict(zip(y.tolist(), left.tolist(), strict=True))
        return found

    def test_every_image_is_mirrored_every_other_epoch(self):
        batches = Augmented(*self.halves(64), batch_size=16, seed=0)
        first, second, third = (self.sides(batches, epoch) for epoch in range(3))
        assert first.keys() == set(range(64))
        assert third == first
        assert second == {number: not left for number, left in first.items()}

    def test_about_half_are_mirrored_in_the_first_epoch(self):
        sides = self.sides(Augmented(*self.halves(400), batch_size=100, seed=0), 0)
        assert 160 < sum(left == (number % 2 == 0) for number, left in sides.items()) < 240

    def test_images_are_crops_of_the_padded_one(self):
        x = random_images(1)
        batches = Augmented(np.repeat(x, 100, 0), np.arange(100), batch_size=100, seed=0)
        padded = np.pad(x[0], ((2, 2), (2, 2), (0, 0)), "reflect")
        crops = [padded[down : down + 32, right : right + 32] for down in range(5) for right in range(5)]
        expected = normalised(torch.from_numpy(np.stack(crops + [crop[:, ::-1] for crop in crops])))
        ((found, _),) = batches.epoch(0)
        same = (found[:, None] == expected).all(4).all(3).all(2)
        assert (same.sum(1) == 1).all()
        assert same.any(0).sum() > 35  # of 50, in 100 draws

    def test_batches_are_full_and_differ_between_epochs(self):
        batches = Augmented(*self.halves(70), batch_size=16, seed=0)
        first, second = ([y.tolist() for _, y in batches.epoch(epoch)] for epoch in range(2))
        assert len(batches) == 4
        assert [len(batch) for batch in first + second] == [16] * 8
        seen = set(itertools.chain(*first))
        assert len(seen) == 64
        assert seen != set(itertools.chain(*second))

    def test_the_seed_decides(self):
        x, y = labelled(32)
        first, again, other = (
            torch.cat([images for images, _ in Augmented(x, y, 16, seed).epoch(0)]) for seed in (0, 0, 1)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_normalised(self):
        x = np.array([0, 255, 128], "uint8") * np.ones((2, 4, 5, 1), "uint8")
        found = normalised(torch.from_numpy(x))
        expected = [-0.4914 / 0.2470, (1 - 0.4822) / 0.2435, (128 / 255 - 0.4465) / 0.2616]
        assert found.shape == (2, 3, 4, 5)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert found[0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


class TestJudging:
    def test_the_six_views(self):
        x = torch.arange(2 * 3 * 32 * 32.0).reshape(2, 3, 32, 32)
        weights, images = zip(*views(x), strict=True)
        assert weights == (0.25, 0.25, 0.125, 0.125, 0.125, 0.125)
        assert torch.equal(images[0], x)
        assert torch.equal(images[2][:, :, 1:, 1:], x[:, :, :-1, :-1])
        assert torch.equal(images[2][:, :, 0, 1:], x[:, :, 1, :-1])  # reflected, not repeated
        assert torch.equal(images[4][:, :, :-1, :-1], x[:, :, 1:, 1:])
        for plain, mirrored in (images[:2], images[2:4], images[4:]):
            assert torch.equal(mirrored, plain.flip(3))

    def test_all_views_of_an_even_image_are_the_same(self):
        plain, weighted = Trainer(Network(SMALL)).logits(torch.randn(5, 3, 1, 1).expand(5, 3, 32, 32))
        torch.testing.assert_close(weighted, plain)

    def test_an_image_that_is_its_own_mirror_has_three_views(self):
        half, trainer = torch.randn(5, 3, 32, 16), Trainer(Network(SMALL))
        x = torch.cat([half, half.flip(3)], 3)
        up, down = (torch.from_numpy(np.pad(x, ((0, 0), (0, 0), *[pads] * 2), "reflect")) for pads in ((1, 0), (0, 1)))
        forward = trainer.network.eval()
        shifted = [up[..., :32, :32], down[..., 1:, 1:]]
        mirrored = [each.flip(3) for each in shifted]
        expected = forward(x) / 2 + sum(forward(each) for each in shifted + mirrored) / 8
        plain, weighted = trainer.logits(x)
        assert torch.equal(plain, forward(x))
        torch.testing.assert_close(weighted, expected)

    def test_accuracies_count_what_is_right_in_all_parts(self, monkeypatch):
        monkeypatch.setattr(cifar10_torch, "JUDGED_AT_ONCE", 16)
        trainer, (x, y) = Trainer(Network(SMALL)), labelled(40)
        plain, weighted = trainer.logits(normalised(torch.from_numpy(x)))
        expected = [(each.argmax(1).numpy() == y).mean() for each in (plain, weighted)]
        assert judge(trainer, x, y) == pytest.approx(expected)
        assert judge(trainer, x, plain.argmax(1).numpy())[0] == 1.0


class TestTraining:
    def test_five_steps_lower_the_loss(self):
        x, y = (torch.from_numpy(each) for each in labelled(64))
        torch.manual_seed(0)
        trainer = Trainer(Network(SMALL))
        trainer.network.whiten(normalised(x))
        losses = [trainer.step(normalised(x), y.long(), 0.2) for _ in range(6)]
        smallest = -(0.82 * math.log(0.82) + 9 * 0.02 * math.log(0.02))  # of labels smoothed by .2
        assert losses[0] == pytest.approx(math.log(10), abs=0.1)
        assert smallest < losses[5] < losses[0] - 0.1

    @pytest.mark.slow
    def test_learns_what_is_easy(self):
        trainer, lines = trained(epochs=12, n=256, batch_size=64)
        first, last = (float(line.rpartition(" ")[2]) for line in (lines[0], lines[-1]))
        assert last < first - 0.1  # in 48 updates; its running statistics lag behind, and with them its accuracy
        assert min(judge(trainer, *labelled(100, seed=7))) > 0.1  # of chance
        assert len(lines) == 12
        assert re.fullmatch(r"epoch 1: \d+\.\d s, \d+ images/s, training loss \d\.\d{4}", lines[0])

    def test_the_last_epoch_may_be_cut_short(self):
        x, y = labelled(32)
        trainer, lines = Trainer(Network(SMALL)), []
        assert fit(trainer, Augmented(x, y, 8, 0), 1.3, lines.append) == 6
        assert len(lines) == 2
        assert math.ceil(cifar10_torch.EPOCHS * (50_000 // 1024)) == UPDATES

    def test_the_bias_learns_in_three_epochs(self, monkeypatch):
        told = []
        monkeypatch.setattr(Network, "learn_bias", lambda self, learns: told.append(learns))
        trained(epochs=5, n=16, batch_size=16)
        assert told == [True, True, True, False, False]

    def test_the_same_seed_gives_the_same_bits(self):
        first, again, other = (bits(trained(seed=seed)[0].network) for seed in (3, 3, 4))
        assert first == again
        assert first != other

    @pytest.mark.slow
    def test_a_warm_up_leaves_no_trace(self):
        trainer = Trainer(Network(SMALL))
        before = bits(trainer.network)
        trainer.warm_up(4)
        assert bits(trainer.network) == before
        assert not trainer.optimizer.state


class TestCommands:
    def test_all_images_are_trained_on_or_a_share_of_each_class(self, monkeypatch):
        given = Labelled(tuple("0123456789"), labelled(100), labelled(20, seed=5), {})
        monkeypatch.setattr("recipes.data.tfds_images", lambda *asked: given)
        assert cifar10_torch.load("anywhere") == (given.train, given.test)
        (x, y), test = cifar10_torch.load("anywhere", 30)
        assert test is given.test
        assert np.bincount(y).tolist() == [3] * 10
        assert all((given.train[0] == image).all((1, 2, 3)).any() for image in x)
        with pytest.raises(CommandError, match="there are 100; 101 were asked for"):
            cifar10_torch.load("anywhere", 101)

    def test_a_run_is_timed_in_three_parts(self):
        trainer = Trainer(Network(SMALL))
        how = {"epochs": 1.5, "batch_size": 16, "seed": 0, "report": lambda line: None}
        accuracies, seconds, updates = timed_run(trainer, labelled(64), labelled(20, seed=5), **how)
        assert updates == 6
        assert len(accuracies) == 2
        assert min(seconds) > 0

    def test_train_ends_with_a_line_of_json(self, monkeypatch, capsys):
        monkeypatch.setattr(cifar10_torch, "load", lambda *asked: (labelled(64), labelled(20, seed=5)))
        monkeypatch.setattr(cifar10_torch, "JUDGED_AT_ONCE", 10)
        cifar10_torch.main(["train", "--batch-size", "16", "--epochs", "2", "--widths", "24", "24", "32"])
        *epochs, last = capsys.readouterr().out.splitlines()
        said = json.loads(last)
        assert len(epochs) == 2
        assert (said["updates"], said["activation"], said["torch"]) == (8, "gelu", torch.__version__)
        assert said["images_per_second"] == pytest.approx(8 * 16 / said["training_seconds"])
        parts = said["whitening_seconds"], said["training_seconds"], said["tta_seconds"]
        assert said["seconds"] == pytest.approx(sum(parts))
        assert 0 <= said["test_accuracy"] <= 1
        assert 0 <= said["test_accuracy_tta"] <= 1

    def test_too_few_images_are_an_error_in_one_line(self, monkeypatch):
        monkeypatch.setattr(cifar10_torch, "load", lambda *asked: (labelled(64), labelled(20)))
        with pytest.raises(SystemExit) as caught:
            cifar10_torch.main(["train", "--batch-size", "65"])
        assert caught.value.code == "cifar10_torch: --batch-size: 65 is more than the 64 images to train on"

    def test_data_that_are_not_there_are_an_error_in_one_line(self, tmp_path):
        with pytest.raises(SystemExit) as caught:
            cifar10_torch.main(["train", "--data-dir", str(tmp_path)])
        assert isinstance(caught.value.__cause__, WorldError)
        assert "not prepared" in caught.value.code

    @pytest.mark.parametrize("bias", [False, True])
    def test_a_worker_answers_each_line(self, bias):
        worker, answers, asked = Worker(4, "relu", SMALL, bias=bias), [], []
        seconds = worker.seconds
        worker.seconds = lambda steps: asked.append(steps) or seconds(steps)
        serve(worker, ["1\n", "3\n"], answers.append)
        assert asked == [2, 1, 3]
        assert answers[0] == "ready"
        assert all(answer > 0 for answer in answers[1:])
        assert bool(worker.trainer.network.whitening.bias.abs().max() > 0) == bias
        assert all(tensor.isfinite().all() for tensor in worker.trainer.network.state_dict().values())

    def test_a_worker_refuses_what_is_no_number(self):
        with pytest.raises(CommandError, match="'many'"):
            serve(Worker(2, widths=SMALL), ["many\n"], lambda answer: None)
