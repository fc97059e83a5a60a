"""What ``noisewise denoise --strength`` says of the share of the noise that it removed."""

from __future__ import annotations


def test_a_part_of_the_noise_is_told_as_such(run, photos, tmp_path):
    half, whole = (
        run("denoise", photos / "a.png", "-o", tmp_path / f"{share}.png", "--sigma", 15, "--strength", share).err
        for share in (0.5, 1)
    )
    assert "removed 50 % of noise of sigma 15.0 of 255" in half
    assert "removed noise of sigma 15.0 of 255" in whole
