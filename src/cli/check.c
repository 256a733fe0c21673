/*
 * A thread of its own tries everything, each request with its deadline; what cannot be given one (files on a file
 * system that hangs, a source of credentials) is bounded by the command's own thread, which waits 15 seconds at most
 * and then shows what is known.
 */
#include "cli/check.h"

#include "aws/client.h"
#include "awsfs/store.h"
#include "cli/check_impl.h"
#include "cli/config.h"
#include "cli/stack.h"
#include "store/trials.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/str.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ALL_MS = 14500,
    END_MS = 13500,
    IDENTITY_MS = 5000,
    FIRST_MS = 5000,
    TRY_MS = 9500,
    REMOVE_MS = 2000,
    LEARN_REMOVE_MS = 3000,
    LEARN_LEAST_MS = 2000
};

struct check_job {
    const struct options *options;
    struct stack stack;
    uint64_t start_ms;

    struct lock lock; /* all below */
    struct cond changed;
    bool ended;
    const char *step;        /* what is under way, for whoever waits in vain; static */
    struct check_findings f; /* of the steps that have ended */
};

/* The next step, after what was found in the last one. */
static void publish(struct check_job *j, const char *step, const struct check_findings *f)
{
    LOCK_SCOPE(&j->lock);
    j->step = step;
    j->f = *f;
}

/* ---- The requests: who one is and what one may, at once */

struct request {
    struct check_job *job;
    bool identity;
    struct check_limits limits;
    struct check_report report;
    struct aws_identity who;
};

static void try_store(struct request *r)
{
    struct err e = ERR_INIT;

    if (store_try(r->job->stack.store, &r->limits, &r->report, &e) != ERR_OK)
        check_add(&r->report, CHECK_FACT, "store", CHECK_UNKNOWN, "%s", e.msg)->need = CHECK_REQUIRED;
}

static void ask_identity(struct request *r)
{
    struct err e = ERR_INIT;
    CLEANUP(trials_free) struct trials *t = trials_new(&e);
    uint64_t until = clock_mono_ms() + IDENTITY_MS;

    if (t)
        check_identity(&r->job->stack, t, until < r->limits.end_ms ? until : r->limits.end_ms, &r->who, &r->report);
}

static void run_request(void *arg)
{
    struct request *r = arg;

    if (r->identity)
        ask_identity(r);
    else
        try_store(r);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void append(struct check_report *to, const struct check_report *from)
{
    for (size_t i = 0; i < from->n && to->n < CHECK_ROWS_MAX; i++)
        to->rows[to->n++] = from->rows[i];
    to->unclean |= from->unclean;
    if (from->clock_known) {
        to->clock_known = true;
        to->clock_ahead_s = from->clock_ahead_s;
    }
}

static void ask(struct check_job *j, struct check_findings *f)
{
    uint64_t now = clock_mono_ms(), end = j->start_ms + END_MS;
    const struct check_limits limits = {.first_ms = earlier(now + FIRST_MS, end - REMOVE_MS),
                                        .try_ms = earlier(now + TRY_MS, end - REMOVE_MS),
                                        .end_ms = end};
    struct pool *pool = pool_new("awsfs-check", 2, NULL);
    CLEANUP(free) struct request *both = calloc(2, sizeof(*both));

    if (!pool || !both) {
        pool_free(pool);
        return;
    }
    both[0] = (struct request){.job = j, .identity = true, .limits = limits};
    both[1] = (struct request){.job = j, .limits = limits};
    pool_each(pool, both, 2, sizeof(*both), 2, run_request, NULL);
    pool_free(pool);
    f->who = both[0].who;
    append(&f->report, &both[0].report);
    append(&f->report, &both[1].report);
    aws_client_region(j->stack.client, f->region, sizeof(f->region));
}

/* Whether scratch objects and uploads can be made and removed. */
static bool may_write(const struct check_findings *f)
{
    static const char *const needed[] = {"write", "delete", "multipart"};

    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        const struct check_row *row = check_find(&f->report, needed[i]);
        if (!row || row->verdict != CHECK_YES)
            return false;
    }
    return !f->read_only && !f->report.unclean;
}

/* What the server can do is asked for last: it decides nothing, and takes the most requests. */
static void learn(struct check_job *j, struct check_findings *f)
{
    uint64_t now = clock_mono_ms(), until = j->start_ms + END_MS - LEARN_REMOVE_MS;
    CLEANUP(trials_free) struct trials *t = trials_new(NULL);

    if (t)
        check_server(&j->stack, t, may_write(f) && now + LEARN_LEAST_MS < until, until, &f->report);
}

/* ---- All of it */

static void gather(struct check_job *j, struct check_findings *f)
{
    struct err e = ERR_INIT;

    check_machine(j->options, &f->report);
    if (!j->stack.source->is_ssm)
        check_state(j->options, &f->report);
    publish(j, "credentials", f);
    j->stack.explain = check_source;
    j->stack.explain_arg = &f->report;
    enum err_code opened = stack_open(&j->stack, &e);
    check_credentials(&j->stack, opened, &e, &f->report);
    publish(j, "requests", f);
    if (opened == ERR_OK)
        ask(j, f);
    if (j->stack.creds)
        check_where(&j->stack, opened, &e, &f->report);
    if (opened != ERR_OK)
        return;
    check_clock(&f->report);
    publish(j, "server", f);
    learn(j, f);
}

static void *work(void *arg)
{
    struct check_job *j = arg;
    struct check_findings *f = malloc(sizeof(*f));

    if (f) {
        lock_take(&j->lock);
        *f = j->f;
        lock_drop(&j->lock);
        gather(j, f);
        publish(j, "", f);
    }
    free(f);
    stack_release(&j->stack);
    LOCK_SCOPE(&j->lock);
    j->ended = true;
    cond_signal(&j->changed);
    return NULL;
}

static int show(const struct check_request *r, struct check_job *j)
{
    struct err e = ERR_INIT;

    if (!r->json)
        check_show_table(&j->f, stdout);
    else if (check_show_json(&j->f, stdout, &e) != ERR_OK)
        fprintf(stderr, "awsfs: %s\n", e.msg);
    if (fflush(stdout) != 0 || e.code != ERR_OK)
        return r->fail_status;
    return check_works(&j->f.report, NULL) ? 0 : r->fail_status;
}

/* Waits for the thread. When it does not end, what is known is shown, and the process ends with all its threads. */
static int wait_and_show(const struct check_request *r, struct check_job *j, pthread_t thread)
{
    lock_take(&j->lock);
    while (!j->ended && cond_wait(&j->changed, &j->lock, j->start_ms + ALL_MS))
        ;
    bool ended = j->ended;
    if (!ended && *j->step)
        check_add(&j->f.report, CHECK_FACT, j->step, CHECK_UNKNOWN, "no answer in time")->need =
            strcmp(j->step, "server") ? CHECK_REQUIRED : CHECK_OPTIONAL;
    int status = show(r, j);
    lock_drop(&j->lock);
    if (!ended)
        _exit(status);
    pthread_join(thread, NULL);
    return status;
}

static int run(const struct check_request *r, const struct source *source, const struct options *o)
{
    CLEANUP(free) struct check_job *j = calloc(1, sizeof(*j));
    pthread_t thread;

    if (!j)
        return r->fail_status;
    *j = (struct check_job){.options = o,
                            .stack = {.options = o, .source = source, .mountpoint = "", .state = STATE_INIT},
                            .start_ms = clock_mono_ms(),
                            .step = "FUSE",
                            .f = {.source = source, .read_only = o->read_only}};
    if (o->sse_kms_key && str_starts(o->sse_kms_key, "arn:"))
        snprintf(j->f.sse_key, sizeof(j->f.sse_key), "%s", o->sse_kms_key);
    lock_init(&j->lock, "check", LOCK_LEAF);
    cond_init(&j->changed);
    int rc = pthread_create(&thread, NULL, work, j);
    int status = rc == 0 ? wait_and_show(r, j, thread) : r->fail_status;
    cond_release(&j->changed);
    lock_release(&j->lock);
    return status;
}

int check_run(const struct check_request *r)
{
    CLEANUP_RELEASE(source_release) struct source source = {0};
    CLEANUP_RELEASE(options_release) struct options options = {0};
    struct err e = ERR_INIT;

    if (source_parse(r->source, &source, &e) != ERR_OK ||
        options_read(&options, r->lists, r->n_lists, false, source.text, source.is_ssm, &e) != ERR_OK) {
        fprintf(stderr, "awsfs: %s\n", e.msg);
        return r->usage_status;
    }
    /* The rows say what the log would. */
    if (log_open(options.log ? options.log : "/dev/null", (enum log_level)options.log_level, &e) != ERR_OK) {
        fprintf(stderr, "awsfs: %s\n", e.msg);
        return r->fail_status;
    }
    signal(SIGPIPE, SIG_IGN);
    json_init();
    int status = run(r, &source, &options);
    log_close();
    return status;
}
