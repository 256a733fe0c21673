#include "cli/journal_find.h"

#include "cli/client.h"
#include "cli/journal_mount.h"
#include "cli/journal_upload.h"
#include "cli/stack.h"
#include "journal/renames.h"
#include "journal/uploads.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/json.h"
#include "util/str.h"
#include "writeback/writeback.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ENTRIES_MAX 1000000

struct finder {
    struct journal *j;
    struct journal_mount *mount;
    enum journal_kind kind;
    bool no_memory;
};

const char *journal_kind_name(enum journal_kind kind)
{
    static const char *const names[] = {
        [JOURNAL_PENDING] = "pending",
        [JOURNAL_FAILED] = "failed",
        [JOURNAL_UNFINISHED] = "unfinished",
        [JOURNAL_UPLOAD] = "upload",
        [JOURNAL_UNANSWERED] = "unanswered",
        [JOURNAL_RENAME] = "rename",
        [JOURNAL_UNREADABLE] = "unreadable",
    };
    return names[kind];
}

/* ---- Entries */

static void entry_release(struct journal_entry *entry)
{
    free(entry->path);
    free(entry->key);
    free(entry->reason);
    free(entry->upload_id);
    free((char *)entry->about.etag);
    for (size_t i = 0; i < entry->about.n_sent; i++)
        free((char *)entry->about.sent[i].etag);
    free((void *)entry->about.sent);
    free((char *)entry->about.upload_id);
    free(entry->unfetched);
}

/* A zeroed one at the end, with the path and the name that follows from it; NULL without memory. */
static struct journal_entry *add(struct finder *f, const char *path)
{
    struct journal *j = f->j;
    struct journal_entry *more = j->n < ENTRIES_MAX ? reallocarray(j->entries, j->n + 1, sizeof(*more)) : NULL;
    if (!more) {
        f->no_memory = true;
        return NULL;
    }
    j->entries = more;
    struct journal_entry *entry = &more[j->n++];
    const char *file = strrchr(path, '/') + 1, *dir = strrchr(f->mount->dir, '/') + 1;
    *entry = (struct journal_entry){.mount = f->mount, .kind = f->kind, .path = strdup(path)};
    if (f->kind == JOURNAL_UPLOAD || f->kind == JOURNAL_UNREADABLE || f->kind == JOURNAL_UNANSWERED || f->kind == JOURNAL_RENAME)
        snprintf(entry->name, sizeof(entry->name), "%.8s/%s-%.12s", dir,
                 f->kind == JOURNAL_UNREADABLE ? "bad" : journal_kind_name(f->kind), file);
    else
        snprintf(entry->name, sizeof(entry->name), "%.8s/%.60s", dir, file);
    return entry;
}

static void check(struct finder *f, const struct journal_entry *entry)
{
    const struct stage_about *about = &entry->about;
    f->no_memory |= !entry->path || !entry->key || !entry->reason || (about->origin == STAGE_OF_VERSION && !about->etag) ||
                    (entry->n_unfetched && !entry->unfetched);
}

static int64_t seconds_of(const char *time)
{
    struct tm tm = {0};
    const char *end = strptime(time, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return end && !*end ? (int64_t)timegm(&tm) : 0;
}

static int64_t modified(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec : 0;
}

static void found_file(void *arg, const struct left_file *file)
{
    struct finder *f = arg;
    struct journal_entry *entry = add(f, file->path);
    if (!entry)
        return;
    entry->about = file->about;
    entry->about.etag = file->about.etag ? strdup(file->about.etag) : NULL;
    bool ok = true;
    entry->about.sent = journal_upload_parts(&file->about, &ok);
    entry->about.n_sent = entry->about.sent ? file->about.n_sent : 0;
    entry->about.upload_id = file->about.upload_id ? strdup(file->about.upload_id) : NULL;
    f->no_memory |= !ok || (file->about.upload_id && !entry->about.upload_id);
    entry->key = strdup(file->about.key);
    entry->reason = strdup(*file->about.reason || f->kind == JOURNAL_UNFINISHED ? file->about.reason
                                                                                : "its description cannot be read");
    entry->about.key = entry->key;
    entry->about.reason = entry->reason;
    entry->unfetched = calloc(file->n_unfetched + 1, sizeof(*entry->unfetched));
    if (entry->unfetched && file->n_unfetched)
        memcpy(entry->unfetched, file->unfetched, file->n_unfetched * sizeof(*entry->unfetched));
    entry->n_unfetched = file->n_unfetched;
    entry->size = file->size;
    entry->since = *file->time ? seconds_of(file->time) : modified(file->path);
    check(f, entry);
}

static void found_upload(void *arg, const struct upload_note *note)
{
    struct finder *f = arg;
    f->kind = !*note->key ? JOURNAL_UNREADABLE : *note->upload_id ? JOURNAL_UPLOAD : JOURNAL_UNANSWERED;
    struct journal_entry *entry = add(f, note->path);
    if (!entry)
        return;
    entry->key = strdup(note->key);
    entry->upload_id = strdup(note->upload_id);
    entry->reason = strdup(f->kind == JOURNAL_UNREADABLE   ? "a record of an upload that cannot be read"
                           : f->kind == JOURNAL_UNANSWERED ? "an upload was asked for and there was no answer"
                           : note->kept                    ? "has bytes of a file that are nowhere else"
                           : f->mount->alive               ? "the mount is sending it"
                                                           : "cut off; the next mount aborts it");
    entry->since = (int64_t)note->since.tv_sec;
    check(f, entry);
}

/* ---- Renames */

static const char *rename_state(const struct rename_plan *plan, bool busy)
{
    if (busy)
        return "it is under way";
    if (plan->undo)
        return "it failed; the next mount removes what was copied";
    if (!plan->failed)
        return "it was cut off; the next mount finishes it";
    if (plan->failed == ERR_CONFLICT)
        return "it was finished but for what others have changed: retry looks again, discard leaves both names as they are";
    return plan->attempts ? "it was cut off; the next mount tries again to finish it"
                          : "it failed after everything was copied: retry removes the old names, discard leaves both";
}

static void found_rename(void *arg, const char *path, bool readable)
{
    struct finder *f = arg;
    struct err why = ERR_INIT;
    bool busy = false;
    CLEANUP(rename_plan_free) struct rename_plan *plan = readable ? renames_read(path, &busy, &why) : NULL;
    if (readable && !plan && why.code == ERR_NOT_FOUND)
        return;
    f->kind = plan ? JOURNAL_RENAME : JOURNAL_UNREADABLE;
    struct journal_entry *entry = add(f, path);
    if (!entry)
        return;
    entry->key = strdup(plan ? plan->from : "");
    entry->reason = plan ? str_printf("rename to \"%s\" (%zu objects): %s%s%s", plan->to, plan->n, rename_state(plan, busy),
                                      *plan->text ? ": " : "", plan->text)
                         : strdup("the record of a rename that cannot be read");
    entry->since = plan ? (int64_t)plan->when.tv_sec : modified(path);
    check(f, entry);
}

/* ---- The journal of write=back */

static void name_operation(struct journal_entry *entry, const char *what, const char *from, unsigned attempts, const char *error)
{
    free(entry->reason);
    entry->reason = str_printf("%s%s%s%s%s", what, from ? " of " : "", from ? from : "", *error ? ": " : "", error);
    if (attempts && entry->reason) {
        char *more = str_printf("%s (%u attempts)", entry->reason, attempts);
        free(entry->reason);
        entry->reason = more;
    }
}

static void found_op(struct finder *f, const struct journal_op *op)
{
    struct journal_entry *entry = add(f, op->file ? op->file : "/");
    if (!entry)
        return;
    if (!op->file && entry->path)
        entry->path[0] = '\0';
    snprintf(entry->name, sizeof(entry->name), "%.8s/%s-%llu", strrchr(f->mount->dir, '/') + 1, record_kind_name(op->kind),
             (unsigned long long)op->number);
    entry->op = op;
    entry->key = strdup(op->key);
    entry->size = op->size;
    entry->since = op->since;
    name_operation(entry, record_kind_name(op->kind), op->from, op->attempts, op->error);
    check(f, entry);
}

/* What cannot be read is one entry that says so. */
static void found_bad_log(struct finder *f, const char *dir, const char *why)
{
    f->kind = JOURNAL_UNREADABLE;
    struct journal_entry *entry = add(f, dir);
    if (!entry)
        return;
    snprintf(entry->name, sizeof(entry->name), "%.8s/journal", strrchr(f->mount->dir, '/') + 1);
    entry->key = strdup("");
    entry->reason = strdup(why);
    entry->since = modified(dir);
    check(f, entry);
}

static void find_log(struct finder *f, bool with_bytes)
{
    char dir[PATH_MAX];
    struct err e = ERR_INIT;
    snprintf(dir, sizeof(dir), "%s/" UNSENT_DIR, f->mount->dir);
    if (f->mount->alive)
        return;
    f->mount->log = journal_log_open(dir, f->mount->source, f->mount->endpoint, with_bytes, &e);
    f->mount->alive |= e.code == ERR_BUSY;
    if (!f->mount->log && e.code != ERR_NOT_FOUND && e.code != ERR_BUSY)
        found_bad_log(f, dir, e.msg);
    f->kind = JOURNAL_PENDING;
    for (size_t i = 0; f->mount->log && i < journal_log_size(f->mount->log); i++)
        found_op(f, journal_log_at(f->mount->log, i));
}

/* A segment, or a body of which no record was readable. */
static void found_damaged(struct finder *f, const char *path)
{
    struct journal_entry *entry = add(f, path);
    struct stat st;
    if (!entry)
        return;
    entry->key = strdup("");
    entry->reason = strdup("a part of the journal that was damaged");
    entry->size = lstat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    entry->since = modified(path);
    check(f, entry);
}

static void find_damaged(struct finder *f)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s/" UNSENT_DIR, f->mount->dir);
    DIR *d = opendir(dir);
    f->kind = JOURNAL_UNREADABLE;
    for (struct dirent *found; d && (found = readdir(d));) {
        CLEANUP(free) char *path = str_ends(found->d_name, ".damaged") ? str_printf("%s/%s", dir, found->d_name) : NULL;
        if (path && !left_one(dir, found->d_name, found_file, f))
            found_damaged(f, path);
    }
    if (d)
        closedir(d);
}

static void found_nameless(void *arg, const struct left_file *file)
{
    struct finder *f = arg;
    if (file->use == LEFT_IN_USE || (file->use == LEFT_NOT_KNOWN && f->mount->alive))
        f->mount->n_open++;
    else
        found_file(f, file);
}

static const char *text_of(const struct json *v, const char *name)
{
    const char *text = json_get_str(v, name);
    return text ? text : "";
}

/* What a daemon that is alive says of its own. */
static void find_alive(struct finder *f)
{
    CLEANUP(free) char *status = f->mount->alive ? client_ask(f->mount->mountpoint, "status\n") : NULL;
    CLEANUP(json_doc_free) struct json_doc *doc = status ? json_parse(status, strlen(status), NULL) : NULL;
    const struct json *dirty = doc ? json_get(json_root(doc), "dirty") : NULL;
    f->kind = JOURNAL_PENDING;
    for (size_t i = 0; i < json_len(dirty); i++) {
        const struct json *one = json_at(dirty, i);
        int64_t bytes = 0, age = 0, attempts = 0;
        struct journal_entry *entry = json_get_str(one, "operation") ? add(f, "/") : NULL;
        if (!entry)
            continue;
        (void)(json_int(json_get(one, "bytes"), &bytes) && json_int(json_get(one, "age_ms"), &age));
        (void)json_int(json_get(one, "attempts"), &attempts);
        snprintf(entry->name, sizeof(entry->name), "%.8s/sending-%zu", strrchr(f->mount->dir, '/') + 1, i + 1);
        if (entry->path)
            entry->path[0] = '\0';
        entry->key = strdup(text_of(one, "path"));
        entry->size = bytes > 0 ? (uint64_t)bytes : 0;
        entry->since = (int64_t)time(NULL) - age / 1000;
        name_operation(entry, text_of(one, "operation"), json_get_str(one, "from"), (unsigned)attempts, text_of(one, "error"));
        check(f, entry);
    }
}

static int compare(const void *a, const void *b)
{
    const struct journal_entry *x = a, *y = b;
    if (x->mount != y->mount)
        return strcmp(x->mount->dir, y->mount->dir);
    if (x->op && y->op)
        return x->op->number < y->op->number ? -1 : x->op->number > y->op->number;
    if (x->since != y->since)
        return x->since < y->since ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* ---- All mounts */

static enum err_code find_in(struct journal *j, const char *root, const char *name, bool with_bytes, struct err *e)
{
    struct journal_mount **more = reallocarray(j->mounts, j->n_mounts + 1, sizeof(*more));
    struct journal_mount *m = more ? journal_mount_new(root, name) : NULL;
    char dir[PATH_MAX];
    if (more)
        j->mounts = more;
    if (!m)
        return err_set(e, ERR_NOMEM, "no memory for the journal");
    j->mounts[j->n_mounts++] = m;
    struct finder f = {.j = j, .mount = m, .kind = JOURNAL_FAILED};
    find_log(&f, with_bytes);
    find_damaged(&f);
    find_alive(&f);
    f.kind = JOURNAL_FAILED;
    snprintf(dir, sizeof(dir), "%s/staged", m->dir);
    left_each(dir, found_file, &f);
    f.kind = JOURNAL_UNFINISHED;
    left_each_nameless(dir, found_nameless, &f);
    snprintf(dir, sizeof(dir), "%s/uploads", m->dir);
    uploads_each(dir, found_upload, &f);
    snprintf(dir, sizeof(dir), "%s/" UNSENT_DIR "/" WRITEBACK_UPLOADS, m->dir);
    uploads_each(dir, found_upload, &f);
    snprintf(dir, sizeof(dir), "%s/renames", m->dir);
    enum err_code code = renames_each(dir, found_rename, &f, e);
    if (code)
        return code;
    return f.no_memory ? err_set(e, ERR_NOMEM, "no memory for the journal") : ERR_OK;
}

static bool is_state_name(const char *name)
{
    return strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16;
}

enum err_code journal_find(const char *root, bool with_bytes, struct journal *out, struct err *e)
{
    DIR *d = opendir(root);
    enum err_code code = ERR_OK;
    if (!d)
        return errno == ENOENT ? ERR_OK : err_sys(e, errno, "%s", root);
    for (struct dirent *entry; !code && (entry = readdir(d));)
        if (is_state_name(entry->d_name))
            code = find_in(out, root, entry->d_name, with_bytes, e);
    closedir(d);
    if (out->n)
        qsort(out->entries, out->n, sizeof(*out->entries), compare);
    return code;
}

void journal_release(struct journal *j)
{
    for (size_t i = 0; i < j->n; i++)
        entry_release(&j->entries[i]);
    for (size_t i = 0; i < j->n_mounts; i++)
        journal_mount_free(j->mounts[i]);
    free(j->entries);
    free(j->mounts);
    *j = (struct journal){0};
}

void journal_let_go(struct journal *j, struct journal_mount *m)
{
    for (size_t i = 0; i < j->n; i++)
        if (j->entries[i].mount == m)
            j->entries[i].op = NULL;
    journal_log_free(TAKE(m->log));
}

enum err_code journal_add_suspect(struct journal *j, size_t intent, const char *upload_id, struct err *e)
{
    struct finder f = {.j = j, .mount = j->entries[intent].mount, .kind = JOURNAL_UNANSWERED};
    for (size_t i = 0; i < j->n; i++) /* it was found for another intent of the key */
        if (j->entries[i].mount == f.mount && j->entries[i].upload_id && strcmp(j->entries[i].upload_id, upload_id) == 0)
            return ERR_OK;
    char hex[2 * DIGEST_MAX + 1];
    CLEANUP(free) char *path = strdup(j->entries[intent].path);
    enum err_code code = digest_hex(DIGEST_SHA256, upload_id, strlen(upload_id), hex, e);
    struct journal_entry *entry = code || !path ? NULL : add(&f, path);
    if (!entry)
        return code ? code : err_set(e, ERR_NOMEM, "no memory for the journal");
    const struct journal_entry *from = &j->entries[intent];
    snprintf(entry->name, sizeof(entry->name), "%.8s/unanswered-%.12s", strrchr(f.mount->dir, '/') + 1, hex);
    entry->key = strdup(from->key);
    entry->reason = strdup("an upload that may be ours: nobody but discard aborts it");
    entry->upload_id = strdup(upload_id);
    entry->since = from->since;
    check(&f, entry);
    return f.no_memory || !entry->upload_id ? err_set(e, ERR_NOMEM, "no memory for the journal") : ERR_OK;
}

char *journal_url(const struct journal_entry *entry)
{
    const char *source = entry->mount->source;
    return str_printf("%s%s%s", source, *entry->key && !str_ends(source, "/") ? "/" : "", entry->key);
}
