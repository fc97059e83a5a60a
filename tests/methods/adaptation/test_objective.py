"""The terms of TVT against closed forms, and the network that carries them."""

from __future__ import annotations

import copy
import math

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from noisewise.errors import ArgumentError, SurgeryError
from noisewise.methods.adaptation import (
    DomainDiscriminator,
    Objective,
    adaptation_loss,
    clustering_information,
    domain_loss,
    observed_pass,
    reversal_ramp,
    transferability,
    transferable,
)
from noisewise.methods.adaptation.objective import Pass
from noisewise.train.reversal import reverse_gradient


def vit(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
        return timm.create_model("vit_tiny_patch16_224", **sizes, **options).eval()


MEAN_OF_TOKENS = {"class_token": False, "global_pool": "avg"}
REGISTERS = MEAN_OF_TOKENS | {"reg_tokens": 2}
KINDS = pytest.mark.parametrize(
    "options", [{}, MEAN_OF_TOKENS, REGISTERS, {"qk_norm": True}], ids=["class", "mean", "registers", "qk-norm"]
)


def images(count=3):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def decided(model):
    """The network with a discriminator of patches that has opinions."""
    attention, generator = model.blocks[-1].attn, torch.Generator().manual_seed(2)
    nn.init.normal_(attention.discriminator[-1].weight, std=20.0, generator=generator)
    nn.init.normal_(attention.proj.weight, generator=generator)
    return model


@given(st.floats(0, 3))
def test_reversal_turns_gradients_round_and_leaves_values(strength):
    features = torch.tensor([1.0, -2.0], requires_grad=True)
    reversed_ = reverse_gradient(features, strength)
    assert torch.equal(reversed_, features)
    (reversed_ * torch.tensor([3.0, 5.0])).sum().backward()
    torch.testing.assert_close(features.grad, -strength * torch.tensor([3.0, 5.0]))


def test_the_ramp_rises_from_nothing_to_almost_one():
    assert reversal_ramp(0.0) == 0
    assert reversal_ramp(0.1) == pytest.approx(math.tanh(0.5))
    assert 0.9999 < reversal_ramp(1.0) < 1


def test_an_undecided_discriminator_loses_a_bit_and_a_right_one_nothing():
    undecided = DomainDiscriminator(4, 8)
    loss = domain_loss(undecided(torch.randn(6, 4)), undecided(torch.randn(5, 4)))
    assert loss.item() == pytest.approx(math.log(2))
    assert domain_loss(torch.full((3,), 50.0), torch.full((7,), -50.0)) < 1e-6
    assert domain_loss(torch.full((3,), -50.0), torch.full((7,), 50.0)) == pytest.approx(50)


def test_features_learn_to_deceive_the_discriminator():
    judge, generator = DomainDiscriminator(2, 4), torch.Generator().manual_seed(4)
    for layer in (judge[0], judge[2], judge[4]):
        nn.init.normal_(layer.weight, generator=generator)
    shift = torch.zeros(2, requires_grad=True)
    domain_loss(judge(torch.ones(8, 2) + shift), judge(-torch.ones(8, 2))).backward()
    towards = -0.1 * shift.grad
    before = domain_loss(judge(torch.ones(8, 2)), judge(-torch.ones(8, 2)))
    assert domain_loss(judge(torch.ones(8, 2) + towards), judge(-torch.ones(8, 2))) > before


@pytest.mark.parametrize("classes", [2, 10])
def test_clustering_is_greatest_for_sure_and_diverse_predictions(classes):
    sure = 100 * torch.eye(classes)
    assert clustering_information(sure).item() == pytest.approx(math.log(classes), rel=1e-5)
    assert clustering_information(sure[:1].expand(8, -1)).item() == pytest.approx(0, abs=1e-6)
    assert clustering_information(torch.zeros(8, classes)).item() == pytest.approx(0, abs=1e-6)


@given(st.lists(st.lists(st.floats(-40, 40), min_size=3, max_size=3), min_size=1, max_size=6))
def test_clustering_is_a_mutual_information(rows):
    value = clustering_information(torch.tensor(rows)).item()
    assert -1e-5 <= value <= math.log(3) + 1e-5


def test_transferability_is_the_entropy_of_the_verdict_in_bits():
    values = transferability(torch.tensor([0.0, math.log(3), -math.log(3), 1e4, -1e4]))
    expected = [1.0, 0.811278, 0.811278, 0.0, 0.0]
    torch.testing.assert_close(values, torch.tensor(expected), atol=1e-5, rtol=0)


@KINDS
@torch.no_grad()
def test_an_undecided_network_is_the_one_that_it_was_made_from(options):
    model = vit(**options)
    torch.testing.assert_close(transferable(model)(images()), model(images()))


@KINDS
@torch.no_grad()
def test_verdicts_on_patches_change_the_output_and_images_stay_apart(options):
    changed = decided(transferable(vit(**options)))
    undecided = copy.deepcopy(changed)
    nn.init.zeros_(undecided.blocks[-1].attn.discriminator[-1].weight)
    outputs = changed(images())
    assert (outputs - undecided(images())).abs().max() > 1e-3
    torch.testing.assert_close(outputs[1:2], changed(images()[1:2]))


@torch.no_grad()
def test_without_a_class_token_the_weights_scale_what_every_token_reads():
    model = vit(**MEAN_OF_TOKENS)
    attention = decided(transferable(model)).blocks[-1].attn
    tokens = torch.randn(2, 16, 24, generator=torch.Generator().manual_seed(3))
    query, key, value = attention.qkv(tokens).reshape(2, 16, 3, 3, 8).permute(2, 0, 3, 1, 4)
    judged = transferability(attention.discriminator(key))
    mixed = (query @ key.mT / 8**0.5).softmax(-1) * judged[:, :, None] @ value
    torch.testing.assert_close(attention(tokens), attention.proj(mixed.transpose(1, 2).reshape(2, 16, 24)))


def test_the_state_dict_keeps_its_keys_and_the_original_is_left_alone():
    model = vit()
    changed = transferable(model)
    added = changed.state_dict().keys() - model.state_dict().keys()
    assert model.state_dict().keys() < changed.state_dict().keys()
    assert all(name.startswith("blocks.1.attn.discriminator.") for name in added)
    assert type(model.blocks[-1].attn).__name__ == "Attention"


@KINDS
def test_a_pass_shows_what_classifier_and_discriminator_saw(options):
    model = transferable(vit(**options))
    seen = observed_pass(model, images())
    torch.testing.assert_close(model.head(seen.features), seen.logits)
    assert seen.patches.shape == (3, 3, 16)
    assert observed_pass(vit(**options), images()).patches is None
    assert not any(module._forward_hooks for module in model.modules())


def test_what_is_no_vision_transformer_is_refused():
    with pytest.raises(SurgeryError, match="vit_small"):
        transferable(timm.create_model("test_resnet"))
    with pytest.raises(SurgeryError, match="mask"):
        transferable(vit()).blocks[-1].attn(torch.zeros(1, 17, 24), is_causal=True)


def test_negative_weights_are_refused():
    with pytest.raises(ArgumentError, match="at least 0"):
        Objective(domain=-1)


def a_pass(logits, features, patches=None):
    return Pass(torch.tensor(logits), torch.tensor(features), patches)


def test_the_objective_adds_its_terms_with_their_signs():
    judge = DomainDiscriminator(1, 2)  # undecided: ln 2 whatever it sees
    source = a_pass([[0.0, math.log(3)]], [[1.0]], torch.zeros(1, 2, 4))
    target = a_pass([[50.0, 0.0], [0.0, 50.0]], [[1.0], [2.0]], torch.full((2, 2, 4), math.log(3)))
    labels = torch.tensor([1])
    classes, information = math.log(4 / 3), math.log(2)
    patches = (math.log(2) + math.log(4)) / 2
    for weights, extra in [
        ({}, 0.0),
        ({"domain": 2.0}, 2 * math.log(2)),
        ({"patches": 3.0}, 3 * patches),
        ({"clustering": 5.0}, -5 * information),
        ({"domain": 2.0, "patches": 3.0, "clustering": 5.0}, 2 * math.log(2) + 3 * patches - 5 * information),
    ]:
        loss = adaptation_loss(source, labels, target, judge, Objective(**weights))
        assert loss.item() == pytest.approx(classes + extra, abs=1e-5)


@KINDS
def test_the_classification_loss_leaves_the_discriminator_of_patches_alone(options):
    model = decided(transferable(vit(**options)))
    torch.nn.functional.cross_entropy(model(images()), torch.tensor([0, 1, 2])).backward()
    assert all(parameter.grad is None for parameter in model.blocks[-1].attn.discriminator.parameters())
    assert model.blocks[-1].attn.qkv.weight.grad.abs().max() > 0


@torch.no_grad()
def test_with_a_class_token_only_its_own_attention_is_weighted():
    attention = decided(transferable(vit())).blocks[-1].attn
    tokens = torch.randn(2, 17, 24, generator=torch.Generator().manual_seed(3))
    query, key, value = attention.qkv(tokens).reshape(2, 17, 3, 3, 8).permute(2, 0, 3, 1, 4)
    weights = (query @ key.mT / 8**0.5).softmax(-1)
    weights[:, :, 0, 1:] *= transferability(attention.discriminator(key[:, :, 1:]))
    expected = attention.proj((weights @ value).transpose(1, 2).reshape(2, 17, 24))
    torch.testing.assert_close(attention(tokens), expected)


def test_a_network_that_is_transferable_stays_so():
    once = decided(transferable(vit()))
    twice = transferable(once)
    assert all(torch.equal(value, twice.state_dict()[name]) for name, value in once.state_dict().items())


def test_the_seed_decides_on_the_discriminator():
    def first(seed):
        return transferable(vit(), seed).blocks[-1].attn.discriminator[0].weight

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))
