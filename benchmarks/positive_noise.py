"""Noise inside networks on purpose: what it is worth in training and at test, and what of that survives an audit.

    python benchmarks/positive_noise.py --data DIR [--quick] [--json FILE] [--work DIR]

The networks of ``benchmarks/networks/`` are trained on with each noise in the last block's place, and once without as
the control. Accuracy is top-1 in percent on validation images, mean over seeds, with a 95 % bootstrap interval over
the images. Run again with the same ``--work``, it goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from adaptation import adaptation_cells
from arguments import benchmark_parser, parse_with_data, write_results
from audit_cost import audit_cost
from cells import Hits, accuracy, points_over
from denoiserep import trained
from grouped import grouped_cells
from labelled_sets import tiny_imagenet, unpacked
from noisewise.models.preprocess import resolve_preprocess
from noisewise.models.small import small_vit, strided_resnet
from noisewise.studies import InjectionStudy, grid_points, sweep
from noisewise.studies.injection import CONTROL, STATES
from noisewise.surgery import find_places
from noisewise.train import Schedule
from noisewise.train.classifier import LabelledPixels
from provenance import provenance
from targets import POSITIVE_NOISE, beside_targets

NETWORKS = {"resnet": (strided_resnet, "strided_resnet"), "vit": (small_vit, "vit")}
NOISES = {
    "gaussian": "gaussian:sigma=0.5",
    "salt_and_pepper": "salt_and_pepper:probability=0.1",
    "circular": "circular:strength=0.3",
    "optimal": "optimal",
}
UNMIXED = ("gaussian", "salt_and_pepper")
SEEDS, STRENGTHS = (0, 1, 2), (0.1, 0.3, 1.0)
TESTED, SWEPT = 1000, 200
STEPS, BATCH = 312, 64  # one epoch

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Asked:
    """An experiment for a sweep: the hits of one run, as they are kept in the file of rows."""

    study: InjectionStudy

    def __call__(self, *, noise: str, when: Any, seed: int, device: str, **told: str) -> dict[str, Any]:
        """What else is told only tells the run from others."""
        answers = self.study.answers(NOISES.get(noise, CONTROL), 1.0, "last", when, seed, device)
        hits = {state: hits.long().tolist() for state, hits in answers.hits.items()}
        return hits | {"order_dependent": answers.order_dependent}


def study(folder: Path, name: str, *, quick: bool) -> InjectionStudy:
    build, weights = NETWORKS[name]
    network, every = trained(build, weights), tiny_imagenet(folder, "val")
    order = torch.randperm(len(every.labels), generator=torch.Generator().manual_seed(0))[: 120 if quick else TESTED]
    held_out = LabelledPixels(every.images[order], every.labels[order])
    steps = 2 if quick else STEPS
    schedule = Schedule(steps, BATCH, every.images.shape[-1], 2e-4, warmup=max(1, steps // 10), decay=0.7, ema=0.99)
    return InjectionStudy(network, held_out, resolve_preprocess(network), tiny_imagenet(folder, "train"), schedule)


def noise_cells(rows: Rows, network: str, noise: str) -> dict[str, Any]:
    """All that is said of one noise in one network."""
    runs = {when: chosen(rows, network=network, noise=noise, when=when) for when in ("train", "test", "both")}
    cells: dict[str, Any] = {when: state_cells(of) for when, of in runs.items()}
    control = hits(chosen(rows, network=network, noise=CONTROL), "off")
    leak = points_over(hits(runs["test"], "sorted"), hits(runs["test"], "shuffled"))
    gain = points_over(hits(runs["train"], "off"), control)
    return cells | {"sorted_minus_shuffled_at_test": leak, "training_only_gain": gain}


def state_cells(rows: Rows) -> dict[str, Any]:
    cells: dict[str, Any] = {state: accuracy(hits(rows, state)) for state in STATES}
    return cells | {"order_dependent": any(row["order_dependent"] for row in rows)}


def hits(rows: Rows, state: str) -> Hits:
    return [row[state] for row in rows]


def chosen(rows: Rows, **fields: Any) -> Rows:
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def swept(studies: Mapping[str, InjectionStudy], work: Path, *, quick: bool) -> list[dict[str, Any]]:
    """Circular shift and optimal Q at test, by block and strength."""
    rows = []
    for name, whole in studies.items():
        part = LabelledPixels(*(values[:SWEPT] for values in whole.held_out))
        blocks = list(range(len(find_places(whole.network))))
        grid = {"noise": ["circular:strength=1", "optimal"], "strength": STRENGTHS[: 1 if quick else None]}
        experiment = InjectionStudy(whole.network, part, whole.preprocess)
        told = {"layer": blocks, "when": ["test"], "seed": [0], "study": [experiment.fingerprint()]}
        found = resumable(experiment, grid_points(grid | told), work / f"sweep-{name}.jsonl")
        rows += [{"network": name} | row for row in found]
    return rows


def verdicts(cells: Mapping[str, Mapping[str, Any]], rows: Rows) -> dict[str, Any]:
    """Which noises the audit flags at test, and how often it takes a network that mixes nothing for one that does."""
    flagged = sorted({noise for of in cells.values() for noise, cell in of.items() if cell["test"]["order_dependent"]})
    innocent = [row["order_dependent"] for row in rows if row["when"] == "train" or row["noise"] in UNMIXED]
    return {"flagged": flagged, "false_alarms": sum(innocent), "runs_without_mixing": len(innocent)}


def asked(name: str, study: InjectionStudy, work: Path, *, quick: bool) -> Rows:
    """The control, and every noise in training only, at test only and in both."""
    told = {"network": [name], "study": [study.fingerprint()], "seed": SEEDS[: 1 if quick else None]}
    points = grid_points(told | {"noise": [CONTROL], "when": ["train"]})
    points += grid_points(told | {"noise": list(NOISES), "when": ["test", "train", "both"]})
    return resumable(Asked(study), points, work / f"{name}.jsonl")


def run(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    began = provenance(0)
    with unpacked(data / "tiny-imagenet-40.tar") as folder:
        studies = {name: study(folder, name, quick=quick) for name in NETWORKS}
    rows = [row for name, one in studies.items() for row in asked(name, one, work, quick=quick)]
    cells = {name: {noise: noise_cells(rows, name, noise) for noise in NOISES} for name in studies}
    controls = {name: accuracy(hits(chosen(rows, network=name, noise=CONTROL), "off")) for name in studies}
    results = {
        **cells,
        "controls": controls,
        "noises": NOISES,
        "sweep": swept(studies, work, quick=quick),
        "grouped": grouped_cells(data, studies["resnet"], quick=quick),
        "audit": verdicts(cells, rows)
        | {"cost": audit_cost(studies["resnet"].network, studies["resnet"].held_out, quick=quick)},
        "adaptation": adaptation_cells(data, work, studies["vit"].network, SEEDS[: 1 if quick else None], quick=quick),
    }
    return results | {"targets": beside_targets(results, POSITIVE_NOISE), "quick": quick, "provenance": began}


def resumable(experiment: Callable[..., Mapping[str, Any]], points: list[dict[str, Any]], path: Path) -> Rows:
    with Progress() as bar:
        task = bar.add_task(path.stem, total=None)
        return sweep(experiment, points, path, progress=lambda done, of: bar.update(task, completed=done, total=of))


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few images and steps, one seed: a smoke test, not a figure"
    )
    parser.add_argument("--work", type=Path, help="folder where runs are kept, to go on after an interruption")
    arguments = parse_with_data(parser)
    with tempfile.TemporaryDirectory() as folder:
        results = run(arguments.data, arguments.work or Path(folder), quick=arguments.quick)
    write_results(results, arguments.json)


if __name__ == "__main__":
    main()
