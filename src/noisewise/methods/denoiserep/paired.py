"""Hardening: every layer learns to give for a noisy image what it gave for the clean one, in one forward pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from noisewise.contracts import Noise, Shares
from noisewise.errors import ArgumentError, SurgeryError
from noisewise.methods.denoiserep.calibration import Calibration, ImageSource, Preprocess, as_noises
from noisewise.methods.denoiserep.handle import Handle, LayerRow, require_evaluation
from noisewise.methods.denoiserep.layerwise import Spread, fit_in_turn
from noisewise.methods.denoiserep.students import LayerFit, LayerStudent, NormalisationStudent, Student
from noisewise.surgery import Call, Downstream, Layer, find_downstream, find_normalisations, free_bytes, trace_calls

__all__ = ["Paired"]

_ROWS_PER_DIMENSION, _RIDGE = 30, 0.1
_EQUATIONS = 4 * 8
"""Bytes for each pair of inputs: sums of one view and of all, with the ridge, and factorised, in double precision."""
_CHOOSERS = {"RoIHeads", "RTDetrDecoder", "RTDetrV2Decoder", "DFineDecoder", "LwDetrDecoder"}
"""Classes of torchvision and transformers that are given the likeliest regions of each image, by their scores."""


class Paired(Handle):
    """A network whose layers are fitted on pairs of clean and noisy views of the same images.

    For each layer, in the order in which the network calls them, it solves
    ``min sum w |W' x~ + b' - (W x + b)|^2 + r |[W' b'] - [W b]|^2`` over windows of the feature map: x is what the
    layer sees of a clean image in the network as it was, x~ what it sees of a view of that image behind the layers that
    are already corrected. A batch normalisation that is called after the first of them takes the statistics of all
    views, unless the layer before it is fitted for what becomes of its output. Images and layers suffice: no label, no
    gradient.

    Args:
        model: in evaluation mode.
        layers: of the model.
    """

    def __init__(self, model: nn.Module, layers: Sequence[Layer]) -> None:
        super().__init__(model, layers)
        self.fits: dict[str, LayerFit] = {}
        self.statistics: dict[str, dict[str, Tensor]] = {}
        self.downstream: dict[str, Downstream] = {}

    def fit_paired(
        self,
        images: ImageSource,
        noise: str | Noise | Sequence[str | Noise],
        *,
        preprocess: Preprocess | None = None,
        clean_weight: float = 1.0,
        ridge: float = _RIDGE,
        rows_per_dimension: int = _ROWS_PER_DIMENSION,
        downstream: bool = False,
        chunk: int | None = None,
        seed: int = 0,
        spread: Spread = map,
        progress: Shares = lambda done, total: None,
    ) -> Self:
        """Fit all layers.

        Args:
            images: pixels in [0, 1]: ``N x C x H x W``, or an iterable of batches, of pairs of batch and label (which
                is ignored), or of single images; :class:`noisewise.data.ResizedImages` stay in their files until their
                chunk passes.
            noise: what acts on the pixels: a noise, a specification such as ``"gaussian:sigma=0..30"``, or several,
                each of which gives a view of every image.
            preprocess: maps pixels to the network's input; found by itself for timm, torchvision and transformers
                models, nothing for others.
            clean_weight: weight of a clean view beside 1 for each noisy one: more of it keeps more clean accuracy.
            ridge: pull towards the present weights, relative to the mean square of what the layer sees.
            rows_per_dimension: vectors for each unknown of an output, drawn at random from all positions; 4,096 in all
                at least.
            downstream: fit each layer for what becomes of its output: before a ReLU it need not give what that stops,
                for which it is solved in several rounds, each with all chunks if there are any; the last one of a sum
                makes up for what the other lacks. Batch normalisations on the way keep their statistics.
            chunk: number of images that pass at once. None passes all at once: one forward pass. Otherwise every
                chunk runs again up to each of them in turn, so L layers and batch normalisations cost about L / 2
                passes, and memory is that of a chunk.
            seed: of noise and positions.
            spread: a ``map`` that runs what is to be done with each chunk, here or, as that of
                :func:`noisewise.data.map_on_ray` gives, in other processes, but not in threads; what they find adds up,
                to rounding.
            progress: called with the number of layers and batch normalisations done and in all.

        Raises:
            ArgumentError: no image, pixels outside [0, 1], an iterator with chunks, chunks to spread without
                their size or of a network on a GPU, or a bad setting.
            SurgeryError: activations that are not finite, or no layer that can be handled.
        """
        require_evaluation(self.model)
        if ridge <= 0 or rows_per_dimension < 1:
            raise ArgumentError(f"expected ridge > 0 and rows_per_dimension >= 1, got {ridge} and {rows_per_dimension}")
        like = next(parameter for parameter in self.model.parameters() if parameter.is_floating_point())
        _require_spreadable(spread, chunk, like.device)
        network_input = _resolved(self.model) if preprocess is None else preprocess
        data = Calibration(images, as_noises(noise), network_input, clean_weight, chunk, seed, like.device, like.dtype)
        layers, normalisations = self._in_order(data)
        followed = [layer for _, layer in layers]
        found = find_downstream(self.model, followed, torch.cat(data.two_images())) if downstream else {}
        kept, known = {after.normalisation for after in found.values()}, data.without_images()
        fitted = [
            (order, LayerStudent(layer, known, ridge, rows_per_dimension, index, found.get(layer.name)))
            for index, (order, layer) in enumerate(layers)
        ]
        renewed = [(order, NormalisationStudent(one, known)) for order, one in normalisations if one.name not in kept]
        students: list[tuple[int, Student[Any]]] = [*fitted, *renewed]
        in_turn = [student for _, student in sorted(students, key=itemgetter(0))]
        fit_in_turn(self.model, in_turn, data, progress, spread)
        self.fits = {student.layer.name: student.fit for _, student in fitted if student.fit is not None}
        self.statistics = {student.layer.name: student.entries for _, student in renewed}
        self.downstream = found
        return self

    def _in_order(self, data: Calibration) -> tuple[list[tuple[int, Layer]], list[tuple[int, Layer]]]:
        """Layers that can be paired, and batch normalisations behind the first of them, by when they are called.

        Raises:
            SurgeryError: there is no such layer.
        """
        renewable = find_normalisations(self.model)
        calls = trace_calls(self.model, [*self.attached, *renewable], *data.two_images())
        chosen = _below_chosen_regions(self.model)
        self.layers = [_refused(layer, calls.get(layer.name), chosen) for layer in self.layers]
        if not self.attached:
            raise SurgeryError(f"no layer of {type(self.model).__name__} can be fitted on pairs; see table() for why")
        usable = [norm for norm in renewable if not _refused(norm, calls.get(norm.name), chosen).reason]
        layers, normalisations = (
            sorted(((calls[one.name].order, one) for one in found), key=itemgetter(0))
            for found in (self.attached, usable)
        )
        return layers, [(order, norm) for order, norm in normalisations if order > layers[0][0]]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The network's output with the fitted weights in the place of its own."""
        return torch.func.functional_call(self.model, self.new_weights(), inputs, options)

    def new_weights(self) -> dict[str, Tensor]:
        """State-dict entries of the fused network that differ from the present ones.

        Raises:
            SurgeryError: it was not fitted yet.
        """
        if not self.fits:
            raise SurgeryError("this handle was not fitted yet; call fit_paired(images, noise) first")
        weights = [self.fits[layer.name].weights for layer in self.attached]
        return {name: value for entries in [*weights, *self.statistics.values()] for name, value in entries.items()}

    def table(self) -> list[LayerRow]:
        """Every layer with a weight matrix and what becomes of it; then batch normalisations with new statistics."""
        renewed = [(name, self.model.get_submodule(name)) for name in self.statistics]
        return super().table() + [
            LayerRow(name, type(norm).__name__, (int(cast("Any", norm).num_features),), "statistics of all views")
            for name, norm in renewed
        ]

    def status(self, layer: Layer) -> str:
        """How much of the error the layer's fit left, and on how many vectors it stands."""
        if layer.name not in self.fits:
            return "not fitted yet"
        fit = self.fits[layer.name]
        short = ", fewer than unknowns: rests on the ridge" if fit.rows < fit.unknowns else ""
        purpose = f" in {self.downstream[layer.name]}" if layer.name in self.downstream else ""
        return f"error left{purpose} {fit.remaining:.0%}, {fit.rows} vectors for {fit.unknowns} unknowns{short}"

    @property
    def _order(self) -> list[str]:
        return list(self.fits)

    def _restrict(self, layer: Layer) -> None:
        self.fits, self.statistics, self.downstream = (
            {},
            {},
            {},
        )  # a layer that was fitted behind corrected ones is wrong behind others


def _require_spreadable(spread: Spread, chunk: int | None, device: torch.device) -> None:
    if spread is map:
        return
    if chunk is None:
        raise ArgumentError("spread hands out chunks; say with chunk=32 how many images each has")
    if device.type != "cpu":
        raise ArgumentError(
            f"workers of spread compute on processors, and the network is on {device}; call model.cpu()"
        )


def _resolved(model: nn.Module) -> Preprocess:
    from noisewise.models.preprocess import resolve_preprocess

    found: Preprocess = resolve_preprocess(model)
    return found


def _below_chosen_regions(model: nn.Module) -> set[str]:
    """Names of the modules that see what the network chose from the image, such as its proposals for objects."""
    choosers = [name for name, module in model.named_modules() if type(module).__name__ in _CHOOSERS]
    return {name for name, _ in model.named_modules() if any(name.startswith(f"{chooser}.") for chooser in choosers)}


def _refused(layer: Layer, call: Call | None, chosen: Collection[str]) -> Layer:
    """The layer, with the reason if what it sees cannot be paired."""
    if layer.reason:
        return layer
    if layer.name in chosen:
        reason = "it sees regions that the network chose, and of a noisy image it chooses others"
    elif call is None:
        reason = "never called"
    elif not call.positional:
        reason = "called with keyword arguments only"
    elif not call.image_dependent:
        reason = "what it sees does not depend on the image"
    elif call.count > 1:
        reason = f"called {call.count} times in a pass"
    elif not call.same_inputs:
        reason = "query, key and value differ"
    elif not call.samples_apart:
        reason = "the images of a batch do not stay apart in its input"
    elif (needed := _EQUATIONS * layer.groups * layer.weight[0].numel() ** 2) > free_bytes(layer.weight.device) // 2:
        inputs = layer.weight[0].numel()
        reason = f"its equations for {inputs} inputs take {needed / 1e9:.0f} GB, more than half of the free memory"
    else:
        return layer
    return replace(layer, reason=reason)
