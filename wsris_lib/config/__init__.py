"""Every number of a run: the settings of each step and the profiles made of them."""
