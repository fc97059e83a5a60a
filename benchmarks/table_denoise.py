"""Tables of the shipped denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from table_parts import results

__all__ = ["denoise_table", "families_table"]

COLUMNS = {"noisy": "noisy", "opencv_nlm": "OpenCV NLM", "skimage_wavelet": "wavelet", "noisewise": "**noisewise**"}


def cell(scores: Mapping[str, Any], method: str) -> str:
    value = f"{scores[method]['psnr']:.2f}"
    if method != "noisewise":
        return value
    low, high = scores[method]["psnr_ci95"]
    return f"**{value}** [{low:.2f}, {high:.2f}]"


def row(label: str, scores: Mapping[str, Any]) -> str:
    cells = [cell(scores, method) for method in COLUMNS]
    return f"| {label} | {' | '.join(cells)} | {scores['noisewise']['seconds']:.2f} |"


def header() -> list[str]:
    return [f"| PSNR in dB | {' | '.join(COLUMNS.values())} | s |", f"|---{'|---:' * (len(COLUMNS) + 1)}|"]


def denoise_table() -> str:
    """Synthetic and real noise, the network being told nothing."""
    measured = results("denoise")
    rows = header()
    for data, name in (("cbsd68", "CBSD68"), ("kodak24", "Kodak24")):
        rows += [row(f"{name}, sigma {s}", cells) for s, cells in measured[data]["unclipped"].items()]
        rows += [row(f"{name}, sigma {s}, 8 bit", measured[data]["clipped"][s]) for s in ("25", "50")]
    return "\n".join([*rows, row("PolyU, real camera noise", measured["polyu"])])


def families_table() -> str:
    """Every kind of noise, among them one that was never trained on."""
    measured = results("denoise")["families"]
    marks = {True: "", False: " (never trained on)"}
    labels = {name: f"`{scores['spec']}`{marks[scores['trained_on']]}" for name, scores in measured.items()}
    return "\n".join(header() + [row(labels[name], scores) for name, scores in measured.items()])
