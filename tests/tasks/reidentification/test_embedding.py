"""Features of image files do not depend on how these are batched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from noisewise.data import ImageFile, write_image
from noisewise.errors import ArgumentError, UnreadableImageError
from noisewise.noise import Gaussian
from noisewise.tasks.reidentification import embed


class Pixels(nn.Module):
    """Features that are the pixels themselves."""

    def forward(self, images):
        return images.flatten(1)


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
        return nn.Sequential(*layers).eval()


@pytest.fixture
def paths(individuals):
    return [image.path for image in individuals]


@pytest.mark.parametrize("noise", [None, Gaussian(25 / 255)])
def test_the_batch_size_does_not_matter(paths, noise):
    features = [embed(network(), paths, noise=noise, batch_size=size) for size in (1, 5, 64)]
    for other in features[1:]:
        torch.testing.assert_close(other, features[0])


def test_features_are_the_normalised_output_in_order(paths):
    features = embed(Pixels().eval(), paths, batch_size=5)
    assert features.shape == (len(paths), 3 * 8 * 6)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(paths)))
    reversed_features = embed(Pixels().eval(), paths[::-1], batch_size=5)
    torch.testing.assert_close(reversed_features, features.flip(0))


def test_pixels_reach_the_network_as_rgb_in_unit_range(tmp_path):
    grey = np.array([[0, 51], [102, 255]], np.uint8)
    write_image(ImageFile(grey), tmp_path / "grey.png")
    seen = []
    embed(Pixels().eval(), [tmp_path / "grey.png"], preprocess=lambda images: seen.append(images) or images)
    torch.testing.assert_close(seen[0], torch.tensor([[0, 0.2], [0.4, 1]]).expand(1, 3, 2, 2))


def test_noise_is_drawn_anew_for_every_image_and_seed(tmp_path):
    write_image(ImageFile(np.full((32, 32, 3), 128, np.uint8)), tmp_path / "flat.png")
    twice, sigma = [tmp_path / "flat.png"] * 2, 0.1

    def drawn(seed):
        seen = []
        embed(Pixels().eval(), twice, noise=Gaussian(sigma), seed=seed, preprocess=lambda x: seen.append(x) or x)
        return torch.cat(seen) - 128 / 255

    noise = torch.cat([drawn(0), drawn(1)])
    torch.testing.assert_close(drawn(0), noise[:2])
    correlation = torch.corrcoef(noise.flatten(1))
    assert correlation.fill_diagonal_(0).abs().max() < 0.1  # 5.5 standard errors of 3072 pixels
    assert noise.std() == pytest.approx(sigma, rel=0.05)


def test_flipping_averages_both_views(paths):
    model = network()
    mirrored = embed(model, paths, flip=True, preprocess=lambda images: images.flip(-1))
    torch.testing.assert_close(mirrored, embed(model, paths, flip=True))
    views = torch.cat([embed(Pixels().eval(), paths[:1], preprocess=p) for p in (lambda x: x, lambda x: x.flip(-1))])
    torch.testing.assert_close(
        embed(Pixels().eval(), paths[:1], flip=True)[0], nn.functional.normalize(views.mean(0), dim=0)
    )


def test_images_of_several_sizes_need_one(paths, tmp_path):
    write_image(ImageFile(np.zeros((5, 9, 3), np.uint8)), tmp_path / "wide.png")
    mixed = [*paths, tmp_path / "wide.png"]
    with pytest.raises(ArgumentError, match="size="):
        embed(network(), mixed)
    assert embed(network(), mixed, size=(6, 6)).shape == (13, 16)


def test_images_are_stretched_before_the_noise(tmp_path):
    write_image(ImageFile(np.full((64, 48, 3), 128, np.uint8)), tmp_path / "flat.png")
    seen = []
    for noise in (None, Gaussian(0.1)):
        embed(
            Pixels().eval(),
            [tmp_path / "flat.png"],
            size=(32, 16),
            noise=noise,
            preprocess=lambda x: seen.append(x) or x,
        )
    clean, noisy = seen
    torch.testing.assert_close(clean, torch.full((1, 3, 32, 16), 128 / 255))
    assert (noisy - clean).std() == pytest.approx(0.1, rel=0.08)  # stretching after it would have averaged it away


def test_features_can_be_trained_on(paths):
    weights = nn.Linear(16, 1)
    weights(embed(network(), paths)).sum().backward()
    assert weights.weight.grad is not None


def test_half_precision_networks_take_the_images(paths):
    model = network()
    exact, half = embed(model, paths), embed(model.bfloat16(), paths)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, atol=0.05, rtol=0)


def test_progress_counts_the_images(paths):
    counts = []
    embed(network(), paths, batch_size=5, progress=counts.append)
    assert counts == [5, 10, 12]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (network().train(), r"model\.eval\(\)"),
        (nn.Conv2d(3, 2, 1).eval(), "num_classes=0"),
        (nn.Sequential(nn.Flatten(0)).eval(), "num_classes=0"),
    ],
)
def test_networks_that_give_no_features_are_refused(model, said, paths):
    with pytest.raises(ArgumentError, match=said):
        embed(model, paths)


def test_features_that_are_not_finite_are_refused(paths):
    with pytest.raises(ArgumentError, match="finite"):
        embed(Pixels().eval(), paths, preprocess=lambda images: images / 0)


def test_nothing_to_embed_and_unreadable_files(paths, tmp_path):
    with pytest.raises(ArgumentError, match="got 0 and 64"):
        embed(network(), [])
    with pytest.raises(ArgumentError, match="got 12 and 0"):
        embed(network(), paths, batch_size=0)
    with pytest.raises(UnreadableImageError, match=r"gone\.png"):
        embed(network(), [tmp_path / "gone.png"])
