"""A network small enough for many calls."""

from __future__ import annotations

import pytest
import torch

from noisewise.models import BlindDenoiser


@pytest.fixture(scope="session")
def tiny() -> BlindDenoiser:
    """A network of random weights: it changes every pixel a little, in a way that depends on its neighbours."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BlindDenoiser(widths=(8, 8), blocks=(1, 1), estimator_width=8)
        torch.nn.init.normal_(model.unet.tail.weight, std=0.01)
    return model.eval()
