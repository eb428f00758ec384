"""Families of lens models: what each leaves out of the prior.

Only literals, so that the settings can be checked without the code that simulates.
"""

FAMILIES: dict[str, dict[str, list]] = {
    "sie_shear": {"slope": ["fixed", 2.0]},
    "epl_shear": {},
}
