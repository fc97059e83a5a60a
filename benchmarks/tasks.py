"""Hardened segmenters and detectors under every noise, networks of other libraries, and work on several processes.

    python benchmarks/tasks.py --data DIR [--quick] [--json FILE] [--parts NAME ...]

``segmentation`` and ``detection``: the small networks of ``benchmarks/networks/``, as they were trained and hardened on
their training images without labels, on test images clean and with every registered noise at its middle severity
(Gaussian at three); three seeds of the noise that they are hardened with, differences with a 95 % bootstrap interval
over the images. ``hardening``: Mask R-CNN and SegFormer with random weights. ``scale``: training in two processes,
files on two workers. Parts that ``FILE`` has already are kept unless they are named, each with its own provenance.
"""

from __future__ import annotations

from detection import detection_cells
from model_zoo import hardening_cells
from parts import Part, run_parts
from scale import scale_cells
from segmentation import segmentation_cells
from targets import TASKS

PARTS: dict[str, Part] = {
    "segmentation": segmentation_cells,
    "detection": detection_cells,
    "hardening": hardening_cells,
    "scale": scale_cells,
}

if __name__ == "__main__":
    run_parts(__doc__, PARTS, TASKS)
