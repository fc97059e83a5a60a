"""Noise inside networks on purpose: what it is worth in training and at test, and what of that survives an audit.

    python benchmarks/positive_noise.py --data DIR [--quick] [--json FILE] [--work DIR]

The networks of ``benchmarks/networks/`` are trained on for two epochs with each noise after the last block's place, and
once without as the control. Accuracy is top-1 in percent on validation images, mean over seeds, with a 95 % bootstrap
interval over the images. Run again with the same ``--work``, it goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from adaptation import adaptation_cells
from arguments import benchmark_parser, parse_with_data, write_results
from denoiserep import CLASSIFIERS, trained
from grouped import grouped_cells
from injected import Bench, mean_hits
from labelled_sets import tiny_imagenet, unpacked
from noisewise.measure.statistics import bootstrap_mean, paired_bootstrap
from noisewise.models.preprocess import resolve_preprocess
from noisewise.noise import parse_feature_noise
from noisewise.studies import grid_points, sweep
from noisewise.surgery import find_places
from provenance import provenance

NOISES = {
    "gaussian": "gaussian:sigma=0.5",
    "salt_and_pepper": "salt_and_pepper:probability=0.1",
    "circular": "circular:strength=0.3",
    "optimal": "optimal",
}
SEEDS = (0, 1, 2)
STRENGTHS = (0.1, 0.3, 0.5)
STATES = ("off", "shuffled", "sorted", "bs1")
SWEPT = 500

Rows = Sequence[Mapping[str, Any]]


def test_only(benches: Mapping[str, Bench], network: str, noise: str, seed: int, device: str) -> dict[str, Any]:
    return benches[network].asked(benches[network].network, NOISES[noise], seed)


def further_trained(benches: Mapping[str, Bench], network: str, noise: str, seed: int, device: str) -> dict[str, Any]:
    bench, spec = benches[network], NOISES.get(noise)
    changed = bench.trained_further(spec, seed)
    return {"train": bench.asked(changed, None, seed), "both": bench.asked(changed, spec, seed)}


def swept(benches: Mapping[str, Bench], network: str, block: int, strength: float, device: str) -> dict[str, Any]:
    bench = benches[network]
    part = Bench(bench.network, bench.training, bench.pixels[:SWEPT], bench.labels[:SWEPT], bench.preprocess)
    asked = part.asked(part.network, f"circular:strength={strength}", 0, block)
    figures = {state: 100 * sum(asked[state]) / len(asked[state]) for state in STATES}
    return figures | {"order_dependent": asked["order_dependent"]}


def cell(runs: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Accuracy of several seeds on the same images."""
    interval = bootstrap_mean(mean_hits(runs), seed=0)
    return {"mean": round(interval.mean, 2), "ci95": [round(interval.low, 2), round(interval.high, 2)]}


def difference(runs: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> dict[str, Any]:
    """First minus second in points, on the same images."""
    interval = paired_bootstrap(mean_hits(runs), mean_hits(others), seed=0)
    return {"mean": round(interval.mean, 2), "ci95": [round(interval.low, 2), round(interval.high, 2)]}


def noise_cells(at_test: Rows, trained_on: Rows, network: str, noise: str) -> dict[str, Any]:
    """All that is said of one noise in one network."""
    mine = {"network": network, "noise": noise}
    test, train = chosen(at_test, **mine), chosen(trained_on, **mine)
    runs = {"train": [row["train"] for row in train], "test": test, "both": [row["both"] for row in train]}
    control = [row["train"]["off"] for row in chosen(trained_on, network=network, noise="none")]
    cells: dict[str, Any] = {}
    for when, rows in runs.items():
        states = [state for state in STATES if state in rows[0]]
        cells[when] = {state: cell([row[state] for row in rows]) for state in states}
        cells[when]["order_dependent"] = any(row["order_dependent"] for row in rows)
    leak = difference([row["sorted"] for row in test], [row["shuffled"] for row in test])
    gain = difference([row["off"] for row in runs["train"]], control)
    return cells | {"sorted_minus_shuffled_at_test": leak, "training_only_gain": gain}


def chosen(rows: Rows, **fields: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def bench(folder: Path, name: str, *, quick: bool) -> Bench:
    network, train, test = (
        trained(CLASSIFIERS[name], name),
        tiny_imagenet(folder, "train"),
        tiny_imagenet(folder, "val"),
    )
    order = torch.randperm(len(test.labels), generator=torch.Generator().manual_seed(0))[: 120 if quick else None]
    pixels, labels = test.images[order] / 255, test.labels[order]
    return Bench(network, train, pixels, labels, resolve_preprocess(network), steps=2 if quick else 624)


def audited(cells: Mapping[str, Mapping[str, Any]], rows: Rows) -> dict[str, Any]:
    """Which noises the audit flags at test, and how many networks without mixing it takes for ones with it."""
    flagged = sorted({noise for of in cells.values() for noise, cell in of.items() if cell["test"]["order_dependent"]})
    innocent = [row["train"]["order_dependent"] for row in rows]
    return {"flagged": flagged, "false_alarms": sum(innocent), "networks_without_mixing": len(innocent)}


def run(data: Path, work: Path, *, quick: bool) -> dict[str, Any]:
    seeds, noises = SEEDS[:1] if quick else SEEDS, list(NOISES)
    with unpacked(data / "tiny-imagenet-40.tar") as folder:
        benches = {name: bench(folder, name, quick=quick) for name in CLASSIFIERS}
    grid = {"network": list(benches), "noise": noises, "seed": seeds}
    at_test = resumable(partial(test_only, benches), grid, work / "test.jsonl")
    trained_on = resumable(partial(further_trained, benches), grid | {"noise": ["none", *noises]}, work / "train.jsonl")
    strengths = {"strength": STRENGTHS[1:2] if quick else STRENGTHS}
    layers: list[dict[str, Any]] = []
    for name, one in benches.items():
        blocks = list(range(len(find_places(one.network))))
        layers += resumable(
            partial(swept, benches), {"network": [name], "block": blocks} | strengths, work / "sweep.jsonl"
        )
    cells = {name: {noise: noise_cells(at_test, trained_on, name, noise) for noise in noises} for name in benches}
    controls = {
        name: cell([row["train"]["off"] for row in chosen(trained_on, network=name, noise="none")]) for name in benches
    }
    return {
        **cells,
        "controls": controls,
        "noises": {name: str(parse_feature_noise(spec)) for name, spec in NOISES.items()},
        "sweep": layers,
        "grouped": grouped_cells(data, benches["resnet"], quick=quick),
        "adaptation": adaptation_cells(data, work, benches["vit"].network, seeds, quick=quick),
        "audit": audited(cells, trained_on),
        "quick": quick,
        "provenance": provenance(0),
    }


def resumable(experiment: Callable[..., Mapping[str, Any]], grid: Mapping[str, Sequence[Any]], path: Path) -> Rows:
    with Progress() as bar:
        task = bar.add_task(path.stem, total=None)
        return sweep(
            experiment, grid_points(grid), path, progress=lambda done, of: bar.update(task, completed=done, total=of)
        )


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
