"""Fetches OpenMetrics text and writes the older text of Prometheus, which is all that `promtool check metrics` reads.

    classic.py URL FILE

What differs: a counter's family bears the suffix of its series there, what only has labels is a gauge, and there are no
exemplars, units or mark of the end. Everything else must be lines that both know, else this fails.
"""

import re
import sys
import urllib.request

SUFFIXES = {"counter": "_total", "info": "_info"}
SAMPLE = re.compile(r'^[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? [0-9.e+-]+$')


def classic(text):
    assert text.endswith("# EOF\n"), "the text has no end"
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for line in text.splitlines():
        if line.startswith(("# TYPE ", "# HELP ")):
            _, word, family, rest = line.split(" ", 3)
            kind = kinds[family]
            if word == "TYPE" and kind == "info":
                rest = "gauge"
            yield f"# {word} {family}{SUFFIXES.get(kind, '')} {rest}"
        elif not line.startswith(("# UNIT ", "# EOF")):
            sample = line.split(" # {", 1)[0]
            assert SAMPLE.match(sample), f"no sample: {line}"
            yield sample


def main():
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text"), answer.headers
        text = answer.read().decode()
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in classic(text))


main()
