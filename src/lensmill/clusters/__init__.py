"""Clusters of galaxies: their gas, its X-rays, and how many there are."""
