"""How often intervals of TPR0, TPR10 and TPR at a false-positive rate hold what they claim to.

Scores of lenses and non-lenses are drawn many times from laws whose tails fall as those of a
Gaussian, an exponential and a power. Half widths (16 to 84 %) of the values themselves, of our
intervals and of those of the number of lenses alone; then how often the two, and an ordinary
bootstrap of both classes, hold the value of the median test set, and ours the value at the true
false-positive rate.

    python benchmarks/intervals.py [--repeats 600]    (a quarter of an hour)
"""

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lensmill.learning import classification

# law of the non-lenses' scores; that of the lenses' is shifted and stretched
LAWS = {
    "Gaussian, close": (stats.norm, 1.5, 1.0),
    "Gaussian, apart": (stats.norm, 3.0, 1.0),
    "Gaussian, wider lenses": (stats.norm, 3.0, 1.5),
    "logistic": (stats.logistic, 4.0, 1.0),
    "Student t, 3": (stats.t(3), 5.0, 1.0),
}
SIZES = ((300, 300), (1000, 1000), (1000, 100), (10_000, 10_000), (10_000, 300))
RATES = {"TPR0": None, "TPR10": None, "TPR at 1 %": 0.01, "TPR at 0.1 %": 0.001}
TAIL = 50 * (1 - classification.ONE_SIGMA)


def bootstrap(is_lens: NDArray, score: NDArray, m: int, rng: np.random.Generator) -> NDArray:
    """Return the interval of an ordinary bootstrap of lenses and non-lenses."""
    others = np.sort(score[is_lens == 0])[::-1]
    n = others.size
    # the (m + 1)-th highest of n rows drawn with replacement
    rows = (n * rng.beta(m + 1, n - m, 300)).astype(int)
    found = (score[is_lens == 1] > others[rows][:, None]).mean(axis=1)
    lenses = int((is_lens == 1).sum())
    return np.percentile(rng.binomial(lenses, found) / lenses, [TAIL, 100 - TAIL])


def row(law: tuple, others: int, lenses: int, fpr: float | None, m: int, repeats: int) -> list:
    """Return half widths and coverages of one case."""
    of_others, apart, stretch = law
    rng = np.random.default_rng([others, lenses, m])
    is_lens = np.repeat([1, 0], [lenses, others])
    values, ours, alone, resampled = [], [], [], []
    for _ in range(repeats):
        score = of_others.rvs(size=is_lens.size, random_state=rng)
        score = np.where(is_lens == 1, apart + stretch * score, score)
        limit = classification.threshold(is_lens, score, m)
        possible = classification.thresholds(is_lens, score, m)
        value, *interval = classification.tpr_above(is_lens, score, limit, possible)
        values.append(value)
        ours.append(interval)
        alone.append(classification.tpr_above(is_lens, score, limit)[1:])
        resampled.append(bootstrap(is_lens, score, m, rng))

    def tpr(rate: float) -> float:
        return of_others.sf((of_others.isf(rate) - apart) / stretch)

    def held(intervals: list, truth: float) -> float:
        low, high = np.transpose(intervals)
        return np.mean((low <= truth) & (truth <= high))

    typical = tpr(stats.beta.median(m + 1, others - m))
    widths = [np.ptp(np.percentile(values, [TAIL, 100 - TAIL])) / 2]
    widths += [np.median(np.ptp(intervals, axis=1)) / 2 for intervals in (ours, alone)]
    covered = [held(intervals, typical) for intervals in (ours, alone, resampled)]
    covered.append(held(ours, tpr(fpr)) if fpr else np.nan)
    return widths + covered


def main() -> None:
    """Parse the command line, simulate, and print a table and its ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=600)
    repeats = parser.parse_args().repeats
    heads = ["scores", "non-lenses", "lenses", "", "scatter", "ours", "lenses alone"]
    heads += ["ours holds", "lenses alone", "bootstrap", "ours, true rate"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    found: dict[str, list] = {name: [] for name in RATES}
    for law, shape in LAWS.items():
        for others, lenses in SIZES:
            for name, fpr in RATES.items():
                if fpr and others * fpr < 1:
                    continue
                m = round(others * fpr) if fpr else {"TPR0": 0, "TPR10": 9}[name]
                numbers = row(shape, others, lenses, fpr, m, repeats)
                found[name].append(numbers)
                cells = [f"{x:.4f}" for x in numbers[:3]] + [f"{x:.2f}" for x in numbers[3:]]
                print(f"| {law} | {others} | {lenses} | {name} | {' | '.join(cells)} |", flush=True)
    for name, numbers in found.items():
        for what, of in zip(heads[7:], np.transpose(numbers)[3:], strict=True):
            if np.isnan(of).any():
                continue  # no true rate belongs to it
            low, middle, high = np.quantile(of, [0, 0.5, 1])
            print(f"{name}: {what} {low:.2f} to {high:.2f}, median {middle:.2f}")


if __name__ == "__main__":
    main()
