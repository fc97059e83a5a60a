"""The camera and the JPEG file against loops, other libraries and first-order error propagation."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError
from noisewise.noise import Camera, Jpeg
from noisewise.noise.camera import (
    bayer_mask,
    color_matrix,
    demosaic,
    jpeg_round_trip,
    linear_to_srgb,
    srgb_to_linear,
)

GREY = 0.4
SLOPE_STEP = 1e-4


def photograph(height=32, width=48):
    """Smooth colour gradients, which JPEG keeps well, ``3 x H x W``."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, (x + y) / 2])


def test_tone_curve_agrees_with_scikit_image():
    encoded = np.linspace(0, 1, 1001)
    luminance = color.rgb2xyz(np.stack([encoded] * 3, axis=-1))[:, 1]
    assert srgb_to_linear(torch.from_numpy(encoded)).numpy() == pytest.approx(luminance, abs=1e-6)


def test_tone_curves_are_inverse_to_each_other():
    encoded = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(encoded)), encoded, atol=1e-7)


def test_tone_curve_is_defined_and_rising_beyond_black_and_white():
    linear = torch.linspace(-0.5, 1.5, 1001)
    encoded = linear_to_srgb(linear)
    assert encoded.isfinite().all()
    assert (encoded.diff() > 0).all()


@pytest.mark.parametrize("saturation", [0.0, 0.3, 1.2])
def test_color_matrix_keeps_grey_and_raises_saturation(saturation):
    matrix = color_matrix(saturation, torch.zeros((), dtype=torch.float64))
    grey, red = torch.full((3,), 0.3, dtype=torch.float64), torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(matrix @ grey, grey)
    assert (matrix @ red).max() - (matrix @ red).min() == pytest.approx(1 + saturation)


def test_bayer_mask_gives_each_site_one_colour_and_half_of_them_green():
    mask = bayer_mask(torch.zeros(1, 3, 6, 8))
    assert (mask.sum(dim=1) == 1).all()
    assert mask.mean(dim=(0, 2, 3)).tolist() == [0.25, 0.5, 0.25]
    assert mask[0, :, :2, :2].argmax(dim=0).tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize("shape", [(2, 2), (5, 6), (6, 5), (7, 7)])
def test_demosaicing_a_constant_image_is_exact_up_to_the_border(shape):
    constant = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, *shape)
    assert torch.allclose(demosaic(bayer_mask(constant) * constant), constant)


def demosaic_by_hand(mosaic, mask):
    """Each missing colour is the mean of the nearest sites that saw it: the four beside, or else the four diagonal."""
    channels, height, width = mosaic.shape
    rings = [[(0, 0)], [(-1, 0), (1, 0), (0, -1), (0, 1)], [(-1, -1), (-1, 1), (1, -1), (1, 1)]]
    result = np.zeros_like(mosaic)
    for c, y, x in np.ndindex(channels, height, width):
        for ring in rings:
            sites = [(y + dy, x + dx) for dy, dx in ring if 0 <= y + dy < height and 0 <= x + dx < width]
            seen = [mosaic[c, i, j] for i, j in sites if mask[c, i, j]]
            if seen:
                result[c, y, x] = np.mean(seen)
                break
    return result


def test_demosaicing_agrees_with_a_direct_loop():
    scene = torch.rand(2, 3, 7, 8, generator=make_generator(0), dtype=torch.float64)
    mask = bayer_mask(scene)
    expected = [demosaic_by_hand((mask[0] * image).numpy(), mask[0].numpy()) for image in scene]
    assert demosaic(mask * scene).numpy() == pytest.approx(np.stack(expected))


def squared_weights():
    """Sum of the squared weights of bilinear interpolation, by colour and place in the 2 x 2 pattern."""
    green = [[1 / 4, 1], [1, 1 / 4]]
    return np.array([[[1, 1 / 2], [1 / 2, 1 / 4]], green, [[1 / 4, 1 / 2], [1 / 2, 1]]])


def predicted(camera):
    """Variance in sRGB of a flat grey patch to first order, and the mean to second, ``3 x 2 x 2`` each."""
    linear = float(srgb_to_linear(torch.tensor(GREY, dtype=torch.float64)))
    at = torch.tensor([linear - SLOPE_STEP, linear, linear + SLOPE_STEP], dtype=torch.float64)
    below, here, above = linear_to_srgb(at).tolist()
    slope, curvature = (above - below) / (2 * SLOPE_STEP), (above - 2 * here + below) / SLOPE_STEP**2
    gains = np.array([camera.red, 1, camera.blue])
    on_sensor = camera.gain * linear / gains + camera.sigma**2
    mixing = color_matrix(camera.saturation, torch.zeros((), dtype=torch.float64)).numpy() * gains
    variance = np.einsum("ic,c,cyx->iyx", mixing**2, on_sensor, squared_weights())
    return slope**2 * variance, GREY + 0.5 * curvature * variance


@pytest.mark.parametrize("camera", [Camera(gain=2e-5, sigma=0.0), Camera(gain=0.0, sigma=3e-3), Camera(2e-5, 2e-3)])
def test_camera_noise_has_the_mean_and_variance_of_error_propagation(camera):
    clean = torch.full((2000, 3, 6, 6), GREY, dtype=torch.float64)
    inside = camera(clean, generator=make_generator(0))[..., 2:4, 2:4]  # one whole 2 x 2 pattern
    variance, mean = predicted(camera)
    assert inside.var(0).numpy() == pytest.approx(variance, rel=0.15)
    standard_error = np.sqrt(variance / len(clean))
    assert (np.abs(inside.mean(0).numpy() - mean) < 5 * standard_error).all()


def neighbour_correlation(camera):
    noise = camera(torch.full((1, 3, 128, 128), GREY), generator=make_generator(0)) - GREY
    return float((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean())


def test_camera_noise_is_correlated_and_more_so_after_smoothing():
    sharp, smooth = neighbour_correlation(Camera()), neighbour_correlation(Camera(blur=1.0))
    assert sharp > 0.2
    assert smooth > sharp + 0.2


def test_a_grey_photograph_gets_the_noise_of_the_green_channel():
    grey = torch.rand(2, 1, 9, 8, generator=make_generator(0))
    noisy = Camera()(grey, generator=make_generator(1))
    in_colour = Camera()(grey.expand(-1, 3, -1, -1), generator=make_generator(1))
    assert torch.allclose(noisy, in_colour[:, 1:2])


@pytest.mark.parametrize("chroma", [0.0, 0.3, 1.0])
def test_colour_noise_is_reduced_and_brightness_noise_is_not(chroma):
    clean = torch.full((1, 3, 32, 32), GREY)
    whole, reduced = (
        color.rgb2ycbcr((camera(clean, generator=make_generator(0)) - clean)[0].movedim(0, -1).numpy())
        for camera in (Camera(), Camera(chroma=chroma))
    )
    black = np.array([16, 128, 128])
    np.testing.assert_allclose(reduced - black, (whole - black) * [1, chroma, chroma], atol=1e-2)


@pytest.mark.parametrize("noise", [Camera(), Jpeg(80)])
def test_two_channels_are_refused(noise):
    with pytest.raises(ArgumentError, match="1 or 3 channels"):
        noise(torch.zeros(1, 2, 4, 4), generator=make_generator(0))


@pytest.mark.parametrize("quality", [10, 75, 89, 90, 99])
def test_jpeg_is_what_pillow_writes_and_opencv_reads(quality):
    pixels = (photograph() * 255).round().byte()
    file = io.BytesIO()
    subsampling = "4:2:0" if quality < 90 else "4:4:4"
    Image.fromarray(pixels.movedim(0, -1).numpy()).save(file, "JPEG", quality=quality, subsampling=subsampling)
    decoded = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR_RGB)
    result = jpeg_round_trip(pixels / 255, quality).mul(255).round().movedim(0, -1).numpy()
    assert np.abs(result - decoded.astype(float)).max() <= 2  # decoders may round differently


def test_jpeg_of_a_grey_image_is_grey_and_close():
    grey = photograph()[:1]
    assert (jpeg_round_trip(grey, 95) - grey).abs().max() < 0.03


def test_lower_quality_is_further_from_the_photograph():
    clean = photograph()[None] + 0.1 * torch.rand(1, 3, 32, 48, generator=make_generator(0))
    errors = [(Jpeg(q)(clean, generator=make_generator(0)) - clean).square().mean() for q in (99, 80, 40, 10)]
    assert errors == sorted(errors)


def test_jpeg_of_quality_100_is_no_file_at_all(images):
    assert torch.equal(Jpeg(100)(images, generator=make_generator(0)), images)
