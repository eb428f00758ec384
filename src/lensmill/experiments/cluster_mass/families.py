"""Families of clusters, for `settings.py` and `simulate.py` alike."""

# mass_function: as many of each mass as there are in a volume; flat: as many in each step of ln M.
FAMILIES: dict[str, dict[str, list]] = {"mass_function": {}, "flat": {}}
