"""Referring data in the REFER layout: a safe reader with a training and an evaluation view, a writer; pseudo labels."""

from wsris_lib.refer.errors import DataError, DataWarning
from wsris_lib.refer.reader import Refer

__all__ = ["DataError", "DataWarning", "Refer"]
