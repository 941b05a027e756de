"""What the programs say to people, held against DIAGNOSTICS of their manual pages.  tests/lint runs it.

A message is the format of a call of one of SAYS, or a text of one of TABLES.  Its page lists it as an item (.It "...") under DIAGNOSTICS;
there a word in capitals stands for what a conversion fills in, and "..." for any text.  An item of tsa-http(7) begins with the status.
Not listed: messages of level info and debug and findings that all is well (they tell what goes as it should), formats that only carry
another message ("%s: %s"), and what ollama-sim answers to requests (these are the words of a real Ollama).
"""
import re

# call -> (which argument is the format, which one the level, grade or status)
SAYS = {
    'log_err': (0, None), 'log_warning': (0, None), 'log_notice': (0, None), 'log_line': (2, 0), 'why_set': (2, None), 'answer_error': (3, 1),
    'answer_plain': (3, 1), 'complain': (2, None), 'conf_error': (2, None), 'conf_warning': (2, None), 'instance_error': (3, None),
    'instance_warning': (3, None), 'fault': (2, None), 'conf_facts_warn': (2, None), 'conf_facts_fail': (3, None), 'findings_add': (4, 1),
    'usage_error': (0, None), 'sup_control_answer': (3, None), 'sup_child_kill': (1, None), 'head_bad': (2, 1), 'broken': (2, None),
    'why_note': (1, None), 'api_refuse': (2, 1)}
# (files, a row of a table with the text as its last group and, before it, the status, page)
TABLES = [(r'^http/view\.c', r'\[VIEW_(?!OK)\w+\] = (STRING)', 'tsa-http.7'),
          (r'^router/', r'struct http_fault \w+ = \{(\d+), (STRING)\}', 'tsa-http.7'),
          (r'^router/', r'json_out_text\(o, "error", (STRING)\)', 'tsa-http.7'),
          (r'^tools/tsactl/symptoms', r'^\t\{(?:[^"{}]|"[^"]*",)*GRADE_(?:BAD|WARN|NOTE),\s*(STRING)', 'tsactl.8')]
# Files in which also every other literal that is a sentence reaches somebody, as the reason inside of a message or on the board.
REASONS = [(r'^router/(upstream|relay|exchange)\.c', 'tsa-http.7'), (r'^tools/tsactl/(view|status)\.c', 'tsactl.8'),
           (r'^(worker/\w+\.c|supervisor/(adopt|board|children|control|hang|leave|notify|orders|orphans|upgrade|verbs)\.c)', 'tsad.8')]
# What the router looks for in errors of an Ollama, and usage.
NOT_SAID = re.compile(r'usage: |error was encountered while running$|timed out waiting for$|does not support (chat|generate)$')
QUIET = ('log_info', 'log_debug', 'printf', 'BUG_ON', '_Static_assert', 'line', 'sup_notify_say')
SENTENCE = re.compile(r'(?:[a-z]+ ){3}')
SILENT = re.compile(r'LOG_INFO|LOG_DEBUG|GRADE_FINE')
PAGES = [(r'^(conf/|base/scan\.)', 'tsa.conf.5'), (r'^(http/|router/.*:(answer_|http_fault|api_))', 'tsa-http.7'), (r'^(tools/tsactl|ctl)/', 'tsactl.8'),
         (r'^tools/sim/(main|options|profile|listen)\.c', 'ollama-sim.1'), (r'^tools/load/', 'tsa-load.1'), (r'^tools/simulate/', 'tsa-simulate.1'),
         (r'^(base|proc|shm|probes|route|supervisor|worker|router)/', 'tsad.8')]
NOWHERE = re.compile(r'^(http/response\.c|base/(log|why|bug)\.h|tools/(train|dev)/)')  # upstream's faults stand in log lines of the router
LITERAL = r'"(?:\\.|[^"\\])*"'
ESCAPES = {'n': ' ', 't': ' '}
TEXT, NUMBER = '\0', '\1'  # what a conversion leaves


def arguments(text, at):
    """The arguments of the call whose '(' stands at `at`, as source text, and its end."""
    out, depth, begin, i = [], 0, at + 1, at
    while i < len(text):
        c = text[i]
        if c in '"\'':
            i = re.compile(LITERAL if c == '"' else r"'(?:\\.|[^'\\])*'").match(text, i).end()
            continue
        depth += (c in '([{') - (c in ')]}')
        if not depth:
            return out + [text[begin:i]], i
        if c == ',' and depth == 1:
            out.append(text[begin:i])
            begin = i + 1
        i += 1
    return [], i


def macros(sources):
    """{NAME: its literals} of every #define NAME "text"."""
    return {m.group(1): m.group(2) for text in sources.values()
            for m in re.finditer(r'^#define\s+(\w+)\s+((?:' + LITERAL + r'|[ \t])+)$', text, flags=re.M)}


def templates(argument, defined):
    """An argument -> the texts that it may be, with TEXT or NUMBER for each conversion; where it chooses, each of its choices."""
    parts = re.split('(' + LITERAL + ')', argument)
    parts = [p if n % 2 else re.sub(r'\b[A-Z]\w+\b', lambda m: defined.get(m.group(0), m.group(0)), p) for n, p in enumerate(parts)]
    argument = ''.join(parts)
    for choice in re.split(r'[?:](?=(?:[^"]|' + LITERAL + r')*$)', re.sub(LITERAL, lambda m: m.group(0).replace('?', '\2').replace(':', '\3'), argument)):
        texts = re.findall(LITERAL, choice.replace('\2', '?').replace('\3', ':'))
        if not texts:
            continue
        text = re.sub(r'\\(.)', lambda m: ESCAPES.get(m.group(1), m.group(1)), ''.join(t[1:-1] for t in texts))
        text = re.sub(r'%(%|[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+)?)?(?:hh|h|ll|l|z|j|t)?[a-zA-Z])', lambda m: '%' if m.group(1) == '%' else
                      TEXT if m.group(1).endswith('s') else NUMBER, text)
        text = ' '.join(text.split())
        if len(re.findall('[a-z]', text)) >= 4:
            yield text


def page_of(path, call):
    if NOWHERE.match(path):
        return None
    return next((page for pattern, page in PAGES if re.match(pattern, f'{path}:{call}')), None)


def calls(text, names):
    """(name, arguments, begin, end) of every call of one of them; not of the macro that defines it."""
    for m in re.finditer(r'(?<!\w)(' + '|'.join(names) + r')\(', text):
        args, end = arguments(text, m.end() - 1)
        if '#define' not in text[:m.start()].rsplit('\n', 1)[-1] and '...' not in args[-1:]:
            yield m.group(1), args, m.start(), end


def said_by_calls(path, text, defined):
    for name, args, at, _ in calls(text, SAYS):
        which, level = SAYS[name]
        page = page_of(path, name)
        if not page or len(args) <= which or (level is not None and SILENT.search(args[level])):
            continue
        status = set(re.findall(r'\b[1-5]\d\d\b', args[level])) if level is not None else set()
        for t in templates(args[which], defined):
            yield page, status, t, at


def said_by_tables(path, text, defined):
    for files, row, page in TABLES:
        for m in re.finditer(row.replace('STRING', LITERAL + r'(?:\s*' + LITERAL + ')*'), text, flags=re.M) if re.match(files, path) else ():
            for t in templates(m.group(m.lastindex), defined):
                yield page, set(m.groups()[:-1]), t, m.start(m.lastindex)


def said_as_reasons(path, text, defined):
    page = next((page for files, page in REASONS if re.match(files, path)), None)
    spans = [(b, e) for _, _, b, e in calls(text, [*SAYS, *QUIET])] if page else []
    for m in re.finditer(LITERAL + r'(?:\s*' + LITERAL + ')*', text) if page else ():
        if SENTENCE.search(m.group(0)) and not NOT_SAID.match(m.group(0)[1:-1]) and not any(b <= m.start() < e for b, e in spans):
            for t in templates(m.group(0), defined):
                yield page, set(), t, m.start()


def said(files):
    """(page, status, text, where) of every message."""
    sources = {p: re.sub(r'/\*.*?\*/', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), open(p, encoding='utf-8').read(), flags=re.S) for p in files}
    defined = macros(sources)
    for path, text in sources.items():
        for way in (said_by_calls, said_by_tables, said_as_reasons):
            for page, status, t, at in way(path, text, defined):
                yield page, status, t, f'{path}:{text[:at].count(chr(10)) + 1}'


def listed(page):
    """(line, text) of each item under DIAGNOSTICS."""
    inside = False
    for n, line in enumerate(open(f'man/{page}', encoding='utf-8').read().split('\n'), 1):
        if line.startswith('.Sh '):
            inside = line == '.Sh DIAGNOSTICS'
        if inside and line.startswith('.It "'):
            yield n, re.sub(r'\\(\(dq|\(aq|\(ga|e|-|&)', lambda m: {'(dq': '"', '(aq': "'", '(ga': '`', 'e': '\\', '-': '-', '&': ''}[m.group(1)], line[5:-1])


def pattern(item):
    """What an item stands for, as an expression over templates."""
    out = ''
    for part in re.findall(r'\.\.\.|N(?=m?s\b)|[A-Z][A-Z0-9_/]*(?![a-z])|.', item):
        if part == '...':
            out += '.*'
        elif re.fullmatch('[A-Z][A-Z0-9_/]*', part):
            out += f'(?:{re.escape(part)}|[{TEXT}{NUMBER}])'
        else:
            out += re.escape(part)
    return re.compile(out, flags=re.S)


def check(files, say):
    """say(path, line, sentence) for each message that no page lists and each item that nobody says any more."""
    items = {}
    for page in sorted({page for _, page in PAGES}):
        for n, text in listed(page):
            m = re.match(r'([1-5]\d\d) (.*)', text) if page == 'tsa-http.7' else None
            items.setdefault(page, []).append([n, m.group(1) if m else '', m.group(2) if m else text, pattern(m.group(2) if m else text), False])
    for page, status, text, where in said(files):
        hit = False
        for item in items.get(page, ()):
            if (not item[1] or not status or item[1] in status) and item[3].fullmatch(text):
                item[4] = hit = True
        if not hit:
            path, line = where.split(':')
            shown = re.sub(f'{TEXT}+', '...', text).replace(NUMBER, 'N').replace('\\', '\\e').replace('"', '\\(dq')
            say(path, int(line), f'DIAGNOSTICS of man/{page} does not explain this message; add there, with its meaning and remedy '
                f'below or among those that share one:  .It "{min(status) + " " if page == "tsa-http.7" and status else ""}{shown}"')
    for page, rows in items.items():
        for n, _, text, _, hit in rows:
            if not hit:
                say(f'man/{page}', n, f'nobody says this any more: "{text}"; take the item out, or write what the source says now')
