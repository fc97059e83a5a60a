"""Rows of figures on standard output: a table for people, JSON for machines."""

from __future__ import annotations

import json
from typing import Any

import typer

__all__ = ["print_rows"]


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows that share their keys; numbers with two decimals, pairs as intervals."""
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(highlight=False).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"[{value[0]:.2f}, {value[1]:.2f}]".replace("[", r"\[")
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
