"""Tables of noise inside networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from table_parts import results, spread

__all__ = [
    "adaptation_table",
    "grouped_table",
    "injected_summary",
    "injected_table",
    "tracklets_table",
    "training_only_table",
]

INJECTED = {
    "gaussian": "Gaussian",
    "salt_and_pepper": "salt and pepper",
    "circular": "circular shift",
    "optimal": "optimal Q",
}
NETWORKS = {"resnet": "ResNet", "vit": "ViT"}
WHEN = {"test": "test only", "both": "training and test", "train": "training only"}
VERDICTS = {True: "**depends on the batch**", False: "passed"}


def states(cells: Mapping[str, Any]) -> str:
    """Accuracy in every kind of batch, and the verdict."""
    shown = [spread(cells[state]) for state in ("off", "shuffled", "sorted", "bs1")]
    return " | ".join([*shown, VERDICTS[cells["order_dependent"]]])


def injected_table(network: str) -> str:
    """Every noise of one classifier, when it is on, and in which batches it is asked."""
    measured = results("positive_noise")[network]
    rows = [
        "| noise | on in | off | shuffled | sorted by class | one image | audit |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, noise in INJECTED.items():
        for when, words in WHEN.items():
            rows.append(f"| {noise} | {words} | {states(measured[name][when])} |")
    return "\n".join(rows)


def injected_summary() -> str:
    """The two noises that mix, at test, in either network."""
    measured = results("positive_noise")
    rows = [
        "| top-1 in %, noise at test | off | batches of ten, shuffled | sorted by class | one image | audit |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for network, words in NETWORKS.items():
        cells = measured[network]
        rows += [
            f"| {words}, {INJECTED[noise]} | {states(cells[noise]['test'])} |" for noise in ("optimal", "circular")
        ]
    return "\n".join(rows)


def training_only_table() -> str:
    """Points over a control that was trained on as long without noise."""
    measured = results("positive_noise")
    rows = ["| in training only, points over the control | ResNet | ViT |", "|---|---:|---:|"]
    for name, noise in INJECTED.items():
        gains = [spread(measured[network][name]["training_only_gain"], signed=True) for network in NETWORKS]
        rows.append(f"| {noise} | {' | '.join(gains)} |")
    return "\n".join(rows)


KINDS = {
    "shifted_views": "mirrored and shifted views",
    "static_burst": "static burst, noise of sigma 46",
    "moving_burst": "moving burst, noise of sigma 46",
}
METHODS = {
    "one_view": "one view",
    "logit_averaging": "logits averaged",
    "classifier": "Q before the classifier",
    "last_block": "Q before the last block",
    "two_stages_earlier": "Q two stages earlier",
}


def grouped_table() -> str:
    """Optimal Q inside groups of eight views, beside the mean of the logits."""
    measured = results("positive_noise")["grouped"]
    rows = [f"| top-1 in % | {' | '.join(METHODS.values())} |", f"|---{'|---:' * len(METHODS)}|"]
    rows += [f"| {words} | {' | '.join(spread(measured[kind][m]) for m in METHODS)} |" for kind, words in KINDS.items()]
    return "\n".join(rows)


def tracklets_table() -> str:
    """Mean average precision with optimal Q inside tracklets."""
    measured = results("positive_noise")["grouped"]["tracklets"]
    words = METHODS | {"one_image": "one image", "embedding_averaging": "embeddings averaged"}
    rows = ["| Nyala | mAP in % | rank 1 |", "|---|---:|---:|"]
    for name, scores in measured.items():
        rows.append(f"| {words[name]} | {spread(scores['mAP'])} | {spread(scores['rank1'])} |")
    return "\n".join(rows)


ADAPTED = {
    "source_only": "source only",
    "source_only_circular": "source only, circular shift in training",
    "coral": "CORAL",
    "dann": "DANN",
    "tvt": "TVT",
    "tvt_circular": "TVT, circular shift in training",
}


def adaptation_table() -> str:
    """Accuracy on the target, and points over source only."""
    measured = results("positive_noise")["adaptation"]
    rows = [f"| top-1 in % | {' | points | '.join(measured)} | points |", f"|---{'|---:' * 2 * len(measured)}|"]
    for name in filter(next(iter(measured.values())).__contains__, ADAPTED):
        cells = [
            c for of in measured.values() for c in (spread(of[name]), spread(of[name]["over_source_only"], signed=True))
        ]
        rows.append(f"| {ADAPTED[name]} | {' | '.join(cells)} |")
    return "\n".join(rows)
