"""Plain records that travel between the rooms: data, and how it is written and read."""

from .audit import AuditResult, Copies, Corrected, Outlier, Suspect, ToldApart
from .calibration import Calibration, ReliabilityBin
from .comparison import Comparison, Spread
from .events import Baselines, Batch, Check, Epoch, Event, Finding, Judged, Note, Observe, Opening, Portion, Ready
from .few import FEW, few_as_json, few_in_words
from .report import Answered, Confused, Mistakes, Prepared, Report, Varied
from .scores import (
    OUT_OF_FOLD,
    Against,
    Bootstrap,
    ClassScores,
    Coverage,
    Imbalance,
    Interval,
    LeftOut,
    Metric,
    Score,
    Scores,
)
from .steps import Chain, StepView, XRay, largest_moves

__all__ = [
    "FEW",
    "OUT_OF_FOLD",
    "Against",
    "Answered",
    "AuditResult",
    "Baselines",
    "Batch",
    "Bootstrap",
    "Calibration",
    "Chain",
    "Check",
    "ClassScores",
    "Comparison",
    "Confused",
    "Copies",
    "Corrected",
    "Coverage",
    "Epoch",
    "Event",
    "Finding",
    "Imbalance",
    "Interval",
    "Judged",
    "LeftOut",
    "Metric",
    "Mistakes",
    "Note",
    "Observe",
    "Opening",
    "Outlier",
    "Portion",
    "Prepared",
    "Ready",
    "ReliabilityBin",
    "Report",
    "Score",
    "Scores",
    "Spread",
    "StepView",
    "Suspect",
    "ToldApart",
    "Varied",
    "XRay",
    "few_as_json",
    "few_in_words",
    "largest_moves",
]
