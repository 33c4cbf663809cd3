"""The cached steps of both papers around a `Run`: whatever is asked for is made on demand and found the next time."""

from wsris_lib.pipeline.run import Run

__all__ = ["Run"]
