#include "backends/s3/traits.h"

#include "backends/s3/traits_file.h"
#include "util/buf.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/str.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_MS = 60000 };

static const struct {
    const char *name;
    enum s3_verdict aws, aws_directory;
    const char *yes, *no;
} table[S3_TRAITS] = {
    [S3_PUT_IF_ABSENT] = {"put-if-absent", S3_YES, S3_YES, "a new file never replaces one that somebody else just made",
                          "a new file costs one HEAD more and may replace one that somebody else makes at that moment"},
    [S3_PUT_IF_MATCH] = {"put-if-match", S3_YES, S3_YES, "a changed file never replaces a version it did not come from",
                         "a change costs one HEAD more and may replace one that somebody else makes at that moment"},
    [S3_FINISH_IF_ABSENT] = {"multipart-if-absent", S3_YES, S3_YES, "the same for large new files",
                             "the same for large files: a HEAD before, and a short moment in which one may be lost"},
    [S3_FINISH_IF_MATCH] = {"multipart-if-match", S3_YES, S3_YES, "the same for large changed files",
                            "the same for large files: a HEAD before, and a short moment in which one may be lost"},
    [S3_COPY_IF_ABSENT] = {"copy-if-absent", S3_YES, S3_YES, "a rename never replaces a name that just appeared",
                           "a rename costs one HEAD more and may replace a name that appears at that moment"},
    [S3_COPY_IF_MATCH] = {"copy-if-match", S3_YES, S3_YES,
                          "a rename or chmod never replaces a version it does not know",
                          "a rename or chmod costs one HEAD more and may replace a version made at that moment"},
    [S3_COPY_SOURCE_MATCH] = {"copy-source-if-match", S3_YES, S3_YES, "a rename moves the version that was there",
                              "a rename costs one HEAD more and may move a version made at that moment"},
    [S3_PART_SOURCE_MATCH] = {"part-copy-source-if-match", S3_YES, S3_YES, "the same for objects over 5 GiB",
                              "the same for objects over 5 GiB"},
    [S3_REMOVE_IF_MATCH] = {"delete-if-match", S3_YES, S3_YES, "a removal takes the version it means",
                            "a removal costs one HEAD more and may take a version made at that moment"},
    [S3_REMOVE_MANY_MATCH] = {"delete-many-if-match", S3_YES, S3_YES,
                              "directories are renamed with one request for 1,000 removals",
                              "the rename of a directory removes its files one by one"},
    [S3_SHA512] = {"sha512", S3_YES, S3_YES, "the server verifies the SHA-512 of what is put",
                   "the server does not verify the SHA-512 of what is put"},
    [S3_CRC64] = {"crc64nvme", S3_YES, S3_YES, "the server verifies large files as a whole",
                  "the server does not verify large files as a whole"},
    [S3_COPY] = {"copy", S3_YES, S3_YES, "a rename moves no data",
                 "files cannot be renamed on the server (mv copies them), nor changed in their attributes alone"},
    [S3_PART_COPY] = {"part-copy", S3_YES, S3_YES, "a rename of an object over 5 GiB moves no data",
                      "objects over 5 GiB cannot be renamed on the server"},
    [S3_REMOVE_MANY] = {"delete-many", S3_YES, S3_YES, "1,000 removals are one request", "each removal is a request"},
    [S3_TAGS] = {"tags", S3_YES, S3_REFUSES, "tags are kept when a file changes", "there are no tags (user.s3.tags)"},
    [S3_ACLS] = {"acls", S3_UNKNOWN, S3_REFUSES, "ACLs are kept when a file changes",
                 "there are no ACLs (user.s3.acl)"},
    [S3_START_AFTER] = {"start-after", S3_YES, S3_REFUSES, "a lookup in a large directory is one short listing",
                        "a lookup in a large directory lists what is before the name as well"},
    [S3_LIST_ENCODED] = {"encoding-type", S3_YES, S3_YES, "names with control characters are listed as they are",
                         "names with control characters may not be listed as they are"},
    [S3_META_ENCODED] = {"encoded-metadata", S3_YES, S3_YES, "metadata and link targets may hold any text",
                         "metadata that is not ASCII may come back changed"},
};

struct s3_traits {
    char *endpoint;
    const char *kind;
    bool aws;
    char path[PATH_MAX]; /* "": not remembered */
    _Atomic(enum s3_verdict) verdicts[S3_TRAITS];
    atomic_int is_virtual;
    atomic_bool known, warned;

    struct lock lock; /* guards what follows, and the order of saves */
    struct cond changed;
    bool asking, met;
    uint64_t not_before_ms;
    struct traits_file file;
};

const char *s3_trait_name(enum s3_trait trait)
{
    return table[trait].name;
}

/* Whether objects have ACLs is a matter of the bucket where the server has them at all. */
static enum s3_verdict here(enum s3_trait trait, enum s3_verdict of_server)
{
    return trait == S3_ACLS && of_server == S3_YES ? S3_UNKNOWN : of_server;
}

static void load(struct s3_traits *t, const char *dir)
{
    struct err local = ERR_INIT;
    if (!traits_file_path(dir, t->endpoint, t->kind, t->path)) {
        t->path[0] = 0;
        return;
    }
    enum err_code code = traits_file_load(t->path, t->endpoint, t->kind, clock_now().tv_sec, &t->file, &local);
    if (code == ERR_NOT_FOUND)
        return;
    if (code != ERR_OK) {
        LOG_INFO("s3", "what %s can do is asked again: %s", t->endpoint, local.msg);
        return;
    }
    for (int i = 0; i < S3_TRAITS; i++)
        t->verdicts[i] = here(i, t->file.verdicts[i]);
    t->known = t->file.asked;
    t->is_virtual = t->file.is_virtual;
}

struct s3_traits *s3_traits_new(const char *endpoint, bool is_aws, bool directory_bucket, const char *dir,
                                struct err *e)
{
    struct s3_traits *t = calloc(1, sizeof(*t));
    if (t == NULL || (t->endpoint = strdup(endpoint)) == NULL) {
        free(t);
        (void)err_set(e, ERR_NOMEM, "%s", endpoint);
        return NULL;
    }
    lock_init(&t->lock, "s3 traits", LOCK_STORE);
    cond_init(&t->changed);
    t->kind = directory_bucket ? "directory" : "general";
    t->aws = is_aws;
    t->is_virtual = t->file.is_virtual = -1;
    t->known = is_aws;
    for (int i = 0; is_aws && i < S3_TRAITS; i++)
        t->verdicts[i] = directory_bucket ? table[i].aws_directory : table[i].aws;
    if (!is_aws && dir != NULL)
        load(t, dir);
    return t;
}

void s3_traits_free(struct s3_traits *t)
{
    if (t == NULL)
        return;
    lock_release(&t->lock);
    cond_release(&t->changed);
    free(t->endpoint);
    free(t);
}

enum s3_verdict s3_traits_get(const struct s3_traits *t, enum s3_trait trait)
{
    return t->verdicts[trait];
}

static void save_locked(struct s3_traits *t)
{
    struct err local = ERR_INIT;
    lock_assert_held(&t->lock);
    if (t->aws || t->path[0] == 0)
        return;
    if (t->file.when == 0)
        t->file.when = clock_now().tv_sec;
    if (traits_file_save(t->path, t->endpoint, t->kind, &t->file, &local) != ERR_OK)
        LOG_INFO("s3", "what %s can do is not remembered: %s", t->endpoint, local.msg);
}

void s3_traits_set(struct s3_traits *t, enum s3_trait trait, enum s3_verdict verdict, bool only_here)
{
    if (atomic_exchange(&t->verdicts[trait], verdict) == verdict || only_here)
        return;
    LOCK_SCOPE(&t->lock);
    if (!t->file.asked || t->file.verdicts[trait] == verdict)
        return;
    t->file.verdicts[trait] = verdict;
    save_locked(t);
}

void s3_traits_met(struct s3_traits *t, const char *server)
{
    char name[TRAITS_SERVER_SIZE];
    if (t->aws)
        return;
    (void)snprintf(name, sizeof(name), "%s", server != NULL ? server : "");
    for (char *p = name; *p != 0; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > 0x7e)
            *p = '?';
    LOCK_SCOPE(&t->lock);
    if (t->met)
        return;
    t->met = true;
    if (t->file.asked && strcmp(t->file.server, name) != 0) {
        LOG_INFO("s3", "what %s can do is asked again: it was '%s', now it is '%s'", t->endpoint, t->file.server, name);
        t->file.asked = t->known = false;
        for (int i = 0; i < S3_TRAITS; i++)
            t->verdicts[i] = t->file.verdicts[i] = S3_UNKNOWN;
    }
    memcpy(t->file.server, name, sizeof(name));
}

int s3_traits_virtual(const struct s3_traits *t)
{
    return t->is_virtual;
}

void s3_traits_set_virtual(struct s3_traits *t, bool is_virtual)
{
    LOCK_SCOPE(&t->lock);
    if (t->is_virtual == (int)is_virtual)
        return;
    t->is_virtual = t->file.is_virtual = is_virtual;
    save_locked(t);
}

bool s3_traits_known(const struct s3_traits *t)
{
    return t->known;
}

static void wake(void *arg)
{
    struct s3_traits *t = arg;
    LOCK_SCOPE(&t->lock);
    cond_broadcast(&t->changed);
}

bool s3_traits_must_ask(struct s3_traits *t, const struct store_call *call)
{
    struct cancel *cancel = call != NULL ? call->cancel : NULL;
    struct cancel_hook hook = {0};
    bool mine = false;
    if (t->known)
        return false;
    cancel_hook_add(cancel, &hook, wake, t);
    lock_take(&t->lock);
    while (t->asking && !(cancel != NULL && cancel_fired(cancel)))
        (void)cond_wait(&t->changed, &t->lock, UINT64_MAX);
    if (!t->asking && !t->known && clock_mono_ms() >= t->not_before_ms)
        mine = t->asking = true;
    lock_drop(&t->lock);
    cancel_hook_remove(cancel, &hook);
    return mine;
}

void s3_traits_asked(struct s3_traits *t, const enum s3_verdict *found)
{
    LOCK_SCOPE(&t->lock);
    t->asking = false;
    if (found != NULL) {
        for (int i = 0; i < S3_TRAITS; i++) {
            t->file.verdicts[i] = found[i];
            t->verdicts[i] = here(i, found[i]);
        }
        t->known = t->file.asked = true;
        t->file.when = clock_now().tv_sec;
        save_locked(t);
    } else {
        t->not_before_ms = clock_mono_ms() + AGAIN_MS;
    }
    cond_broadcast(&t->changed);
}

void s3_traits_warn(struct s3_traits *t)
{
    BUF(names, 1024);
    if (!t->known || t->warned)
        return;
    for (int i = 0; i < S3_CONDITIONS; i++)
        if (t->verdicts[i] != S3_YES && i != S3_REMOVE_MANY_MATCH)
            buf_addf(&names, "%s%s", names.len > 0 ? ", " : "", table[i].name);
    if (names.len > 0 && !atomic_exchange(&t->warned, true))
        LOG_WARN("s3",
                 "%s does not honour these conditions: %s; awsfs asks before each such request, but what somebody else "
                 "writes at that very moment can be lost",
                 t->endpoint, buf_str(&names));
}

/* Of the server, where the bucket's own is not known. */
static enum s3_verdict told(struct s3_traits *t, enum s3_trait trait)
{
    enum s3_verdict v = t->verdicts[trait];
    LOCK_SCOPE(&t->lock);
    return v == S3_UNKNOWN && t->file.asked ? t->file.verdicts[trait] : v;
}

void s3_traits_each(struct s3_traits *t,
                    void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning), void *arg)
{
    for (int i = 0; i < S3_TRAITS; i++) {
        enum s3_verdict v = told(t, i);
        if (v == S3_UNKNOWN)
            fn(arg, table[i].name, STORE_UNKNOWN, "not found out");
        else
            fn(arg, table[i].name, v == S3_YES ? STORE_YES : STORE_NO, v == S3_YES ? table[i].yes : table[i].no);
    }
}
