"""Write a network for other runtimes: ONNX, TorchScript, torch.export; every file is run and compared first."""

from __future__ import annotations

import importlib
import secrets
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import torch
from torch import Tensor, nn

from noisewise._files import check_target
from noisewise.errors import ArgumentError, OutputError
from noisewise.models.backbones import logits

__all__ = ["export_onnx", "export_program", "export_torchscript"]

_Runner: TypeAlias = Callable[[Tensor], Tensor]
_DYNAMIC_BATCH = ({0: torch.export.Dim.DYNAMIC},)


def export_onnx(model: nn.Module, example: Tensor, path: Path, *, overwrite: bool = False) -> None:
    """Write ``model`` as ONNX with input ``images``, output ``logits`` and any batch size.

    Args:
        model: in eval mode; returns a tensor, or a transformers output with logits.
        example: a batch of its input, ``B x C x H x W``; H and W become part of the file.
        path: the ``.onnx`` file.
        overwrite: whether a file that is there already may be replaced.

    Raises:
        ArgumentError: the network cannot be exported, or the file does not give its output; nothing is written then.
        OutputError: the file exists, or its folder does not.
    """
    checker = _onnx_checker()
    network = _ready(model, example)
    with _unfinished(path, overwrite) as temporary, _refused_in_words("ONNX"):
        torch.onnx.export(
            network,
            (_at_least_two(example),),
            temporary,
            dynamo=True,
            dynamic_shapes=_DYNAMIC_BATCH,
            input_names=["images"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
        checker.check_model(temporary, full_check=True)
        _verify(_onnx_runner(temporary), network, example)


def export_torchscript(model: nn.Module, example: Tensor, path: Path, *, overwrite: bool = False) -> None:
    """Write ``model`` as a traced TorchScript file; arguments and errors as for :func:`export_onnx`.

    PyTorch keeps this format for the runtimes that need it and advises :func:`export_program` otherwise.
    """
    network = _ready(model, example)
    with _unfinished(path, overwrite) as temporary, _refused_in_words("TorchScript"), torch.no_grad():
        # What the tracer warns of, values frozen in the file, is looked for by the comparison.
        with warnings.catch_warnings(action="ignore"):
            torch.jit.trace(network, example, check_trace=False).save(temporary)  # type: ignore[no-untyped-call]
            written = torch.jit.load(temporary, map_location=example.device)  # type: ignore[no-untyped-call]
        _verify(written, network, example)


def export_program(model: nn.Module, example: Tensor, path: Path, *, overwrite: bool = False) -> None:
    """Write ``model`` as a ``.pt2`` file of torch.export; arguments and errors as for :func:`export_onnx`."""
    network = _ready(model, example)
    with _unfinished(path, overwrite) as temporary, _refused_in_words("torch.export"):
        program = torch.export.export(network, (_at_least_two(example),), dynamic_shapes=_DYNAMIC_BATCH)
        torch.export.save(program, temporary)
        _verify(torch.export.load(temporary).module(), network, example)


class _Logits(nn.Module):
    """A transformers model as a network that returns a tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return logits(self.model(images))


def _ready(model: nn.Module, example: Tensor) -> nn.Module:
    """The model itself, so that its names stay, or what returns a tensor in its place."""
    if model.training:
        raise ArgumentError("expected a network in eval mode, got one in train mode; call model.eval() first")
    with torch.no_grad():
        output = model(example[:1])
    return model if isinstance(output, Tensor) else _Logits(model).eval()


def _at_least_two(example: Tensor) -> Tensor:
    """Torch takes a dimension of one for a constant."""
    return example if len(example) > 1 else torch.cat([example, example])


@contextmanager
def _unfinished(path: Path, overwrite: bool) -> Iterator[Path]:
    """A place beside ``path`` that takes its name once the block has run to its end."""
    check_target(path, overwrite=overwrite)
    temporary = path.with_name(f".noisewise-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _refused_in_words(form: str) -> Iterator[None]:
    """Exporters fail in many ways and at great length; short of a full disk all mean that they cannot take this."""
    try:
        yield
    except ArgumentError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write the file: {error}; check the folder's permissions and free space") from error
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ArgumentError(f"{form} cannot hold this network: {reason}; try another format") from error


def _verify(run: _Runner, network: nn.Module, example: Tensor) -> None:
    """Compare on one image and on one more than the example has: no batch size may be frozen in the file."""
    for batch in (example[:1], torch.cat([example, example[:1]])):
        with torch.no_grad():
            expected, written = network(batch), run(batch)
        tolerance = torch.finfo(expected.dtype).eps ** 0.5 * expected.abs().max()
        error = (written - expected).abs().max()
        if not error <= tolerance:
            raise ArgumentError(
                f"expected the written file to give the network's output within {tolerance:.1g}, it is off by "
                f"{error:.1g}; the network depends on chance, on the batch size, or on values that tracing freezes"
            )


def _onnx_checker() -> ModuleType:
    try:
        importlib.import_module("onnxscript")
        return importlib.import_module("onnx.checker")
    except ImportError as error:
        raise ArgumentError("ONNX files need onnx and onnxscript; install: pip install 'noisewise[onnx]'") from error


def _onnx_runner(path: Path) -> _Runner:
    """By onnxruntime, or where that is missing by the slower reference of the format."""
    try:
        open_session = importlib.import_module("onnxruntime").InferenceSession
    except ImportError:
        open_session = importlib.import_module("onnx.reference").ReferenceEvaluator
    session = open_session(str(path))
    return lambda images: torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0]).to(images.device)
