"""Tiny GGUF files with random weights, so that a real Ollama can be tested in a second: a llama that generates and a bert that embeds.

The file format (version 3): a magic word, a version, the numbers of tensors and of key/value pairs; the pairs; one line per tensor
(name, extents, type, offset); padding to 32 bytes; the weights, each tensor padded to 32 bytes.  Everything is little-endian.

The weights are noise except for one thing: the first dimension of the llama's residual stream is a constant, and the output rows of
control and byte tokens answer it with a strong no.  So the model never ends by itself: an answer has exactly as many tokens as asked for.

usage: tiny_gguf.py llama|bert FILE
"""
import array
import itertools
import random
import struct
import sys

ALIGNMENT = 32
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of values
TENSOR_F32 = 0
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # types of tokens
PACK = {U32: '<I', I32: '<i', F32: '<f', BOOL: '<?'}

WIDTH, HIDDEN, HEADS, LAYERS = 64, 128, 4, 2
LOUD = 8.0   # the constant dimension of every embedding; the others are about 1
NEVER = -40  # its weight in the output row of a token that must not be said


def text_of(s):
    b = s.encode() if isinstance(s, str) else s
    return struct.pack('<Q', len(b)) + b


def value_of(kind, v):
    return text_of(v) if kind == STRING else struct.pack(PACK[kind], v)


def pair(key, kind, v):
    """One key with its value; a list is an array of `kind`."""
    if isinstance(v, list):
        return text_of(key) + struct.pack('<IIQ', ARRAY, kind, len(v)) + b''.join(value_of(kind, x) for x in v)
    return text_of(key) + struct.pack('<I', kind) + value_of(kind, v)


def padded(b):
    return b + bytes(-len(b) % ALIGNMENT)


def write(path, pairs, tensors):
    """pairs: [(key, kind, value)]; tensors: [(name, extents, array of floats)], the fastest-running extent first."""
    head = struct.pack('<4sIQQ', b'GGUF', 3, len(tensors), len(pairs)) + b''.join(pair(*p) for p in pairs)
    data = b''
    for name, extents, weights in tensors:
        head += text_of(name) + struct.pack(f'<I{len(extents)}QIQ', len(extents), *extents, TENSOR_F32, len(data))
        if sys.byteorder == 'big':
            weights.byteswap()
        data += padded(weights.tobytes())
    with open(path, 'wb') as f:
        f.write(padded(head) + data)
    return path


def syllables(n):
    """n different short words of consonants and vowels."""
    words = (''.join(w) for k in (1, 2) for w in itertools.product([c + v for c in 'bdfgklmnprst' for v in 'aeiou'], repeat=k))
    return list(itertools.islice(words, n))


class Noise:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def __call__(self, n, scale):
        return array.array('f', (self.random.gauss(0, scale) for _ in range(n)))


def flat(n, x):
    return array.array('f', [x]) * n


def llama_tokens(words):
    """The vocabulary of a SentencePiece tokenizer: control tokens, all bytes, letters, words that begin with a blank."""
    said = [' ', *'abcdefghijklmnopqrstuvwxyz', *(' ' + w for w in syllables(words))]
    tokens = ['<unk>', '<s>', '</s>', *(f'<0x{b:02X}>' for b in range(256)), *(w.replace(' ', '\u2581') for w in said)]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(said)]
    scores = [0.0] * 259 + [-float(i) for i in range(len(said))]
    return tokens, kinds, scores


def llama(path, seed=1, context=4096, words=400):
    noise = Noise(seed)
    tokens, kinds, scores = llama_tokens(words)
    n = len(tokens)
    embedding, output = noise(WIDTH * n, 1.0), noise(WIDTH * n, 0.3)
    for t in range(n):
        embedding[t * WIDTH] = LOUD
        output[t * WIDTH] = 0.0 if kinds[t] == NORMAL and t > 259 else NEVER
    tensors = [('token_embd.weight', (WIDTH, n), embedding), ('output_norm.weight', (WIDTH,), flat(WIDTH, 1.0)),
               ('output.weight', (WIDTH, n), output)]
    for layer in range(LAYERS):
        shapes = {'attn_q': (WIDTH, WIDTH), 'attn_k': (WIDTH, WIDTH), 'attn_v': (WIDTH, WIDTH), 'attn_output': (WIDTH, WIDTH),
                  'ffn_gate': (WIDTH, HIDDEN), 'ffn_up': (WIDTH, HIDDEN), 'ffn_down': (HIDDEN, WIDTH)}
        tensors += [(f'blk.{layer}.{k}.weight', s, noise(s[0] * s[1], 0.05)) for k, s in shapes.items()]
        tensors += [(f'blk.{layer}.{k}.weight', (WIDTH,), flat(WIDTH, 1.0)) for k in ('attn_norm', 'ffn_norm')]
    return write(path, [
        ('general.architecture', STRING, 'llama'), ('general.name', STRING, 'tiny llama of noise'), ('general.file_type', U32, 0),
        ('llama.vocab_size', U32, n), ('llama.context_length', U32, context), ('llama.embedding_length', U32, WIDTH),
        ('llama.block_count', U32, LAYERS), ('llama.feed_forward_length', U32, HIDDEN), ('llama.rope.dimension_count', U32, WIDTH // HEADS),
        ('llama.attention.head_count', U32, HEADS), ('llama.attention.head_count_kv', U32, HEADS),
        ('llama.attention.layer_norm_rms_epsilon', F32, 1e-5), ('tokenizer.ggml.model', STRING, 'llama'),
        ('tokenizer.ggml.tokens', STRING, tokens), ('tokenizer.ggml.scores', F32, scores), ('tokenizer.ggml.token_type', I32, kinds),
        ('tokenizer.ggml.unknown_token_id', U32, 0), ('tokenizer.ggml.bos_token_id', U32, 1), ('tokenizer.ggml.eos_token_id', U32, 2),
    ], tensors)


def bert_tokens(words):
    """The vocabulary of a WordPiece tokenizer: beginnings of words carry the blank, the rest of a word does not."""
    letters = list('abcdefghijklmnopqrstuvwxyz0123456789.,!?:=')
    tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *('\u2581' + w for w in letters + syllables(words)), *letters]
    return tokens, [CONTROL, UNKNOWN, CONTROL, CONTROL, CONTROL, *[NORMAL] * (len(tokens) - 5)]


def bert_layer(noise, layer):
    shapes = {'attn_q': (WIDTH, WIDTH), 'attn_k': (WIDTH, WIDTH), 'attn_v': (WIDTH, WIDTH), 'attn_output': (WIDTH, WIDTH),
              'ffn_up': (WIDTH, HIDDEN), 'ffn_down': (HIDDEN, WIDTH)}
    for k, s in shapes.items():
        yield f'blk.{layer}.{k}.weight', s, noise(s[0] * s[1], 0.1)
        yield f'blk.{layer}.{k}.bias', (s[1],), flat(s[1], 0.0)
    for k in ('attn_output_norm', 'layer_output_norm'):
        yield f'blk.{layer}.{k}.weight', (WIDTH,), flat(WIDTH, 1.0)
        yield f'blk.{layer}.{k}.bias', (WIDTH,), flat(WIDTH, 0.0)


def bert(path, seed=2, context=512, words=200):
    noise = Noise(seed)
    tokens, kinds = bert_tokens(words)
    n = len(tokens)
    tensors = [('token_embd.weight', (WIDTH, n), noise(WIDTH * n, 1.0)), ('token_types.weight', (WIDTH, 2), noise(WIDTH * 2, 0.1)),
               ('position_embd.weight', (WIDTH, context), noise(WIDTH * context, 0.1)),
               ('token_embd_norm.weight', (WIDTH,), flat(WIDTH, 1.0)), ('token_embd_norm.bias', (WIDTH,), flat(WIDTH, 0.0))]
    for layer in range(LAYERS):
        tensors += bert_layer(noise, layer)
    return write(path, [
        ('general.architecture', STRING, 'bert'), ('general.name', STRING, 'tiny bert of noise'), ('general.file_type', U32, 0),
        ('bert.vocab_size', U32, n), ('bert.context_length', U32, context), ('bert.embedding_length', U32, WIDTH),
        ('bert.block_count', U32, LAYERS), ('bert.feed_forward_length', U32, HIDDEN), ('bert.attention.head_count', U32, HEADS),
        ('bert.attention.layer_norm_epsilon', F32, 1e-12), ('bert.attention.causal', BOOL, False),
        ('bert.pooling_type', U32, 1),  # the mean
        ('tokenizer.ggml.model', STRING, 'bert'), ('tokenizer.ggml.tokens', STRING, tokens), ('tokenizer.ggml.token_type', I32, kinds),
        ('tokenizer.ggml.scores', F32, [-1000.0] * n), ('tokenizer.ggml.token_type_count', U32, 2),
        ('tokenizer.ggml.padding_token_id', U32, 0), ('tokenizer.ggml.unknown_token_id', U32, 1), ('tokenizer.ggml.bos_token_id', U32, 2),
        ('tokenizer.ggml.cls_token_id', U32, 2), ('tokenizer.ggml.eos_token_id', U32, 3), ('tokenizer.ggml.seperator_token_id', U32, 3),
        ('tokenizer.ggml.mask_token_id', U32, 4),
    ], tensors)


if __name__ == '__main__':
    if len(sys.argv) != 3 or sys.argv[1] not in ('llama', 'bert'):
        sys.exit(__doc__.strip().split('\n')[-1])
    {'llama': llama, 'bert': bert}[sys.argv[1]](sys.argv[2])
