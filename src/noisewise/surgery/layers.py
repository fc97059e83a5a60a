"""The layers that can be operated on, seen alike: a linear layer, a convolution, a packed attention projection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from noisewise.errors import SurgeryError

__all__ = ["Layer", "find_layers", "find_normalisations", "replace_weights"]

_ATTENTION_OUTPUT = "out_proj"
_SOURCES_OF_WEIGHTS = ("weight_v", "weight_orig")  # of weight_norm; of spectral_norm and pruning


@dataclass(frozen=True, eq=False)
class Layer:
    """A module whose work is ``y = W x + b`` on features, on patches of them, or on the input of an attention.

    A batch normalisation is one, too, where only its name, module and dimension of samples are asked for.

    Attributes:
        name: of the module in its network.
        module: an ``nn.Linear``, an ``nn.Conv2d``, or an ``nn.MultiheadAttention`` that stands for its packed
            projection of query, key and value.
        reason: why it cannot be operated on; empty if it can.
    """

    name: str
    module: nn.Module
    reason: str = ""

    @property
    def is_attention(self) -> bool:
        """Whether this is the packed projection of an ``nn.MultiheadAttention``."""
        return isinstance(self.module, nn.MultiheadAttention)

    @property
    def is_convolution(self) -> bool:
        """Whether this is an ``nn.Conv2d``."""
        return isinstance(self.module, nn.Conv2d)

    @property
    def weight_name(self) -> str:
        """Key of the weight in the network's state dict."""
        return f"{self.name}.{'in_proj_weight' if self.is_attention else 'weight'}".removeprefix(".")

    @property
    def bias_name(self) -> str:
        """Key of the bias in the network's state dict, whether there is one or not."""
        return f"{self.name}.{'in_proj_bias' if self.is_attention else 'bias'}".removeprefix(".")

    @property
    def weight(self) -> Tensor:
        """The weight as the module has it."""
        return getattr(self.module, "in_proj_weight" if self.is_attention else "weight")  # type: ignore[no-any-return]

    @property
    def bias(self) -> Tensor | None:
        """The bias, if there is one."""
        return getattr(self.module, "in_proj_bias" if self.is_attention else "bias")  # type: ignore[no-any-return]

    @property
    def groups(self) -> int:
        """Number of groups whose features do not mix."""
        return int(getattr(self.module, "groups", 1))

    @property
    def channel_dim(self) -> int:
        """Dimension of the input, and of the output, that holds the features."""
        return 1 if self.is_convolution else -1

    @property
    def batch_dim(self) -> int:
        """Dimension of the input that holds the samples."""
        return 1 if self.is_attention and not self.module.batch_first else 0

    @property
    def pads_with_zeros(self) -> bool:
        """Whether the windows reach beyond the features and see zeros there."""
        if not isinstance(self.module, nn.Conv2d):
            return False
        padded = self.module.padding not in ("valid", 0, (0, 0)) or _pads_by_itself(self.module)
        return padded and self.module.padding_mode == "zeros"

    def kernel(self) -> Tensor:
        """The weight as a grouped kernel ``G x O x I x H x W``, float64."""
        weight = self.weight.detach().double()
        window = weight.shape[2:] if self.is_convolution else (1, 1)
        return weight.reshape(self.groups, -1, weight.shape[1], *window)

    def offset(self) -> Tensor:
        """The bias as ``G x O``, float64; zeros if there is none."""
        weight, bias = self.weight.detach(), self.bias
        values = torch.zeros(len(weight)) if bias is None else bias.detach()
        return values.to(weight.device, torch.float64).reshape(self.groups, -1)

    def restored(self, kernel: Tensor, offset: Tensor) -> dict[str, Tensor]:
        """State-dict entries of a grouped kernel and its offset, in the layer's shape and dtype.

        The offset is left out where the layer has no bias and the offset is 0.
        """
        entries = {self.weight_name: kernel.reshape(self.weight.shape).to(self.weight)}
        if self.bias is not None or offset.any():
            entries[self.bias_name] = offset.flatten().to(self.weight)
        return entries


def find_layers(model: nn.Module) -> list[Layer]:
    """Every module of ``model`` that holds a weight matrix, in the order of definition, the refused ones with a reason.

    A layer is refused where changing its weights would not mean what it says: weights that two modules share, that
    are computed from others, that the module's own ``forward`` uses in its own way.
    """
    owners = Counter(id(value) for module in model.modules() for value in module._parameters.values())
    return list(_layers(model, owners))


def find_normalisations(model: nn.Module) -> list[Layer]:
    """Every batch normalisation of ``model`` that keeps statistics and runs as its class says, as defined."""
    return [
        Layer(name, module)
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None and "forward" not in vars(module)
    ]


def _layers(model: nn.Module, owners: Mapping[int, int]) -> Iterator[Layer]:
    attentions = [name for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)]
    hidden = {f"{name}.{_ATTENTION_OUTPUT}".removeprefix(".") for name in attentions}
    for name, module in model.named_modules():
        if not _has_matrix(module):
            continue
        reason = _reason(module)
        if not reason and _is_shared(Layer(name, module), owners):
            reason = "its weight or bias is shared with another module"
        if name in hidden:
            reason = "nn.MultiheadAttention reads its weights without calling it; its input cannot be seen"
        yield Layer(name, module, reason)


def _is_shared(layer: Layer, owners: Mapping[int, int]) -> bool:
    return any(owners[id(value)] > 1 for value in (layer.weight, layer.bias) if value is not None)


def _has_matrix(module: nn.Module) -> bool:
    if parametrize.is_parametrized(module):
        return True
    return any(isinstance(value, nn.UninitializedParameter) or value.ndim >= 2 for value in _own_weights(module))


def _own_weights(module: nn.Module) -> list[Any]:
    parameters = dict(module._parameters.items())  # TorchScript's are no dictionary
    names = ("weight", "in_proj_weight", "q_proj_weight", *_SOURCES_OF_WEIGHTS)
    return [parameters[name] for name in names if parameters.get(name) is not None]


def _reason(module: nn.Module) -> str:
    kind = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        return "it is TorchScript; operate before scripting"
    if parametrize.is_parametrized(module) or not module._parameters.keys().isdisjoint(_SOURCES_OF_WEIGHTS):
        return "its weight is computed from others; remove the parametrisation first"
    if "forward" in vars(module):
        return "its forward was replaced by another function"
    if isinstance(module, nn.MultiheadAttention):
        return _attention_reason(module)
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return f"{kind} is none of Linear, Conv2d and MultiheadAttention"
    if isinstance(module.weight, nn.UninitializedParameter):
        return "it is lazy; run the network once first"
    plain = (nn.Linear.forward, nn.Conv2d.forward)
    if type(module).forward not in plain and not _pads_by_itself(module):
        return f"{kind} has a forward of its own and may not compute W x + b"
    return "" if module.weight.is_floating_point() else f"its weights are {module.weight.dtype}"


def _attention_reason(module: nn.MultiheadAttention) -> str:
    if not module._qkv_same_embed_dim:
        return "its query, key and value have weights of their own"
    if type(module).forward is not nn.MultiheadAttention.forward:
        return f"{type(module).__name__} has a forward of its own"
    return ""


def _pads_by_itself(module: nn.Module) -> bool:
    """Timm's TensorFlow-like convolution, a plain one but for how it pads."""
    return isinstance(module, nn.Conv2d) and type(module).__name__ == "Conv2dSame"


def replace_weights(model: nn.Module, entries: Mapping[str, Tensor]) -> list[str]:
    """Write ``entries`` of a state dict into ``model``, in place, and return the biases that had to be added.

    Raises:
        SurgeryError: an entry fits no parameter and no buffer.
    """
    added = []
    for name, value in entries.items():
        owner, attribute = _owner(model, name)
        old = owner._buffers[attribute] if attribute in owner._buffers else owner._parameters[attribute]
        if old is None:
            device = next(owner.parameters()).device
            owner.register_parameter(attribute, nn.Parameter(value.to(device, copy=True)))
            added.append(name)
        elif old.shape != value.shape:
            raise SurgeryError(f"expected {name} of shape {tuple(value.shape)}, found {tuple(old.shape)}")
        else:
            old.data.copy_(value)  # in place, so that references to the parameter stay good
    return added


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a parameter, or a place for it, and its name there."""
    path, _, attribute = name.rpartition(".")
    owner = dict(model.named_modules(remove_duplicate=False)).get(path)
    if owner is None or not (attribute in owner._parameters or attribute in owner._buffers):
        raise SurgeryError(f"{type(model).__name__} has no parameter {name}; use the network this was made for")
    return owner, attribute
