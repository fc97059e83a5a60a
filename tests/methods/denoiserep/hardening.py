"""Hardening in one line, and what its table says."""

from __future__ import annotations

from noisewise.methods.denoiserep import attach

__all__ = ["NOISE", "as_it_is", "hardened", "statuses"]

NOISE = "gaussian:sigma=25"


def as_it_is(pixels):
    """No preprocessing."""
    return pixels


def hardened(model, data, noise=NOISE, *, targets="auto", **options):
    """A handle fitted on pairs."""
    return attach(model, targets, mode="paired").fit_paired(data, noise, **({"preprocess": as_it_is} | options))


def statuses(handle):
    """What the table says of each layer."""
    return {row.name: row.status for row in handle.table()}
