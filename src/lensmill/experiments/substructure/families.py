"""Families of substructure: what each fixes of the prior.

Only literals, so that the settings can be checked without the code that simulates.
"""

# points: subhalos are point masses, a fixed number of them; cold, warm: truncated NFW halos of a
# mass function, without or with a cut by free streaming.
FAMILIES: dict[str, dict[str, list]] = {
    "points": {"sigma_sub": ["fixed", 0.0], "m_hm": ["fixed", 0.0]},
    "cold": {"m_hm": ["fixed", 0.0]},
    "warm": {},
}
