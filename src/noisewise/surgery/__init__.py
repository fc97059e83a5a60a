"""Open a trained network at named layers: select, look inside, change the weights, keep the change in a file."""

from noisewise.surgery.affine import AffineMap, fold_input, fold_output
from noisewise.surgery.batchnorm import fold_batchnorm
from noisewise.surgery.layers import Layer, find_layers, replace_weights
from noisewise.surgery.memory import activation_bytes
from noisewise.surgery.moments import FeatureMoments, record_moments
from noisewise.surgery.patch import apply_patch, fingerprint, revert_patch, save_patch
from noisewise.surgery.select import Targets, select_layers
from noisewise.surgery.trace import Call, trace_calls

__all__ = [
    "AffineMap",
    "Call",
    "FeatureMoments",
    "Layer",
    "Targets",
    "activation_bytes",
    "apply_patch",
    "find_layers",
    "fingerprint",
    "fold_batchnorm",
    "fold_input",
    "fold_output",
    "record_moments",
    "replace_weights",
    "revert_patch",
    "save_patch",
    "select_layers",
    "trace_calls",
]
