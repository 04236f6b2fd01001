"""Scores with their intervals, for agents and people alike."""

from .compare import compare
from .cross import Cross
from .differences import Comparison, Difference
from .metrics import METRICS, ON_REQUEST, Metric
from .scores import Score, Scores, merged, score, score_path, score_paths
from .table import comparison_table, cross_table, shortest, table

__all__ = [
    "METRICS",
    "ON_REQUEST",
    "Comparison",
    "Cross",
    "Difference",
    "Metric",
    "Score",
    "Scores",
    "compare",
    "comparison_table",
    "cross_table",
    "merged",
    "score",
    "score_path",
    "score_paths",
    "shortest",
    "table",
]
