"""Prompts from the hand-written forms of request (forms.txt)."""
import os
import random
import re

HERE = os.path.dirname(os.path.abspath(__file__))
CATEGORIES = ['general', 'math', 'code', 'reasoning', 'creative', 'nlp', 'data', 'safety-risk']


def read(path=os.path.join(HERE, 'forms.txt')):
    """-> slots {name: [values]}, forms [(category, text)]"""
    slots, forms = {}, []
    for n, line in enumerate(open(path, encoding='utf-8'), 1):
        line = line.rstrip('\n')
        if not line or line.startswith('#'):
            continue
        m = re.match(r'(\w+) = (.*)$', line)
        if m:
            slots[m.group(1)] = [v.replace('\\n', '\n') for v in m.group(2).split(' / ')]
            continue
        category, sep, text = line.partition(': ')
        if not sep or category not in CATEGORIES:
            raise SystemExit(f'{path}:{n}: write "name = a / b" or "category: text"')
        # \nu, \neq and the like stay LaTeX: a line break is never followed by a lower-case Greek name in a form
        forms.append((category, re.sub(r'\\n(?!eq\b|u\b)', '\n', text)))
    return slots, forms


def fill(form, slots, rnd):
    used = {}

    def draw(m):
        name = m.group(1)
        if name not in slots:
            return m.group(0)
        left = [v for v in slots[name] if v not in used.get(name, ())] or slots[name]
        value = rnd.choice(left)
        used.setdefault(name, []).append(value)
        return value
    return re.sub(r'\{(\w+)\}', draw, form)


def vary(text, rnd):
    """What typists do: no capital at the start, no mark at the end, a word of politeness."""
    roll = rnd.random()
    if roll < 0.12:
        text = text[0].lower() + text[1:]
    elif roll < 0.18 and text[-1] in '.?':
        text = text[:-1]
    elif roll < 0.24 and text[-1] == '.':
        text = 'Please ' + text[0].lower() + text[1:]
    elif roll < 0.28:
        text = text.lower()
    elif roll < 0.31:
        text = rnd.choice(['Hi, ', 'Hello! ', 'ok so ', 'Quick question: ', 'Hey, ']) + text
    return text


def noise(rnd):
    """What is no request: a key held down, mashed keys, a few words over and over, fillers.  General, however long."""
    letters = 'abcdefghijklmnopqrstuvwxyz'
    words = [''.join(rnd.choice(letters) for _ in range(rnd.randint(2, 9))) for _ in range(rnd.randint(1, 12))]
    kind = rnd.randrange(5)
    if kind == 0:
        return rnd.choice(letters + '.-!0123456789') * rnd.choice([1, 3, 8, 40, 200, 1000])
    if kind == 1:
        return ' '.join(words)
    if kind == 2:
        return ' '.join(rnd.choice(words) for _ in range(rnd.choice([20, 60, 200])))
    if kind == 3:
        return ' '.join(rnd.choice(['test', 'foo', 'bar', 'hello', 'word', 'blah', 'ok', 'the', 'one', 'two', 'a']) for _ in range(rnd.choice([1, 5, 30, 150])))
    return ' '.join(rnd.sample('the a so of and then we went over to see it again while they had not yet come back from there but later on'.split(), 12)
                    * rnd.choice([1, 4, 15]))


NOISE = 160


def expand(per_form, seed):
    """-> [(text, category, number of the form)], without repeats; the last number is that of noise."""
    slots, forms = read()
    rnd, out, seen = random.Random(seed), [], set()
    for number, (category, form) in enumerate(forms):
        for _ in range(per_form):
            text = vary(fill(form, slots, rnd), rnd)
            if rnd.random() < 0.03:
                # a request is still the same when it was pasted many times
                text = ' '.join([text] * rnd.choice([2, 5, 15, 40]))
            if text not in seen:
                seen.add(text)
                out.append((text, category, number))
    return out + [(noise(rnd), 'general', len(forms)) for _ in range(NOISE)]
