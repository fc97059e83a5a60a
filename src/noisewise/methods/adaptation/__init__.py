"""TVT (Yang et al., WACV 2023): a vision transformer trained on one domain and adapted to another without labels.

With noise injected while it trains, as *Explore Positive Noise in Deep Learning* proposes, or without.
"""

from noisewise.methods.adaptation.adversary import DomainDiscriminator, domain_loss, reversal_ramp
from noisewise.methods.adaptation.clustering import clustering_information
from noisewise.methods.adaptation.objective import OBJECTIVES, Objective, adaptation_loss, observed_pass
from noisewise.methods.adaptation.training import Adaptation, adapt, require_adaptable
from noisewise.methods.adaptation.transferable import TransferableAttention, transferability, transferable

__all__ = [
    "OBJECTIVES",
    "Adaptation",
    "DomainDiscriminator",
    "Objective",
    "TransferableAttention",
    "adapt",
    "adaptation_loss",
    "clustering_information",
    "domain_loss",
    "observed_pass",
    "require_adaptable",
    "reversal_ramp",
    "transferability",
    "transferable",
]
