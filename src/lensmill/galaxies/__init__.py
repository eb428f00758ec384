"""Galaxies by their spectra: templates, filters, model fluxes, fits. Pure functions of arrays."""
