"""Scores with their intervals, for agents and people alike."""

from .metrics import METRICS, Metric
from .scores import Score, Scores, merged, score, score_path, score_paths
from .table import table

__all__ = [
    "METRICS",
    "Metric",
    "Score",
    "Scores",
    "merged",
    "score",
    "score_path",
    "score_paths",
    "table",
]
