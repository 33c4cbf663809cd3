"""What a run needs, what of it is there, and getting the rest."""
