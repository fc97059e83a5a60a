"""Distances that networks judge, with networks of random weights: the formulas are what is tested."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
import torchvision

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, WeightsError
from noisewise.measure import frechet_distance, inception_score, lpips, ms_ssim
from noisewise.models import ClipEncoder, load_clip


def images(side, seed=0):
    coarse = torch.rand(2, 3, 8, 8, generator=make_generator(seed))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def test_ms_ssim_is_one_for_the_same_and_falls_with_noise():
    truth = images(192)
    noise = torch.randn(truth.shape, generator=make_generator(1))
    scores = [ms_ssim(truth + level * noise, truth) for level in (0.0, 0.05, 0.2)]
    torch.testing.assert_close(scores[0], torch.ones(2))
    assert (scores[0] > scores[1]).all()
    assert (scores[1] > scores[2]).all()


def test_ms_ssim_refuses_what_is_smaller_than_its_coarsest_window():
    with pytest.raises(ArgumentError, match="more than 160"):
        ms_ssim(images(160), images(160))


def test_frechet_distance_is_that_of_the_fitted_gaussians():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(200, 5)), generator.normal(0.3, 1.7, size=(300, 5))
    covariances = np.cov(first.T), np.cov(second.T)
    cross = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    means = np.square(first.mean(0) - second.mean(0)).sum()
    expected = means + np.trace(covariances[0] + covariances[1] - 2 * cross)
    measured = frechet_distance(torch.from_numpy(first), torch.from_numpy(second))
    assert measured.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shapes", [((1, 4), (9, 4)), ((9, 4), (9, 5)), ((9, 4, 1), (9, 4))])
def test_frechet_distance_refuses_what_has_no_covariance(shapes):
    with pytest.raises(ArgumentError, match="at least two images"):
        frechet_distance(*(torch.zeros(shape) for shape in shapes))


def test_inception_score_counts_the_classes_that_are_told_apart():
    certain = 50.0 * torch.eye(4).repeat(5, 1)
    assert inception_score(certain).item() == pytest.approx(4)
    assert inception_score(torch.zeros(20, 4)).item() == pytest.approx(1)
    assert inception_score(1000 * certain).item() == pytest.approx(4)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore` will save")
def test_inception_score_agrees_with_torchmetrics():
    from torchmetrics.image.inception import InceptionScore

    scores = torch.randn(64, 6, generator=make_generator(2))
    metric = InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.update(scores)
    assert inception_score(scores).item() == pytest.approx(metric.compute()[0].item(), rel=1e-5)


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_lpips_says_which_weights_it_lacks(torch_home):
    with pytest.raises(WeightsError, match=r"alexnet-owt-.*\.pth"):
        lpips(images(64), images(64))


def test_lpips_with_weights_in_their_place(torch_home):
    torch_home.mkdir(parents=True)
    name = torchvision.models.AlexNet_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    torch.save(torchvision.models.alexnet().state_dict(), torch_home / name)
    near, far = (images(64) + level * torch.randn(2, 3, 64, 64, generator=make_generator(3)) for level in (0.02, 0.2))
    same, close, distant = (lpips(other, images(64)) for other in (images(64), near, far))
    torch.testing.assert_close(same, torch.zeros(2))
    assert (close < distant).all()
    assert distant.shape == (2,)


def test_lpips_refuses_grey_and_small():
    with pytest.raises(ArgumentError, match="repeat a grey channel"):
        lpips(images(64)[:, :1], images(64)[:, :1])
    with pytest.raises(ArgumentError, match="64 x 64"):
        lpips(images(63), images(63))


def test_a_clip_encoder_of_a_folder(tmp_path):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=8,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)
    encoder = load_clip(tmp_path)
    assert isinstance(encoder, ClipEncoder)
    assert encoder(images(48)).shape == (2, 8)
    assert torch.equal(encoder(images(48)), encoder(images(48)))


def test_another_network_in_the_folder_is_no_clip(tmp_path):
    from transformers import ViTConfig, ViTModel

    ViTModel(
        ViTConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="CLIP"):
        load_clip(tmp_path)


def test_a_folder_without_clip(tmp_path):
    with pytest.raises(WeightsError, match="holds no CLIP model"):
        load_clip(tmp_path)
