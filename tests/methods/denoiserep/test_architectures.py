"""Fusion is exact in networks of many kinds: every test model of timm, and small ones of the other libraries."""

from __future__ import annotations

from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision.models as tv
from small_networks import images
from torch import Tensor, nn
from torchvision.models import convnext, densenet, efficientnet, mobilenetv3, swin_transformer

from noisewise.methods.denoiserep import attach
from noisewise.models import logits

SIDE = 64
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
VISIBLE = 1e-5


class SelectiveScan2d(nn.Module):
    """The core of VMamba (Liu et al. 2024): a state that depends on its input scans a map in four directions."""

    def __init__(self, width: int, state: int = 4, rank: int = 2) -> None:
        super().__init__()
        self.state, self.rank = state, rank
        self.into, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.parameters_of = nn.Linear(width, rank + 2 * state, bias=False)
        self.step = nn.Linear(rank, width)
        self.decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``B x H x W x C`` to the same shape."""
        batch, height, width, _ = x.shape
        values, gate = self.into(x).chunk(2, -1)
        values = F.silu(self.mix(values.permute(0, 3, 1, 2)))
        rows, columns = values.flatten(2).mT, values.mT.flatten(2).mT
        paths = torch.cat([rows, columns, rows.flip(1), columns.flip(1)])
        a, b, c, d = self._scan(paths).chunk(4)
        across = (b + d.flip(1)).reshape(batch, width, height, -1).transpose(1, 2)
        merged = (a + c.flip(1)).reshape(batch, height, width, -1) + across
        return self.out(self.norm(merged) * F.silu(gate))

    def _scan(self, u: Tensor) -> Tensor:
        step, into, out = self.parameters_of(u).split([self.rank, self.state, self.state], -1)
        step = F.softplus(self.step(step))
        state, results = u.new_zeros(len(u), u.shape[2], self.state), []
        for at in range(u.shape[1]):
            decay = (-step[:, at, :, None] * self.decay.exp()).exp()
            state = decay * state + step[:, at, :, None] * into[:, at, None] * u[:, at, :, None]
            results.append((state * out[:, at, None]).sum(-1))
        return torch.stack(results, 1) + self.skip * u


class VMamba(nn.Module):
    """Patches, two residual blocks of selective scans and perceptrons, a head."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 16, 16)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.scans = nn.ModuleList(SelectiveScan2d(width) for _ in range(2))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(2)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = self.stem(x).permute(0, 2, 3, 1)
        for i, (scan, mlp) in enumerate(zip(self.scans, self.mlps, strict=True)):
            x = x + scan(self.norms[2 * i](x))
            x = x + mlp(self.norms[2 * i + 1](x))
        logits: Tensor = self.head(x.mean((1, 2)))
        return logits


def from_timm(name):
    takes_size = timm.get_pretrained_cfg(name).fixed_input_size
    return timm.create_model(name, num_classes=10, **({"img_size": SIDE} if takes_size else {}))


def small_convnext():
    return convnext.ConvNeXt([convnext.CNBlockConfig(8, 16, 1), convnext.CNBlockConfig(16, None, 1)], layer_scale=1.0)


def small_swin(version):
    block, merging = {
        1: (swin_transformer.SwinTransformerBlock, swin_transformer.PatchMerging),
        2: (swin_transformer.SwinTransformerBlockV2, swin_transformer.PatchMergingV2),
    }[version]
    shape = {"patch_size": [4, 4], "embed_dim": 16, "depths": [2, 1], "num_heads": [2, 2], "window_size": [4, 4]}
    return swin_transformer.SwinTransformer(**shape, num_classes=10, block=block, downsample_layer=merging)


def small_mobilenet():
    kernels, acts = (3, 5), ("RE", "HS")
    bends = [
        mobilenetv3.InvertedResidualConfig(8, kernel, 24, 8, True, act, 2, 1, 1.0)
        for kernel, act in zip(kernels, acts, strict=True)
    ]
    return mobilenetv3.MobileNetV3(bends, 32, num_classes=10)


def small_efficientnet():
    blocks = [efficientnet.MBConvConfig(1, 3, 1, 8, 8, 1), efficientnet.MBConvConfig(4, 5, 2, 8, 16, 2)]
    return efficientnet.EfficientNet(blocks, 0.0, num_classes=10, last_channel=32)


FAST = {
    "VMamba": VMamba,
    **{f"timm {name}": partial(from_timm, name) for name in ("test_resnet", "test_vit", "test_mambaout")},
    "torchvision convnext": small_convnext,
    "torchvision densenet": partial(densenet.DenseNet, 8, (2, 2), 16, num_classes=10),
    "torchvision efficientnet": small_efficientnet,
    "torchvision mobilenet": small_mobilenet,
    "torchvision swin": partial(small_swin, 1),
    "torchvision swin v2": partial(small_swin, 2),
    "torchvision vit": partial(tv.VisionTransformer, SIDE, 16, 2, 2, 16, 32, num_classes=10),
}
SLOW = {
    **{f"timm {name}": partial(from_timm, name) for name in timm.list_models("test_*")},
    "torchvision squeezenet": partial(tv.squeezenet1_1, num_classes=10),
}
TOKENS = {"image_size": SIDE, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 2}
ENCODER = TOKENS | {"num_attention_heads": 2, "intermediate_size": 32}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}
WINDOWS = {"image_size": SIDE, "embed_dim": 16, "depths": [2, 1], "num_heads": [2, 2], "window_size": 4}
SEGFORMER = {
    "hidden_sizes": [8, 16, 16, 16],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 2, 2],
    "decoder_hidden_size": 16,
}
TRANSFORMERS = {
    "ViT": ENCODER,
    "DeiT": ENCODER,
    "Dinov2": TOKENS | {"num_attention_heads": 2, "mlp_ratio": 2},
    "ConvNext": STAGES,
    "ResNet": STAGES | {"embedding_size": 8},
    "Swin": WINDOWS,
    "Swinv2": WINDOWS,
    "Segformer": SEGFORMER,
}


def from_transformers(name):
    transformers = pytest.importorskip("transformers", reason="needs the extra [hf]")
    config = getattr(transformers, f"{name}Config")(**TRANSFORMERS[name], num_labels=10)
    return getattr(transformers, f"{name}ForImageClassification")(config)


SLOW |= {f"transformers {name}": partial(from_transformers, name) for name in TRANSFORMERS}
ARCHITECTURES = [
    *(pytest.param(build, id=name) for name, build in FAST.items()),
    *(pytest.param(build, id=name, marks=pytest.mark.slow) for name, build in SLOW.items() if name not in FAST),
]


def built(build, dtype):
    torch.manual_seed(0)
    model = build().eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # nothing starts at zero, so that every layer counts
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    settle(model)
    return model.to(dtype)


@torch.no_grad()
def settle(model):
    """Statistics of real batches in all normalisations, without which features fade from layer to layer."""
    normalisations = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for module in normalisations:
        module.train().momentum = 1.0
    model(images(4, SIDE, seed=1, dtype=torch.float32))
    model.eval()


def relative(came, expected):
    return float((logits(came) - logits(expected)).abs().max() / logits(expected).abs().max())


def views_of_the_fit(model, pixels):
    """The handle fitted on pairs, and the input and output of the pass in which it was fitted."""
    passes = []
    hook = model.register_forward_hook(lambda _, inputs, output: passes.append((inputs[0], output)))
    handle = attach(model, mode="paired").fit_paired(pixels, "gaussian:sigma=25", preprocess=lambda x: x)
    hook.remove()
    return handle, *passes[-1]


@pytest.mark.parametrize("build", ARCHITECTURES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["double", "single"])
@torch.no_grad()
def test_branches_are_fused_exactly(build, dtype):
    model, batch = built(build, dtype), images(2, SIDE, dtype=dtype)
    handle = attach(model, schedule="ddpm", t=300).fit([batch])
    fused = handle.fuse(check=batch)
    assert relative(fused(batch), handle(batch)) <= TOLERANCE[dtype]
    assert relative(fused(batch), model(batch)) > VISIBLE
    assert fused.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("build", ARCHITECTURES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["double", "single"])
@torch.no_grad()
def test_the_hardened_network_is_the_student_of_the_pass_and_the_teacher_is_the_old_one(build, dtype):
    model, pixels = built(build, dtype), images(2, SIDE, dtype=dtype)
    handle, views, output = views_of_the_fit(model, pixels)
    fused = handle.fuse(check=pixels)
    assert relative(logits(output)[:2], model(views[:2])) <= TOLERANCE[dtype]
    assert relative(logits(output)[2:], fused(views[2:])) <= TOLERANCE[dtype]
    assert relative(fused(pixels), model(pixels)) > VISIBLE
    assert fused.state_dict().keys() == model.state_dict().keys()


def test_at_least_twenty_architectures_of_four_sources():
    assert len(ARCHITECTURES) >= 20
    assert {name.split()[0] for name in FAST | SLOW} == {"VMamba", "timm", "torchvision", "transformers"}
