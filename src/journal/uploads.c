/*
 * One small JSON file an upload, `SHA256-OF-ID.upload`, so that a record is found without a table, and one an upload that is being
 * asked for, `RANDOM.intent`. What was there at the start is remembered by name; what is added later is never among it.
 */
#include "journal/uploads.h"

#include "journal/durable.h"
#include "journal/spare.h"
#include "util/buf.h"
#include "util/digest.h"
#include "util/json.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX     ".upload"
#define INTENT     ".intent"
#define ASIDE      ".bad"
#define KEPT       ".kept" /* behind the whole name */
#define RECORD_MAX (64 * 1024)

struct uploads {
    char *dir;
    struct spare *room; /* for records where the disk is full: only what is sent makes room there */
    struct lock lock; /* guards what follows; not held during I/O */
    char **left;      /* file names from before; those from `next` on are still to be looked at */
    size_t next, n;
};

static enum err_code remember(struct uploads *u, const char *name, struct err *e)
{
    char **p = reallocarray(u->left, u->n + 1, sizeof(*p));
    if (p)
        u->left = p;
    if (!p || !(p[u->n] = strdup(name)))
        return err_set(e, ERR_NOMEM, "no memory for the record of uploads");
    u->n++;
    return ERR_OK;
}

static enum err_code scan(struct uploads *u, DIR *d, struct err *e)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry)
            return errno ? durable_failed(e, errno, "read", u->dir) : ERR_OK;
        if (!str_ends(entry->d_name, SUFFIX) && !str_ends(entry->d_name, INTENT) && !str_ends(entry->d_name, DURABLE_SUFFIX))
            continue;
        enum err_code code = remember(u, entry->d_name, e);
        if (code)
            return code;
    }
}

/* What they ask for may be recorded too, and aborted before. */
static int intents_last(const void *a, const void *b)
{
    return (int)str_ends(*(char *const *)a, INTENT) - (int)str_ends(*(char *const *)b, INTENT);
}

struct uploads *uploads_open(const char *dir, struct err *e)
{
    struct uploads *u = calloc(1, sizeof(*u));
    if (!u || !(u->dir = strdup(dir))) {
        (void)err_set(e, ERR_NOMEM, "no memory for the record of uploads");
        free(u);
        return NULL;
    }
    lock_init(&u->lock, "uploads", LOCK_UPLOADS);
    DIR *d = opendir(dir);
    enum err_code code = d ? scan(u, d, e) : durable_failed(e, errno, "open", dir);
    if (d)
        closedir(d);
    if (u->n)
        qsort(u->left, u->n, sizeof(*u->left), intents_last);
    if (code) {
        uploads_free(u);
        return NULL;
    }
    return u;
}

void uploads_set_aside(struct uploads *u)
{
    if (u->room) {
        spare_refill(u->room);
        return;
    }
    CLEANUP(free) char *path = str_printf("%s.room", u->dir);
    u->room = path ? spare_open(path) : NULL;
}

void uploads_free(struct uploads *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < u->n; i++)
        free(u->left[i]);
    free(u->left);
    spare_free(u->room);
    lock_release(&u->lock);
    free(u->dir);
    free(u);
}

static char *path_of(const struct uploads *u, const char *upload_id, struct err *e)
{
    char hex[2 * DIGEST_MAX + 1];
    if (digest_hex(DIGEST_SHA256, upload_id, strlen(upload_id), hex, e))
        return NULL;
    char *path = str_printf("%s/%s%s", u->dir, hex, SUFFIX);
    if (!path)
        (void)err_set(e, ERR_NOMEM, "no memory for a path");
    return path;
}

static enum err_code put_record(struct uploads *u, const char *path, const char *key, const char *upload_id, struct err *e)
{
    BUF(record, RECORD_MAX);
    buf_add_str(&record, "{\"key\":");
    json_quote(&record, key, strlen(key));
    if (upload_id) {
        buf_add_str(&record, ",\"upload_id\":");
        json_quote(&record, upload_id, strlen(upload_id));
    }
    buf_add_str(&record, "}\n");
    enum err_code code = buf_check(&record, "the record of an upload", e);
    if (code)
        return code;
    do
        code = durable_put(path, record.data, record.len, e);
    while (code == ERR_NOSPC && spare_give(u->room));
    return code;
}

enum err_code uploads_intend(struct uploads *u, const char *key, char intent[UPLOADS_INTENT_SIZE], struct err *e)
{
    uint8_t random[16];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), intent);
    CLEANUP(free) char *path = str_printf("%s/%s" INTENT, u->dir, intent);
    return path ? put_record(u, path, key, NULL, e) : err_set(e, ERR_NOMEM, "no memory for a path");
}

void uploads_answered(struct uploads *u, const char *intent)
{
    CLEANUP(free) char *path = str_printf("%s/%s" INTENT, u->dir, intent);
    if (!path || (unlink(path) != 0 && errno != ENOENT))
        LOG_WARN("journal", "the intent of an upload that has begun stays: %s", path ? strerrordesc_np(errno) : "no memory");
}

bool uploads_has(struct uploads *u, const char *upload_id)
{
    struct stat st;
    CLEANUP(free) char *path = path_of(u, upload_id, NULL);
    CLEANUP(free) char *kept = path ? str_printf("%s" KEPT, path) : NULL;
    return (path && lstat(path, &st) == 0) || (kept && lstat(kept, &st) == 0);
}

void uploads_keep(struct uploads *u, const char *upload_id)
{
    struct err e = ERR_INIT;
    CLEANUP(free) char *path = path_of(u, upload_id, &e);
    CLEANUP(free) char *kept = path ? str_printf("%s" KEPT, path) : NULL;
    if (!kept)
        LOG_ERROR("journal", "the next mount aborts upload %s: %s", upload_id, e.msg);
    else if (rename(path, kept) != 0 && (errno != ENOENT || access(kept, F_OK) != 0))
        LOG_ERROR("journal", "the next mount aborts upload %s: %s: %s", upload_id, path, strerrordesc_np(errno));
    else if (durable_sync_parent(kept, &e))
        LOG_WARN("journal", "%s: %s", kept, e.msg);
}

enum err_code uploads_add(struct uploads *u, const char *key, const char *upload_id, struct err *e)
{
    struct err local = ERR_INIT;
    e = e ? e : &local;
    CLEANUP(free) char *path = path_of(u, upload_id, e);
    if (!path)
        return e->code;
    return put_record(u, path, key, upload_id, e);
}

void uploads_remove(struct uploads *u, const char *upload_id)
{
    struct err e = ERR_INIT;
    CLEANUP(free) char *path = path_of(u, upload_id, &e);
    if (!path)
        LOG_WARN("journal", "the record of a finished upload stays: %s", e.msg);
    else if (unlink(path) != 0 && errno != ENOENT)
        LOG_WARN("journal", "the record of a finished upload stays: %s: %s", path, strerrordesc_np(errno));
    CLEANUP(free) char *kept = path ? str_printf("%s" KEPT, path) : NULL;
    if (kept && unlink(kept) != 0 && errno != ENOENT)
        LOG_WARN("journal", "the record of a finished upload stays: %s: %s", kept, strerrordesc_np(errno));
    spare_refill(u->room);
}

bool uploads_give_room(struct uploads *u)
{
    return spare_give(u->room);
}

static enum err_code read_record(const char *path, char *text, size_t *len, struct err *e)
{
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "%s was removed", path);
    if (fd < 0)
        return durable_failed(e, errno, "open", path);
    *len = 0;
    for (ssize_t n = 1; n != 0;) {
        n = read(fd, text + *len, RECORD_MAX + 1 - *len);
        if (n < 0 && errno != EINTR)
            return durable_failed(e, errno, "read", path);
        *len += n > 0 ? (size_t)n : 0;
        if (*len > RECORD_MAX)
            return err_set(e, ERR_TOO_BIG, "%s: too large for a record", path);
    }
    return ERR_OK;
}

/* The document and what it says; NULL where it is no record. */
static struct json_doc *parse_record(const char *path, const char **key, const char **upload_id, struct err *e)
{
    CLEANUP(free) char *text = malloc(RECORD_MAX + 1);
    size_t len = 0;
    if (!text) {
        (void)err_set(e, ERR_NOMEM, "no memory for a record");
        return NULL;
    }
    if (read_record(path, text, &len, e))
        return NULL;
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(text, len, e);
    if (!doc)
        return NULL;
    bool intent = str_ends(path, INTENT);
    *key = json_get_str(json_root(doc), "key");
    *upload_id = intent ? "" : json_get_str(json_root(doc), "upload_id");
    if (!*key || !**key || !*upload_id || (!**upload_id && !intent)) {
        (void)err_set(e, ERR_PROTO, "%s: no key or no upload id", path);
        return NULL;
    }
    return TAKE(doc);
}

static enum err_code set_aside(const char *path, const struct err *why, struct err *e)
{
    CLEANUP(free) char *bad = str_printf("%s" ASIDE, path);
    if (!bad)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    if (rename(path, bad) != 0)
        return durable_failed(e, errno, "rename", path);
    LOG_WARN("journal", "an unreadable record of an upload is now %s: %s", bad, why->msg);
    return ERR_OK;
}

/* The next name from before, taken out; NULL at the end. */
static char *take_next(struct uploads *u)
{
    LOCK_SCOPE(&u->lock);
    if (u->next == u->n)
        return NULL;
    char **name = &u->left[u->next++];
    return TAKE(*name);
}

/* One record: told, and removed where fn() says so; or set aside. */
static enum err_code tell(const char *path, uploads_left_fn fn, void *arg, struct err *e)
{
    struct stat st = {0};
    if (str_ends(path, DURABLE_SUFFIX)) {
        (void)unlink(path);
        return ERR_OK;
    }
    struct err why = ERR_INIT;
    const char *key, *upload_id;
    CLEANUP(json_doc_free) struct json_doc *doc = parse_record(path, &key, &upload_id, &why);
    if (!doc && why.code == ERR_NOT_FOUND)
        return ERR_OK;
    if (!doc)
        return why.code == ERR_NOMEM ? err_copy(e, &why) : set_aside(path, &why, e);
    (void)lstat(path, &st);
    if (fn(arg, key, *upload_id ? upload_id : NULL, (int64_t)st.st_mtim.tv_sec) && unlink(path) != 0 && errno != ENOENT)
        return durable_failed(e, errno, "remove", path);
    return ERR_OK;
}

enum err_code uploads_each_left(struct uploads *u, uploads_left_fn fn, void *arg, struct err *e)
{
    struct err first = ERR_INIT;
    for (char *name; (name = take_next(u)) != NULL;) {
        CLEANUP(free) char *owned = name;
        CLEANUP(free) char *path = str_printf("%s/%s", u->dir, name);
        struct err err = ERR_INIT;
        enum err_code code = path ? tell(path, fn, arg, &err) : err_set(&err, ERR_NOMEM, "no memory for a path");
        if (code && !first.code)
            first = err;
    }
    return first.code ? err_copy(e, &first) : ERR_OK;
}

static void note_one(int dir, const char *path, const char *name, void (*fn)(void *arg, const struct upload_note *note), void *arg)
{
    struct upload_note note = {.path = path, .key = "", .upload_id = ""};
    struct err why = ERR_INIT;
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return;
    note.since = st.st_mtim;
    note.kept = str_ends(name, KEPT);
    CLEANUP(json_doc_free) struct json_doc *doc = parse_record(path, &note.key, &note.upload_id, &why);
    if (!doc)
        note.key = note.upload_id = "";
    fn(arg, &note);
}

void uploads_each(const char *dir, void (*fn)(void *arg, const struct upload_note *note), void *arg)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        if (!str_ends(entry->d_name, SUFFIX) && !str_ends(entry->d_name, INTENT) && !str_ends(entry->d_name, ASIDE) &&
            !str_ends(entry->d_name, KEPT))
            continue;
        CLEANUP(free) char *path = str_printf("%s/%s", dir, entry->d_name);
        if (path)
            note_one(dirfd(d), path, entry->d_name, fn, arg);
    }
    if (d)
        closedir(d);
}
