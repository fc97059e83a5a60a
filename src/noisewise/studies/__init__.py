"""Many runs, one honest table: does a figure survive when the evaluation batches are made up otherwise?"""

from noisewise.studies.audit import AuditReport, AuditRun, Order, audit
from noisewise.studies.batch_mates import MatesTest, Predictor, swap_batch_mates
from noisewise.studies.purity import chance_purity, label_purity

__all__ = [
    "AuditReport",
    "AuditRun",
    "MatesTest",
    "Order",
    "Predictor",
    "audit",
    "chance_purity",
    "label_purity",
    "swap_batch_mates",
]
