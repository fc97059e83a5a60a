"""Noisy Visual Training module by module, single-image learners, and what more effort on one image is worth.

    python benchmarks/nvt.py --data DIR [--quick] [--json FILE] [--work DIR] [--parts NAME ...]

``interpolation``: CBSD68 at sigma 50, 8 bits, made smaller and larger again. ``pretraining``: networks trained by the
recipes in ``recipes/`` with one module more or less, three seeds. ``noisy_only``: the shipped network goes on on a
folder of images with a noise that it never saw, and is tried on others of them. ``self2self``: five CBSD68 images at
sigma 50, 8 bits, against the shipped network. ``adaptation``: PolyU at every quality of ``noisewise denoise``. PSNR in
dB, mean over images with a 95 % bootstrap interval. Run again with the same ``--work``, it goes on where it was. Parts
that ``FILE`` has already are kept unless they are named, each with its own provenance.
"""

from __future__ import annotations

from interpolation import interpolation_cells
from noisy_only import noisy_only_cells
from parts import Part, run_parts
from pretraining import pretraining_cells
from qualities import adaptation_cells
from self2self import self2self_cells
from targets import NVT

PARTS: dict[str, Part] = {
    "interpolation": interpolation_cells,
    "pretraining": pretraining_cells,
    "noisy_only": noisy_only_cells,
    "self2self": self2self_cells,
    "adaptation": adaptation_cells,
}


if __name__ == "__main__":
    run_parts(__doc__, PARTS, NVT, spread=["pretraining"])
