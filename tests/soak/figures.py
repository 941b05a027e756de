"""What must stay flat: figures of processes over time, and growth to a bound told from growth without one.

A table that fills, an allocator that meets its worst moment, code that is touched for the first time: all of them slow down.  A leak
does not.  So each life that is long enough is cut into quarters, and its level (the median) in the last one is held against the two
before: more than the allowance higher, and not clearly less than the step before that, is growth."""
from statistics import median
from typing import NamedTuple

LEAST_LIFE_S = 240  # a shorter one is all beginning
SLOWER = 0.5        # a step of at most this share of the one before: it is coming to its end


class Limit(NamedTuple):
    allowed: float  # from one quarter to the next: one bad moment more of the allocator, some connections
    an_hour: float  # the pace at which even growth that slows down is none


class Life(NamedTuple):
    kind: str
    figure: str
    seconds: float
    levels: tuple  # of its quarters
    verdict: str   # flat, settles, grows

    @property
    def step(self):
        return self.levels[3] - self.levels[2]

    @property
    def an_hour(self):
        return self.step / (self.seconds / 4) * 3600


def levels_of(points):
    """Medians of the quarters of [(t, value), ...], by time."""
    begin, end = points[0][0], points[-1][0]
    quarters = [[], [], [], []]
    for t, v in points:
        quarters[min(3, int((t - begin) / (end - begin) * 4))].append(v)
    return tuple(median(q) if q else None for q in quarters)


def judge(levels, an_hour, limit):
    _, b, c, d = levels
    if d - c <= limit.allowed:
        return 'flat'
    return 'settles' if d - c <= SLOWER * (c - b) and an_hour <= limit.an_hour else 'grows'


class Series:
    """(kind, figure) -> pid -> [(t, value)]"""

    def __init__(self):
        self.at = {}

    def add(self, kind, figure, pid, t, value):
        self.at.setdefault((kind, figure), {}).setdefault(pid, []).append((t, value))

    def lives(self, limit_of):
        """Those that are long enough to be judged, each by limit_of(kind, figure)."""
        for (kind, figure), lives in sorted(self.at.items()):
            for points in lives.values():
                seconds = points[-1][0] - points[0][0]
                levels = levels_of(points) if seconds >= LEAST_LIFE_S else (None,)
                if None in levels:
                    continue
                life = Life(kind, figure, seconds, levels, '')
                yield life._replace(verdict=judge(levels, life.an_hour, limit_of(kind, figure)))

    def counts(self):
        """(kind, figure) -> how many lives, long or short."""
        return {key: len(lives) for key, lives in self.at.items()}
