"""The numbers are uniform."""

from matplotlib import pyplot as plt

from lensmill.pipeline import store


def plot(dataset):
    """Draw the histogram of the numbers."""
    figure, axes = plt.subplots()
    axes.hist(store.read(dataset, "systems", ["value"])["value"])
    return figure
