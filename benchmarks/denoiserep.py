"""What DenoiseRep and its paired form do for trained networks, beside the alternatives, in one run.

    python benchmarks/denoiserep.py --data DIR [--quick] [--json FILE] [--work DIR]

The networks of ``benchmarks/networks/`` were trained on clean images by ``train_networks.py``. Every defence gets the
same training images; accuracy is top-1 in percent on validation images that nothing was fitted on, mean over seeds of
the fit, with a 95 % bootstrap interval over the images. Gaussian noise: all images, all seeds. Others: a part of
the images, the first seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from rich.progress import track
from safetensors.torch import load_file
from torch import Tensor, nn

from arguments import benchmark_parser, parse_with_data, write_results
from cells import Hits, accuracy, points_over
from defences import DEFENCES, Supply, defences_of
from exactness import architectures, descent_gap, fusion_errors
from fit_cost import fit_cost
from labelled_sets import unpacked
from noisewise.contracts import Noise
from noisewise.data.classification import CLASSIFICATION_DATASETS, LabelledImages, resize_and_crop
from noisewise.data.reidentification import REIDENTIFICATION_DATASETS
from noisewise.data.resized import load_resized
from noisewise.measure.classification import mean_corruption_error
from noisewise.measure.latency import latency_ratio
from noisewise.measure.retrieval import Retrieval
from noisewise.measure.statistics import bootstrap_mean
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.small import small_resnet, small_vit, strided_resnet
from noisewise.tasks.classification import CorruptionSuite, corruption_errors, corruptions, evaluate
from noisewise.tasks.reidentification import Reidentification
from provenance import provenance
from targets import HARDENING, beside_targets

NETWORKS = Path(__file__).parent / "networks"
CLASSIFIERS = {"resnet": small_resnet, "vit": small_vit, "strided_resnet": strided_resnet}
SEEDS = (0, 1, 2)
SEEDED = (
    "sgd_label_free",
    "sgd_label_augmented",
    "paired",
    "paired_careful",
    "paired_downstream",
    "batchnorm",
    "batchnorm_noisy_only",
    "fine_tuned",
)
CLEAN_WEIGHTS = {"resnet": 2.0, "vit": 0.5, "strided_resnet": 2.0}
"""Of paired hardening, chosen on the development images."""

SIDE, REID_SIDE, REID_OUTPUTS = 64, 112, 128
CALIBRATION, TESTED, SUITE_IMAGES = 1000, 1488, 128
DEVELOPMENT = 512  # validation images on which settings were chosen, and which are not tested on
ARCHITECTURES = (
    *timm.list_models("test_*"),
    "convnext_atto",
    "deit_tiny_patch16_224",
    "mobilenetv3_small_050",
    "resnet18",
    "swinv2_cr_tiny_ns_224",
    "vit_tiny_patch16_224",
)
"""On whose fusion the greatest error is taken, beside the trained networks."""
STRIDED_DEFENCES = ("baseline", "paired", "paired_careful", "batchnorm", "batchnorm_noisy_only", "fine_tuned")
"""On the network that is there for comparison."""

REID_DEFENCES = (
    "baseline",
    "paper_last_only",
    "paper_one_step",
    "wiener",
    "paired",
    "batchnorm",
    "batchnorm_noisy_only",
)


def trained(build: Callable[[], nn.Module], name: str) -> nn.Module:
    """A network with the weights that ``train_networks.py`` wrote, laid out as processors like it."""
    network = build()
    network.load_state_dict(load_file(NETWORKS / f"{name}.safetensors"))
    laid_out: nn.Module = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid_out


def batches(images: LabelledImages, count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """A seeded choice of images as batches of 64."""
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count].tolist()
    pairs = [images[index] for index in chosen]
    pixels, labels = torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])
    return list(zip(torch.split(pixels, 64), torch.split(labels, 64), strict=True))


def supply(root: Path, others: Tensor, name: str, network: nn.Module, count: int) -> Supply:
    train = CLASSIFICATION_DATASETS["folder"](root, "train", transform=resize_and_crop(SIDE, share=1.0))
    parts = batches(train, count, seed=0)
    images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return Supply(images, labels, others, resolve_preprocess(network), CLEAN_WEIGHTS[name])


def classifier_rows(
    network: nn.Module,
    supplied: Supply,
    test: list[tuple[Tensor, Tensor]],
    names: Sequence[str],
    quick: bool,
) -> dict[str, Any]:
    part = test[: SUITE_IMAGES // 64]
    middles: dict[str, Hits] = {}
    errors: dict[str, dict[str, list[float]]] = {}
    rows: dict[str, Any] = {}
    for name in track(names, description="defences"):
        defend = DEFENCES[name]
        seeds = SEEDS if name in SEEDED and not quick else SEEDS[:1]
        made = [defend(network, supplied, seed) for seed in seeds]
        gaussian, middles[name] = gaussian_cells([one.network for one in made], test, supplied)
        suite, errors[name] = suite_cells(made[0].network, part, supplied)
        example = supplied.preprocess(test[0][0][:32])
        rows[name] = {
            **gaussian,
            "gain_at_gaussian_3": points_over(middles[name], middles["baseline"]),
            "suite": suite,
            "mce_of_baseline": round(mean_corruption_error(errors[name], errors["baseline"]), 2),
            "fit_seconds": round(float(np.median([one.seconds for one in made])), 2),
            "forward_images": made[0].forward_images,
            "latency_ratio": latency_ratio(made[0].network, network, example, rounds=6 if quick else 30)._asdict(),
        }
    return rows


def gaussian_cells(
    networks: Sequence[nn.Module], test: list[tuple[Tensor, Tensor]], supplied: Supply
) -> tuple[dict[str, Any], Hits]:
    """Clean and Gaussian cells over the seeds, and the hits at the middle severity."""

    def hits(noise: Noise | None) -> list[list[int]]:
        found = (evaluate(net, test, noise=noise, preprocess=supplied.preprocess).top1 for net in networks)
        return [one.long().tolist() for one in found]

    severities = [hits(noise) for noise in corruptions(["gaussian"])["gaussian"]]
    cells = {
        "clean": accuracy(hits(None)),
        "gaussian": {str(s): accuracy(h) for s, h in enumerate(severities, start=1)},
    }
    return cells, severities[2]


def suite_cells(
    network: nn.Module, part: list[tuple[Tensor, Tensor]], supplied: Supply
) -> tuple[dict[str, dict[str, float]], dict[str, list[float]]]:
    """Accuracy in percent by corruption and severity, and the errors that the mean corruption error compares."""
    accuracies = dict(CorruptionSuite(part, preprocess=supplied.preprocess)(network))
    errors = corruption_errors(accuracies)
    cells = {name: {str(s): round(100 - e, 2) for s, e in enumerate(of, start=1)} for name, of in errors.items()}
    return cells, errors


def reid_rows(network: nn.Module, root: Path, quick: bool) -> dict[str, Any]:
    data, size = REIDENTIFICATION_DATASETS["nyala"](root), (REID_SIDE, REID_SIDE)
    data = replace(data, query=data.query[:16], gallery=data.gallery[:16]) if quick else data
    preprocess = resolve_preprocess(network)
    chosen = data.train[: 32 if quick else CALIBRATION]
    images = torch.stack([load_resized(image.path, size) for image in chosen])
    supplied = Supply(images, torch.zeros(len(images), dtype=torch.long), images, preprocess)
    conditions = {
        "clean": None,
        **{f"gaussian/{s}": n for s, n in enumerate(corruptions()["gaussian"], start=1) if s in (1, 3, 5)},
    }
    rows: dict[str, Any] = {}
    for name in track(REID_DEFENCES, description="re-identification"):
        made = [DEFENCES[name](network, supplied, SEEDS[0])]
        tasks = {label: Reidentification(data, preprocess, noise, size=size) for label, noise in conditions.items()}
        rows[name] = {label: reid_cell([task.find(one.network) for one in made]) for label, task in tasks.items()}
    return rows


def reid_cell(retrievals: Sequence[Retrieval]) -> dict[str, Any]:
    """Mean average precision of several seeds on the same queries, and rank 1."""
    precisions = np.mean([100 * retrieval.average_precisions for retrieval in retrievals], axis=0)
    interval = bootstrap_mean(precisions.tolist(), seed=0)
    rank1 = np.mean([100 * retrieval.hits(1).mean() for retrieval in retrievals])
    ends = [round(interval.low, 2), round(interval.high, 2)]
    return {"mAP": round(interval.mean, 2), "mAP_ci95": ends, "rank1": round(float(rank1), 2)}


def nyala_part(data: Path, *, quick: bool) -> dict[str, Any]:
    embedder = trained(lambda: strided_resnet(REID_OUTPUTS, REID_SIDE), "reid")
    with unpacked(data / "nyala.tar") as folder:
        return reid_rows(embedder, folder, quick)


@dataclass(frozen=True)
class Classifiers:
    """The trained classifiers, what their defences may use, and the images that they are tested on."""

    networks: Mapping[str, nn.Module]
    supplies: Mapping[str, Supply]
    test: list[tuple[Tensor, Tensor]]

    @classmethod
    def read(cls, data: Path, *, quick: bool) -> Classifiers:
        """From the networks' and the data's files."""
        files = sorted((data / "bsds500/train").glob("*.jpg"))[: 16 if quick else None]
        photographs = torch.stack([load_resized(path, (SIDE, SIDE)) for path in files])
        networks = {name: trained(build, name) for name, build in CLASSIFIERS.items()}
        with unpacked(data / "tiny-imagenet-40.tar") as folder:
            images = CLASSIFICATION_DATASETS["folder"](folder, "val", transform=resize_and_crop(SIDE, share=1.0))
            held_out = batches(images, DEVELOPMENT + TESTED, seed=0)[DEVELOPMENT // 64 :]
            test = [(pixels[:8], labels[:8]) for pixels, labels in held_out[:1]] if quick else held_out
            count = 32 if quick else CALIBRATION
            supplies = {name: supply(folder, photographs, name, one, count) for name, one in networks.items()}
        return cls(networks, supplies, test)

    def rows(self, name: str, defences: Sequence[str], *, quick: bool) -> dict[str, Any]:
        """Of one of them."""
        return classifier_rows(self.networks[name], self.supplies[name], self.test, defences, quick)


def tiny_imagenet_parts(data: Path, *, quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """What is measured on the classifiers, by name."""
    classifiers = Classifiers.read(data, quick=quick)
    networks, supplies = classifiers.networks, classifiers.supplies
    others = architectures(SIDE, ARCHITECTURES[:1] if quick else ARCHITECTURES)
    inputs, epochs = supplies["vit"].inputs(supplies["vit"].images), 1 if quick else 50
    return {
        "fusion": lambda: fusion_errors({**networks, **others}, classifiers.test[0][0][:16]),
        "fit": lambda: fit_cost(networks["resnet"], supplies["resnet"].images),
        "descent": lambda: descent_gap(networks["vit"], inputs, epochs),
        **{
            name: partial(classifiers.rows, name, rows_of(name, network), quick=quick)
            for name, network in networks.items()
        },
    }


def rows_of(name: str, network: nn.Module) -> Sequence[str]:
    return STRIDED_DEFENCES if name == "strided_resnet" else list(defences_of(network))


def kept(work: Path | None, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an earlier run ``measured`` and left in ``work``, or what is measured now, and the ``commit`` it is from."""
    path = None if work is None else work / f"{name}.json"
    if path is not None and path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    commit = provenance(0)["commit"]
    found = {"commit": commit, "measured": measure()}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_results(found, path)
    return found


def run(data: Path, work: Path | None, *, quick: bool) -> dict[str, Any]:
    began = provenance(0)
    parts = {"nyala": partial(nyala_part, data, quick=quick)} | tiny_imagenet_parts(data, quick=quick)
    found = {name: kept(work, f"quick-{name}" if quick else name, measure) for name, measure in parts.items()}
    results = {name: part["measured"] for name, part in found.items()}
    results["tiny_imagenet"] = {name: results.pop(name) for name in CLASSIFIERS}
    results["latency_ratio"] = results["tiny_imagenet"]["resnet"]["paired"]["latency_ratio"]["ratio"]
    targets = beside_targets(results, HARDENING)
    commits = {"commits": {name: part["commit"] for name, part in found.items()}}
    return results | {"targets": targets, "quick": quick, "provenance": began | commits}


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, one seed: a smoke test, not a figure")
    parser.add_argument(
        "--work", type=Path, help="folder where measured parts are kept, to go on after an interruption"
    )
    arguments = parse_with_data(parser)
    write_results(run(arguments.data, arguments.work, quick=arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
