"""Tables of hardened segmenters and detectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from table_parts import part, spread

__all__ = [
    "detection_table",
    "model_zoo_table",
    "segmentation_forms_table",
    "segmentation_table",
    "tasks_summary",
    "weights_table",
]

_SUMMARISED = {"clean": "clean", "gaussian/1": "sigma 23", "gaussian": "sigma 46"}


def tasks_summary() -> str:
    """The main figure of both tasks on clean images and in Gaussian noise."""
    rows = ["| in % | as it was trained | **hardened** | gain |", f"|---{'|---:' * 3}|"]
    for task, title, metric in (("segmentation", "CamVid, mIoU", "miou"), ("detection", "people in COCO256, AP", "ap")):
        measured = part("tasks", task)
        for name, said in _SUMMARISED.items():
            before, after = measured["baseline"][name], measured["paired"][name]
            gain = spread(after["over_baseline"], signed=True)
            rows.append(f"| {title}, {said} | {before[metric]:.1f} | **{after[metric]:.1f}** | {gain} |")
    return "\n".join(rows)


def segmentation_table() -> str:
    """MIoU and boundary IoU before and after, by noise."""
    measured = part("tasks", "segmentation")
    rows = ["| CamVid, in % | mIoU | hardened | gain | boundary IoU | hardened |", f"|---{'|---:' * 5}|"]
    return "\n".join([*rows, *_rows(measured, "miou", "boundary_iou")])


def weights_table() -> str:
    """What validation images gained with each weight of clean images that was tried, by form."""
    looks = part("tasks", "segmentation")["validation"]
    rows = ["| points of mIoU on validation images | `clean_weight` | clean | sigma 46 |", f"|---{'|---:' * 3}|"]
    tried = [(form, look) for form, of in looks.items() for look in sorted(of, key=lambda one: one["clean_weight"])]
    cells = (f"{look['clean_weight']:g} | {look['clean']:+.2f} | {look['gaussian']:+.2f}" for _, look in tried)
    return "\n".join([*rows, *(f"| {form} | {cell} |" for (form, _), cell in zip(tried, cells, strict=True))])


def segmentation_forms_table() -> str:
    """Both forms on clean test images and at the middle severity."""
    measured = part("tasks", "segmentation")
    rows = ["| points of mIoU on test images | clean | sigma 46 |", f"|---{'|---:' * 2}|"]
    other = next(form for form in measured["validation"] if form != measured["form"])
    for form, column in ((other, "other_form"), (measured["form"], "paired")):
        gains = [spread(measured[column][name]["over_baseline"], signed=True) for name in ("clean", "gaussian")]
        rows.append(f"| {form} | {' | '.join(gains)} |")
    return "\n".join(rows)


def detection_table() -> str:
    """AP before and after, by noise."""
    measured = part("tasks", "detection")
    rows = ["| people in COCO256, in % | AP | hardened | gain | AP at 0.5 | hardened |", f"|---{'|---:' * 5}|"]
    return "\n".join([*rows, *_rows(measured, "ap", "ap50")])


def model_zoo_table() -> str:
    """Fusion and latency of networks of other libraries."""
    measured = part("tasks", "hardening")
    columns = "layers changed by pairs | latency | branches folded, single precision | double precision"
    rows = [f"| random weights | {columns} |", f"|---{'|---:' * 4}|"]
    for name, found in measured.items():
        latency = found["latency_ratio"]
        told = spread({"mean": latency["ratio"], "ci95": [latency["low"], latency["high"]]}, decimals=3)
        errors = f"{found['fusion_error_fp32']:.1e} | {found['fusion_error_fp64']:.1e}"
        rows.append(f"| `{name}` | {found['layers']} | {told} | {errors} |")
    return "\n".join(rows)


def _rows(measured: Mapping[str, Any], main: str, second: str) -> list[str]:
    rows = []
    for name, before in measured["baseline"].items():
        after = measured["paired"][name]
        gain = spread(after["over_baseline"], signed=True)
        label = name if name == "clean" else f"`{name}`"
        cells = f"{before[main]:.1f} | {after[main]:.1f} | {gain} | {before[second]:.1f} | {after[second]:.1f}"
        rows.append(f"| {label} | {cells} |")
    return rows
