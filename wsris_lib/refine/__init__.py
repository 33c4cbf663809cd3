"""From a coarse map to a mask that keeps to the object: dense CRF, inter-pixel affinities, a random walk."""
