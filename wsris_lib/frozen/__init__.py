"""The frozen models: masks, CLIP, DINO, depth and sentence features, each through its public library's own loader."""

from transformers.utils import logging

logging.disable_progress_bar()  # four bars for four small files drown a notebook's output; downloads keep theirs
