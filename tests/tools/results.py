"""Reads what test runners wrote, for tests/run.

read_junit(FILE)        a JUnit file of pytest
read_meson(FILE)        testlog.json of meson: tests are counted inside each cmocka program
    both return [PASSED, FAILED, SKIPPED], and one line per failure and per skip, the end of a failure's text below it
targets(BUILD, SUITES)  the ninja targets of the tests of these suites
"""
import json
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree

CMOCKA = {name: re.compile(r"^\[  %-8s\] (\d+) test\(s\)" % word, re.M)
          for name, word in (("passed", "PASSED"), ("failed", "FAILED"), ("skipped", "SKIPPED"))}


SHOWN_LINES = 12
# What says most in the output of a unit test: cmocka's findings and the sanitizers'.
TELLS = re.compile(r"^\[ *(ERROR|LINE) *\]|^[^ ]*(ERROR|WARNING|SUMMARY): |runtime error:|[Aa]ssertion")


def last_lines(text):
    return ["    | " + line[:200] for line in (text or "").strip().splitlines()[-SHOWN_LINES:]]


def first_line(text, limit=200):
    lines = (text or "").strip().splitlines()
    return lines[0][:limit] if lines else ""


def read_junit(path):
    counts, lines = [0, 0, 0], []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = "%s::%s" % (case.get("classname", ""), case.get("name", ""))
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        skip = case.find("skipped")
        if bad is not None:
            counts[1] += 1
            lines.append("FAILED: %s: %s" % (name, first_line(bad.get("message"))))
            lines += last_lines(bad.text)
        elif skip is not None:
            counts[2] += 1
            lines.append("SKIPPED: %s: %s" % (name, first_line(skip.get("message"))))
        else:
            counts[0] += 1
    return counts, lines


def read_meson(path):
    counts, lines = [0, 0, 0], []
    with open(path, encoding="utf-8") as log:
        for test in map(json.loads, filter(str.strip, log)):
            output = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
            passed, failed, skipped = (sum(map(int, CMOCKA[k].findall(output))) for k in ("passed", "failed", "skipped"))
            if test["result"] == "SKIP":
                skipped = max(skipped, 1)
                lines.append("SKIPPED: %s: %s" % (test["name"], first_line(output) or "no reason given"))
            elif test["result"] not in ("OK", "EXPECTEDFAIL"):
                failed = max(failed, 1)
                cases = sorted(set(re.findall(r"^\[  FAILED  \] (?!\d+ test)(?:[^:\n]*: )?(\D.*)$", output, re.M)))
                lines += ["FAILED: %s: %s" % (test["name"], case) for case in cases or [test["result"]]]
                told = [line for line in output.splitlines() if TELLS.search(line)]
                lines += last_lines("\n".join(told[-SHOWN_LINES:]) or output)
            elif passed + skipped == 0:
                passed = 1
            lines += ["SKIPPED: " + line for line in re.findall(r"^SKIPPED?: (.*)$", output, re.M)]
            counts = [a + b for a, b in zip(counts, (passed, failed, skipped))]
    return counts, lines


def targets(build, suites):
    wanted = set(suites)
    tests = json.loads(subprocess.check_output(["meson", "introspect", "--tests", build]))
    programs = set()
    for test in tests:
        names = {suite.split(":")[-1] for suite in test["suite"]}
        if names & wanted and "conformance" not in names:
            programs.update(os.path.relpath(part, os.path.abspath(build)) for part in test["cmd"] + test.get("depends", [])
                            if os.path.isabs(part) and part.startswith(os.path.abspath(build)))
    return sorted(programs)
