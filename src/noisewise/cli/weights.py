"""A network's weights on their way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["check_weights_target", "save_weights", "told_of_full_disks"]


def check_weights_target(output: Path, *, overwrite: bool) -> None:
    """Fails, before any work is spent, where weights cannot be written to ``output``.

    Raises:
        OutputError: its name does not end in .safetensors, or as for `check_target`.
    """
    from noisewise._files import check_target
    from noisewise.errors import OutputError

    if output.suffix != ".safetensors":
        raise OutputError(f"expected a name that ends in .safetensors for the weights, got {output.name}")
    check_target(output, overwrite=overwrite)


def save_weights(network: nn.Module, output: Path, *, overwrite: bool) -> None:
    """Write the state dict, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    from noisewise._files import write_atomically
    from noisewise.models.weights import state_dict_bytes

    with told_of_full_disks(output):
        write_atomically(output, state_dict_bytes(network), overwrite=overwrite)


@contextmanager
def told_of_full_disks(output: Path) -> Iterator[None]:
    """Within it, a file that cannot be written is told in one line."""
    from safetensors import SafetensorError

    from noisewise.errors import OutputError

    try:
        yield
    except (SafetensorError, OSError) as reason:
        mend = "check the folder's permissions and free space, then run the same command again"
        raise OutputError(f"cannot write {output} or its checkpoint: {reason}; {mend}") from reason
