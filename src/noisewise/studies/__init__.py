"""Many runs, one honest table: does a figure survive when the evaluation batches are made up otherwise?"""

from noisewise.studies.audit import AuditReport, AuditRun, Order, audit
from noisewise.studies.batch_mates import MatesTest, Predictor, network_predictor, swap_batch_mates
from noisewise.studies.comparison import Comparison, ComparisonSettings
from noisewise.studies.injection import InjectionStudy
from noisewise.studies.plots import heat_map
from noisewise.studies.purity import chance_purity, label_purity
from noisewise.studies.results import rounded, summarise
from noisewise.studies.sweep import grid_points, sweep
from noisewise.studies.table1 import TABLE1, MeasuredRow, Published, Table1Row, measure_row

__all__ = [
    "TABLE1",
    "AuditReport",
    "AuditRun",
    "Comparison",
    "ComparisonSettings",
    "InjectionStudy",
    "MatesTest",
    "MeasuredRow",
    "Order",
    "Predictor",
    "Published",
    "Table1Row",
    "audit",
    "chance_purity",
    "grid_points",
    "heat_map",
    "label_purity",
    "measure_row",
    "network_predictor",
    "rounded",
    "summarise",
    "swap_batch_mates",
    "sweep",
]
