"""The labelled prompts, and which sources are of one family."""
import json
import lzma
import os

from forms import CATEGORIES

# A source not named here is a family by itself.  Sets that hold the same questions, or questions of the same place, share a family.
FAMILIES = {
    'aart': ['aart-full'], 'ailuminate': ['ailuminate-full'], 'banking77': ['banking-full'], 'catqa': ['catqa-full', 'dangerousqa'],
    'clinc-oos': ['clinc-full'], 'coconot': ['coconot-contrast', 'coconot-full', 'coconot-contrast-full', 'coconot-pref'],
    'dolly-15k': ['dolly-full'], 'folio': ['folio-full'], 'gsm8k': ['gsm8k-full', 'llmrouter-gsm8k', 'llmrouter-agentverse-mgsm', 'qm-mawps'],
    'humanevalpack': ['mxeval-humaneval', 'llmrouter-human_eval'], 'jailbreak-inthewild': ['jailbreak-full'],
    'logicbench': ['logicbench-full'], 'logicgrid': ['llmrouter-agentverse-logicgrid'], 'nl2bash': ['nl2bash-full'], 'odex': ['odex-full'],
    'mmlu': ['mmlu-full', 'llmrouter-mmlu', 'mmlu-pro', 'qm-mmlu-stem', 'routerarena'],
    'olympiadbench': ['qm-olympiadbench'], 'so-titles': ['so-titles-full', 'staqc-sql', 'staqc-full'],
    'self-instruct-user': ['self-instruct-seed'], 'qm-cmath': ['qm-cn_middle_school', 'qm-gaokao_math_cloze', 'qm-gaokao2023en'],
    'qm-aime24': ['qm-amc23'],
}
FAMILY_OF = {s: f for f, l in FAMILIES.items() for s in l}

# Families left out together; what stands in no group is always in training and never scored (dolly-15k is most of nlp and creative, dabench all of data).
GROUPS = [
    ['gsm8k', 'so-titles', 'banking77', 'folio', 'chart-llm'],
    ['mmlu', 'nl2bash', 'aart', 'longbench-write', 'qm-carp_en'],
    ['humanevalpack', 'clinc-oos', 'logicbench', 'qm-minerva_math'],
    ['olympiadbench', 'coconot', 'crossner', 'gpteacher-roleplay'],
    ['theoremqa', 'codesearchnet-queries', 'ailuminate', 'p3-amazon-polarity'],
    ['ultrachat-eval', 'odex', 'catqa', 'qm-college_math'],
    ['reasoning-gym', 'sql-eval', 'jailbreak-inthewild', 'alignbench'],
    ['aqua-rat', 'exercism', 'logicgrid', 'gpteacher-code', 'qm-cmath'],
]
# Their label only says "not a safety risk": they count for false alarms, not for topics.
NOT_TOPICAL = {'coconot-contrast'}


def family(source):
    return FAMILY_OF.get(source, source)


def load(folder):
    """-> rows of {text, source, category (or None), set: dev or pool}"""
    rows = []
    with open(os.path.join(folder, 'prompts-dev.jsonl'), encoding='utf-8') as f:
        rows += [dict(json.loads(l), set='dev') for l in f]
    with lzma.open(os.path.join(folder, 'prompts-pool.jsonl.xz'), 'rt', encoding='utf-8') as f:
        rows += [dict(json.loads(l), set='pool') for l in f]
    for r in rows:
        if r['category'] is not None and r['category'] not in CATEGORIES:
            raise SystemExit(f'{r["source"]}: category "{r["category"]}" is none of {", ".join(CATEGORIES)}')
    return rows
