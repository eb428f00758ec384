"""From scenes to images: light profiles, point-spread functions, noise, defects.

Pure functions of arrays. ``scenes`` says what is in the sky, ``render`` makes pixels of it, ``psf``
gives the kernels, ``noise`` and ``defects`` what a detector adds. ``light`` collects components in
magnitudes, and ``camera`` goes from them to observed images.
"""
