"""Two images: lenses drawn so that they make both exactly.

Given ellipticity, slope, sheet and centre of a lens, and the two images where they truly are, the
lens equation at the two is linear in the strength B = theta_e^(slope - 1), in the shear and in the
source. Two of its four components fix the source; the other two fix the shear as a straight line
in B. Along that line the density is summed over cells and one cell is drawn from. What else is
known of a lens may count in every cell: the lenses of the cells are asked for first.
"""

import numpy as np

from lensmill.lensing.profiles import MAX_TERMS, powerlaw_angular, series

from .compiling import kernel
from .point_images import DAYS, LN_2PI, log_marginal

CELLS = 64  # of the line of shear and strength
DISC, IMAGE_IN_DISC = 0, 1  # priors of the source


@kernel
def _at(x, grid, values):
    """Linear interpolation on an even grid; -inf beyond it."""
    f = (x - grid[0]) / (grid[1] - grid[0])
    j = int(np.floor(f))
    if f < 0.0 or j >= grid.size - 1:
        return -np.inf
    return values[j] + (f - j) * (values[j + 1] - values[j])


@kernel
def complete(
    shape,
    kappa,
    images,
    centre,
    uniforms,
    ln_size,
    ln_size_density,
    is_b,
    ln_shear,
    ln_shear_density,
    source_kind,
    source_size,
    min_magnification,
    delay,
    delay_error,
    grid,
    distance_density,
    more,
    cells,
    lens,
    ln_weight,
    d_dt,
    d_dt_error,
    ln_marginal,
    magnification,
    chi2,
):
    """Draw strength, shear and source of lenses whose other parameters are given.

    Parameters
    ----------
    shape : array, shape (n, 3)
        Ellipticity components (1 - q) cos 2 phi, (1 - q) sin 2 phi and slope.
    kappa, centre : array, shapes (n,) and (n, 2)
        Sheet, and centre [arcsec].
    images : array, shape (n, 2, 2)
        True positions of the two images [arcsec].
    uniforms : array, shape (n, 2)
        For the place within the cells, and for the choice of one.
    ln_size, ln_size_density, ln_shear, ln_shear_density : array
        Even grids in the logarithms of theta_e (``is_b``: of b) and of the modulus of the shear,
        and the logarithms of their densities per unit of theta_e (b) and of shear.
    source_kind, source_size, min_magnification
        Prior of the source, and faintest image.
    delay, delay_error : float
        Of the second image after the first [day]; error 0: not measured.
    grid, distance_density : array
        Prior of ln D_dt.
    more : array, shape (n, CELLS) or (0, 0)
        Logarithm of the likelihood of what else is known, of the lens of each cell.
    cells : array, shape (n, CELLS, 5) or (0, 0, 0)
        Where it has room nothing is drawn: written are the lenses of the cells, as ``lens``, NaN
        where there is none.
    lens : array, shape (n, 5)
        Written: theta_e, gamma1, gamma2, source x and y [arcsec].
    ln_weight, d_dt, d_dt_error, ln_marginal, magnification, chi2 : array, shape (n,)
        Written: prior and likelihood of what was completed, over the density of its draw; see
        `point_images.Likelihood`. ``magnification`` has the two images' own, shape (n, 2).
    """
    terms = np.empty(MAX_TERMS)
    cell = np.empty(CELLS)
    most = np.exp(ln_shear[ln_shear.size - 1])
    for s in range(kappa.size):
        ln_weight[s], d_dt[s], d_dt_error[s] = -np.inf, 0.0, np.inf
        ln_marginal[s], chi2[s] = 0.0, 0.0
        cells[s : s + 1] = np.nan
        e1, e2, slope = shape[s]
        e = np.hypot(e1, e2)
        q, phi = 1.0 - e, 0.5 * np.arctan2(e2, e1)
        cp, sp = np.cos(phi), np.sin(phi)
        t = 2.0 - slope
        n_terms = series(q, 1.0 - t, 1e-16, terms)
        sheet = 1.0 - kappa[s]
        r = images[s] - centre[s]
        a, hess, psi = np.empty((2, 2)), np.empty((2, 3)), np.empty(2)
        good = True
        for i in range(2):
            radius = np.hypot(r[i, 0], r[i, 1])
            if radius == 0.0:
                good = False
                break
            ex, ey = r[i, 0] / radius, r[i, 1] / radius
            c, sn = cp * ex + sp * ey, cp * ey - sp * ex
            a1, a2, k2 = powerlaw_angular(1.0, q, t, c, sn, terms, n_terms)
            power = radius**t
            h, tt = c * a1 + sn * a2, c * a2 - sn * a1
            a[i, 0], a[i, 1] = power * (cp * a1 - sp * a2), power * (sp * a1 + cp * a2)
            psi[i] = power * radius * h / (1.0 + t)
            rr, rt = t * h * power / radius, t * tt * power / radius
            ww = (k2 - t * h) * power / radius
            hess[i, 0] = rr * ex * ex - 2.0 * rt * ex * ey + ww * ey * ey
            hess[i, 1] = rr * ey * ey + 2.0 * rt * ex * ey + ww * ex * ex
            hess[i, 2] = (rr - ww) * ex * ey + rt * (ex * ex - ey * ey)
        if not good:
            continue
        dx, dy = r[0, 0] - r[1, 0], r[0, 1] - r[1, 1]
        ax, ay = a[0, 0] - a[1, 0], a[0, 1] - a[1, 1]
        square = dx * dx + dy * dy
        # gamma = start - B * rate, all over (1 - kappa)
        s1, s2 = (dx * dx - dy * dy) / square, 2.0 * dx * dy / square
        c1, c2 = (dx * ax - dy * ay) / square, (dy * ax + dx * ay) / square
        rate = np.hypot(c1, c2)
        nearest = (s1 * c1 + s2 * c2) / rate**2
        least2 = (s1 - nearest * c1) ** 2 + (s2 - nearest * c2) ** 2
        reach2 = (most / sheet) ** 2 - least2
        if reach2 <= 0.0:
            continue
        reach = np.sqrt(reach2)
        largest = -np.inf
        for j in range(CELLS):
            cell[j] = -np.inf
            v = 2.0 * (j + uniforms[s, 0]) / CELLS - 1.0
            strength = nearest + reach * v * abs(v) / rate
            if strength <= 0.0:
                continue
            g1, g2 = s1 - strength * c1, s2 - strength * c2
            shear = sheet * np.hypot(g1, g2)
            theta_e = (sheet * strength) ** (1.0 / (slope - 1.0))
            size = theta_e * np.sqrt(q) if is_b else theta_e
            ln = _at(np.log(size), ln_size, ln_size_density)
            ln += _at(np.log(shear), ln_shear, ln_shear_density) - np.log(shear) - LN_2PI
            if not ln > -1e300:
                continue
            if is_b:
                ln += 0.5 * np.log(q)
            bx = r[0, 0] - strength * a[0, 0] - g1 * r[0, 0] - g2 * r[0, 1]
            by = r[0, 1] - strength * a[0, 1] - g2 * r[0, 0] + g1 * r[0, 1]
            product, sum_mu = 1.0, 0.0
            for i in range(2):
                xx, yy = 1.0 - strength * hess[i, 0] - g1, 1.0 - strength * hess[i, 1] + g1
                xy = -strength * hess[i, 2] - g2
                det = abs(xx * yy - xy * xy)
                if det * sheet * sheet * min_magnification > 1.0:
                    product = 0.0
                product *= det
                if r[i, 0] ** 2 + r[i, 1] ** 2 < source_size**2:
                    sum_mu += 1.0 / max(det * sheet * sheet, 1e-300)
            if product <= 0.0:
                continue
            if source_kind == DISC:
                if sheet * np.hypot(bx, by) >= source_size * theta_e:
                    continue
                ln -= np.log(np.pi) + 2.0 * np.log(source_size * theta_e)
            else:
                ln += np.log(sum_mu / np.pi) - 2.0 * np.log(source_size)
            # theta_e over B, source and shear over the images, the line over its cells
            ln += np.log(theta_e / ((slope - 1.0) * strength)) + 4.0 * np.log(sheet)
            if cells.shape[0]:
                cells[s, j, 0], cells[s, j, 1], cells[s, j, 2] = theta_e, sheet * g1, sheet * g2
                cells[s, j, 3] = centre[s, 0] + sheet * bx
                cells[s, j, 4] = centre[s, 1] + sheet * by
                continue
            ln += np.log(product / square) + np.log(4.0 * reach * abs(v) / (rate * CELLS))
            cell[j] = ln + more[s, j] if more.shape[0] else ln
            largest = max(largest, cell[j])
        if not largest > -np.inf:
            continue
        total = 0.0
        for j in range(CELLS):
            cell[j] = np.exp(cell[j] - largest)
            total += cell[j]
        want = uniforms[s, 1] * total
        j = 0
        while j < CELLS - 1 and (want > cell[j] or cell[j] == 0.0):
            want -= cell[j]
            j += 1
        if cell[j] == 0.0:
            continue
        v = 2.0 * (j + uniforms[s, 0]) / CELLS - 1.0
        strength = nearest + reach * v * abs(v) / rate
        g1, g2 = s1 - strength * c1, s2 - strength * c2
        fermat = np.empty(2)
        for i in range(2):
            x, y = r[i]
            gx, gy = strength * a[i, 0] + g1 * x + g2 * y, strength * a[i, 1] + g2 * x - g1 * y
            potential = strength * psi[i] + 0.5 * (x * (g1 * x + g2 * y) + y * (g2 * x - g1 * y))
            fermat[i] = sheet * (0.5 * (gx * gx + gy * gy) - potential)
            xx, yy = 1.0 - strength * hess[i, 0] - g1, 1.0 - strength * hess[i, 1] + g1
            xy = -strength * hess[i, 2] - g2
            magnification[s, i] = 1.0 / (sheet * sheet * (xx * yy - xy * xy))
        lens[s, 0] = (sheet * strength) ** (1.0 / (slope - 1.0))
        lens[s, 1], lens[s, 2] = sheet * g1, sheet * g2
        x, y = r[0]
        lens[s, 3] = centre[s, 0] + sheet * (x - strength * a[0, 0] - g1 * x - g2 * y)
        lens[s, 4] = centre[s, 1] + sheet * (y - strength * a[0, 1] - g2 * x + g1 * y)
        ln_weight[s] = np.log(total) + largest
        if delay_error > 0.0:
            unit = DAYS * (fermat[1] - fermat[0])
            d_dt[s], d_dt_error[s] = delay / unit, delay_error / abs(unit)
            ln_marginal[s] = log_marginal(d_dt[s], d_dt_error[s], grid, distance_density)
            ln_weight[s] += ln_marginal[s] - 0.5 * LN_2PI - np.log(delay_error)
