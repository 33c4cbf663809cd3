"""Weakly supervised referring image segmentation: the finished form of every idea that the notebooks build."""

__version__ = "0.1.0"
