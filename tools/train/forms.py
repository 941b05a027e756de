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


def expand(per_form, seed):
    """-> [(text, category, number of the form)], without repeats."""
    slots, forms = read()
    rnd, out, seen = random.Random(seed), [], set()
    for number, (category, form) in enumerate(forms):
        for _ in range(per_form):
            text = vary(fill(form, slots, rnd), rnd)
            if text not in seen:
                seen.add(text)
                out.append((text, category, number))
    return out
