"""Open a trained network at named layers: select, look inside, change the weights, keep the change in a file."""

from noisewise.surgery.affine import AffineMap, fold_input, fold_output
from noisewise.surgery.batchnorm import fold_batchnorm
from noisewise.surgery.downstream import Downstream, Summand, find_downstream
from noisewise.surgery.inject import Injection, When, inject, remove_injections
from noisewise.surgery.layers import Layer, find_layers, find_normalisations, replace_weights
from noisewise.surgery.memory import activation_bytes, free_bytes
from noisewise.surgery.moments import FeatureMoments, record_moments
from noisewise.surgery.patch import apply_patch, fingerprint, revert_patch, save_patch
from noisewise.surgery.places import find_places, resolve_place
from noisewise.surgery.select import Targets, select_layers
from noisewise.surgery.trace import Call, trace_calls

__all__ = [
    "AffineMap",
    "Call",
    "Downstream",
    "FeatureMoments",
    "Injection",
    "Layer",
    "Summand",
    "Targets",
    "When",
    "activation_bytes",
    "apply_patch",
    "find_downstream",
    "find_layers",
    "find_normalisations",
    "find_places",
    "fingerprint",
    "fold_batchnorm",
    "fold_input",
    "fold_output",
    "free_bytes",
    "inject",
    "record_moments",
    "remove_injections",
    "replace_weights",
    "resolve_place",
    "revert_patch",
    "save_patch",
    "select_layers",
    "trace_calls",
]
