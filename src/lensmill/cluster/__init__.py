"""Runs on a cluster: what they will ask for, how they stand, and results to carry elsewhere."""
