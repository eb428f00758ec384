"""What populations, networks and estimators are called in figures, and their colours."""

from lensmill.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

NAMES = {
    "flat": ("flat in ln M", BLUE),
    "mass_function": ("mass function", ORANGE),
    "three_conv": ("3 convolutions", BLUE),
    "three_conv_augmented": ("3 convolutions, augmented", PURPLE),
    "six_conv": ("6 convolutions", SKY),
    "six_conv_augmented": ("6 convolutions, augmented", "#332288"),
    "p4m": ("p4m", GREEN),
    "p4m_100k": ("p4m", GREEN),
    "p4m_linear": ("p4m, linear counts", SKY),
    "p4m_free": ("p4m, free redshift", SKY),
    "flat_free": ("free redshift", SKY),
    "flat_100k": ("flat in ln M", BLUE),
    "flat_14k": ("flat in ln M", BLUE),
    "p4m_natural": ("p4m, mass function", VERMILION),
    "p4m_weighted": ("p4m, mass function, weighted", "#117733"),
}
# Estimators of one set of images, `network.ANSWERS`
CALLED = {
    "network": ("network", GREEN),
    "network_excised": ("network, core replaced", SKY),
    "counts": ("all counts", VERMILION),
    "counts_excised": ("core-excised counts", ORANGE),
    "gas_mass": ("true gas mass", BLACK),
}
MARKS = {
    "network": "o",
    "network_excised": "v",
    "counts": "s",
    "counts_excised": "D",
    "gas_mass": "^",
}
LN_10 = 2.302585092994046
# What others have found: scatter in per cent, colour. Sources: data/published.ecsv.
PUBLISHED = {
    "CNN (Ntampaka et al. 2019), mean of folds": ((12.0, 12.0), GREY),
    "core-excised L (ibid.)": ((15.0, 18.0), GREY),
    "CNN, eROSITA mocks (Ho et al. 2023)": ((17.8, 17.8), GREY),
}
