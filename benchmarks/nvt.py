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

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arguments import benchmark_parser, parse_with_data, write_results
from interpolation import interpolation_cells
from noisy_only import noisy_only_cells
from pretraining import pretraining_cells
from provenance import provenance
from qualities import adaptation_cells
from self2self import self2self_cells
from targets import NVT, beside_targets

PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "interpolation": interpolation_cells,
    "pretraining": pretraining_cells,
    "noisy_only": noisy_only_cells,
    "self2self": self2self_cells,
    "adaptation": adaptation_cells,
}


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="few images and steps: a smoke test, not a figure")
    parser.add_argument("--work", type=Path, help="folder where runs are kept, to go on after an interruption")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    arguments = parse_with_data(parser)
    results = {} if arguments.quick else earlier(arguments.json)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.parts:
            began = provenance(0)
            found = PARTS[name](arguments.data, arguments.work or Path(folder), quick=arguments.quick)
            results |= found if name == "pretraining" else {name: found}
            results["provenance"] = results.get("provenance", {}) | {name: began}
            results["quick"] = arguments.quick
            if set(results["provenance"]) == set(PARTS):
                results["targets"] = beside_targets(results, NVT)
            if arguments.json is not None:
                write_results(results, arguments.json)
    if arguments.json is None:
        write_results(results, None)


def earlier(path: Path | None) -> dict[str, Any]:
    """What stands in the file, but for what was only a smoke test."""
    found: dict[str, Any] = json.loads(path.read_text()) if path is not None and path.is_file() else {}
    return {} if found.get("quick") else found


if __name__ == "__main__":
    main()
