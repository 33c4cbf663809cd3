"""Python imports this before anything else where PYTHONPATH names its folder, as `pytest --no-onednn` makes it do."""

import torch

torch.backends.mkldnn.set_flags(False)
