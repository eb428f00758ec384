"""Clusters of galaxies: gas, X-rays, their number, images of photons. Pure functions of arrays."""
