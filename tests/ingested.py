"""Settings of images that are ingested, as the workflow hands them on."""

from lensmill import experiments


def complete(settings):
    """Return the settings of a population of images with all defaults."""
    return experiments.population_settings("lens_finding", {"ingest": "", **settings})
