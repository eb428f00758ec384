"""Families of lens models: what each leaves out of the prior.

Only literals, so that the settings can be checked without the code that simulates.
"""

FAMILIES: dict[str, dict[str, list]] = {
    "sis_shear": {
        "one_minus_q": ["fixed", 0.0],
        "phi": ["fixed", 0.0],
        "slope": ["fixed", 2.0],
    },
    "sie": {
        "shear": ["fixed", 0.0],
        "shear_angle": ["fixed", 0.0],
        "slope": ["fixed", 2.0],
    },
    "sie_shear": {"slope": ["fixed", 2.0]},
    "epl_shear": {},
}
