#include "cli/journal_command.h"

#include "cli/client.h"
#include "cli/control.h"
#include "cli/journal_export.h"
#include "cli/journal_find.h"
#include "cli/journal_retry.h"
#include "cli/options.h"
#include "cli/plain.h"
#include "cli/state.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAID_MAX (64 * 1024)

struct work {
    const struct journal_request *r;
    struct journal journal;
    struct journal_store *store; /* of `store_of`: opened once for all its entries */
    const struct journal_mount *store_of;
    const char *to;              /* of export */
    unsigned rows, failed, done; /* done: with something to say of it */
};

typedef enum err_code (*action_fn)(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e);

static int failed(const struct journal_request *r, const char *text)
{
    fprintf(stderr, "awsfs: journal %s: %s\n", r->command, text);
    return r->fail_status;
}

/* ---- list */

static void show_text(const struct journal_entry *entry, const char *url, const char *time)
{
    printf("%-24s %-10s %14llu  %-20s ", entry->name, journal_kind_name(entry->kind), (unsigned long long)entry->size, time);
    print_plain(stdout, url);
    if (!*entry->key)
        printf(" (its name is not known)");
    printf("\n");
    if (*entry->reason) {
        fputs("    ", stdout);
        print_plain(stdout, entry->reason);
        printf("\n");
    }
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "\"%s\":", name);
    json_quote(out, utf8_valid(value, strlen(value)) ? value : "?", utf8_valid(value, strlen(value)) ? strlen(value) : 1);
    buf_add_char(out, ',');
}

static void show_json(struct work *w, const struct journal_entry *entry, const char *url, const char *time)
{
    uint64_t missing = 0;
    BUF(line, SAID_MAX);
    for (size_t i = 0; i < entry->n_unfetched; i++)
        missing += entry->unfetched[i].length;
    buf_add_str(&line, w->rows++ ? ",\n{" : "{");
    add_text(&line, "name", entry->name);
    add_text(&line, "kind", journal_kind_name(entry->kind));
    add_text(&line, "object", url);
    add_text(&line, "key", entry->key);
    add_text(&line, "reason", entry->reason);
    add_text(&line, "time", time);
    add_text(&line, "source", entry->mount->source);
    add_text(&line, "endpoint", entry->mount->endpoint);
    add_text(&line, "mountpoint", entry->mount->mountpoint);
    add_text(&line, "file", entry->path);
    buf_addf(&line, "\"size\":%llu,\"missing\":%llu,\"mounted\":%s}", (unsigned long long)entry->size, (unsigned long long)missing,
             entry->mount->alive ? "true" : "false");
    fputs(buf_str(&line), stdout);
}

static enum err_code list_one(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e)
{
    char time[32] = "";
    struct tm tm;
    time_t since = (time_t)entry->since;
    CLEANUP(free) char *url = journal_url(entry);
    if (!url)
        return err_set(e, ERR_NOMEM, "no memory");
    if (since && gmtime_r(&since, &tm))
        strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (w->r->json)
        show_json(w, entry, url, time);
    else
        show_text(entry, url, time);
    return ERR_OK;
}

/* ---- retry, export, discard */

static enum err_code open_store(struct work *w, const struct journal_entry *entry, struct err *e)
{
    if (w->store && w->store_of == entry->mount)
        return ERR_OK;
    journal_store_free(w->store);
    w->store_of = entry->mount;
    w->store = journal_store_open(entry->mount, w->r->lists, w->r->n_lists, e);
    return w->store ? ERR_OK : e->code;
}

static enum err_code ask_daemon(const struct journal_mount *m, const char *request, struct buf *said, struct err *e)
{
    CLEANUP(free) char *answer = client_ask(m->mountpoint, request);
    if (!answer)
        return err_set(e, ERR_BUSY, "the daemon of %s does not answer", m->mountpoint);
    buf_addf(said, "the mount at %s tries again now", m->mountpoint);
    return ERR_OK;
}

/* All of a mount's journal goes, in its order: that of one entry is with the others. */
static enum err_code retry_log(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e)
{
    struct journal_mount *m = entry->mount;
    if (m->alive)
        return ask_daemon(m, "retry\n", said, e);
    if (!m->log && entry->op == NULL) { /* with another entry of the same journal */
        buf_add_str(said, "was tried with the others of its mount");
        return ERR_OK;
    }
    enum err_code code = journal_hold(m, e);
    if (!code)
        code = open_store(w, entry, e);
    if (code)
        return code;
    journal_let_go(&w->journal, m);
    code = journal_send(w->store, m, e);
    if (!code)
        buf_add_str(said, "is in the store, with all that its mount has journaled");
    return code;
}

static enum err_code retry_rename(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e)
{
    char request[64];
    const char *record = strrchr(entry->path, '/') + 1;
    snprintf(request, sizeof(request), "retry %.*s\n", (int)strcspn(record, "-."), record);
    if (entry->mount->alive)
        return ask_daemon(entry->mount, request, said, e);
    enum err_code code = journal_hold(entry->mount, e);
    if (!code)
        code = open_store(w, entry, e);
    if (!code)
        code = journal_rename(w->store, entry, e);
    if (!code)
        buf_add_str(said, "nothing of it is under both names any more");
    return code;
}

/* A mount that cannot be told shows it after its ttl. */
static void tell_changed(const struct journal_mount *m, const char *key)
{
    char request[CONTROL_LINE_MAX];
    bool fits = snprintf(request, sizeof(request), "changed %s\n", key) < (int)sizeof(request);
    if (m->alive && fits && !strchr(key, '\n'))
        free(client_ask(m->mountpoint, request));
}

/* No daemon begins with the directory meanwhile, unless one has it: then it knows of no upload but its own. */
static enum err_code retry_one(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e)
{
    BUF(key, SAID_MAX);
    if (entry->kind == JOURNAL_PENDING)
        return retry_log(w, entry, said, e);
    if (entry->kind == JOURNAL_RENAME)
        return retry_rename(w, entry, said, e);
    if (entry->kind == JOURNAL_UPLOAD && !entry->mount->alive)
        return err_set(e, ERR_UNSUPPORTED, "upload %s: its parts are in the store; it becomes an object by retry of the failed file whose "
                                           "bytes it has, discard aborts it",
                       entry->upload_id);
    if (entry->kind != JOURNAL_FAILED)
        return err_set(e, ERR_UNSUPPORTED, "only what is \"failed\", \"pending\" or \"rename\" can be tried again");
    enum err_code code = journal_hold(entry->mount, e);
    if (!code || code == ERR_BUSY)
        code = open_store(w, entry, e);
    if (!code)
        code = journal_put(w->store, entry, &key, e);
    if (!code)
        tell_changed(entry->mount, buf_str(&key));
    if (!code)
        code = journal_drop(entry, e);
    if (code)
        return code;
    if (strcmp(buf_str(&key), entry->key) == 0)
        buf_add_str(said, "is in the store");
    else
        buf_addf(said, "others have changed it: what was written is %s", buf_str(&key));
    return ERR_OK;
}

static enum err_code export_one(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e)
{
    if (entry->kind == JOURNAL_UPLOAD || entry->kind == JOURNAL_UNANSWERED)
        return w->r->n_names > 1 ? err_set(e, ERR_UNSUPPORTED, "its bytes are in the store, as parts") : ERR_OK;
    if (entry->kind == JOURNAL_RENAME)
        return w->r->n_names > 1 ? err_set(e, ERR_UNSUPPORTED, "its bytes are in the store, under one name or both") : ERR_OK;
    if (entry->kind == JOURNAL_PENDING && !entry->op)
        return err_set(e, ERR_BUSY, "the mount at %s is about to send it", entry->mount->mountpoint);
    if (entry->kind == JOURNAL_PENDING && (entry->op->kind != RECORD_PUT || str_ends(entry->key, "/")))
        return ERR_OK; /* it has no bytes */
    enum err_code code = journal_export(entry, w->to, said, e);
    if (!code && entry->n_unfetched)
        buf_add_str(said, ", with zeros where bytes are not here; the description beside it says where");
    return code;
}

static enum err_code discard_one(struct work *w, struct journal_entry *entry, struct buf *said, struct err *e)
{
    enum err_code code = ERR_OK;
    bool upload = entry->upload_id && *entry->upload_id;
    /* Of an intent that has led to several the record stays until the last is aborted: the next list shows that there is none. */
    bool keeps = entry->kind == JOURNAL_UNANSWERED && upload;
    if (entry->kind != JOURNAL_FAILED && entry->kind != JOURNAL_UNFINISHED && entry->kind != JOURNAL_RENAME && !entry->op)
        code = journal_hold(entry->mount, e);
    if (!code && upload)
        code = open_store(w, entry, e);
    if (!code && upload)
        code = journal_abort(w->store, entry, e);
    if (!code && !keeps)
        code = journal_drop(entry, e);
    if (!code)
        buf_add_str(said, upload ? "aborted" : "discarded");
    return code;
}

/* ---- Uploads of which only the store can tell */

struct asked {
    struct work *w;
    size_t intent;
    unsigned n;
    struct err e;
};

static void found_suspect(void *arg, const char *upload_id)
{
    struct asked *a = arg;
    a->n++;
    if (!a->e.code)
        (void)!journal_add_suspect(&a->w->journal, a->intent, upload_id, &a->e);
}

/* An intent is replaced by what was found for it, or says why that is not known. */
static void expand_intent(struct work *w, size_t at)
{
    struct asked a = {.w = w, .intent = at, .e = ERR_INIT};
    struct err e = ERR_INIT;
    enum err_code code = open_store(w, &w->journal.entries[at], &e);
    if (!code)
        code = journal_suspects(w->store, &w->journal.entries[at], found_suspect, &a, &e);
    struct journal_entry *entry = &w->journal.entries[at];
    if (!code && !a.e.code && a.n) {
        entry->replaced = true;
        return;
    }
    CLEANUP(free) char *reason = code ? str_printf("an upload was asked for without an answer; whether there is one is not known: %s", e.msg)
                                      : strdup("an upload was asked for without an answer, and there is none: discard forgets it");
    if (!reason)
        return;
    free(entry->reason);
    entry->reason = TAKE(reason);
}

static void expand_intents(struct work *w)
{
    for (size_t i = 0, n = w->journal.n; i < n; i++)
        if (w->journal.entries[i].kind == JOURNAL_UNANSWERED)
            expand_intent(w, i);
}

/* ---- */

static const struct {
    const char *name;
    action_fn run;
    bool needs_names, by_url;
} commands[] = {
    {"list", list_one, false, true},
    {"retry", retry_one, true, true},
    {"export", export_one, false, true},
    {"discard", discard_one, true, false},
};

/* "s3://bucket/a" has "s3://bucket/a" and "s3://bucket/a/b" below it. */
static bool is_below(const char *url, const char *top)
{
    size_t len = strlen(top);
    return str_starts(url, top) && (!url[len] || url[len] == '/' || (len && top[len - 1] == '/'));
}

static bool is_meant(const struct journal_entry *entry, const char *name)
{
    if (strcmp(entry->name, name) == 0)
        return true;
    CLEANUP(free) char *url = str_starts(name, "s3://") ? journal_url(entry) : NULL;
    return url && is_below(url, name);
}

static void run_one(struct work *w, action_fn run, struct journal_entry *entry)
{
    struct err e = ERR_INIT;
    BUF(said, SAID_MAX);
    enum err_code code = run(w, entry, &said, &e);
    w->failed += code != ERR_OK;
    if (!code && !said.len) /* it has shown itself, or there was nothing to do */
        return;
    w->done += !code;
    FILE *out = code ? stderr : stdout;
    if (code || !w->r->json) {
        fprintf(out, "%s%s: ", code ? "awsfs: " : "", entry->name);
        print_plain(out, code ? e.msg : buf_str(&said));
        fputc('\n', out);
        return;
    }
    BUF(line, SAID_MAX);
    buf_add_str(&line, w->rows++ ? ",\n{" : "{");
    add_text(&line, "name", entry->name);
    json_quote(&line, "done", 4);
    buf_add_char(&line, ':');
    json_quote(&line, buf_str(&said), said.len);
    printf("%s}", buf_str(&line));
}

static void run_names(struct work *w, action_fn run, const char *const *names, size_t n)
{
    for (size_t k = 0; k < w->journal.n && !n; k++)
        if (!w->journal.entries[k].replaced)
            run_one(w, run, &w->journal.entries[k]);
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < w->journal.n; k++) {
            if (w->journal.entries[k].replaced || !is_meant(&w->journal.entries[k], names[i]))
                continue;
            found = true;
            run_one(w, run, &w->journal.entries[k]);
        }
        if (!found && run != list_one) {
            fprintf(stderr, "awsfs: journal %s: %s: no such entry; awsfs journal list names them\n", w->r->command, names[i]);
            w->failed++;
        }
    }
}

/* That there was nothing is said where nothing else is. */
static void say_nothing(const struct work *w, const char *root, action_fn action)
{
    if (w->r->json || w->failed || w->done || (action != list_one && action != export_one))
        return;
    const struct journal_mount *open = NULL;
    for (size_t i = 0; !open && i < w->journal.n_mounts; i++)
        open = w->journal.mounts[i]->n_open ? w->journal.mounts[i] : NULL;
    if (!w->journal.n && open)
        printf("nothing is left over; files are being written to the mount at %s: %zu, which awsfs status shows\n", open->mountpoint,
               open->n_open);
    else if (!w->journal.n)
        printf("nothing: everything that was written with the state directory %s is in the store\n", root);
    else if (action == export_one)
        printf("nothing to export: no entry that is meant has bytes here; awsfs journal list shows all\n");
}

static int run(const struct journal_request *r, const char *root, action_fn action, const char *const *names, size_t n)
{
    struct work w = {.r = r, .to = r->n_names ? r->names[0] : NULL};
    struct err e = ERR_INIT;
    int status = 0;
    if (journal_find(root, action == export_one, &w.journal, &e)) {
        status = failed(r, e.msg);
    } else {
        if (action != export_one)
            expand_intents(&w);
        if (r->json)
            fputs("[", stdout);
        run_names(&w, action, names, n);
        if (r->json)
            fputs("]\n", stdout);
        say_nothing(&w, root, action);
        status = w.failed ? r->fail_status : 0;
    }
    journal_store_free(w.store);
    journal_release(&w.journal);
    return status;
}

static enum err_code read_options(const struct journal_request *r, struct options *o, char root[PATH_MAX], struct err *e)
{
    enum err_code code = options_init(o, e);
    for (size_t i = 0; !code && i < r->n_lists; i++)
        code = options_parse_list(o, r->lists[i], e);
    if (!code)
        code = options_finish(o, false, e);
    if (!code && !o->state)
        return state_default(root, e);
    if (!code && snprintf(root, PATH_MAX, "%s", o->state) >= PATH_MAX)
        code = err_set(e, ERR_NAME_TOO_LONG, "the state directory's path is too long");
    return code;
}

/* The default directory is made by the first mount: until then it holds nothing. One that the user named is there, or is misspelt. */
static enum err_code check_root(const struct options *o, const char *root, struct err *e)
{
    return o->state && access(root, F_OK) != 0 ? err_sys(e, errno, "option state: %s", root) : ERR_OK;
}

int journal_command_run(const struct journal_request *r)
{
    struct err e = ERR_INIT;
    struct options o = {0};
    char root[PATH_MAX];
    size_t i = 0, skip = strcmp(r->command, "export") == 0;
    while (i < ARRAY_LEN(commands) && strcmp(commands[i].name, r->command) != 0)
        i++;
    if (i == ARRAY_LEN(commands)) {
        fprintf(stderr, "awsfs: journal %s: unknown; there are list, retry, export and discard\n", r->command);
        return r->usage_status;
    }
    if (r->n_names < skip || (commands[i].needs_names && !r->n_names)) {
        fprintf(stderr, "awsfs: journal %s: %s\n", r->command,
                skip ? "where to? awsfs journal export DIR [NAME...]" : "which? Give names of awsfs journal list");
        return r->usage_status;
    }
    for (size_t k = skip; k < r->n_names && !commands[i].by_url; k++) {
        if (str_starts(r->names[k], "s3://")) {
            fprintf(stderr, "awsfs: journal %s: %s: give the names of entries, one by one\n", r->command, r->names[k]);
            return r->usage_status;
        }
    }
    json_init();
    int status = r->usage_status;
    if (log_open("stderr", LOG_LEVEL_WARN, &e) || read_options(r, &o, root, &e))
        (void)failed(r, e.msg);
    else if (check_root(&o, root, &e))
        status = failed(r, e.msg);
    else
        status = run(r, root, commands[i].run, r->names + skip, r->n_names - skip);
    options_release(&o);
    return status;
}
