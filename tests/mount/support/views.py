"""What the views of parameters have to be: chamber's formats (its cmd/export.go and cmd/env.go) written anew, with the differences
that docs/semantics.md tells, and readers of formats that no library here reads."""
import csv
import io
import json
import re
import shlex

import yaml


def variable(name, upper=True):
    key = re.sub(r"[-.\s]", "_", name)
    return key.upper() if upper else key


def quoted(value, breaks):
    value = re.sub(r'([\\"$`])', r"\\\1", value)
    return '"%s"' % (value.replace("\n", "\\n").replace("\r", "\\r") if breaks else value)


def go_json(value):
    """encoding/json: no blanks, <, > and & escaped, also the two line separators."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, "\\u%04x" % ord(character))
    return text + "\n"


def rows(parameters, separator):
    """encoding/csv, which quotes what begins with a blank too."""
    def field(text):
        if text == "\\." or re.search(r'["\r\n%s]' % separator, text) or text[:1].isspace():
            return '"%s"' % text.replace('"', '""')
        return text
    return "".join(field(k) + separator + field(v) + "\n" for k, v in sorted(parameters.items()))


def property_text(value):
    """Of the properties library, but that no character is lost and a blank at the beginning counts."""
    text = re.sub(r"[\\\f\n\r\t]", lambda m: {"\\": "\\\\", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}[m.group()], value)
    text = "".join(c if ord(c) < 128 else "".join("\\u%02x%02x" % (pair[0], pair[1]) for pair in zip(*[iter(c.encode("utf-16-be"))] * 2))
                   for c in text)
    return ("\\" + text) if text.startswith(" ") else text


def terraform(value):
    """Of chamber, but for the escapes that HCL does not know and the templates that it does."""
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return re.sub(r"[$%](?={)", lambda m: "\\u%04x" % ord(m.group()), text)


def chamber(view, parameters):
    """The bytes of a flat view. No yaml: that is held against its readers."""
    items = sorted(parameters.items())
    if view == "json":
        return go_json(parameters)
    if view in ("csv", "tsv"):
        return rows(parameters, "," if view == "csv" else "\t")
    lines = {
        "env": lambda k, v: "%s=%s" % (variable(k), quoted(v, False)),
        "dotenv": lambda k, v: "%s=%s" % (variable(k), quoted(v, True)),
        "export": lambda k, v: "export %s=%s" % (variable(k), shlex.quote(v)),
        "tfvars": lambda k, v: '%s = "%s"' % (variable(k.removeprefix("tf_var_"), False), terraform(v)),
        "properties": lambda k, v: "%s = %s" % (k, property_text(v)),
    }[view]
    return "".join(lines(k, v) + "\n" for k, v in items)


# ---- Readers

class Yaml12(yaml.SafeLoader):
    """The core schema of YAML 1.2: what its readers take for something other than text."""
    yaml_implicit_resolvers = {}


for tag, pattern in (("null", r"~|null|Null|NULL|"), ("bool", r"true|True|TRUE|false|False|FALSE"),
                     ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
                     ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")):
    Yaml12.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile("^(%s)$" % pattern), None)


def read_yaml(text):
    """By the rules of 1.1, by those of 1.2, and by libyaml: one answer."""
    answers = [yaml.load(text, Loader=loader) for loader in (yaml.SafeLoader, Yaml12, yaml.CSafeLoader)]
    assert answers[0] == answers[1] == answers[2]
    return answers[0]


def read_csv(text, separator):
    return {k: v for k, v in csv.reader(io.StringIO(text, newline=""), delimiter=separator)}


def read_dotenv(text):
    """As godotenv reads it: in double quotes \\n and \\r are line breaks, a backslash before anything else goes."""
    found = {}
    for match in re.finditer(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\n', text):
        found[match.group(1)] = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m.group(1), m.group(1)), match.group(2))
    return found


def read_properties(text):
    """As java.util.Properties.load() does."""
    found = {}
    for line in text.split("\n")[:-1]:
        key, value = re.fullmatch(r"([^ =:]+)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.S).groups()
        simple = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
        value = re.sub(r"\\(u[0-9a-fA-F]{4}|.)",
                       lambda m: chr(int(m.group(1)[1:], 16)) if len(m.group(1)) > 1 else simple.get(m.group(1), m.group(1)), value)
        found[key] = value.encode("utf-16-be", "surrogatepass").decode("utf-16-be")
    return found


def read_environment_file(text):
    """As systemd reads an EnvironmentFile= (systemd.exec(5)): in double quotes a backslash takes away the meaning of ", \\, ` and
    $, joins lines, and stays before anything else."""
    found, at = {}, 0
    while at < len(text):
        key, at = text[at:text.index("=", at)], text.index("=", at) + 1
        value = ""
        assert text[at] == '"'
        at += 1
        while text[at] != '"':
            if text[at] == "\\" and text[at + 1] in '"\\`$\n':
                value += "" if text[at + 1] == "\n" else text[at + 1]
                at += 2
            else:
                value += text[at]
                at += 1
        assert text[at + 1] == "\n"
        found[key], at = value, at + 2
    return found
