"""What populations and methods are called, and their colours (Okabe & Ito's)."""

NAMES = {
    "sdss_galex_2mass": ("SDSS + 2MASS", "#000000"),
    "mock": ("mock", "#56B4E9"),
    "sdss_annz": ("SDSS (ANNz)", "#7F7F7F"),
    "dc2": ("LSST DC2", "#CC79A7"),
    "lsst": ("mock of LSST", "#0072B2"),
    "forest": ("random forest", "#E69F00"),
    "forest_bands": ("random forest, magnitudes", "#E69F00"),
    "forest_all": ("random forest, all", "#E69F00"),
    "forest_mock": ("random forest", "#E69F00"),
    "boosting": ("boosting", "#009E73"),
    "boosting_bands": ("boosting, magnitudes", "#009E73"),
    "boosting_all": ("boosting, all", "#009E73"),
    "boosting_mock": ("boosting", "#009E73"),
    "mlp": ("perceptron", "#CC79A7"),
    "svr": ("support vectors", "#56B4E9"),
    "blend": ("blend", "#882255"),
    "mixture": ("mixture network", "#0072B2"),
    "mixture_mock": ("mixture network", "#0072B2"),
    "template": ("template fit", "#D55E00"),
}
