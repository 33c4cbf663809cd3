"""How the small checkpoints under data/zoo are made: the foundation models' own architectures and objectives, tiny."""
