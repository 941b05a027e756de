"""What the left-out outputs say: figures for people, and the thresholds that go with the weights."""
import collections

import numpy as np
from scipy.optimize import minimize_scalar

import sources
from forms import CATEGORIES

K = len(CATEGORIES)
SAFETY = CATEGORIES.index('safety-risk')
GENERAL = CATEGORIES.index('general')
OF_WORKS = 20  # times as likely has a question about a work to be
# What needs no language, and which cue says so of each category: sharp_cue() of route/classify.c.
SHARP = ['code fence', 'LaTeX', 'arithmetic between numbers', 'an equation', 'a call: name(', 'statements ended by ;', 'snake_case', 'a word of programming']
NAMED = {'math': 'a word of mathematics', 'code': 'a word of programming', 'reasoning': 'a word of logic', 'creative': 'a word of fiction',
         'nlp': 'a word of text work', 'data': 'a word of data work', 'safety-risk': 'a word of harm'}


def probabilities(z, temperature=1.0):
    z = np.exp((z - z.max(1, keepdims=True)) / temperature)
    return z / z.sum(1, keepdims=True)


def f1(y, p):
    """-> per class that occurs, the mean"""
    each = {k: 2 * ((y == k) & (p == k)).sum() / max(1, (y == k).sum() + (p == k).sum()) for k in range(K) if (y == k).any()}
    return each, float(np.mean(list(each.values())))


def calibration_error(confidence, right, bins=10):
    """Mean distance between confidence and share of right answers, over bins of equal count."""
    order = np.argsort(confidence)
    return sum(len(b) / len(order) * abs(confidence[b].mean() - right[b].mean()) for b in np.array_split(order, bins))


def cue(m, name):
    return m.cues[:, m.cue_names.index(name)] > 0


def safety_odds(m, logits, temperature):
    """Log-odds of safety-risk, as the flag sees them: route/classify.c, UNSAFE_OF_WORKS."""
    p = np.clip(probabilities(logits, temperature)[:, SAFETY], 1e-9, 1 - 1e-9)
    of_works = cue(m, 'a film, book or game, or what is in one') & cue(m, 'ends with a question mark')
    return np.log(p / (1 - p)) - np.log(OF_WORKS) * of_works


def judged(m, logits):
    dev = (m.set == 'dev') & np.isfinite(logits[:, 0])
    return dev, dev & ~np.isin(m.source, list(sources.NOT_TOPICAL))


def calibrate(m, logits):
    """-> temperature, abstain_below, unsafe_from: all from families left out."""
    dev, topical = judged(m, logits)
    z, y = logits[topical], m.y[topical]
    temperature = minimize_scalar(lambda t: -np.log(probabilities(z, t)[np.arange(len(y)), y] + 1e-12).mean(), bounds=(0.3, 5), method='bounded').x
    p = probabilities(z, temperature)
    best = -1.0
    for below in np.arange(0.2, 0.61, 0.02):
        answer = np.where(p.max(1) < below, GENERAL, p.argmax(1))
        value = f1(y, answer)[1]
        if value >= best - 1e-9:
            best, abstain = value, below
    harmless = safety_odds(m, logits, temperature)[dev & (m.y != SAFETY)]
    return {'temperature': float(temperature), 'abstain_below': float(abstain), 'unsafe_from': float(1 / (1 + np.exp(-np.quantile(harmless, 0.97))))}


def line(name, y, z, limits):
    p = probabilities(z, limits['temperature'])
    c, a = p.max(1), p.argmax(1)
    half = np.argsort(-c, kind='stable')[:len(c) // 2]
    right = a == y
    print(f'{name:34s} n {len(y):5d}  accuracy {right.mean():.3f}  macro-F1 {f1(y, a)[1]:.3f}  most confident half {right[half].mean():.3f}'
          f'  calibration error {calibration_error(c, right):.3f}')


def confusion(y, a):
    print('\nconfusion (rows: label, columns: answer)')
    print(' ' * 12 + ''.join(f'{c[:9]:>10s}' for c in CATEGORIES))
    for k in range(K):
        if (y == k).any():
            print(f'{CATEGORIES[k]:12s}' + ''.join(f'{((y == k) & (a == j)).sum():10d}' for j in range(K)))


def safety(m, logits, dev, limits):
    odds = safety_odds(m, logits, limits['temperature'])
    risk = odds >= np.log(limits['unsafe_from'] / (1 - limits['unsafe_from']))
    unsafe, contrast = dev & (m.y == SAFETY), m.source == 'coconot-contrast'
    more = (m.source == 'coconot-contrast-full') & np.isfinite(logits[:, 0])
    print(f'\nsafety flag from {limits["unsafe_from"]:.3f}: finds {risk[unsafe].mean():.3f}, false alarms {risk[dev & (m.y != SAFETY)].mean():.3f}'
          f' (of coconot-contrast {risk[contrast].mean():.3f}, of what the pool has of it {risk[more].mean():.3f})')
    others = dev & (m.y != SAFETY) & ~contrast
    least = np.quantile(odds[others], 0.97)
    print(f'  were coconot-contrast no part of the harmless: finds {(odds[unsafe] >= least).mean():.3f}')
    print('  finds ' + ', '.join(f'{s} {risk[unsafe & (m.source == s)].mean():.2f}' for s in sorted(set(m.source[unsafe]))))


def foreign(m, logits, limits):
    """Mainly outside ASCII: general, unless a cue is sharp."""
    rows = np.where(cue(m, 'mainly outside ASCII') & np.isfinite(logits[:, 0]) & (m.y >= 0))[0]
    p, y = probabilities(logits[rows], limits['temperature']), m.y[rows]
    a, sharp = p.argmax(1), np.any([cue(m, n)[rows] for n in SHARP], axis=0)
    named = np.array([CATEGORIES[k] in NAMED and cue(m, NAMED[CATEGORIES[k]])[i] for k, i in zip(a, rows)])
    print(f'\nmainly outside ASCII: {len(rows)} of the pool, by their weak labels')
    for name, heard in (('the network alone', sharp | True), ('without words of other languages', sharp), ('as served', sharp | named)):
        answer = np.where((p.max(1) < limits['abstain_below']) | ~heard, GENERAL, a)
        other = answer != GENERAL
        print(f'  {name:34s} right {np.mean(answer == y):.3f}, other than general {other.mean():.3f}, of these right {np.mean(answer[other] == y[other]):.3f}')


def table(m, logits, limits):
    dev, topical = judged(m, logits)
    print('\nwhole families of sources left out of dev and pool (dolly-15k and dabench always in training, not scored)')
    line('dev', m.y[topical], logits[topical], limits)
    line('dev, with coconot-contrast', m.y[dev], logits[dev], limits)
    pool = (m.set == 'pool') & np.isfinite(logits[:, 0]) & (m.y >= 0)
    line('pool, by its weak labels', m.y[pool], logits[pool], limits)
    y, p = m.y[topical], probabilities(logits[topical], limits['temperature'])
    for k, v in f1(y, p.argmax(1))[0].items():
        print(f'  F1 {CATEGORIES[k]:12s} {v:.3f}')
    answer = np.where(p.max(1) < limits['abstain_below'], GENERAL, p.argmax(1))
    print(f'  with doubt answered as general (below {limits["abstain_below"]:.2f}, {(p.max(1) < limits["abstain_below"]).mean():.3f} of prompts): '
          f'macro-F1 {f1(y, answer)[1]:.3f}')
    confusion(y, p.argmax(1))
    safety(m, logits, dev, limits)
    foreign(m, logits, limits)
    print('\nper source, left out' + ' ' * 16 + 'n  right  most frequent answers')
    for s in sorted(set(m.source[dev])) + sorted(set(m.source[pool])):
        rows = (m.source == s) & np.isfinite(logits[:, 0]) & (m.y >= 0)
        a = logits[rows].argmax(1)
        most = ', '.join(f'{CATEGORIES[k]} {n}' for k, n in collections.Counter(a).most_common(3))
        print(f'  {s:28s}{rows.sum():7d}  {np.mean(a == m.y[rows]):5.2f}  {most}')


def quantised(m, student, table):
    """How many answers the bytes change."""
    rows = np.where(m.set == 'dev')[0]
    before = student.logits([m.sets[i] for i in rows], m.cues[rows])
    kept, student.table = student.table, table
    after = student.logits([m.sets[i] for i in rows], m.cues[rows])
    student.table = kept
    print(f'\nbytes instead of floats: {np.mean(before.argmax(1) == after.argmax(1)):.4f} of answers unchanged, '
          f'largest difference of an output {np.abs(before - after).max():.3f}')
