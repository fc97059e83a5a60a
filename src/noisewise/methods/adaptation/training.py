"""Training on a labelled source and an unlabelled target, with noise inside the network if wanted."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from noisewise._rng import initialised
from noisewise.contracts import NoiseOnFeatures
from noisewise.errors import ArgumentError, SurgeryError
from noisewise.methods.adaptation.adversary import DomainDiscriminator, reversal_ramp
from noisewise.methods.adaptation.objective import Objective, adaptation_loss, observed_pass
from noisewise.methods.adaptation.transferable import transferable
from noisewise.models.preprocess import Preprocess
from noisewise.surgery import Injection, fingerprint, inject, remove_injections
from noisewise.train.classifier import LabelledPixels, ShuffledBatches, decaying_weights_only
from noisewise.train.loop import Progress, Run, optimise
from noisewise.train.recipe import Schedule

__all__ = ["Adaptation", "DomainBatch", "DomainBatches", "adapt", "require_adaptable"]

_WEIGHT_DECAY = 0.05
_LEAST_CROP = 0.7
_HIDDEN_SHARE = 4


class DomainBatch(NamedTuple):
    """One step's training data."""

    source: Tensor
    labels: Tensor
    target: Tensor
    step: Tensor


@dataclass(frozen=True, eq=False)
class DomainBatches(Dataset[DomainBatch]):
    """The batches of every step, as many images of the target as of the source; labels of the target are not read."""

    source: ShuffledBatches
    target: ShuffledBatches

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, step: int) -> DomainBatch:
        known, unknown = self.source[step], self.target[step]
        return DomainBatch(known.images, known.labels, unknown.images, torch.tensor(step))

    def identity(self) -> str:
        """A text that differs from that of any other batches, whatever the number of steps."""
        return f"{self.source.identity()} {self.target.identity()}"


@dataclass(frozen=True)
class Adaptation:
    """How a network is adapted.

    Attributes:
        objective: weights of the terms.
        schedule: steps, images of each domain in a batch, side, rates.
        noise: by place, see :func:`noisewise.surgery.inject`; on in training only, in each domain's batch by itself.
        seed: of order, crops, discriminators and noise.

    A resumed run may have another learning rate or number of steps; the rest must be the same.
    """

    objective: Objective
    schedule: Schedule
    noise: Mapping[str | int, NoiseOnFeatures] = field(default_factory=dict)
    seed: int = 0


def adapt(
    network: nn.Module,
    source: LabelledPixels,
    target: Tensor,
    how: Adaptation,
    *,
    preprocess: Preprocess,
    checkpoint: Path,
    progress: Progress = lambda step, loss: None,
    mixed_precision: str = "bf16",
) -> nn.Module:
    """A copy of a timm vision transformer trained to classify the target's images; resumes from ``checkpoint``.

    With weight on patches it has a discriminator in its last attention, which stays: make the network with
    :func:`transferable` before its state dict is loaded again. The terms and their signs are those of the authors; the
    discriminators begin undecided and have no dropout, and AdamW trains all parts at one rate, where they have SGD
    with the backbone at a tenth.

    Args:
        network: in which a linear classifier has an output for each class of the source; left as it is.
        source: labelled images.
        target: images without labels, ``N x 3 x H x W`` of 8 bits.
        how: objective, schedule, noise, seed.
        preprocess: from pixels in [0, 1] to the network's input.
        checkpoint: where the state is kept.
        progress: told after every step.
        mixed_precision: ``"bf16"`` or ``"no"``.

    Raises:
        ArgumentError: labels that are no classes of the network, images that are not 8-bit, or noise in a network with
            gradient checkpointing.
        DatasetError: fewer images than a batch takes.
        SurgeryError: no vision transformer of timm, or a place that does not exist.
        CheckpointError: the checkpoint belongs to another run.
        TrainingError: the loss is not finite.
    """
    require_adaptable(network, how)
    _require_sensible(network, source, target)
    batches = _batches(source, target, how, preprocess)
    pupil = transferable(network, how.seed) if how.objective.patches else copy.deepcopy(network)
    features = cast("Any", pupil).get_classifier().in_features
    judge = initialised(lambda: DomainDiscriminator(features, max(1, features // _HIDDEN_SHARE)), how.seed)
    model = nn.ModuleDict({"network": pupil, "judge": judge}).train()
    with inject(pupil, how.noise, seed=how.seed) as injection:
        parts = (
            model,
            decaying_weights_only(model, how.schedule.learning_rate, _WEIGHT_DECAY),
            _Loss(how, injection),
            batches,
            how.schedule,
        )
        run = Run(_identity(model, batches, how, mixed_precision), *parts)
        trained = optimise(run, checkpoint, progress=progress, save_every=100, mixed_precision=mixed_precision)
    remove_injections(trained)
    return trained["network"]


def require_adaptable(network: nn.Module, how: Adaptation) -> None:
    """Find out before any image is read whether ``network`` can be adapted so.

    Raises:
        SurgeryError: no vision transformer of timm, no single linear classifier, or a place that does not exist.
        ArgumentError: noise in a network with gradient checkpointing, where both domains pass before the gradients are
            computed: what is recomputed for the source would get the noise of the target.
    """
    head = getattr(network, "get_classifier", lambda: None)()
    if not isinstance(head, nn.Linear):
        raise SurgeryError(
            f"expected a vision transformer of timm with one linear classifier, got {type(network).__name__} with "
            f"{type(head).__name__}; choose one such as timm:vit_small_patch16_224"
        )
    if how.noise and getattr(network, "grad_checkpointing", False):
        raise ArgumentError(
            "expected a network without gradient checkpointing to train with noise, got one with it; call "
            "network.set_grad_checkpointing(False), or leave the noise out"
        )
    transferable(network)
    inject(network, how.noise).remove()


def _require_sensible(network: nn.Module, source: LabelledPixels, target: Tensor) -> None:
    outputs = cast("Any", network).get_classifier().out_features
    low, high = (int(end) for end in source.labels.aminmax()) if len(source.labels) else (0, -1)
    if low < 0 or high >= outputs or not len(source.labels):
        raise ArgumentError(
            f"expected labels from 0 to {outputs - 1}, the outputs of the network, got {low} to {high}; "
            "leave unlabelled images out, or call network.reset_classifier(number of classes)"
        )
    if source.images.dtype != torch.uint8 or target.dtype != torch.uint8:
        raise ArgumentError(
            f"expected 8-bit images, got {source.images.dtype} and {target.dtype}; use (255 * images).byte()"
        )


def _batches(source: LabelledPixels, target: Tensor, how: Adaptation, preprocess: Preprocess) -> DomainBatches:
    unlabelled = LabelledPixels(target, torch.zeros(len(target), dtype=torch.long))
    first, second = (
        ShuffledBatches(data, how.schedule, preprocess, _LEAST_CROP, seed)
        for data, seed in ((source, how.seed), (unlabelled, how.seed + 1))
    )
    return DomainBatches(first, second)


@dataclass(frozen=True)
class _Loss:
    how: Adaptation
    injection: Injection

    def __call__(self, model: nn.ModuleDict, batch: DomainBatch, generator: torch.Generator) -> Tensor:
        self._set_out(model, int(batch.step))
        source, target = (observed_pass(model["network"], images) for images in (batch.source, batch.target))
        judge = cast("DomainDiscriminator", model["judge"])
        return adaptation_loss(source, batch.labels, target, judge, self.how.objective)

    def _set_out(self, model: nn.Module, step: int) -> None:
        self.injection.seek(2 * step)  # one pass for each domain
        for module in model.modules():
            if isinstance(module, DomainDiscriminator):
                module.reversal = reversal_ramp(step / self.how.schedule.steps)


def _identity(model: nn.Module, batches: DomainBatches, how: Adaptation, precision: str) -> str:
    """A short hash of initial state, data and settings; how long and how fast may be changed on the way."""
    noise = hashlib.sha256(pickle.dumps(sorted(how.noise.items(), key=str))).hexdigest()  # a repr may leave things out
    text = (
        f"{fingerprint(model)} {batches.identity()} {how.objective} {noise} {how.seed} {how.schedule.ema} {precision}"
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
