"""What is meant to be reached, and whether it is: the shipped denoiser, hardened networks, audited noise, training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["DENOISER", "HARDENING", "NVT", "POSITIVE_NOISE", "TASKS", "Target", "beside_targets"]

Results = Mapping[str, Any]


class Target(NamedTuple):
    """One demanded figure: its name, how to read it from the results, and the bound it must reach."""

    case: str
    read: Callable[[Results], float]
    bound: float
    at_least: bool = True


def _psnr(data: str, sigma: int) -> Callable[[Results], float]:
    return lambda results: results[data]["unclipped"][str(sigma)]["noisewise"]["psnr"]


def _lost_by_clipping(sigma: int) -> Callable[[Results], float]:
    def read(results: Results) -> float:
        cells = (results["cbsd68"][kind][str(sigma)]["noisewise"]["psnr"] for kind in ("unclipped", "clipped"))
        return next(cells) - next(cells)

    return read


def _cost(name: str) -> Callable[[Results], float]:
    return lambda results: results["costs"][name]


def _top1(network: str, defence: str, severity: int | None = None) -> Callable[[Results], float]:
    def read(results: Results) -> float:
        row = results["tiny_imagenet"][network][defence]
        return (row["clean"] if severity is None else row["gaussian"][str(severity)])["mean"]

    return read


def _gain(network: str, over: str) -> Callable[[Results], float]:
    """Of paired hardening at the middle severity."""
    return lambda results: _top1(network, "paired", 3)(results) - _top1(network, over, 3)(results)


def _clean_loss(network: str) -> Callable[[Results], float]:
    return lambda results: _top1(network, "baseline")(results) - _top1(network, "paired")(results)


DENOISER = (
    Target("CBSD68 unclipped, blind, sigma 15, dB", _psnr("cbsd68", 15), 33.6),
    Target("CBSD68 unclipped, blind, sigma 25, dB", _psnr("cbsd68", 25), 30.9),
    Target("CBSD68 unclipped, blind, sigma 50, dB", _psnr("cbsd68", 50), 27.6),
    Target("Kodak24 full frame, blind, sigma 25, dB", _psnr("kodak24", 25), 31.8),
    Target("Kodak24 full frame, blind, sigma 50, dB", _psnr("kodak24", 50), 28.7),
    Target("CBSD68 lost by clipping, sigma 25, dB", _lost_by_clipping(25), 0.15, at_least=False),
    Target("CBSD68 lost by clipping, sigma 50, dB", _lost_by_clipping(50), 0.5, at_least=False),
    Target("PolyU, nothing told, dB", lambda results: results["polyu"]["noisewise"]["psnr"], 38.0),
    Target("Kodak image 768x512, warm, s", _cost("kodak_768x512_seconds_warm"), 1.5, at_least=False),
    Target("diagnosis of a megapixel, warm, s", _cost("diagnose_megapixel_seconds_warm"), 0.5, at_least=False),
    Target("demo, s", _cost("demo_seconds"), 90, at_least=False),
    Target("tiled against untiled, of 255", _cost("tiled_minus_untiled_of_255"), 1.0, at_least=False),
    Target("import beyond torch, s", _cost("import_seconds_beyond_torch"), 0.3, at_least=False),
)


def _of_a_resnet(words: str, network: str) -> tuple[Target, ...]:
    return (
        Target(f"{words}, Gaussian 3, points over the baseline", _gain(network, "baseline"), 25.0),
        Target(f"{words}, Gaussian 3, points over BatchNorm re-estimation", _gain(network, "batchnorm"), 8.0),
        Target(f"{words}, the same, re-estimated on noisy images only", _gain(network, "batchnorm_noisy_only"), 8.0),
        Target(f"{words}, clean points lost", _clean_loss(network), 1.0, False),
    )


HARDENING = (
    Target("fusion, double precision, relative error", lambda r: r["fusion"]["max_rel_err_fp64"], 1e-12, False),
    Target("fusion, single precision, relative error", lambda r: r["fusion"]["max_rel_err_fp32"], 1e-5, False),
    Target("fused twice is identical, share", lambda r: float(r["fusion"]["fused_twice_is_identical"]), 1.0),
    Target("descent above the closed form, loss", lambda r: r["descent"]["greatest"], 1e-4, False),
    Target("descent below the closed form, loss", lambda r: max(0.0, -r["descent"]["least"]), 1e-9, False),
    *_of_a_resnet("ResNet at full resolution", "resnet"),
    *_of_a_resnet("ResNet with a strided stem", "strided_resnet"),
    Target("ViT, Gaussian 3, points over the baseline", _gain("vit", "baseline"), 12.0),
    Target("ViT, clean points lost", _clean_loss("vit"), 3.0, False),
    Target("paired fit, plain forward passes over its views", lambda r: r["fit"]["forward_passes"], 3.0, False),
    Target("paired fit, memory beside plain inference", lambda r: r["fit"]["memory_ratio"], 2.0, False),
    Target("latency fused / original, distance from 1", lambda r: abs(r["latency_ratio"] - 1), 0.02, False),
)


def _above_source_only(source: str, target: str) -> Callable[[Results], float]:
    return lambda results: results["adaptation"][f"{source} -> {target}"]["tvt"]["over_source_only"]["mean"]


POSITIVE_NOISE = (
    Target(
        "ResNet, optimal Q at test, batches of ten: sorted minus shuffled, points",
        lambda results: results["resnet"]["optimal"]["sorted_minus_shuffled_at_test"]["mean"],
        20.0,
    ),
    Target("audit of 2,500 images, time beside its evaluations", lambda r: r["audit"]["cost"]["ratio"], 1.2, False),
    Target("false alarms of the audit", lambda results: results["audit"]["false_alarms"], 0.0, False),
    Target("amazon to webcam, TVT over source only, points", _above_source_only("amazon", "webcam"), 0.01),
    Target("webcam to amazon, TVT over source only, points", _above_source_only("webcam", "amazon"), 0.01),
)


def _self2self(name: str) -> Callable[[Results], float]:
    return lambda results: results["self2self"]["race"][name]


def _balanced(name: str) -> Callable[[Results], float]:
    return lambda results: results["adaptation"]["polyu"]["balanced"][name]


def _noisy_only_loss(results: Results) -> float:
    rows = results["nrl_ablation"]
    return rows["noise: fixed"]["25"]["psnr"] - rows["noisy only, noise of sigma 25"]["25"]["psnr"]


NVT = (
    Target(
        "interpolation, area down and bilinear up: distance from 22.58 dB",
        lambda results: abs(results["interpolation"]["area"]["bilinear"]["psnr"] - 22.58),
        0.05,
        False,
    ),
    Target(
        "five images, sigma 50 clipped: fast over Self2Self given 100 times as long, dB",
        lambda results: _self2self("random")(results)["fast_over_it"]["mean"],
        1.0,
    ),
    Target("the same images, fast, s", _self2self("fast_seconds"), 2.0, False),
    Target("PolyU, balanced over fast, dB", lambda results: _balanced("over_fast")(results)["mean"], 0.15),
    Target("PolyU, balanced, s a crop", _balanced("seconds"), 30.0, False),
    Target("PolyU, balanced over fast on the worst crop, dB", _balanced("worst_over_fast"), -0.1),
    Target(
        "a folder of noisy images alone, half exposure: its network over fast, lower end, dB",
        lambda results: results["noisy_only"]["half exposure"]["noisy_only_over_fast"]["ci95"][0],
        0.01,
    ),
    Target("sigma 25, lost by noisy-only pre-training, dB", _noisy_only_loss, 0.4, False),
)


def _segmented(name: str) -> Callable[[Results], float]:
    return lambda results: results["segmentation"]["paired"][name]["over_baseline"]["mean"]


def _hardened(network: str, name: str) -> Callable[[Results], float]:
    return lambda results: results["hardening"][network][name]


def _of_hardened(words: str, network: str) -> tuple[Target, ...]:
    latency = _hardened(network, "latency_ratio")
    return (
        Target(f"{words}, branches folded, relative error", _hardened(network, "fusion_error_fp32"), 1e-5, False),
        Target(f"{words}, latency, distance from 1", lambda results: abs(latency(results)["ratio"] - 1), 0.02, False),
    )


TASKS = (
    Target("CamVid, Gaussian 3, points of mIoU over the baseline", _segmented("gaussian"), 8.0),
    Target("CamVid, clean points of mIoU lost", lambda results: -_segmented("clean")(results), 1.0, False),
    *_of_hardened("Mask R-CNN of torchvision", "maskrcnn_resnet50_fpn"),
    *_of_hardened("SegFormer of transformers", "segformer"),
    Target(
        "two processes beside one, relative gap of the loss", lambda r: r["scale"]["accelerate_loss_gap"], 1e-4, False
    ),
    Target("files lost when a worker is killed", lambda r: float(r["scale"]["ray_files_lost"]), 0.0, False),
)


def beside_targets(results: Results, targets: Sequence[Target]) -> list[dict[str, object]]:
    """Each target with what was measured."""
    rows = []
    for target in targets:
        measured = float(f"{target.read(results):.4g}")
        met = measured >= target.bound if target.at_least else measured <= target.bound
        rows.append({"case": target.case, "target": target.bound, "measured": measured, "met": met})
    return rows
