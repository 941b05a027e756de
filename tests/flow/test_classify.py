"""tsactl classify: JSON lines in, JSON lines out, without a supervisor."""
import json
import os
import subprocess

from fabric import BUILD

TSACTL = os.path.join(BUILD, 'tsactl')


def classify(lines, *options):
    r = subprocess.run([TSACTL, 'classify', *options], input='\n'.join(lines), capture_output=True, text=True, timeout=60)
    return r.returncode, [json.loads(l) for l in r.stdout.splitlines()], r.stderr


def test_an_answer_for_each_prompt_in_turn():
    texts = ['Write Python code that reverses a list', 'What is the capital of Mongolia?', 'Compute 12 * (7 + 5) - 3', '', 'x' * 3_000_000, '"\\\u0000\u00e9']
    code, answers, _ = classify([json.dumps({'id': i, 'text': t}) for i, t in enumerate(texts)])
    assert code == 0
    assert [a['id'] for a in answers] == list(range(len(texts)))
    assert [a['category'] for a in answers[:4]] == ['code', 'general', 'math', 'general']
    assert answers[0]['tags'][:2] == ['code', 'code_python'] and answers[0]['question_type'] == 'code'
    for a in answers:
        assert 0 <= a['complexity'] <= 1 and 0 < a['confidence'] <= 1
        assert isinstance(a['cues'], list) and sorted(a['required'] + a['optional']) == sorted(a['tags'])


def test_a_bad_line_costs_itself_alone():
    code, answers, complaint = classify(['{"text": 5}', 'no JSON', '', '[]', '{"text":"a"} {"text":"b"}', '{"text":"cut', '{"text":"What is a fjord?"}'])
    assert code == 1 and '5 of 7 lines' in complaint
    assert [a.get('line') for a in answers] == [1, 2, 4, 5, 6, None]
    assert all(a['error'] for a in answers[:5]) and answers[5]['category'] == 'general'


def test_answers_come_as_the_lines_do():
    with subprocess.Popen([TSACTL, 'classify'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        for text in ('Write a haiku about rain', 'Translate "good night" into German'):
            p.stdin.write(json.dumps({'text': text}) + '\n')
            p.stdin.flush()
            assert json.loads(p.stdout.readline())['category'] in ('creative', 'nlp')
        p.stdin.close()
        assert p.wait(timeout=30) == 0


def test_weights_that_are_none_are_refused(tmp_path):
    bad = tmp_path / 'bad.weights'
    bad.write_bytes(b'tsa-cls\n' + bytes(5000))
    for path, says in ((bad, 'version is 0'), (tmp_path / 'absent', 'No such file'), (tmp_path, 'is no file')):
        code, answers, complaint = classify(['{"text":"a"}'], '--weights', str(path))
        assert code == 1 and not answers and says in complaint
