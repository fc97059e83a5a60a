"""Tables of hardened networks."""

from __future__ import annotations

from table_parts import results, top1

__all__ = ["downstream_table", "hardening_summary", "hardening_table", "reidentification_table"]

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
    "paired_downstream": "paired hardening, `downstream`",
    "fine_tuned": "fine-tuning with labels",
}


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


def downstream_table() -> str:
    """All classifiers, clean and at three severities of Gaussian noise."""
    measured = results("downstream")
    rows = ["| top-1 in % | clean | Gaussian 1 | 3 | 5 | mCE |", f"|---{'|---:' * 5}|"]
    for network in ("resnet", "strided_resnet", "vit"):
        for name, scores in measured[network].items():
            shown = [scores["clean"], *(scores["gaussian"][severity] for severity in "135")]
            cells = " | ".join(top1(one, bold=False) for one in shown)
            rows.append(f"| `{network}`, {DEFENCES[name].strip('*')} | {cells} | {scores['mce_of_baseline']:.1f} |")
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
