"""Diagrams of both papers' methods: `draw(ES3NET)`, and likewise EHIN, HIPM and CADD."""

from wsris_lib.diagrams.drawing import draw
from wsris_lib.diagrams.methods import CADD, EHIN, ES3NET, HIPM

__all__ = ["CADD", "EHIN", "ES3NET", "HIPM", "draw"]
