"""Where in a network noise is injected: its blocks in order, and in each the place that the paper names.

Source: Explore Positive Noise in Deep Learning: in a transformer after the first norm of a block, in a ResNet after a
block of a stage.
"""

from __future__ import annotations

import difflib
import math
import re

from torch import nn

from noisewise.errors import SurgeryError

__all__ = ["find_places", "prefix_tokens", "resolve_place"]

_BLOCK = re.compile(r"(Block|Bottleneck|Basic|(?<!Conv)Layer)(V\d)?$")
_CONVOLUTIONAL = re.compile(r"Bottle[Nn]eck|Basic|ResNet")
_FIRST_NORMS = ("norm1", "ln_1", "layernorm_before", "norm_before")
_CLASS_TOKENS = re.compile(r"(^|[._])(cls|class|dist|distillation)_token(_0)?$")
_STAGE = re.compile(r"(^|\.)(patch_embed|pos_drop|blocks\.(?P<block>\d+)(\.|$))")
_AFTER_THE_BLOCKS = re.compile(r"(^|\.)(blocks_token_only|cls_attn_blocks)$")  # of CaiT and XCiT


def find_places(model: nn.Module) -> list[str]:
    """Names of the modules whose output is the place of a block, in order: its first norm, or the block itself.

    A block is a member of an ``nn.Sequential`` or ``nn.ModuleList`` whose class is called a block, bottleneck or layer,
    and that contains no other such block.
    """
    blocks = [name for name, module in model.named_modules() if _is_block(model, name, module)]
    innermost = [name for name in blocks if not any(other.startswith(f"{name}.") for other in blocks)]
    return [_place(name, model.get_submodule(name)) for name in innermost]


def resolve_place(model: nn.Module, where: str | int) -> list[str]:
    """The modules that ``where`` names.

    Args:
        model: any network.
        where: ``"last"`` or ``"first"`` block, the index of a block (from the end if negative), the name of a module,
            or a regular expression that the whole of a module's name must match.

    Raises:
        SurgeryError: there is nothing of that name or index; the message has the nearest ones.
    """
    if isinstance(where, int) or where in ("last", "first"):
        return [_by_index(model, {"last": -1, "first": 0}.get(str(where), where))]
    names = [name for name, _ in model.named_modules() if name]
    if where in names:
        return [where]
    try:
        matches = [name for name in names if re.fullmatch(where, name)]
    except re.error as error:
        raise SurgeryError(f"expected the name of a module or a regular expression, got {where!r}: {error}") from None
    if not matches:
        near = difflib.get_close_matches(where, names, n=3, cutoff=0.5)
        hint = f"the nearest: {', '.join(near)}" if near else f"the first ones are {', '.join(names[:5])}"
        raise SurgeryError(f"{type(model).__name__} has no module called {where!r}; {hint}")
    return matches


def prefix_tokens(model: nn.Module, place: str) -> int:
    """How many tokens before those of the image, such as the class token, a sample begins with at ``place``.

    None where the patches have just been embedded, nor before ConViT, CaiT and XCiT add their class token half-way.
    """
    stage = _STAGE.search(place)
    if stage is not None and _number(stage) < _first_block_with_prefix(model):
        return 0
    told = getattr(model, "num_prefix_tokens", None)
    if isinstance(told, int):
        return told
    return sum(bool(_CLASS_TOKENS.search(name)) for name, _ in model.named_parameters())


def _number(stage: re.Match[str]) -> int:
    """Of the block; what comes between the embedding, -1, and the first one counts as that."""
    return -1 if stage[2] == "patch_embed" else int(stage["block"] or 0)


def _first_block_with_prefix(model: nn.Module) -> float:
    """Its number; 0 but for ConViT, CaiT and XCiT."""
    if any(_AFTER_THE_BLOCKS.search(name) for name, _ in model.named_modules()):
        return math.inf
    told = (getattr(module, "local_up_to_layer", None) for module in model.modules())
    return next((number for number in told if number is not None), 0)


def _is_block(model: nn.Module, name: str, module: nn.Module) -> bool:
    parent = model.get_submodule(name.rpartition(".")[0]) if name else None
    return isinstance(parent, nn.Sequential | nn.ModuleList) and bool(_BLOCK.search(type(module).__name__))


def _place(name: str, block: nn.Module) -> str:
    if _CONVOLUTIONAL.search(type(block).__name__):
        return name
    norm = next((norm for norm in _FIRST_NORMS if isinstance(getattr(block, norm, None), nn.Module)), None)
    return f"{name}.{norm}" if norm is not None else name


def _by_index(model: nn.Module, index: str | int) -> str:
    places = find_places(model)
    try:
        return places[int(index)]
    except IndexError:
        mend = "name a module instead" if not places else f"choose an index from {-len(places)} to {len(places) - 1}"
        raise SurgeryError(
            f"{type(model).__name__} has {len(places)} blocks that can be found, none at {index}; {mend}"
        ) from None
