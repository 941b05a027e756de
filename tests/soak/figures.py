"""What must stay flat: figures of processes over time, each process with a level of its own, all of a kind with one slope."""
import math


def slope(lives, warm_s):
    """(units a second, its standard error, seconds seen) of [[(t, value), ...], ...] by least squares, an intercept for each life.

    The first `warm_s` of a life do not count: caches fill, and the first reload touches what the others use again."""
    sxx = sxy = syy = n = seen = 0.0
    for life in lives:
        life = [(t, v) for t, v in life if t >= life[0][0] + warm_s]
        if len(life) < 3:
            continue
        mt, mv = sum(t for t, _ in life) / len(life), sum(v for _, v in life) / len(life)
        sxx += sum((t - mt) ** 2 for t, _ in life)
        sxy += sum((t - mt) * (v - mv) for t, v in life)
        syy += sum((v - mv) ** 2 for _, v in life)
        n += len(life) - 1
        seen += life[-1][0] - life[0][0]
    if not sxx or n < 5:
        return None
    b = sxy / sxx
    return b, math.sqrt(max(syy - b * sxy, 0) / (n - 1) / sxx), seen


class Series:
    """kind -> figure -> pid -> [(t, value)]"""

    def __init__(self, warm_s):
        self.at, self.warm_s = {}, warm_s

    def add(self, kind, figure, pid, t, value):
        self.at.setdefault((kind, figure), {}).setdefault(pid, []).append((t, value))

    def rows(self, limits):
        """(kind, figure, lives, first, last, growth an hour, its error, seen, flat?) of each; flat None: not seen for long enough."""
        for (kind, figure), lives in sorted(self.at.items()):
            found = slope(lives.values(), self.warm_s)
            first = min(lives.values(), key=lambda x: x[0][0])[0][1]
            last = max(lives.values(), key=lambda x: x[-1][0])[-1][1]
            if not found or found[2] < 240:
                yield kind, figure, len(lives), first, last, None, None, found[2] if found else 0, None
                continue
            b, err, seen = found
            yield kind, figure, len(lives), first, last, b * 3600, err * 3600, seen, (b - 3 * err) * 3600 <= limits[figure]
