"""The command line that the benchmarks share."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

__all__ = ["benchmark_parser", "parse_with_data", "write_results"]


def benchmark_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with ``--data`` and ``--json``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("NOISEWISE_DATA"), help="folder of the data sets")
    parser.add_argument("--json", type=Path, help="where to write the results")
    return parser


def parse_with_data(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, ``data`` among them as a path."""
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("name the folder of the data sets with --data or NOISEWISE_DATA")
    arguments.data = Path(arguments.data)
    return arguments


def write_results(results: dict[str, Any], path: Path | None) -> None:
    """To ``path`` as JSON, or to the screen."""
    text = json.dumps(results, indent=2)
    print(text) if path is None else path.write_text(text + "\n")
