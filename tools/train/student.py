"""The model that is served, in numpy: a table of piece vectors summed over the set of pieces, cues beside it, one hidden layer and a direct path."""
import numpy as np
from scipy import sparse


class Adam:
    def __init__(self, value, rate):
        self.value, self.rate, self.t = value, rate, 0
        self.m, self.v = np.zeros_like(value), np.zeros_like(value)

    def step(self, grad, scale, rows=slice(None)):
        """`rows`: only these are touched (their moments alone decay)."""
        self.t += 1
        m = self.m[rows] = 0.9 * self.m[rows] + 0.1 * grad
        v = self.v[rows] = 0.999 * self.v[rows] + 0.001 * grad * grad
        self.value[rows] -= self.rate * scale * (m / (1 - 0.9 ** self.t)) / (np.sqrt(v / (1 - 0.999 ** self.t)) + 1e-8)


def sets_of(pieces, unknown=0xffff):
    """Lists of ids -> csr matrix of 0 and 1: each piece once, unknown ones dropped."""
    rows = [np.unique(p[p != unknown]).astype(np.int32) for p in pieces]
    ptr = np.concatenate([[0], np.cumsum([len(r) for r in rows])])
    return rows, ptr


class Student:
    def __init__(self, table, n_cues, n_classes, hidden, seed):
        self.rnd = np.random.default_rng(seed)
        d = table.shape[1] + n_cues
        self.table = table.astype(np.float32).copy()
        self.w1 = (self.rnd.standard_normal((d, hidden)) * np.sqrt(2 / d)).astype(np.float32)
        self.b1 = np.zeros(hidden, np.float32)
        self.w2 = (self.rnd.standard_normal((hidden, n_classes)) * np.sqrt(1 / hidden)).astype(np.float32)
        self.direct = np.zeros((d, n_classes), np.float32)
        self.b2 = np.zeros(n_classes, np.float32)

    def sums(self, rows):
        out = np.zeros((len(rows), self.table.shape[1]), np.float32)
        for i, r in enumerate(rows):
            if len(r):
                out[i] = self.table[r].sum(0) / np.sqrt(len(r))
        return out

    def logits(self, rows, cues):
        x = np.hstack([self.sums(rows), cues])
        return np.maximum(x @ self.w1 + self.b1, 0) @ self.w2 + x @ self.direct + self.b2

    def train(self, rows, cues, targets, weights, passes=6, batch=128, word_drop=0.5, input_drop=0.1, hidden_drop=0.3, rate=2e-3, table_rate=1e-3,
              decay=0.0):
        n, width = len(rows), self.table.shape[1]
        opts = [Adam(p, rate) for p in (self.w1, self.b1, self.w2, self.direct, self.b2)]
        table_opt = Adam(self.table, table_rate)
        steps, p = passes * n // batch, weights / weights.sum()
        for step in range(steps):
            scale = 0.5 * (1 + np.cos(np.pi * step / steps))
            pick = self.rnd.choice(n, batch, p=p)
            x, bag, seen = self.batch_sums([rows[i] for i in pick], word_drop)
            x = np.hstack([x, cues[pick]])
            keep = (self.rnd.random(x.shape) >= input_drop).astype(np.float32) / (1 - input_drop)
            x *= keep
            h = np.maximum(x @ self.w1 + self.b1, 0)
            drop = (self.rnd.random(h.shape) >= hidden_drop).astype(np.float32) / (1 - hidden_drop)
            h *= drop
            z = h @ self.w2 + x @ self.direct + self.b2
            z = np.exp(z - z.max(1, keepdims=True))
            g = (z / z.sum(1, keepdims=True) - targets[pick]) / batch
            gh = g @ self.w2.T * (h > 0) * drop
            gx = (gh @ self.w1.T + g @ self.direct.T) * keep
            grads = (x.T @ gh + decay * self.w1, gh.sum(0), h.T @ g + decay * self.w2, x.T @ g + decay * self.direct, g.sum(0))
            for o, grad in zip(opts, grads):
                o.step(grad, scale)
            if len(seen):
                table_opt.step(bag.T @ gx[:, :width], scale, seen)
        return self

    def batch_sums(self, rows, word_drop):
        lens = np.array([len(r) for r in rows])
        flat = np.concatenate(rows) if lens.sum() else np.zeros(0, np.int32)
        owner = np.repeat(np.arange(len(rows)), lens)
        keep = self.rnd.random(len(flat)) >= word_drop
        flat, owner = flat[keep], owner[keep]
        count = np.bincount(owner, minlength=len(rows))
        seen, place = np.unique(flat, return_inverse=True)
        bag = sparse.csr_matrix(((1 / np.sqrt(count[owner])).astype(np.float32), (owner, place)), shape=(len(rows), len(seen)))
        return bag @ self.table[seen], bag, seen
