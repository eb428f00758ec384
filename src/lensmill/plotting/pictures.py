"""Images of the sky as pictures: the stretch that an eye needs, and how figures show them."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

LARGEST = 128  # a picture has at most so many pixels a side: larger cut-outs are averaged down
SOFTENING = 2.0  # the stretch is linear below so many standard deviations of the sky
FAINTEST_WHITE = 20.0  # standard deviations: what is fainter does not become white, or noise would


def picture(image: NDArray) -> NDArray:
    """Turn an image into one for the eye: asinh stretch, colours if it has two bands or more.

    Parameters
    ----------
    image : array, shape (height, width, bands)
        Sky-subtracted; bands from blue to red.

    Returns
    -------
    array, shape (height, width) or (height, width, 3)
        uint8, the first row at the top, so y (which grows with the row of ``image``) points up.
        Sky is dark, and the brightest 0.3 % are white if they are 20 standard deviations of the sky
        or more.
    """
    image = _shrink(np.nan_to_num(np.asarray(image, float), posinf=0.0, neginf=0.0))[::-1]
    image = colours(image)
    sky = np.median(image, axis=(0, 1))
    noise = 1.4826 * np.median(np.abs(image - sky), axis=(0, 1))
    noise = np.where(noise > 0, noise, image.std(axis=(0, 1)))
    noise = np.where(noise > 0, noise, 1.0)  # one value everywhere, whatever the unit of flux
    image = (image - sky) / noise  # bands of equal noise: none gives the whole picture its colour

    # One stretch for all colours: the asinh of each band alone would bleach what is bright.
    light = image.mean(axis=2, keepdims=True)
    white = max(np.percentile(light, 99.7), FAINTEST_WHITE)
    low, high = np.arcsinh(np.array([-0.5, white]) / SOFTENING)
    stretched = (np.arcsinh(light / SOFTENING) - low) / (high - low)
    ratio = (image + SOFTENING) / np.maximum(light + SOFTENING, 0.5)
    coloured = np.clip(stretched, 0, None) * np.clip(ratio, 0, 3)
    coloured = coloured / np.maximum(coloured.max(axis=2, keepdims=True), 1.0)
    grey = np.round(255 * coloured).astype(np.uint8)
    return grey[..., 0] if grey.shape[2] == 1 else grey


def _shrink(image: NDArray) -> NDArray:
    """Bin an image until it is small enough; its middle is kept."""
    height, width, bands = image.shape
    block = -(-max(height, width) // LARGEST)
    if block == 1:
        return image
    rows, columns = height // block, width // block
    top, left = (height - rows * block) // 2, (width - columns * block) // 2
    image = image[top : top + rows * block, left : left + columns * block]
    return image.reshape(rows, block, columns, block, bands).mean(axis=(1, 3))


def colours(image: NDArray) -> NDArray:
    """Return what is shown red, green and blue; one band stays one."""
    n_bands = image.shape[2]
    if n_bands == 1:
        return image
    if n_bands == 2:
        return np.stack([image[..., 1], image.mean(axis=2), image[..., 0]], axis=2)
    blue = 0 if n_bands == 3 else 1  # the bluest of many bands is mostly noise
    return image[..., [n_bands - 1, (n_bands + blue) // 2, blue]]


def show(axis: Axes, image: NDArray, text: str = "") -> None:
    """Show an image, shape (height, width, bands), with a line of text below."""
    axis.imshow(picture(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel(text, fontsize=6, labelpad=1.5)


def scale_bar(axis: Axes, pixels: int, pixel_scale: float, length: float = 1.0) -> None:
    """Draw a bar of so many arcsec in the lower left corner of a picture."""
    long = length / pixel_scale
    x, y = 0.06 * pixels, 0.92 * pixels
    axis.plot([x, x + long], [y, y], color="w", lw=1.2, solid_capstyle="butt")
    axis.text(x + long / 2, y - 0.03 * pixels, f'{length:g}"', color="w", fontsize=6, ha="center")
