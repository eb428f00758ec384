"""Families of mock galaxies, for `settings.py` and `simulate.py` alike."""

# nmf: sums of kcorrect's five spectra, as real galaxies are, with dust and lines of their own;
# plain: those sums alone.
FAMILIES: dict[str, dict[str, list]] = {
    "nmf": {},
    "plain": {"ebv": ["fixed", 0.0], "lines": ["fixed", 0.0]},
}
