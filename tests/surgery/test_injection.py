"""Noise inside a network: at the right place, in the right mode, and gone afterwards."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

from noisewise._rng import make_generator
from noisewise.errors import ArgumentError, SurgeryError
from noisewise.noise import CircularShift, FeatureGaussian, OptimalQ
from noisewise.surgery import find_places, inject, remove_injections, resolve_place


class Tiny(nn.Module):
    """Three linear blocks, the middle one checkpointed on demand."""

    def __init__(self, checkpointed: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))
        self.checkpointed = checkpointed

    def forward(self, x):
        x = self.blocks[0](x)
        x = checkpoint(self.blocks[1], x, use_reentrant=False) if self.checkpointed else self.blocks[1](x)
        return self.blocks[2](x)


def tiny(**options):
    torch.manual_seed(0)
    return Tiny(**options)


def batch(count=4):
    return torch.randn(count, 6, generator=make_generator(1))


def test_the_output_of_the_place_is_disturbed_and_nothing_else():
    model, x = tiny(), batch()
    noise = OptimalQ()
    with inject(model, {"blocks.1": noise}):
        noisy = model(x)
    features = model.blocks[1](model.blocks[0](x))
    torch.testing.assert_close(noisy, model.blocks[2](noise(features, generator=make_generator(0))))


@pytest.mark.parametrize("when", ["train", "test", "both"])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_on_in_its_mode_alone_and_gone_after_the_block(when, training):
    model, x = tiny().train(training), batch()
    plain = model(x)
    with inject(model, {"blocks.0": FeatureGaussian(0.5)}, when=when):
        noisy = model(x)
    assert torch.equal(noisy, plain) == (when == ("test" if training else "train"))
    assert torch.equal(model(x), plain)


def test_it_is_gone_after_an_error():
    model, x = tiny(), batch()
    plain = model(x)
    with pytest.raises(RuntimeError), inject(model, {"blocks.0": FeatureGaussian()}):
        raise RuntimeError
    assert torch.equal(model(x), plain)


def test_every_pass_and_place_has_a_draw_of_its_own_and_the_seed_decides_them_all():
    def run(seed):
        model = nn.Sequential(nn.Identity(), nn.Identity())
        with inject(model, {"0": FeatureGaussian(), "1": FeatureGaussian()}, seed=seed):
            first = model(torch.zeros(2, 50))
            return first, model(torch.zeros(2, 50)), model[0](torch.zeros(2, 50))

    first, second, at_the_first_place = run(0)  # the part alone has the draw of the latest pass
    assert not torch.equal(first, second)
    assert not torch.allclose(second, 2 * at_the_first_place)
    assert torch.equal(first, run(0)[0])
    assert not torch.equal(first, run(1)[0])


def test_a_permanent_injection_saves_loads_and_copies_with_the_network(tmp_path):
    model, x = tiny(), batch()
    plain = copy.deepcopy(model)
    inject(model, {"blocks.1": CircularShift(0.3)})
    torch.save(model, tmp_path / "model.pt")
    for other in (copy.deepcopy(model), torch.load(tmp_path / "model.pt", weights_only=False)):
        torch.testing.assert_close(other(x), model(x))
        assert torch.equal(other.eval()(x), plain(x))
    plain.load_state_dict(model.state_dict())


def test_a_copy_made_while_noise_is_in_place_can_be_cleaned():
    model, x = tiny(), batch()
    plain = model(x)
    with inject(model, {"blocks.1": CircularShift(0.3)}):
        copied = copy.deepcopy(model)
    assert not torch.equal(copied(x), plain)
    remove_injections(copied)
    assert torch.equal(copied(x), plain)


def test_the_draw_of_a_place_does_not_depend_on_other_places_or_other_modes():
    def run(places, *, test_first=False):
        model = nn.Sequential(nn.Identity(), nn.Identity())
        with inject(model, places):
            if test_first:
                model.eval()(torch.zeros(2, 9))
            return model.train()(torch.zeros(2, 9))

    noise = FeatureGaussian()
    alone = run({"1": noise})
    assert torch.equal(run({"1": noise}, test_first=True), alone)
    assert not torch.equal(run({"0": noise}), alone)
    torch.testing.assert_close(run({"0": noise, "1": noise}), run({"0": noise}) + alone)


def test_a_part_called_before_the_network_is_refused():
    model = tiny()
    with inject(model, {"blocks.0": FeatureGaussian()}), pytest.raises(SurgeryError, match="call that"):
        model.blocks[0](batch())


def test_gradient_checkpointing_recomputes_the_same_noise():
    gradients = []
    for checkpointed in (False, True):
        model = tiny(checkpointed=checkpointed)
        with inject(model, {"blocks.1.0": FeatureGaussian(0.5)}):
            model(batch())
            model(batch()).square().sum().backward()
        gradients.append(model.blocks[0][0].weight.grad)
    torch.testing.assert_close(*gradients)


def test_works_compiled_and_under_autocast():
    model, x = tiny(), batch()
    with inject(model, {"blocks.1": FeatureGaussian(0.5)}):
        compiled = torch.compile(model, backend="aot_eager")
        with torch.no_grad():
            assert not torch.equal(compiled(x), compiled(x))
    with torch.autocast("cpu", torch.bfloat16), inject(model, {"blocks.1": OptimalQ()}):
        assert model(x).dtype == torch.bfloat16
    with inject(model, {"blocks.1": OptimalQ()}):
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), model(x))


@pytest.mark.parametrize("hand_over", [lambda model, compiled: model, lambda model, compiled: compiled])
def test_what_was_compiled_and_called_before_is_disturbed_and_left_as_it_was(hand_over):
    model, x = tiny(), batch()
    compiled = torch.compile(model, backend="eager")
    plain = compiled(x)
    with inject(hand_over(model, compiled), {"blocks.1": FeatureGaussian(0.5)}):
        passes = [compiled(x) for _ in range(3)]
    torch.testing.assert_close(compiled(x), plain)
    with inject(model, {"blocks.1": FeatureGaussian(0.5)}):
        torch.testing.assert_close(passes, [model(x) for _ in range(3)])
    assert not torch.equal(passes[0], plain)


def test_noise_goes_from_a_network_that_is_compiled_in_place_and_cleaned():
    model, x = tiny(), batch()
    model.compile(backend="eager")
    plain = model(x)
    inject(model, {"blocks.1": FeatureGaussian(0.5)})
    assert not torch.allclose(model(x), plain)
    remove_injections(model)
    torch.testing.assert_close(model(x), plain)


def test_mixing_at_test_time_needs_leave():
    model = tiny()
    for when in ("test", "both"):
        with pytest.raises(ArgumentError, match="allow_batch_mixing=True"):
            inject(model, {"blocks.1": OptimalQ()}, when=when)
        inject(model, {"blocks.1": OptimalQ()}, when=when, allow_batch_mixing=True).remove()
        inject(model, {"blocks.1": OptimalQ(axis="channels")}, when=when).remove()


PLACES = {
    "resnet18": ("layer1.0", "layer4.1", 8),
    "resnet50": ("layer1.0", "layer4.2", 16),
    "vit_tiny_patch16_224": ("blocks.0.norm1", "blocks.11.norm1", 12),
    "deit_tiny_patch16_224": ("blocks.0.norm1", "blocks.11.norm1", 12),
    "swin_tiny_patch4_window7_224": ("layers.0.blocks.0.norm1", "layers.3.blocks.1.norm1", 12),
    "swinv2_tiny_window8_256": ("layers.0.blocks.0.norm1", "layers.3.blocks.1.norm1", 12),
    "beit_base_patch16_224": ("blocks.0.norm1", "blocks.11.norm1", 12),
    "convit_tiny": ("blocks.0.norm1", "blocks.11.norm1", 12),
    "resnetv2_50": ("stages.0.blocks.0", "stages.3.blocks.2", 16),
    "convnext_atto": ("stages.0.blocks.0", "stages.3.blocks.1", 12),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_places_of_timm_networks(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    first, last, count = PLACES[name]
    assert resolve_place(model, "first") == [first]
    assert resolve_place(model, "last") == [last] == resolve_place(model, -1) == resolve_place(model, count - 1)
    assert len(find_places(model)) == count


def test_the_places_of_torchvision_networks():
    with torch.device("meta"):
        assert resolve_place(torchvision.models.resnet50(), "last") == ["layer4.2"]
        vit = torchvision.models.vit_b_16()
    assert resolve_place(vit, "last") == ["encoder.layers.encoder_layer_11.ln_1"]


def test_the_places_of_transformers_networks():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16, image_size=32
    )
    model = transformers.ViTForImageClassification(config)
    assert resolve_place(model, "last")[0].endswith("2.layernorm_before")
    pixels = torch.randn(2, 3, 32, 32, generator=make_generator(0))
    plain = model.train()(pixels).logits
    with inject(model, {"last": OptimalQ()}):
        assert not torch.equal(model(pixels).logits, plain)


def test_the_places_of_a_resnet_of_transformers():
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers.ResNetForImageClassification(transformers.ResNetConfig())
    assert resolve_place(model, "last") == ["resnet.encoder.stages.3.layers.2"]
    assert len(find_places(model)) == 16


def test_names_and_patterns():
    model = tiny()
    assert resolve_place(model, "blocks.1") == ["blocks.1"]
    assert resolve_place(model, r"blocks\.\d") == ["blocks.0", "blocks.1", "blocks.2"]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("block.1", r"nearest: blocks\.1"),
        ("(", "regular expression"),
        ("zzzzzz", "first ones are blocks"),
        (9, "0 blocks"),
    ],
)
def test_a_place_that_does_not_exist_is_refused_with_its_neighbours(where, told):
    with pytest.raises(SurgeryError, match=told):
        inject(tiny(), {where: OptimalQ()})


def test_an_index_out_of_range_names_the_range():
    with torch.device("meta"):
        model = timm.create_model("resnet18")
    with pytest.raises(SurgeryError, match=r"8 blocks.*none at 8; choose an index from -8 to 7"):
        resolve_place(model, 8)


def test_a_place_named_twice_and_an_unknown_mode_are_refused():
    with pytest.raises(SurgeryError, match="named twice"):
        inject(tiny(), {"blocks.1": OptimalQ(), r"blocks\.\d": OptimalQ()})
    with pytest.raises(ArgumentError, match="when"):
        inject(tiny(), {"blocks.1": OptimalQ()}, when="always")
    with pytest.raises(ArgumentError, match="keep_prefix"):
        inject(tiny(), {"blocks.1": OptimalQ()}, keep_prefix=-1)


def test_an_output_that_is_no_batch_of_features_is_refused():
    model = nn.Sequential(nn.Flatten(0), nn.Identity())
    with inject(model, {"0": FeatureGaussian()}), pytest.raises(SurgeryError, match="output of 0 is no batch"):
        model(torch.zeros(2, 3))


def test_a_pass_that_is_sought_draws_what_it_drew_at_first():
    model, x = tiny(), batch()
    with inject(model, {"blocks.1": FeatureGaussian(1.0)}) as injection:
        passes = [model(x) for _ in range(4)]
        injection.seek(2)
        again = [model(x) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(passes[2:], again, strict=True))
    assert not torch.equal(passes[0], passes[2])
