"""Where a secret must not be found: files, and what a core dump of a process would hold."""
import os
import re


def files_with(secret, *folders):
    found = []
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    if secret in f.read():
                        found.append(path)
    return found


def dumpable_mappings(pid):
    """(start, end) of the mappings that a core dump would write: readable and not marked `dd` (do not dump)."""
    with open("/proc/%d/smaps" % pid, encoding="utf-8") as smaps:
        span = None
        for line in smaps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r\S+) ", line)
            if head:
                span = int(head.group(1), 16), int(head.group(2), 16)
            elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                span = None
            elif line.startswith("VmFlags:") and span and not {"dd", "io"} & set(line.split()[1:]):
                yield span


def unlocked_mappings(pid):
    """(start, end) of the mappings that may go to swap or into a core dump: without `lo` (locked) or `dd` (do not dump)."""
    with open("/proc/%d/smaps" % pid, encoding="utf-8") as smaps:
        span = None
        for line in smaps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (...)", line)
            if head:
                span = (int(head.group(1), 16), int(head.group(2), 16)) if "r" in head.group(3) else None
            elif line.startswith("VmFlags:") and span:
                flags = set(line.split()[1:])
                if "io" not in flags and not {"lo", "dd"} <= flags:
                    yield span


def readable_mappings(pid):
    with open("/proc/%d/maps" % pid, encoding="utf-8") as maps:
        for line in maps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if head and "[v" not in line:
                yield int(head.group(1), 16), int(head.group(2), 16)


def memory_has(pid, secret):
    """As core_dump_has(), of all memory that root can read, also what no core dump would have."""
    return core_dump_has(pid, secret, readable_mappings)


def core_dump_has(pid, secret, mappings=dumpable_mappings):
    """Whether a core dump made now, by root and whatever the limits, would show the secret: where it was found, or False."""
    with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
        for start, end in mappings(pid):
            position, tail = start, b""
            while position < end:
                try:
                    memory.seek(position)
                    block = memory.read(min(1 << 20, end - position))
                except (OSError, ValueError, OverflowError):
                    break
                if not block:
                    break
                if secret in tail + block:
                    return "in the mapping at %#x, after %r" % (start, (tail + block).split(secret)[0][-80:])
                tail = block[-len(secret):]
                position += len(block)
    return False
