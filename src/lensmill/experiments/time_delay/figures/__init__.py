"""What the figures of time delays share: names and colours."""

from lensmill.plotting import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

# Populations and networks, as they are called in figures, and their colours.
NAMES = {
    "sis_shear": ("SIS + shear", BLUE),
    "sie": ("SIE", ORANGE),
    "sie_shear": ("SIE + shear", GREEN),
    "epl_shear": ("EPL + shear", PURPLE),
    "sis_shear_h0": (r"SIS + shear, $H_0$ free", SKY),
    "survey": ("survey", VERMILION),
    "published": ("published", BLACK),
    "tdlmc": ("TDLMC", GREY),
    "dense_single": ("dense, singles", SKY),
    "dense_double": ("dense, doubles", ORANGE),
    "dense_quad": ("dense, quads", VERMILION),
    "dense_quad_augmented": ("dense, quads, augmented", PURPLE),
    "canonical_double": ("canonical, doubles", GREEN),
    "canonical_quad": ("canonical, quads", BLUE),
    "h0_double": (r"$D_{\Delta t}$, doubles", GREEN),
    "h0_quad": (r"$D_{\Delta t}$, quads", BLUE),
    "h0_quad_no_delay": (r"$D_{\Delta t}$, quads, no delays", GREY),
    "survey_double": ("survey, doubles", GREEN),
    "survey_quad": ("survey, quads", BLUE),
}
# Image types as in the tables: 0 minimum, 1 saddle, 2 maximum of the arrival time.
IMAGES = {0: ("minimum", BLUE, "o"), 1: ("saddle", VERMILION, "D"), 2: ("maximum", BLACK, "s")}
