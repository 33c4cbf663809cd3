"""SynRef: ray-cast tabletop scenes with truthful sentences, exact masks and exact depth, in the REFER layout."""
