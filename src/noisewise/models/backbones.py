"""Networks of several libraries or one's own by a short text, with the user's weights; nothing downloaded.

A text is ``timm:NAME``, ``torchvision:NAME``, ``hf:NAME``, ``hf:FOLDER``, ``noisewise:NAME`` or a Python path
``package.module:factory``.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import pickle
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from noisewise.errors import ArgumentError, UnknownNameError, WeightsError
from noisewise.models.detectors import COCO_CLASSES, DETECTORS

__all__ = ["TaskName", "load_backbone", "logits", "starts_at_random"]

TaskName = Literal["classification", "segmentation", "detection"]
"""What a kind of transformers network is built for; the other libraries' names say it themselves."""

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
"""Under which names training scripts keep the network's state in a checkpoint."""

_PREFIXES = re.compile(r"^(?:(?:module|_orig_mod|model)\.)+")
"""What DataParallel, torch.compile and Lightning put before the name of every tensor."""

_AUXILIARY = "aux_classifier."
"""A second head of torchvision's segmenters, which only training reads."""

_SHOWN = 3


def load_backbone(spec: str, weights: Path | None = None, task: TaskName = "classification") -> nn.Module:
    """The network that ``spec`` names, in eval mode on the CPU, its state-dict keys those of its own library.

    Nothing is downloaded: without ``weights`` all networks but one's own and those of a transformers folder are
    randomly initialised, and a warning says so.

    Args:
        spec: ``timm:resnet18``, ``torchvision:resnet18``, ``hf:FOLDER`` with a ``config.json`` (or a repository in
            the local cache), ``hf:vit`` (a kind of network, with its library's defaults),
            ``noisewise:maskrcnn_swin_v2_t_fpn`` (or ``fasterrcnn``, and ``s`` or ``b`` for ``t``), or
            ``package.module:factory`` for a callable without arguments that returns a module.
        weights: a state dict as ``.safetensors``, or as a file of ``torch.save`` without code, also one inside a
            training checkpoint. The number of classes of a library's network follows the file.
        task: what an ``hf:`` kind is built for; a folder's ``config.json`` says it itself.

    Raises:
        ArgumentError: no such form of ``spec``, a factory that gives no module, or a library that is not installed.
        UnknownNameError: the library has no such network; the message suggests the nearest.
        WeightsError: the file cannot be read, contains code, or belongs to another network.
    """
    library, _, name = spec.partition(":")
    if not (library and name):
        raise ArgumentError(f"expected a network as 'timm:resnet18' or 'package.module:factory', got {spec!r}")
    build = partial(_LIBRARIES[library], name) if library in _LIBRARIES else partial(_own_network, library, name)
    if library == "hf":
        build = partial(build, task=task)
    if weights is not None:
        return _trained(build, Path(weights)).eval()
    if library == "hf" and not _is_hf_kind(name, task):
        return _hf_checkpoint(name, task).eval()
    network = build()
    if starts_at_random(spec, task):
        warnings.warn(f"{spec} is randomly initialised, as no weights were named", stacklevel=2)
    return network.eval()


def starts_at_random(spec: str, task: TaskName = "classification") -> bool:
    """Whether `load_backbone` gives random weights where none are named.

    It does for a name of timm or torchvision and for a kind of transformers network; not for a folder or a repository,
    which hold some. What a factory does is its own affair, and is taken for trained.
    """
    library, _, name = spec.partition(":")
    return library in _LIBRARIES and (library != "hf" or _is_hf_kind(name, task))


def logits(output: Any) -> Tensor:
    """The logits in a network's output: the tensor itself, ``logits`` of transformers, or ``out`` of torchvision.

    Raises:
        ArgumentError: the output is neither.
    """
    found = output.get("out") if isinstance(output, Mapping) and "out" in output else getattr(output, "logits", output)
    if not isinstance(found, Tensor):
        raise ArgumentError(
            f"expected logits or an output that has them, got {type(output).__name__}; choose a network with a "
            "classifier, or wrap it to return a tensor"
        )
    return found


def _timm_network(name: str, classes: int | None = None) -> nn.Module:
    import timm

    _require_known("timm network", name, {*timm.list_models(), *timm.list_pretrained()})
    network: nn.Module = timm.create_model(name, **_head(classes))
    return network


def _torchvision_network(name: str, classes: int | None = None, *, auxiliary: bool = False) -> nn.Module:
    from torchvision import models

    dense = {*models.list_models(module=models.segmentation), *models.list_models(module=models.detection)}
    _require_known("network of torchvision", name, {*models.list_models(module=models), *dense})
    options: dict[str, Any] = _head(classes)
    if name in dense:
        options |= {"weights_backbone": None}  # else it would be downloaded
    if auxiliary:
        options |= {"aux_loss": True}
    network: nn.Module = models.get_model(name, **options)
    return network


def _head(classes: int | None) -> dict[str, Any]:
    return {} if classes is None else {"num_classes": classes}


def _noisewise_network(name: str, classes: int | None = None) -> nn.Module:
    return DETECTORS[name](**_head(classes))


def _own_network(module: str, factory: str) -> nn.Module:
    try:
        source = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UnknownNameError(
            f"expected one of {', '.join(_LIBRARIES)} or a Python module before the colon, got {module!r} ({error}); "
            "check the spelling, or put its folder on PYTHONPATH"
        ) from error
    _require_known(f"factory in {module}", factory, dir(source))
    build = getattr(source, factory)
    network = build() if callable(build) else build
    if not isinstance(network, nn.Module):
        raise ArgumentError(f"expected {module}:{factory} to return a torch.nn.Module, got {type(network).__name__}")
    return network


def _hf_network(name: str, classes: int | None = None, *, task: TaskName = "classification") -> nn.Module:
    config = _hf_config(name, task)
    if classes is not None:
        config.num_labels = classes
    network: nn.Module = _hf_class(config, task).from_config(config)
    return network


def _hf_checkpoint(name: str, task: TaskName) -> nn.Module:
    config = _hf_config(name, task)
    try:
        with _no_bars():
            network: nn.Module = _hf_class(config, task).from_pretrained(name, config=config, local_files_only=True)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{name} holds no weights that can be read ({_brief(error)}); name a file of them"
        ) from error
    return network


@contextmanager
def _no_bars() -> Iterator[None]:
    """Within it transformers draws no progress bar of its own."""
    logging = _transformers().utils.logging
    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()


def _hf_config(name: str, task: TaskName) -> Any:
    """Of a folder or a cached repository, or the defaults of a kind of network."""
    auto_config = _transformers().AutoConfig
    if _is_hf_kind(name, task):
        return auto_config.for_model(name, **_own_backbone(task))
    try:
        return auto_config.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UnknownNameError(
            f"{name} is neither a folder with a transformers config.json, nor a repository in the local cache, nor a "
            f"kind of network for {task}{_suggestion(name, _hf_kinds(task))}; fetch it with: hf download {name}"
        ) from error


def _own_backbone(task: TaskName) -> dict[str, Any]:
    """DETR's kinds would else fetch the weights of their backbone."""
    return {"use_pretrained_backbone": False} if task == "detection" else {}


def _hf_class(config: Any, task: TaskName) -> Any:
    """Of the head that the config names, or of the task where it names none."""
    transformers = _transformers()
    for architecture in config.architectures or ():
        for head, auto in _HF_HEADS.values():
            if head in architecture:
                return getattr(transformers, auto)
        return transformers.AutoModel
    return getattr(transformers, _HF_HEADS[task][1])


def _is_hf_kind(name: str, task: TaskName) -> bool:
    return name in _hf_kinds(task) and not Path(name).is_dir()


def _hf_kinds(task: TaskName) -> Collection[str]:
    _transformers()
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    kinds: Collection[str] = getattr(auto, _HF_KINDS[task])
    return kinds


def _transformers() -> ModuleType:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ArgumentError("hf: networks need transformers; install it with: pip install 'noisewise[hf]'") from error


_HF_HEADS: dict[TaskName, tuple[str, str]] = {
    "classification": ("ForImageClassification", "AutoModelForImageClassification"),
    "segmentation": ("ForSemanticSegmentation", "AutoModelForSemanticSegmentation"),
    "detection": ("ForObjectDetection", "AutoModelForObjectDetection"),
}
_HF_KINDS: dict[TaskName, str] = {
    "classification": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "segmentation": "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES",
    "detection": "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
}

_LIBRARIES: dict[str, Callable[..., nn.Module]] = {
    "timm": _timm_network,
    "torchvision": _torchvision_network,
    "hf": _hf_network,
    "noisewise": _noisewise_network,
}


def _require_known(kind: str, name: str, names: Collection[str]) -> None:
    if name not in names:
        raise UnknownNameError(f"there is no {kind} called {name!r}{_suggestion(name, names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _trained(build: partial[nn.Module], path: Path) -> nn.Module:
    tensors = _read(path)
    if build.func is _torchvision_network and any(_PREFIXES.sub("", name).startswith(_AUXILIARY) for name in tensors):
        build = partial(build, auxiliary=True)
    network = build()
    if not any(_PREFIXES.match(name) for name in network.state_dict()):
        tensors = {_PREFIXES.sub("", name): tensor for name, tensor in tensors.items()}
    classes = _classes(tensors, network)
    if classes is not None and build.func is not _own_network:
        network = build(classes)
    _fill(network, tensors, path)
    return network


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, which runs no code of it."""
    if not path.is_file():
        raise WeightsError(f"expected weights at {path}, found no file; check the spelling")
    try:
        return _unwrapped(load_file(path) if path.suffix == ".safetensors" else _load_pickled(path))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, LookupError, OSError, EOFError) as error:
        raise WeightsError(
            f"expected a state dict in {path}, but it holds something else, or code, which is never run "
            f"({_brief(error)}); save model.state_dict() with safetensors or torch.save"
        ) from error


def _load_pickled(path: Path) -> Any:
    # The options that timm and other training scripts keep beside the weights: a bag of values, without code.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _unwrapped(checkpoint: Any) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise ValueError(f"a {type(checkpoint).__name__}")
    if others := [name for name, value in checkpoint.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{others[0]!r} is no tensor")
    return dict(checkpoint)


def _classes(tensors: Mapping[str, Tensor], network: nn.Module) -> int | None:
    """The number of classes in a file that differs from the network in nothing but that; None if it differs in more."""
    own = network.state_dict()
    shapes = [(own[name].shape, tensor.shape) for name, tensor in tensors.items() if name in own]
    differing = [(ours, theirs) for ours, theirs in shapes if ours != theirs]
    heads = [(ours[0], theirs[0]) for ours, theirs in differing if theirs and ours[1:] == theirs[1:]]
    unit = (
        COCO_CLASSES
        if all(ours % COCO_CLASSES == 0 for ours, _ in heads)
        else min((ours for ours, _ in heads), default=1)
    )
    counts = {theirs * unit / ours for ours, theirs in heads}  # some have several outputs a class
    same_otherwise = all(ours[1:] == theirs[1:] for ours, theirs in differing)
    is_whole = all(count.is_integer() for count in counts)
    return int(counts.pop()) if same_otherwise and is_whole and len(counts) == 1 else None


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    reshaped = [name for name in tensors if name in own and own[name].shape != tensors[name].shape]
    fitting = {name: tensor for name, tensor in tensors.items() if name not in reshaped}
    missing, unexpected = network.load_state_dict(fitting, strict=False)
    shapes = [f"{name} {list(tensors[name].shape)} instead of {list(own[name].shape)}" for name in reshaped]
    faults = {"missing": [n for n in missing if n not in tensors], "unexpected": unexpected, "of another shape": shapes}
    if found := [f"{fault}: {_listed(names)}" for fault, names in faults.items() if names]:
        raise WeightsError(
            f"{path} does not belong to this {type(network).__name__} ({'; '.join(found)}); name the network that it "
            "was saved from, with its task if it is of transformers, or a factory package.module:factory that builds it"
        )


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _brief(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):  # torch goes on with how to run the code after all
        refused = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        return f"it calls {refused[1]}" if refused else "no tensors can be unpickled from it"
    return str(error).partition("\n")[0] or type(error).__name__
