"""The weights file (route/weights.h says what stands where), its notice, and the reference for the unit test."""
import json
import os
import struct

import numpy as np

from forms import CATEGORIES

NOTICE = """The file classifier.weights was trained by tools/train.  Its table of word-piece vectors and its vocabulary were derived from
all-MiniLM-L6-v2 (sentence-transformers), which is licensed under the Apache License, Version 2.0:

    https://www.apache.org/licenses/LICENSE-2.0

all-MiniLM-L6-v2 is a fine-tuned MiniLM-L6-H384-uncased; its vocabulary is that of bert-base-uncased (Apache License 2.0).  The vectors
were averaged over prompts, projected to 128 directions, trained further on labelled prompts, and rounded to bytes: they are modified.
The file holds numbers and pieces of words, no prompt.
"""


def scale_of(table):
    return float(np.abs(table).max() / 127)


def quantise(table):
    """What serving sees of it."""
    scale = scale_of(table)
    return (np.rint(table / scale) * scale).astype(np.float32)


def checksum(data):
    h = 0x811c9dc5
    for b in data:
        h = ((h ^ b) * 0x01000193) & 0xffffffff
    return h


def write(path, student, m, limits):
    scale = scale_of(student.table)
    names = b''.join(c.encode().ljust(16, b'\0') for c in CATEGORIES)
    strings = b''.join(n.encode() + b'\0' for n in m.vocabulary)
    dense = b''.join(p.astype('<f4').tobytes() for p in (student.w1, student.b1, student.w2, student.direct, student.b2))
    table = np.rint(student.table / scale).astype(np.int8).tobytes()
    rest = struct.pack('<IIIIIII4f', len(m.vocabulary), student.table.shape[1], len(m.cue_names), m.checksum, len(student.b1), len(CATEGORIES),
                       len(strings), scale, limits['temperature'], limits['abstain_below'], limits['unsafe_from'])
    rest += names + dense + table + strings
    head = struct.pack('<8sIII', b'tsa-cls\n', 1, 20 + len(rest), checksum(rest))
    with open(path + '.new', 'wb') as f:
        f.write(head + rest)
    os.replace(path + '.new', path)
    print(f'\n{path}: {len(head) + len(rest)} bytes, {len(m.vocabulary)} pieces')


def notice(path):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(NOTICE)


def fixture(folder, student, m):
    """The outputs, before rounding, for the prompts of the unit test."""
    with open(os.path.join(folder, 'prompts.txt'), encoding='utf-8') as f:
        texts = [l.rstrip('\n').replace('\\n', '\n') for l in f if l.strip() and not l.startswith('#')]
    pieces, cues = m.features(texts)
    rows = [np.unique(p[p != 0xffff]) for p in pieces]
    outputs = student.logits(rows, cues[:, :len(m.cue_names)])
    with open(os.path.join(folder, 'reference.jsonl'), 'w', encoding='utf-8') as f:
        for t, z in zip(texts, outputs):
            f.write(json.dumps({'text': t, 'outputs': [round(float(v), 4) for v in z]}, ensure_ascii=False) + '\n')
