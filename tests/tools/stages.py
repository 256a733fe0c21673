#!/usr/bin/env python3
"""The steps of tests/run: what each needs, what goes on side by side, and what counts. Started by tests/run only.

Steps stand in lanes: those of one lane follow each other, lanes go on side by side, and a step waits for what it needs in
other lanes. Most tests wait for servers and deadlines: builds and set-up go on beside them, at a lower priority.
A step that fails, or is not done when the time is up, counts as one failure and is named.
"""
import argparse
import os
import subprocess
import sys

import results
from running import Failed, Run, Step

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TSAN_SUITES = ["net", "aws", "store", "journal", "writeback", "vfs", "fuse"]
SANITIZED = ["-Db_lundef=false", "-Doptimization=1", "-Ddebug=true"]
BUILDS = {
    "asan": ["-Db_sanitize=address,undefined"] + SANITIZED,
    "tsan": ["-Db_sanitize=thread"] + SANITIZED,
    "release": ["-Dbuildtype=release"],
}
PROGRAMS = ["src/cli/awsfs", "tests/origin/awsfs-origin"]
BENCH_PROGRAMS = ["tests/bench/awsfs-bench-work", "tests/bench/awsfs-bench-floor"]


class Tests(Run):
    """The run with what the steps know about this tree."""

    def __init__(self, options):
        super().__init__(os.environ.get("AWSFS_BUILD_DIR") or os.path.join(TOP, "build"), options.minutes, options.started)
        self.options = options
        self.python = None
        self.env.update(AWSFS_SEED=options.seed, PYTHONDONTWRITEBYTECODE="1",
                        AWSFS_BIN=self.program("asan", PROGRAMS[0]), AWSFS_ORIGIN=self.program("asan", PROGRAMS[1]),
                        AWSFS_POWERLOSS=self.program("asan", "tests/powerloss/awsfs-powerloss"),
                        AWSFS_RESOLVE=self.program("asan", "tests/aws/awsfs-resolve"),
                        AWSFS_RELEASE_BIN=self.program("release", PROGRAMS[0]),
                        AWSFS_RELEASE_ORIGIN=self.program("release", PROGRAMS[1]),
                        ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
                        UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
                        TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1")

    def program(self, build, path):
        return os.path.join(self.build, build, path)

    def setup(self, what):
        """What packaging/setup prints: the path of what it has made."""
        log = self.log("setup-" + what)
        path = log + ".path"
        with open(path, "w", encoding="utf-8") as out:
            if self.command([os.path.join(TOP, "packaging", "setup"), what], log, stdout=out):
                raise Failed("packaging/setup " + what, log)
        with open(path, encoding="utf-8") as out:
            return out.read().strip()

    def set_up_venv(self):
        self.env["AWSFS_VENV"] = self.setup("venv")
        self.python = os.path.join(self.env["AWSFS_VENV"], "bin", "python")

    def set_up_versitygw(self):
        self.env["AWSFS_VERSITYGW"] = self.setup("versitygw")

    def compile(self, name, nice=0):
        """Builds what the stages run: everything with ASan, elsewhere what is named."""
        directory, log = os.path.join(self.build, name), self.log("build-" + name)
        known = os.path.exists(os.path.join(directory, "build.ninja"))
        command = ["meson", "configure", directory] if known else ["meson", "setup", directory, TOP]
        if self.command(command + BUILDS[name], log, nice=nice):
            raise Failed("meson could not set up " + directory, log)
        targets = {"asan": [], "release": PROGRAMS + BENCH_PROGRAMS, "tsan": list(PROGRAMS)}[name]
        if name == "tsan":
            targets += results.targets(directory, TSAN_SUITES)
        if self.command(["ninja", "-C", directory] + targets, log, nice=nice):
            raise Failed("the build in " + directory, log)

    def meson(self, stage, build, *selection, workers=None):
        log, directory = self.log(stage), os.path.join(self.build, build)
        written = os.path.join(directory, "meson-logs", stage + ".json")
        self.forget(written)
        command = ["meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs", "--logbase", stage,
                   "--num-processes", str(workers or 2 * os.cpu_count()),
                   "--timeout-multiplier", "5" if build == "tsan" else "2"]
        status = self.command(command + list(selection), log)
        self.count(stage, results.read_meson, written, status, log)

    def pytest(self, stage, path, marks, workers=0, env=None, names=""):
        """pytest on a folder. Tests mostly wait: there are more workers than processors, each with servers of its own."""
        log, junit = self.log(stage), os.path.join(self.logs, stage + ".xml")
        self.forget(junit)
        marks = list(marks) + (["not long"] if self.options.long == "no" else [])
        command = [self.python, "-m", "pytest", "-p", "no:cacheprovider", "-rfEs", "--durations=20", "--durations-min=3",
                   "--timeout=" + os.environ.get("AWSFS_TEST_TIMEOUT", "600"), "--junitxml=" + junit]
        command += ["-m", " and ".join(marks)] if marks else []
        names = " and ".join("(%s)" % one for one in (names, self.options.expr) if one)
        command += ["-k", names] if names else []
        command += ["-n", str(workers), "--dist", "worksteal"] if workers else []
        status = self.command(command + [os.path.join(TOP, path)], log, env=env)
        if status == 5 and self.options.expr:
            status = 0
        self.count(stage, results.read_junit, junit, status, log)

    def mount_tsan(self):
        """The threads of the whole program: what is marked tsan, on tests/origin alone."""
        programs = {"AWSFS_BIN": self.program("tsan", PROGRAMS[0]), "AWSFS_ORIGIN": self.program("tsan", PROGRAMS[1])}
        self.mount("mount-tsan", ["tsan"], os.cpu_count(), programs, "not moto and not versitygw")

    def bench(self):
        """That the benchmark works; it measures nothing here."""
        self.pytest("bench", "tests/bench", [], env={"AWSFS_BUILD_DIR": self.build})

    def lint(self):
        log = self.log("lint")
        if self.command([sys.executable, os.path.join(TOP, "tests", "lint")], log):
            raise Failed("lint", log)
        self.add("lint", 1, 0, 0)

    def mount(self, stage, marks, workers=0, env=None, names=""):
        if not os.path.exists("/dev/fuse"):
            self.say("SKIPPED: %s, all of it: /dev/fuse is missing (modprobe fuse, or give the container the device)" % stage)
            self.add(stage, 0, 0, 1)
            return
        self.pytest(stage, "tests/mount", marks, workers, env, names)


def steps(run):
    """Every step, lane by lane. A step with a stage is tests; the others are what these need."""
    many = 2 * os.cpu_count()
    return [
        [Step("venv", run.set_up_venv)],
        [Step("versitygw", run.set_up_versitygw),
         Step("bench", run.bench, ["build-release", "venv"], "bench")],
        [Step("build-asan", lambda: run.compile("asan")),
         Step("build-release", lambda: run.compile("release", nice=10)),
         Step("build-tsan", lambda: run.compile("tsan", nice=10))],
        [Step("lint", run.lint, stage="lint"),
         Step("lint-test", lambda: run.pytest("lint-test", "tests/lint_test.py", []), ["venv"], "lint"),
         Step("unit", lambda: run.meson("unit", "asan", "--suite", "unit", "--suite", "fuzz"), ["build-asan"], "unit"),
         Step("origin", lambda: run.pytest("origin", "tests/origin", [], many), ["build-asan", "venv"], "origin"),
         Step("aws", lambda: run.pytest("aws", "tests/aws", [], many), ["build-asan", "venv"], "aws"),
         Step("store", lambda: run.meson("store", "asan", "--suite", "conformance"), ["build-asan", "venv", "versitygw"], "store"),
         Step("mount", lambda: run.mount("mount", ["not quiet"], many),
              ["build-asan", "build-release", "venv", "versitygw"], "mount"),
         Step("quiet", lambda: run.mount("quiet", ["quiet"]), ["build-asan", "build-release", "tsan", "mount-tsan"], "mount")]
        + ([Step("long", lambda: run.meson("long", "asan", "--suite", "long"), ["build-asan"], "store")]
           if run.options.long == "yes" else []),
        [Step("tsan", lambda: run.meson("tsan", "tsan", *[word for suite in TSAN_SUITES for word in ("--suite", suite)],
                                        "--no-suite", "conformance"), ["build-tsan"], "tsan"),
         Step("mount-tsan", run.mount_tsan, ["build-tsan", "venv"], "tsan")],
    ]


def main():
    parser = argparse.ArgumentParser()
    for option in ("started", "long", "seed", "only", "expr"):
        parser.add_argument("--" + option, required=True)
    options = parser.parse_args()
    options.minutes = float(os.environ.get("AWSFS_TEST_MINUTES") or (300 if options.long == "yes" else 28))
    run = Tests(options)
    run.say("logs in %s, seed %s" % (run.logs, options.seed))
    run.go(steps(run), set(options.only.split(",")))
    sys.exit(run.finish())


if __name__ == "__main__":
    main()
