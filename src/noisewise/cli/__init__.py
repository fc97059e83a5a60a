"""The command line: thin faces over the public API."""

from noisewise.cli.app import main

__all__ = ["main"]
