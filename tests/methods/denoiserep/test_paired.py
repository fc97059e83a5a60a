"""Hardening on pairs of clean and noisy views: the least squares it promises, and what it does to a network."""

from __future__ import annotations

import copy
from importlib.resources import files

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hardening import NOISE, as_it_is, hardened, statuses
from PIL import Image
from small_networks import Attending, SmallViT, convolutional, images
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from noisewise._rng import make_generator
from noisewise.errors import SurgeryError
from noisewise.methods.denoiserep import attach
from noisewise.noise import Gaussian

RIDGE = 0.1


class Watch:
    """Keeps the last input and output of a module."""

    def __init__(self, module):
        self.handle = module.register_forward_hook(self)
        self.calls = 0

    def __call__(self, module, inputs, output):
        self.calls += 1
        self.input, self.output = inputs[0].detach().clone(), output


def augmented_least_squares(inputs, targets, weights, start, *, bias):
    """``min sum w |W' x + b' - y|^2 + r |[W' b'] - start|^2`` as one overdetermined system, numpy's solver."""
    rows, wanted, scale = [], [], []
    for x, weight in zip(inputs, weights, strict=True):
        extended = np.concatenate([x, np.ones((len(x), 1))], 1) if bias else x
        rows.append(weight**0.5 * extended)
        wanted.append(weight**0.5 * targets)
        scale.append((rows[-1] ** 2).sum(0))
    strength = RIDGE * np.sum(scale, 0).mean()
    rows.append(strength**0.5 * np.eye(start.shape[1]))
    wanted.append(strength**0.5 * start.T)
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0].T


def assert_solution(handle, layer, views, patches, outputs, weights):
    """``views`` are what the layer saw, teacher first; ``patches`` and ``outputs`` turn them into rows."""
    teacher, *students = views.chunk(1 + len(weights))
    start = layer.weight.detach().flatten(1)
    bias = layer.bias is not None
    start = torch.cat([start, layer.bias.detach()[:, None]], 1) if bias else start
    inputs = [patches(student).numpy() for student in students]
    expected = augmented_least_squares(inputs, outputs(teacher).numpy(), weights, start.numpy(), bias=bias)
    entries = handle.new_weights()
    (name,) = [key.removesuffix(".weight") for key in entries if key.endswith("weight")]
    came = entries[f"{name}.weight"].flatten(1)
    came = torch.cat([came, entries[f"{name}.bias"][:, None]], 1) if bias else came
    np.testing.assert_allclose(came, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("clean_weight", [0.0, 1.0, 2.5])
@torch.no_grad()
def test_a_linear_layer_is_the_solution_of_least_squares(bias, clean_weight):
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 4, bias=bias)).double().eval()
    watch = Watch(model[1])
    handle = hardened(model, images(40, side=3), [NOISE, "gaussian:sigma=50"], clean_weight=clean_weight)
    weights = [clean_weight] * (clean_weight > 0) + [1.0, 1.0]
    assert_solution(handle, model[1], watch.input, as_it_is, nn.Linear.forward.__get__(model[1]), weights)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_a_convolution_is_the_solution_of_least_squares_over_windows(bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1, dilation=2, bias=bias)).double().eval()
    watch = Watch(model[0])

    def patches(x):
        return F.unfold(x, 3, dilation=2, padding=1, stride=2).mT.flatten(0, 1)

    def outputs(x):
        return F.conv2d(x, model[0].weight, model[0].bias, 2, 1, 2).flatten(2).mT.flatten(0, 1)

    handle = hardened(model, images(12))
    assert_solution(handle, model[0], watch.input, patches, outputs, [1.0, 1.0])


@torch.no_grad()
def test_an_attention_is_the_solution_of_least_squares_on_its_packed_projection():
    model = Attending().double().eval()
    watch, attention = Watch(model.attention), model.attention
    handle = hardened(model, images(12), targets=["attention"])
    clean, *views = watch.input.flatten(0, 1).chunk(3)
    start = torch.cat([attention.in_proj_weight, attention.in_proj_bias[:, None]], 1).numpy()
    targets = F.linear(clean, attention.in_proj_weight, attention.in_proj_bias).numpy()
    expected = augmented_least_squares([view.numpy() for view in views], targets, [1, 1], start, bias=True)
    np.testing.assert_allclose(handle.new_weights()["attention.in_proj_weight"], expected[:, :-1], rtol=1e-8)
    np.testing.assert_allclose(handle.new_weights()["attention.in_proj_bias"], expected[:, -1], rtol=1e-8)


@torch.no_grad()
def test_the_groups_of_a_convolution_are_solved_apart():
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Conv2d(6, 4, 3, groups=2)).double().eval()
    pixels = torch.cat([images(8), images(8, seed=1)], 1)
    together = hardened(whole, pixels).new_weights()

    class Half(nn.Module):
        def __init__(self, group):
            super().__init__()
            self.group, self.conv = group, nn.Conv2d(3, 2, 3).double()
            self.conv.weight.copy_(whole[0].weight.chunk(2)[group])
            self.conv.bias.copy_(whole[0].bias.chunk(2)[group])

        def forward(self, x):
            return self.conv(x.chunk(2, 1)[self.group])

    for group in (0, 1):
        alone = hardened(Half(group).eval(), pixels).new_weights()
        torch.testing.assert_close(together["0.weight"].chunk(2)[group], alone["conv.weight"])
        torch.testing.assert_close(together["0.bias"].chunk(2)[group], alone["conv.bias"])


NETWORKS = {
    "convolutional": convolutional,
    "attending": lambda: Attending().double().eval(),
    "sequence first": lambda: Attending(batch_first=False).double().eval(),
    "transformer": lambda: SmallViT().double().eval(),
}


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS.keys())
@torch.no_grad()
def test_one_pass_runs_the_old_network_on_clean_images_and_the_new_one_on_noisy_ones(build):
    model, pixels = build(), images(6)
    watch = Watch(model)
    handle = hardened(model, pixels)
    assert watch.calls == 3  # two of them with two images, to see how the network calls its layers
    teacher, clean, noisy = watch.output.chunk(3)
    views, fused = watch.input, handle.fuse()
    torch.testing.assert_close(teacher, model(pixels), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(clean, fused(pixels), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(noisy, fused(views[12:]), rtol=1e-11, atol=1e-12)
    assert (handle(pixels) - model(pixels)).abs().max() > 1e-4


def crops(count, seed):
    """Of the photograph that is shipped with the package, ``count x 3 x 32 x 32``."""
    with Image.open(files("noisewise.demo") / "assets" / "lighthouse.png") as photograph:
        pixels = torch.from_numpy(np.array(photograph.convert("RGB"))).movedim(-1, 0) / 255
    generator = make_generator(seed)
    rows = torch.randint(pixels.shape[1] - 32, (count,), generator=generator)
    columns = torch.randint(pixels.shape[2] - 32, (count,), generator=generator)
    return torch.stack([pixels[:, r : r + 32, c : c + 32] for r, c in zip(rows, columns, strict=True)])


def feature_maps(dtype=torch.float64):
    """Convolutions without pooling, which would average the noise away by itself."""
    torch.manual_seed(0)
    first, *more = nn.Conv2d(3, 16, 3, padding=1), *(nn.Conv2d(16, 16, 3, 2, 1) for _ in range(2))
    return nn.Sequential(first, *(part for layer in more for part in (nn.ReLU(), layer))).to(dtype).eval()


def small_vit(dtype=torch.float64):
    return SmallViT().to(dtype).eval()


def noise_left(fused, build, unseen):
    """Squared distance of noisy and of clean outputs from the old network's clean ones, in units of its own noise."""
    model, noisy = build(), Gaussian(25 / 255)(unseen, generator=make_generator(2))
    clean = model(unseen)
    before = (model(noisy) - clean).square().sum()
    return [float((fused(x) - clean).square().sum() / before) for x in (noisy, unseen)]


@pytest.mark.parametrize("build", [feature_maps, small_vit])
@torch.no_grad()
def test_on_images_that_were_not_seen_noisy_outputs_come_nearer_to_clean_ones(build):
    seen, unseen = crops(24, seed=0).double(), crops(24, seed=1).double()
    on_noisy, on_clean = noise_left(hardened(build(), seen).fuse(), build, unseen)
    assert on_noisy < 0.7
    assert on_clean < 0.2


@pytest.mark.parametrize("build", [feature_maps, small_vit])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_removes_almost_as_much_noise_as_double(build, dtype):
    seen, unseen = crops(24, seed=0).double(), crops(24, seed=1).double()
    half = hardened(build(dtype), seen).fuse(check=unseen.to(dtype))
    assert {value.dtype for value in half.parameters()} == {dtype}
    full = hardened(build(), seen).fuse()
    assert noise_left(half.double(), build, unseen)[0] < 1.2 * noise_left(full, build, unseen)[0]


def loader(pixels, size, labels=None):
    labels = torch.zeros(len(pixels)) if labels is None else labels
    return DataLoader(TensorDataset(pixels, labels), batch_size=size)


@pytest.mark.parametrize(
    "build", [NETWORKS["convolutional"], NETWORKS["transformer"]], ids=["convolutional", "transformer"]
)
@pytest.mark.parametrize(
    "chunked",
    [
        lambda pixels: pixels,
        lambda pixels: loader(pixels, 3),
        lambda pixels: loader(pixels, 20),
        lambda pixels: list(pixels),
    ],
    ids=["tensor", "batches smaller than the chunk", "one large batch", "single images"],
)
def test_chunks_give_what_the_whole_gives(build, chunked):
    model, pixels = build(), images(11, side=16)
    whole = hardened(model, pixels, rows_per_dimension=1).new_weights()
    parts = hardened(model, chunked(pixels), rows_per_dimension=1, chunk=4).new_weights()
    assert parts.keys() == whole.keys()
    for name, value in parts.items():
        assert (value - whole[name]).abs().max() <= 1e-6 * whole[name].abs().max()


def test_with_many_positions_a_random_part_of_them_is_used_and_tells_the_same_story():
    model, pixels = nn.Sequential(nn.Conv2d(3, 4, 3)).double().eval(), images(24, side=32)
    some, all_of_them = hardened(model, pixels), hardened(model, pixels, rows_per_dimension=10_000)
    assert some.fits["0"].rows < all_of_them.fits["0"].rows == 24 * 2 * 30 * 30
    change = all_of_them.new_weights()["0.weight"] - model[0].weight
    assert (some.new_weights()["0.weight"] - all_of_them.new_weights()["0.weight"]).norm() < 0.2 * change.norm()


def test_labels_in_the_batches_do_not_matter():
    model, pixels = convolutional(), images(6)
    plain = hardened(model, [pixels]).new_weights()
    for labels in (torch.arange(6.0), torch.full((6,), torch.nan)):
        labelled = hardened(model, loader(pixels, 6, labels)).new_weights()
        assert all(torch.equal(value, plain[name]) for name, value in labelled.items())


@torch.no_grad()
def test_more_weight_on_the_clean_view_keeps_more_of_the_clean_outputs():
    model, pixels = nn.Sequential(nn.Conv2d(3, 4, 3)).double().eval(), images(20)
    noisy = Gaussian(25 / 255)(pixels, generator=make_generator(0))
    results = [hardened(model, pixels, clean_weight=weight).fuse() for weight in (0.0, 1.0, 10.0)]
    on_clean, on_noisy = ([(net(x) - model(pixels)).square().sum().item() for net in results] for x in (pixels, noisy))
    assert on_clean == sorted(on_clean, reverse=True)
    assert on_noisy == sorted(on_noisy)


def test_noise_acts_on_pixels_and_the_preprocessing_comes_after():
    class Normalised(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network((x - 0.4) / 0.2)

    model, pixels = convolutional(), images(6)
    outside = hardened(model, pixels, preprocess=lambda x: (x - 0.4) / 0.2).new_weights()
    inside = hardened(Normalised(model).eval(), pixels).new_weights()
    assert all(torch.equal(value, inside[f"network.{name}"]) for name, value in outside.items())


def test_a_network_of_no_known_library_takes_pixels_as_they_are():
    model, pixels = convolutional(), images(4)
    by_itself = attach(model, mode="paired").fit_paired(pixels, NOISE).new_weights()
    told = hardened(model, pixels).new_weights()
    assert all(torch.equal(value, told[name]) for name, value in by_itself.items())


def test_the_seed_decides():
    model, pixels = convolutional(), images(6)
    first, again, other = (hardened(model, pixels, seed=seed).new_weights()["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_network_stays_as_it_was_and_the_fused_one_has_its_keys():
    model = convolutional()
    before = copy.deepcopy(model.state_dict())
    fused = hardened(model, images(4)).fuse()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert list(fused.state_dict()) == list(before)
    assert not any("forward" in vars(module) for module in model.modules())


def test_gradients_flow_through_the_hardened_network():
    handle, batch = hardened(convolutional(), images(4), targets="last"), images(2).requires_grad_()
    handle(batch).sum().backward()
    assert batch.grad.isfinite().all()


@pytest.mark.parametrize("chunk", [None, 2])
def test_progress_is_told_layer_by_layer(chunk):
    told = []
    hardened(convolutional(), images(4), chunk=chunk, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(7)]  # five layers and a batch normalisation


@torch.no_grad()
def test_the_last_layer_alone():
    model = convolutional()
    last = hardened(model, images(4)).last_only
    with pytest.raises(SurgeryError, match="not fitted yet"):
        last.fuse()
    last.fit_paired(images(4), NOISE, preprocess=as_it_is)
    assert last.new_weights().keys() == {"10.weight", "10.bias"}
    assert last.fuse(check=images(2))(images(2)).isfinite().all()


@torch.no_grad()
def test_one_image_rests_on_the_ridge_and_says_so():
    handle = hardened(convolutional(), images(1))
    assert "2 vectors for 7 unknowns, fewer than unknowns: rests on the ridge" in statuses(handle)["10"]
    assert handle.fuse(check=images(2))(images(2)).isfinite().all()


@torch.no_grad()
def test_a_dead_channel_and_a_layer_that_sees_only_zeros_are_no_obstacle():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False)).double().eval()
    model[0].weight[:3], model[0].bias[:3] = 0, -1
    assert hardened(model, images(4)).fuse()(images(2)).isfinite().all()
    model[0].weight[3], model[0].bias[3] = 0, -1
    handle = hardened(model, images(4))
    assert statuses(handle)["2"] == "what it sees does not depend on the image"
