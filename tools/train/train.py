#!/usr/bin/env python3
"""Train the prompt classifier: prints how well it does on families of sources it never saw, and writes the weights.

usage: tools/train/train.py DATA [--out etc] [--evaluate] [--cache DIR]
DATA is a folder with prompts-dev.jsonl and prompts-pool.jsonl.xz.  docs/classifier.md says what the figures mean.
"""
import argparse
import collections
import hashlib
import os
import random
import sys

import numpy as np
from scipy.optimize import minimize

import forms
import report
import sources
import weights
from encoder import UNKNOWN as ENCODER_UNKNOWN
from encoder import Encoder
from features import UNKNOWN, Features, cue_list
from forms import CATEGORIES
from student import Student, sets_of

K = len(CATEGORIES)
PIECES = 13800          # of the vocabulary: what fits into 2 MB beside the rest
WIDTH, HIDDEN = 128, 48
ENCODED_PER_SOURCE = 200  # prompts of each pool source that the encoder reads; dev is read whole, forms not at all
ENCODED_PIECES = 64
MASS = {'dev': 1.0, 'forms': 0.5, 'pool': 1.0}
FORM_DRAWS = 8


class Material:
    """Everything a training run needs, by row."""

    def __init__(self, args):
        self.program = os.path.join(args.build, 'tsa-features')
        self.rows = sources.load(args.data)
        self.rows += [{'text': t, 'source': 'forms', 'category': c, 'set': 'forms'} for t, c, _ in forms.expand(FORM_DRAWS, args.seed)]
        self.y = np.array([CATEGORIES.index(r['category']) if r['category'] else -1 for r in self.rows])
        self.set = np.array([r['set'] for r in self.rows])
        self.source = np.array([r['source'] for r in self.rows])
        self.family = np.array([sources.family(s) for s in self.source])
        self.checksum, self.cue_names = cue_list(self.program)
        encoder = Encoder()
        full = Features(self.program, encoder.vocabulary_path)
        pieces, _ = full([r['text'] for r in self.rows])
        with open(encoder.vocabulary_path, encoding='utf-8') as f:
            names = [l.rstrip('\n') for l in f]
        keep = self.vocabulary_pick(pieces, names)
        self.vocabulary = [names[i] for i in keep]
        self.vectors, sums, counts = self.encode(encoder, pieces, args.cache, args.seed)
        self.table = static_table(sums[keep], counts[keep])
        path = os.path.join(args.cache, 'vocabulary.txt')
        with open(path, 'w', encoding='utf-8') as f:
            f.writelines(n + '\n' for n in self.vocabulary)
        self.features = Features(self.program, path)
        pieces, cues = self.features([r['text'] for r in self.rows])
        self.sets, self.cues = sets_of(pieces)[0], cues[:, :len(self.cue_names)].copy()

    @staticmethod
    def vocabulary_pick(pieces, names):
        """The pieces of most prompts, and every single ASCII character, so that any English word can be cut."""
        seen = np.zeros(len(names))
        for p in pieces:
            seen[np.unique(p[p != UNKNOWN])] += 1
        score = seen * len(names) + np.arange(len(names))[::-1]
        for i, n in enumerate(names):
            bare = n[2:] if n.startswith('##') and len(n) > 2 else n
            if len(bare) == 1 and ord(bare) < 128:
                score[i] += 1e12
            elif n.startswith('[') and len(n) > 1:
                score[i] = -1
        return np.sort(np.argsort(-score, kind='stable')[:PIECES])

    def encode(self, encoder, pieces, cache, seed):
        """-> sentence vector per row (NaN where the encoder did not read it), sums and counts per piece; kept in the cache."""
        n, pool = collections.Counter(), [i for i in range(len(self.rows)) if self.set[i] == 'pool']
        pick = [i for i in range(len(self.rows)) if self.set[i] == 'dev']
        random.Random(seed).shuffle(pool)
        for i in pool:
            n[self.source[i]] += 1
            if n[self.source[i]] <= ENCODED_PER_SOURCE:
                pick.append(i)
        texts = [np.where(pieces[i] == UNKNOWN, ENCODER_UNKNOWN, pieces[i]).astype(np.int64)[:ENCODED_PIECES] for i in pick]
        key = hashlib.sha256(b''.join(t.tobytes() + b'|' for t in texts)).hexdigest()[:16]
        path = os.path.join(cache, f'encoded-{key}.npz')
        if not os.path.exists(path):
            print(f'encoding {len(pick)} prompts; minutes, once', file=sys.stderr)
            vectors, sums, counts = encoder.encode(texts, say=lambda done: print(f'  {done}', file=sys.stderr))
            np.savez(path, vectors=vectors.astype(np.float16), sums=sums, counts=counts)
        z = np.load(path)
        vectors = np.full((len(self.rows), z['vectors'].shape[1]), np.nan, np.float32)
        vectors[pick] = z['vectors']
        return vectors, z['sums'], z['counts']


def static_table(sums, counts):
    """Mean last-layer vector of each piece, centred, its main directions, unit variance; a piece never met is zero."""
    has = counts > 0
    mean = np.zeros_like(sums)
    mean[has] = sums[has] / counts[has, None]
    mean[has] -= mean[has].mean(0)
    _, _, main = np.linalg.svd(mean[has], full_matrices=False)
    table = mean @ main[:WIDTH].T
    return (table / table[has].std(0)).astype(np.float32)


def softmax(z):
    z = np.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def sampling(m, usable):
    """Each set has its mass; within it a source counts by the root of its size, and a class by the root of its share."""
    w = np.zeros(len(m.rows))
    for name, mass in MASS.items():
        rows = np.where(usable & (m.set == name))[0]
        if len(rows) == 0:
            continue
        n = collections.Counter(m.source[rows])
        part = np.array([n[s] ** -0.5 for s in m.source[rows]])
        share = collections.Counter()
        for y, p in zip(m.y[rows], part):
            share[y] += p
        part *= np.array([share[y] ** -0.5 for y in m.y[rows]])
        w[rows] = mass * part / part.sum()
    return w


def teacher_train(m, usable, w, l2=3e-3):
    """Multinomial logistic regression on the encoder's vector and the cues -> probabilities for all rows it can read."""
    read = np.isfinite(m.vectors[:, 0])
    x = np.hstack([m.vectors * np.sqrt(m.vectors.shape[1]), m.cues, np.ones((len(m.rows), 1), np.float32)])
    rows = np.where(usable & read & (m.y >= 0))[0]
    xt, yt, wt = x[rows], m.y[rows], (w[rows] / w[rows].sum()).astype(np.float32)

    def loss(flat):
        b = flat.reshape(-1, K).astype(np.float32)
        p = softmax(xt @ b)
        value = -(wt * np.log(p[np.arange(len(yt)), yt] + 1e-12)).sum() + 0.5 * l2 * (b * b).sum()
        p[np.arange(len(yt)), yt] -= 1
        return float(value), (xt.T @ (p * wt[:, None]) + l2 * b).ravel().astype(np.float64)
    best = minimize(loss, np.zeros(x.shape[1] * K), jac=True, method='L-BFGS-B', options={'maxiter': 60}).x
    out = np.full((len(m.rows), K), np.nan, np.float32)
    out[read] = softmax(x[read] @ best.reshape(-1, K).astype(np.float32))
    return out


def targets_of(m, soft):
    """Its label; of the pool half label, half teacher, or the teacher alone."""
    t = np.zeros((len(m.rows), K), np.float32)
    has = m.y >= 0
    t[has, m.y[has]] = 1
    pool = (m.set == 'pool') & np.isfinite(soft[:, 0])
    t[pool & has] = 0.5 * t[pool & has] + 0.5 * soft[pool & has]
    t[pool & ~has] = soft[pool & ~has]
    return t


def student_train(m, left_out, seed):
    labelled = ~left_out & (m.y >= 0)
    soft = teacher_train(m, labelled, sampling(m, labelled))
    usable = ~left_out & ((m.y >= 0) | np.isfinite(soft[:, 0]))
    student = Student(m.table, m.cues.shape[1], K, HIDDEN, seed)
    return student.train(m.sets, m.cues, targets_of(m, soft), sampling(m, usable))


def left_out_logits(m, seed):
    """Every family of GROUPS judged by a model that saw nothing of it, nor of the others of its group."""
    out = np.full((len(m.rows), K), np.nan, np.float32)
    for number, group in enumerate(sources.GROUPS):
        test = np.isin(m.family, group)
        student = student_train(m, test, seed + number)
        rows = np.where(test)[0]
        out[rows] = student.logits([m.sets[i] for i in rows], m.cues[rows])
        print(f'group {number + 1} of {len(sources.GROUPS)} left out: {", ".join(group)}', file=sys.stderr)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('--build', default='build', help='where tsa-features is')
    p.add_argument('--out', default='etc', help='where classifier.weights and classifier.NOTICE go')
    p.add_argument('--fixture', default='tests/classify', help='a folder with prompts.txt, for whose prompts the reference is written')
    p.add_argument('--cache', default=os.path.expanduser('~/.cache/tsa-train'), help="keeps the encoder's vectors")
    p.add_argument('--evaluate', action='store_true', help='only the figures, no weights')
    p.add_argument('--thresholds', help='take left-out outputs from this .npy file, or write them there', default='')
    p.add_argument('--seed', type=int, default=1)
    args = p.parse_args()
    os.makedirs(args.cache, exist_ok=True)
    m = Material(args)
    print(f'{len(m.rows)} prompts, {len(set(m.source)) - 1} sources, {(m.set == "forms").sum()} from {len(forms.read()[1])} forms')
    if args.thresholds and os.path.exists(args.thresholds):
        logits = np.load(args.thresholds)
    else:
        logits = left_out_logits(m, args.seed)
        if args.thresholds:
            np.save(args.thresholds, logits)
    limits = report.calibrate(m, logits)
    report.table(m, logits, limits)
    if args.evaluate:
        return
    student = student_train(m, np.zeros(len(m.rows), bool), args.seed + 100)
    weights.write(os.path.join(args.out, 'classifier.weights'), student, m, limits)
    weights.notice(os.path.join(args.out, 'classifier.NOTICE'))
    report.quantised(m, student, weights.quantise(student.table))
    weights.fixture(args.fixture, student, m)


if __name__ == '__main__':
    main()
