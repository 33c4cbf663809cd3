"""The whole run and the tables made of it: scoreboard, ablations, claims, the papers' numbers."""
