"""Means over seeds, paired differences, and verdicts.

A difference counts beyond 2.8 standard errors (5 seeds: 95% by Student's t). There is no verdict with fewer than 5 seeds,
nor where the first row, the contrastive branch alone, is not 3 standard errors above random weights: then nothing was
learned that a method could be better at."""

import html
import math
import statistics

COUNTS, LEARNED, FEWEST_SEEDS = 2.8, 3.0, 5
RANDOM = "random weights"
COST = "CPU s"
# 97.5% quantiles of Student's t for 1 to 30 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2).
T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
     2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042]


def standard_error(sample):
    """Of the mean; NaN for one value, or for one that is not finite."""
    if len(sample) < 2 or not all(map(math.isfinite, sample)):
        return math.nan
    return statistics.stdev(sample) / math.sqrt(len(sample))


class Difference:
    """Of two rows over the same seeds."""

    def __init__(self, values, others):
        differences = [a - b for a, b in zip(values, others, strict=True)]
        self.seeds = len(differences)
        self.mean = statistics.fmean(differences)
        self.error = standard_error(differences)
        half = self.error * (T[self.seeds - 2] if 1 < self.seeds <= len(T) + 1 else 1.96)
        self.low, self.high = self.mean - half, self.mean + half

    def beyond(self, errors):
        """1 above zero by so many standard errors, -1 below, else 0; 0 where it cannot be told."""
        if not self.seeds >= FEWEST_SEEDS or not math.isfinite(self.error):
            return 0
        return (self.mean > errors * self.error) - (self.mean < -errors * self.error)

    def text(self):
        interval = f" ({self.low:+.1f} to {self.high:+.1f})" if self.seeds > 1 else ""
        return f"{self.mean:+.1f}{interval}"


def values(figures, row, measure):
    return [seed[measure] for seed in figures[row]]


def measures_of(figures):
    return [m for m in figures[RANDOM][0] if m != COST]


def first_row(figures):
    """Of those that were trained: what the others are compared with."""
    return next(name for name in figures if name != RANDOM)


def learned(figures, measure):
    return Difference(values(figures, first_row(figures), measure), values(figures, RANDOM, measure)).beyond(LEARNED) == 1


def verdict(figures, row, other, measure):
    """better, worse, not told apart, or why there is none."""
    difference = Difference(values(figures, row, measure), values(figures, other, measure))
    if difference.seeds < FEWEST_SEEDS:
        return "too few seeds"
    if RANDOM not in (row, other) and not learned(figures, measure):
        return "not ranked"
    return {1: "better", -1: "worse", 0: "not told apart"}[difference.beyond(COUNTS)]


def mean_and_error(sample):
    error = standard_error(sample)
    return f"{statistics.fmean(sample):.1f}" + (f" ±{error:.1f}" if math.isfinite(error) else "")


def rows_of(cells):
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "| " + " | ".join("---" for _ in cells[0]) + " |")
    return "\n".join(lines) + "\n"


def markdown(figures, rates, more_pairs=()):
    """Figures of rows by seed, {row: [{measure: value}]}, as tables. more_pairs: (row, other), beside those of all rows
    with the first one."""
    measures, seeds = measures_of(figures), len(figures[RANDOM])
    text = f"Means over {seeds} seeds ± standard error, percent; CPU s: of training, mean.\n\n"
    cells = [["method", "learning rate", *measures, COST]]
    for name in figures:
        cost = "" if name == RANDOM else f"{statistics.fmean(values(figures, name, COST)):.0f}"
        cells.append([name, rates.get(name, ""), *(mean_and_error(values(figures, name, m)) for m in measures), cost])
    text += rows_of(cells)
    pairs = [(name, first_row(figures)) for name in figures if name != first_row(figures)] + list(more_pairs)
    text += (f"\nDifferences in points, paired by seed, with 95% intervals (Student's t). In bold: beyond {COUNTS} standard "
             f"errors. Of {len(pairs) * len(measures)} differences chance alone would put about "
             f"{0.05 * len(pairs) * len(measures):.0f} in bold.\n\n")
    cells = [["method", "against", *measures]]
    for row, other in pairs:
        line = [row, other]
        for measure in measures:
            difference = Difference(values(figures, row, measure), values(figures, other, measure))
            counts = verdict(figures, row, other, measure) in ("better", "worse")
            line.append(f"**{difference.text()}**" if counts else difference.text())
        cells.append(line)
    text += rows_of(cells) + "\n"
    if seeds < FEWEST_SEEDS:
        return text + f"Fewer than {FEWEST_SEEDS} seeds: no verdict.\n"
    for measure in measures:
        if not learned(figures, measure):
            text += (f"{measure}: no ranking, as {first_row(figures)} is not {LEARNED:g} standard errors above random "
                     "weights.\n")
    return text


# Colors with enough contrast on light and on dark.
STYLE = """<style>
text { font: 13px sans-serif; fill: #333 } .soft { fill: #666; font-size: 12px } .axis { stroke: #bbb }
.zero { stroke: #333 } .seed { fill: #1f77b4; fill-opacity: .4 } .mean { fill: #1f77b4 }
.interval { stroke: #1f77b4; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .soft { fill: #aaa } .axis { stroke: #555 } .zero { stroke: #ddd }
.seed, .mean { fill: #6db3f2 } .interval { stroke: #6db3f2 } }
</style>"""
LABEL, WIDTH, LINE, TOP, BOTTOM, GAP = 205, 300, 22, 46, 40, 30


def ticks(low, high):
    """Round numbers from low to high, at most eight."""
    step = next(s for k in range(-3, 6) for s in (10**k, 2 * 10**k, 5 * 10**k) if (high - low) / s <= 7)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def panel(figures, names, measure, left, y0):
    first = first_row(figures)
    base = values(figures, first, measure)
    points = {n: [a - b for a, b in zip(values(figures, n, measure), base, strict=True)] for n in names}
    rows = {n: Difference(values(figures, n, measure), base) for n in names}
    ends = [v for n in names for v in (*points[n], rows[n].low, rows[n].high) if math.isfinite(v)]
    low, high = min(-1, *ends), max(1, *ends)
    start, bottom = left + LABEL, y0 + TOP + LINE * len(names)

    def x(value):
        return f"{start + (value - low) * WIDTH / (high - low):.1f}"

    yield f'<text x="{start}" y="{y0 + 18}" font-weight="bold">{html.escape(measure)}</text>'
    yield (f'<text class="soft" x="{start}" y="{y0 + 35}">points above {html.escape(first)} ({statistics.fmean(base):.1f}%; random '
           f'weights {statistics.fmean(values(figures, RANDOM, measure)):.1f}%)</text>')
    for tick in ticks(low, high):
        yield f'<line class="{"zero" if tick == 0 else "axis"}" x1="{x(tick)}" y1="{y0 + TOP}" x2="{x(tick)}" y2="{bottom}"/>'
        yield f'<text class="soft" x="{x(tick)}" y="{bottom + 16}" text-anchor="middle">{"0" if tick == 0 else f"{tick:+g}"}</text>'
    for i, name in enumerate(names):
        y = y0 + TOP + LINE * i + LINE / 2
        yield f'<text x="{start - 10}" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>'
        if math.isfinite(rows[name].low):
            yield f'<line class="interval" x1="{x(rows[name].low)}" y1="{y}" x2="{x(rows[name].high)}" y2="{y}"/>'
        for value in points[name]:
            yield f'<circle class="seed" cx="{x(value)}" cy="{y}" r="3"/>'
        yield (f'<circle class="mean" cx="{x(rows[name].mean)}" cy="{y}" r="4.5"><title>{html.escape(name)}: '
               f'{rows[name].text()}</title></circle>')


def plot(figures):
    """SVG: a panel a measure, in it a line a method with its differences from the first one."""
    measures, names = measures_of(figures), [n for n in figures if n not in (RANDOM, first_row(figures))]
    columns = min(2, len(measures))
    height = TOP + LINE * len(names) + BOTTOM
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * (LABEL + WIDTH + GAP)} '
             f'{height * -(-len(measures) // columns)}" role="img" aria-label="Differences from the first method: '
             'dots are seeds, bars 95% intervals of their mean">', STYLE]
    for i, measure in enumerate(measures):
        parts += panel(figures, names, measure, i % columns * (LABEL + WIDTH + GAP), i // columns * height)
    return "\n".join(parts) + "\n</svg>\n"
