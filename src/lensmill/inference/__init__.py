"""Likelihoods, samplers and population steps: no word of any experiment."""
