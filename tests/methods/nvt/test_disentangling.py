"""Content and noise: what is pruned, what crosses over, and what the loss rewards."""

from __future__ import annotations

import math

import pytest
import torch

from noisewise._rng import initialised, make_generator
from noisewise.errors import ArgumentError
from noisewise.methods.nvt import Disentangling, InformationCritics, Reconstructions, disentangling_loss
from noisewise.models.unet import UNet

WIDTHS = (4, 6, 8)
both_ways = pytest.mark.parametrize("joining", ["concatenate", "add"])


def disentangling(joining):
    networks = [initialised(lambda: UNet(3, WIDTHS), seed) for seed in (0, 1)]
    return initialised(lambda: Disentangling(*networks, WIDTHS, joining), 2).double()


def views(count=4):
    generator = make_generator(0)
    scene = torch.rand(count, 3, 16, 16, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(2, count, 3, 16, 16, generator=generator, dtype=torch.float64)
    return scene, scene + noise[0], scene + noise[1]


@both_ways
def test_the_pruned_network_is_equal_and_has_no_weights_for_noise(joining):
    model, (_, noisy, _) = disentangling(joining), views()
    pruned = model.pruned()
    torch.testing.assert_close(pruned(noisy), model(noisy), rtol=0, atol=1e-12)
    image, *_ = pruned.decode(pruned.encode(noisy))
    torch.testing.assert_close(image, model(noisy), rtol=0, atol=1e-12)
    sizes = [sum(weight.numel() for weight in net.parameters()) for net in (pruned, model.network, model)]
    joints = sum(width * width + width for width in WIDTHS) * (joining == "concatenate")
    assert sizes[0] == sizes[1] + joints < sizes[2]
    assert all(a is not b for a in pruned.parameters() for b in model.parameters())


@both_ways
def test_crossed_images_have_the_content_of_the_other_view_and_the_noise_of_their_own(joining):
    model, (_, first, second) = disentangling(joining), views()
    found = Reconstructions.of(model, first, second)
    expected = model.decode(model.content(second), model.noise(first))
    torch.testing.assert_close(found.crossed[0], expected)
    torch.testing.assert_close(found.clean[1], model(second))
    assert not torch.allclose(found.crossed[0], found.clean[1])


def test_the_loss_is_what_its_formula_says():
    model, (scene, first, second) = disentangling("add"), views()
    found = Reconstructions.of(model, first, second)
    told = float(disentangling_loss(found, (first, second), (scene, scene), alignment=0.5).detach())
    distance = [
        (found.clean[0] - scene).abs().mean() + (found.crossed[0] - first).abs().mean(),
        (found.clean[1] - scene).abs().mean() + (found.crossed[1] - second).abs().mean(),
    ]
    cosines = []
    for a, b in zip(*found.contents, strict=True):
        a, b = a.flatten(1), b.flatten(1)
        cosines.append(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean())
    expected = float((sum(distance) / 2 + 0.5 * (1 - sum(cosines) / len(cosines))).detach())
    assert told == pytest.approx(expected, rel=1e-6)


def test_contents_that_differ_in_size_alone_are_aligned():
    scene, first, second = views()
    features = [torch.rand(4, 2, 3, 3, generator=make_generator(1))]
    contents, nothing = (features, [3 * features[0]]), ([], [])
    found = Reconstructions((scene, scene), (first, second), contents, noises=nothing, coarse=nothing)
    assert float(disentangling_loss(found, (first, second), (scene, scene), alignment=1.0)) == pytest.approx(
        0, abs=1e-6
    )


def test_an_unknown_way_to_join_is_refused():
    with pytest.raises(ArgumentError, match="joining"):
        Disentangling(UNet(3, WIDTHS), UNet(3, WIDTHS), WIDTHS, "multiply")


def features(count, seed):
    return torch.randn(count, 5, 2, 2, generator=make_generator(seed))


def bound_of_trained_critics(noise_of, steps=150):
    """Of content and noise, on pairs that the critics have not seen."""
    images = torch.rand(64, 3, 16, 16, generator=make_generator(9))
    critics = initialised(lambda: InformationCritics(3, 5, 5), 0)
    optimizer = torch.optim.Adam(critics.parameters(), lr=3e-3)
    for step in range(steps):
        optimizer.zero_grad()
        critics(images, images, features(64, step), noise_of(step)).critic_loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float(critics(images, images, features(64, steps), noise_of(steps)).content_noise)


def test_critics_tell_noise_that_says_the_content_from_noise_that_does_not():
    same = bound_of_trained_critics(lambda step: features(64, step))
    other = bound_of_trained_critics(lambda step: features(64, 10_000 + step))
    assert same > -0.9
    assert other == pytest.approx(-2 * math.log(2), abs=0.1)  # no information


def test_reversal_moves_encoders_as_their_own_loss_and_critics_as_theirs():
    images = torch.rand(8, 3, 16, 16, generator=make_generator(9))
    critics = initialised(lambda: InformationCritics(3, 5, 5), 0)
    content, noise = (features(8, seed).requires_grad_() for seed in (0, 1))
    bounds = critics(images, images, content, noise)
    by_hand = torch.autograd.grad(bounds.encoder_loss, [content, noise], retain_graph=True)
    own = torch.autograd.grad(bounds.critic_loss, list(critics.parameters()))
    at_once = critics(images, images, content, noise, reversal=1.0).critic_loss
    came = torch.autograd.grad(at_once, [content, noise, *critics.parameters()])
    for gradient, expected in zip(came, [*by_hand, *own], strict=True):
        torch.testing.assert_close(gradient, expected)


def test_features_cannot_make_a_bound_small_by_growing():
    critics = initialised(lambda: InformationCritics(3, 5, 5), 0)
    images, content, noise = (torch.rand(4, c, 8, 8, generator=make_generator(c)) for c in (3, 5, 6))
    small = critics(images, images, content, noise[:, :5])
    large = critics(images, images, 1000 * content, 1000 * noise[:, :5])
    for ours, theirs in zip(small, large, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
