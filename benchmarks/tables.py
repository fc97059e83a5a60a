"""Write the tables of README, model card and documentation from the committed results.

    python benchmarks/tables.py [--check]

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; ``--check`` only says whether all are
up to date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = (
    ROOT / "README.md",
    ROOT / "docs/denoiserep.md",
    ROOT / "docs/positive-noise.md",
    ROOT / "src/noisewise/models/weights/denoiser.md",
)
RESULTS = ROOT / "benchmarks/results"
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
COLUMNS = {"noisy": "noisy", "opencv_nlm": "OpenCV NLM", "skimage_wavelet": "wavelet", "noisewise": "**noisewise**"}


def results(name: str) -> Mapping[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text())


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


def targets_table(name: str) -> str:
    """What was demanded and what was measured."""
    met = {True: "yes", False: "no"}
    rows = [
        f"| {entry['case']} | {entry['target']} | {entry['measured']} | {met[entry['met']]} |"
        for entry in results(name)["targets"]
    ]
    return "\n".join(["| case | target | measured | met |", "|---|---:|---:|---|", *rows])


DEFENCES = {
    "baseline": "as it was trained",
    "paper_last_only": "DenoiseRep, last layer only",
    "paper_one_step": "DenoiseRep, closed form",
    "paper_printed_eq7": "DenoiseRep, Eq. 7 as printed",
    "sgd_label_free": "DenoiseRep by SGD, no labels",
    "sgd_label_augmented": "DenoiseRep by SGD, labels",
    "merged": "DenoiseRep, two data sets",
    "wiener": "Wiener filters, t = 300",
    "batchnorm": "BatchNorm re-estimation, clean and noisy",
    "batchnorm_noisy_only": "BatchNorm re-estimation, noisy only",
    "denoiser_in_front": "image denoiser in front",
    "paired": "**paired hardening**",
    "paired_careful": "paired hardening, `clean_weight` 8",
    "fine_tuned": "fine-tuning with labels",
}


def top1(scores: Mapping[str, Any], *, bold: bool) -> str:
    value = f"**{scores['mean']:.1f}**" if bold else f"{scores['mean']:.1f}"
    return f"{value} [{scores['ci95'][0]:.1f}, {scores['ci95'][1]:.1f}]"


def hardening_table(network: str) -> str:
    """Every defence of one classifier."""
    measured = results("denoiserep")["tiny_imagenet"][network]
    rows = ["| top-1 in % | clean | Gaussian 1 | 3 | 5 | mCE | fit, s | latency |", f"|---{'|---:' * 7}|"]
    for name in filter(measured.__contains__, DEFENCES):
        label, scores = DEFENCES[name], measured[name]
        shown = [scores["clean"], *(scores["gaussian"][severity] for severity in "135")]
        cells = " | ".join(top1(one, bold=name == "paired") for one in shown)
        ratio = scores["latency_ratio"]["ratio"]
        rows.append(
            f"| {label} | {cells} | {scores['mce_of_baseline']:.1f} | {scores['fit_seconds']:.1f} | {ratio:.2f} |"
        )
    return "\n".join(rows)


SUMMED_UP = ("baseline", "batchnorm", "denoiser_in_front", "paired", "paired_careful", "fine_tuned")


def hardening_summary() -> str:
    """Both classifiers, clean and at the middle severity."""
    measured = results("denoiserep")["tiny_imagenet"]
    rows = ["| top-1 in % | ResNet, clean | sigma 46 | ViT, clean | sigma 46 | latency |", f"|---{'|---:' * 5}|"]
    for name in SUMMED_UP:
        cells = []
        for network in ("resnet", "vit"):
            scores = measured[network].get(name)
            shown = [] if scores is None else [scores["clean"], scores["gaussian"]["3"]]
            cells += [top1(one, bold=name == "paired") for one in shown] or ["-", "-"]
        ratio = measured["resnet"][name]["latency_ratio"]["ratio"]
        rows.append(f"| {DEFENCES[name]} | {' | '.join(cells)} | {ratio:.2f} |")
    return "\n".join(rows)


def reidentification_table() -> str:
    """Mean average precision on Nyala."""
    measured = results("denoiserep")["nyala"]
    conditions = ["clean", "gaussian/1", "gaussian/3", "gaussian/5"]
    rows = ["| mAP in % | clean | Gaussian 1 | 3 | 5 |", f"|---{'|---:' * 4}|"]
    for name, scores in measured.items():
        cells = [
            top1({"mean": scores[c]["mAP"], "ci95": scores[c]["mAP_ci95"]}, bold=name == "paired") for c in conditions
        ]
        rows.append(f"| {DEFENCES[name]} | {' | '.join(cells)} |")
    return "\n".join(rows)


INJECTED = {
    "gaussian": "Gaussian",
    "salt_and_pepper": "salt and pepper",
    "circular": "circular shift",
    "optimal": "optimal Q",
}
WHEN = {"test": "test only", "both": "training and test", "train": "training only"}
VERDICTS = {True: "**depends on the batch**", False: "passed"}


def spread(scores: Mapping[str, Any], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    ends = ", ".join(f"{end:{sign}.1f}" for end in scores["ci95"])
    return f"{scores['mean']:{sign}.1f} [{ends}]"


def injected_table(network: str) -> str:
    """Every noise of one classifier, when it is on, and in which batches it is asked."""
    measured = results("positive_noise")[network]
    rows = [
        "| noise | on in | off | shuffled | sorted by class | one image | audit |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, noise in INJECTED.items():
        for when, words in WHEN.items():
            cells = measured[name][when]
            shown = " | ".join(spread(cells[state]) for state in ("off", "shuffled", "sorted", "bs1"))
            rows.append(f"| {noise} | {words} | {shown} | {VERDICTS[cells['order_dependent']]} |")
    return "\n".join(rows)


def training_only_table() -> str:
    """Points over a control that was trained on as long without noise."""
    measured = results("positive_noise")
    rows = ["| in training only, points over the control | ResNet | ViT |", "|---|---:|---:|"]
    for name, noise in INJECTED.items():
        gains = [spread(measured[network][name]["training_only_gain"], signed=True) for network in ("resnet", "vit")]
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


TABLES: dict[str, Callable[[], str]] = {
    "denoise": denoise_table,
    "families": families_table,
    "targets": partial(targets_table, "denoise"),
    "hardened": hardening_summary,
    "hardened_resnet": partial(hardening_table, "resnet"),
    "hardened_vit": partial(hardening_table, "vit"),
    "hardened_reid": reidentification_table,
    "hardened_strided": partial(hardening_table, "strided_resnet"),
    "hardening_targets": partial(targets_table, "denoiserep"),
    "injected_resnet": partial(injected_table, "resnet"),
    "injected_vit": partial(injected_table, "vit"),
    "training_only": training_only_table,
    "grouped": grouped_table,
    "tracklets": tracklets_table,
    "adaptation": adaptation_table,
    "positive_targets": partial(targets_table, "positive_noise"),
}


def table(name: str) -> str:
    """The table, or that its benchmark has not run yet."""
    try:
        return TABLES[name]()
    except FileNotFoundError:
        return "*Not measured yet.*"


def filled(page: Path) -> str:
    """The page with its tables made anew."""
    return MARKED.sub(lambda found: f"{found[1]}{table(found[2])}\n{found[3]}", page.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where a table is out of date")
    check = parser.parse_args().check
    stale = [page for page in PAGES if filled(page) != page.read_text()]
    if check and stale:
        sys.exit(f"out of date: {', '.join(page.name for page in stale)}; run python benchmarks/tables.py")
    for page in stale:
        page.write_text(filled(page))


if __name__ == "__main__":
    main()
