"""The three official clients, unchanged but for the base URL."""
import anthropic
import ollama
import openai
import pytest

MODEL, EMBED = 'sim-chat:latest', 'sim-embed:latest'


@pytest.fixture
def port(pair):
    return pair[1].port


def test_ollama_lists_chats_and_embeds(port):
    c = ollama.Client(f'http://127.0.0.1:{port}')
    assert {m.model for m in c.list().models} >= {MODEL, EMBED}
    r = c.chat(MODEL, [{'role': 'user', 'content': 'sim:tokens=5'}])
    assert r.done and r.done_reason and r.message.content and r.eval_count == 5
    parts = list(c.chat(MODEL, [{'role': 'user', 'content': 'sim:tokens=5'}], stream=True))
    assert parts[-1].done and len(parts) > 2
    assert ''.join(p.message.content for p in parts) == r.message.content
    g = c.generate(MODEL, 'sim:tokens=3')
    assert g.done and g.response
    e = c.embed(EMBED, ['a', 'b', 'c'])
    assert len(e.embeddings) == 3 and len(set(map(len, e.embeddings))) == 1
    assert c.show(MODEL).modelinfo is not None
    assert MODEL in {m.model for m in c.ps().models}


def test_ollama_errors(port):
    c = ollama.Client(f'http://127.0.0.1:{port}')
    with pytest.raises(ollama.ResponseError) as e:
        c.chat('no-such-model', [{'role': 'user', 'content': 'x'}])
    assert e.value.status_code == 404 and "model 'no-such-model' not found" in e.value.error
    with pytest.raises(ollama.ResponseError) as e:
        c.pull('something', stream=False)
    assert e.value.status_code == 403 and 'management' in e.value.error


def test_openai_lists_chats_and_embeds(port):
    c = openai.OpenAI(base_url=f'http://127.0.0.1:{port}/v1', api_key='unused', max_retries=0)
    assert {m.id for m in c.models.list()} >= {MODEL, EMBED}
    assert c.models.retrieve(MODEL).id == MODEL
    m = [{'role': 'user', 'content': 'sim:tokens=5'}]
    r = c.chat.completions.create(model=MODEL, messages=m)
    assert r.choices[0].finish_reason == 'stop' or r.choices[0].finish_reason == 'length'
    text = r.choices[0].message.content
    assert text and r.usage.completion_tokens == 5
    chunks = list(c.chat.completions.create(model=MODEL, messages=m, stream=True))
    assert ''.join(x.choices[0].delta.content or '' for x in chunks if x.choices) == text
    assert c.completions.create(model=MODEL, prompt='sim:tokens=3').choices[0].text
    e = c.embeddings.create(model=EMBED, input=['a', 'b'])
    assert len(e.data) == 2 and len(e.data[0].embedding) > 0
    assert c.responses.create(model=MODEL, input='sim:tokens=3').output_text


def test_openai_errors(port):
    c = openai.OpenAI(base_url=f'http://127.0.0.1:{port}/v1', api_key='unused', max_retries=0)
    with pytest.raises(openai.NotFoundError) as e:
        c.chat.completions.create(model='nope', messages=[{'role': 'user', 'content': 'x'}])
    assert "model 'nope' not found" in str(e.value)
    with pytest.raises(openai.BadRequestError):
        c.chat.completions.create(model=MODEL, messages=[])


def test_anthropic_messages(port):
    c = anthropic.Anthropic(base_url=f'http://127.0.0.1:{port}', api_key='unused', max_retries=0)
    m = [{'role': 'user', 'content': 'sim:tokens=5'}]
    r = c.messages.create(model=MODEL, max_tokens=50, messages=m)
    assert r.content[0].text and r.usage.output_tokens == 5
    with c.messages.stream(model=MODEL, max_tokens=50, messages=m) as s:
        assert s.get_final_text() == r.content[0].text
    with pytest.raises(anthropic.NotFoundError) as e:
        c.messages.create(model='nope', max_tokens=5, messages=m)
    assert "model 'nope' not found" in str(e.value)


def test_auto_takes_the_default_model(port):
    c = ollama.Client(f'http://127.0.0.1:{port}')
    assert c.chat('auto', [{'role': 'user', 'content': 'sim:tokens=2'}]).model == MODEL
    assert len(c.embed('auto', 'x').embeddings[0]) > 0
    o = openai.OpenAI(base_url=f'http://127.0.0.1:{port}/v1', api_key='unused', max_retries=0)
    assert o.chat.completions.create(model='auto', messages=[{'role': 'user', 'content': 'x'}]).model == MODEL


def test_busy_is_429_with_retry_after_in_every_dialect(sims, fabrics):
    """One place, a queue of none: the second request is refused at once, as each client's own overload error."""
    s = sims(1)
    f = fabrics(conf=f'''limits {{ queue = 0 }}
instance "only" {{ url = "http://127.0.0.1:{s.port}" slots = 1 }}''')
    slow = [{'role': 'user', 'content': 'sim:tokens=200 sim:delay=50ms'}]
    hold = ollama.Client(f'http://127.0.0.1:{f.port}').chat(MODEL, slow, stream=True)
    next(hold)
    with pytest.raises(ollama.ResponseError) as e:
        ollama.Client(f'http://127.0.0.1:{f.port}').chat(MODEL, slow)
    assert e.value.status_code == 429
    with pytest.raises(openai.RateLimitError) as e:
        openai.OpenAI(base_url=f'http://127.0.0.1:{f.port}/v1', api_key='x', max_retries=0).chat.completions.create(model=MODEL, messages=slow)
    assert int(e.value.response.headers['retry-after']) >= 1
    with pytest.raises(anthropic.RateLimitError):
        anthropic.Anthropic(base_url=f'http://127.0.0.1:{f.port}', api_key='x', max_retries=0).messages.create(model=MODEL, max_tokens=5, messages=slow)
    hold.close()
