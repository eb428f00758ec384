"""What populations, networks and classes of substructure are called, and their colours."""

from lensmill import plotting

# Okabe & Ito's palette, as lensmill.plotting has it
NAMES = {
    "deeplense": ("DeepLense settings", plotting.ORANGE),
    "free": ("free lens", plotting.BLUE),
    "cdm": ("CDM", plotting.SKY),
    "wdm": ("WDM", plotting.GREEN),
    "vortex": ("vortex", plotting.PURPLE),
    "deep": ("deep", plotting.VERMILION),
    "deeplense_real": ("DeepLense images", plotting.BLACK),
    "slacs": ("SLACS lenses", plotting.GREY),
    "quasars": ("lensed quasars", "#332288"),
    "deeplense_class": ("classifier, DeepLense", plotting.ORANGE),
    "free_class": ("classifier, free", plotting.BLUE),
    "cdm_class": ("classifier, CDM", plotting.SKY),
    "wdm_class": ("classifier, WDM", plotting.GREEN),
    "vortex_class": ("classifier, vortex", plotting.PURPLE),
    "deep_class": ("classifier, deep", plotting.VERMILION),
    "smooth": ("autoencoder, DeepLense", plotting.ORANGE),
    "smooth_free": ("autoencoder, free", plotting.BLUE),
    "smooth_hst": ("autoencoder, CDM", plotting.SKY),
    "amount": ("measures, free", plotting.BLUE),
    "cdm_amount": ("measures, CDM", plotting.SKY),
    "deep_amount": ("measures, deep", plotting.VERMILION),
    "wdm_cutoff": ("measures, WDM", plotting.GREEN),
    "vortex_amount": ("measures, vortex", plotting.PURPLE),
}
CLASSES = {
    "none": ("no substructure", plotting.BLACK),
    "subhalos": ("subhalos", plotting.SKY),
    "vortex": ("vortex", plotting.VERMILION),
}
