"""Benchmarks of several parts, each of which can be measured by itself and keeps its own provenance."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from arguments import benchmark_parser, parse_with_data, write_results
from provenance import provenance
from targets import Target, beside_targets

__all__ = ["Part", "run_parts"]

Part = Callable[..., dict[str, Any]]
"""From the folder of the data sets and one for its own work, ``quick`` or not, to what was measured."""


def run_parts(
    description: str | None, parts: Mapping[str, Part], targets: Sequence[Target], *, spread: Sequence[str] = ()
) -> None:
    """The command line of such a benchmark; those in ``spread`` give several entries of the results."""
    arguments = parse_with_data(_parser(description, parts))
    results = {} if arguments.quick else _earlier(arguments.json)
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.parts:
            began = provenance(0)
            found = parts[name](arguments.data, arguments.work or Path(folder), quick=arguments.quick)
            results |= found if name in spread else {name: found}
            results["provenance"] = results.get("provenance", {}) | {name: began}
            results["quick"] = arguments.quick
            if arguments.json is not None:
                write_results(results, arguments.json)  # what took hours is kept, whatever comes
        if set(results["provenance"]) == set(parts):
            results["targets"] = beside_targets(results, targets)
            if arguments.json is not None:
                write_results(results, arguments.json)
    if arguments.json is None:
        write_results(results, None)


def _parser(description: str | None, parts: Mapping[str, Part]) -> argparse.ArgumentParser:
    parser = benchmark_parser(description)
    parser.add_argument("--quick", action="store_true", help="few images and steps: a smoke test, not a figure")
    parser.add_argument("--work", type=Path, help="folder where runs are kept, to go on after an interruption")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="what to measure")
    return parser


def _earlier(path: Path | None) -> dict[str, Any]:
    """What stands in the file, but for what was only a smoke test."""
    found: dict[str, Any] = json.loads(path.read_text()) if path is not None and path.is_file() else {}
    return {} if found.get("quick") else found
