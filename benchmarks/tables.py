"""Write the tables of README, model card, recipes and documentation from the committed results.

    python benchmarks/tables.py [--check]

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; ``--check`` only says whether all are
up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import table_nvt
import table_tasks
from table_denoise import denoise_table, families_table
from table_hardening import downstream_table, hardening_summary, hardening_table, reidentification_table
from table_parts import ROOT, targets_table
from table_positive_noise import (
    adaptation_table,
    grouped_table,
    injected_summary,
    injected_table,
    tracklets_table,
    training_only_table,
)
from table_recipes import RECIPE_FILES, recipe_filled, recipes_table

PAGES = (
    ROOT / "README.md",
    ROOT / "docs/denoiserep.md",
    ROOT / "docs/nvt.md",
    ROOT / "docs/positive-noise.md",
    ROOT / "docs/tasks.md",
    ROOT / "recipes/README.md",
    ROOT / "src/noisewise/models/weights/denoiser.md",
)
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

TABLES: dict[str, Callable[[], str]] = {
    "denoise": denoise_table,
    "families": families_table,
    "targets": partial(targets_table, "denoise"),
    "hardened": hardening_summary,
    "hardened_resnet": partial(hardening_table, "resnet"),
    "hardened_vit": partial(hardening_table, "vit"),
    "hardened_reid": reidentification_table,
    "hardened_strided": partial(hardening_table, "strided_resnet"),
    "hardened_downstream": downstream_table,
    "hardening_targets": partial(targets_table, "denoiserep"),
    "injected": injected_summary,
    "injected_resnet": partial(injected_table, "resnet"),
    "injected_vit": partial(injected_table, "vit"),
    "training_only": training_only_table,
    "grouped": grouped_table,
    "tracklets": tracklets_table,
    "adaptation": adaptation_table,
    "interpolation": table_nvt.interpolation_table,
    "mixup": partial(table_nvt.pretraining_table, "mixup"),
    "noise_injection": partial(table_nvt.pretraining_table, "noise_injection"),
    "nrl_ablation": partial(table_nvt.pretraining_table, "nrl_ablation"),
    "noisy_only": table_nvt.noisy_only_table,
    "race": table_nvt.race_table,
    "self2self": table_nvt.self2self_table,
    "quality": table_nvt.adaptation_table,
    "coarse_noise": table_nvt.coarse_noise_table,
    "grey_noise": table_nvt.grey_noise_table,
    "recipes": recipes_table,
    "nvt_targets": partial(targets_table, "nvt"),
    "dense": table_tasks.tasks_summary,
    "segmented": table_tasks.segmentation_table,
    "segmenter_weights": table_tasks.weights_table,
    "segmenter_forms": table_tasks.segmentation_forms_table,
    "detected": table_tasks.detection_table,
    "model_zoo": table_tasks.model_zoo_table,
    "tasks_targets": partial(targets_table, "tasks"),
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
    texts = {page: filled(page) for page in PAGES} | {recipe: recipe_filled(recipe) for recipe in RECIPE_FILES}
    stale = [page for page, text in texts.items() if text != page.read_text()]
    if check and stale:
        sys.exit(f"out of date: {', '.join(page.name for page in stale)}; run python benchmarks/tables.py")
    for page in stale:
        page.write_text(texts[page])


if __name__ == "__main__":
    main()
