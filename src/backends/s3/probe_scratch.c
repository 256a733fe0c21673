/*
 * Scratch keys: their names, what is found out before anything is put there, and their removal, also of those that a daemon left
 * behind which was killed meanwhile. As long as there may be any, a file in the directory of servers has the name
 *
 *     scratch-OF-NAME    OF: hash of endpoint, bucket and prefix; NAME: the random part of the keys
 *
 * and is locked by the daemon that uses them; it is on the disk before anything is put, so that a loss of power leaves it, too. One that
 * is not locked is a dead one's.
 */
#include "backends/s3/probe.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/str.h"
#include "util/xml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD "scratch-"
/* No server has given it out. */
#define NO_UPLOAD "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

enum { SWEEP_MAX = 16, LEFT_UPLOADS_MAX = 100, NAMES_TRIED = 3 };

static void set_names(struct probe *p, const char *random)
{
    (void)snprintf(p->a, sizeof(p->a), SCRATCH "%.31s0", random);
    (void)snprintf(p->b, sizeof(p->b), SCRATCH "%.31s1", random);
}

static bool record_path(const struct s3_store *s, const char *random, char out[PATH_MAX])
{
    return s->servers_dir != NULL &&
           snprintf(out, PATH_MAX, "%s/" RECORD "%s-%.31s", s->servers_dir, s->scratch_of, random) < PATH_MAX;
}

/* The record with its lock; -1 where there is none, or another daemon has it. */
static int lock_record(const char *path, int flags)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    /* It may have been removed between the two calls. */
    if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0 || st.st_nlink == 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool sync_record(const struct s3_store *s, int fd)
{
    CLEANUP(close) int dir = open(s->servers_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 && fsync(fd) == 0 && fsync(dir) == 0;
}

void probe_begin(struct probe *p)
{
    uint8_t random[16];
    char hex[33], path[PATH_MAX];
    p->record = -1;
    for (int i = 0; i < NAMES_TRIED && p->record < 0; i++) {
        random_bytes(random, sizeof(random));
        hex_encode(random, sizeof(random), hex);
        set_names(p, hex);
        if (!record_path(p->s, hex, path))
            return;
        p->record = lock_record(path, O_CREAT | O_EXCL);
        if (p->record >= 0 || errno == EWOULDBLOCK)
            continue;
        LOG_INFO("s3", "%s: %s: what is left of a scratch key after a crash will not be found", path, strerror(errno));
        return;
    }
    if (p->record >= 0 && !sync_record(p->s, p->record))
        LOG_INFO("s3", "%s: %s: what is left of a scratch key after a loss of power will not be found", path, strerror(errno));
}

/* ---- before anything is put */

enum err_code probe_remove(struct probe *p, const char *key, const char *match, const char *version,
                           struct s3_answer *a)
{
    PARAMS(h);
    PARAMS(query);
    if (match != NULL)
        params_add(&h, "If-Match", match);
    if (version != NULL)
        params_add(&query, "versionId", version);
    struct s3_request r = {
        .method = HTTP_DELETE, .what = "DeleteObject", .key = key, .query = params_list(&query), .headers = &h};
    return probe_ask(p, &r, a);
}

static enum err_code abort_upload(struct probe *p, const char *id, struct s3_answer *a)
{
    PARAMS(query);
    params_add(&query, "uploadId", id);
    struct s3_request r = {
        .method = HTTP_DELETE, .what = "AbortMultipartUpload", .key = p->a, .query = params_list(&query)};
    return probe_ask(p, &r, a);
}

bool probe_may_remove(struct probe *p)
{
    S3_ANSWER(a);
    if (probe_remove(p, p->a, "\"" NO_ETAG "\"", NULL, &a) == ERR_ACCESS)
        (void)err_set(&p->why, ERR_ACCESS, "s3:DeleteObject is denied, so that nothing is put to find it out");
    return p->broken == ERR_OK && p->why.code == ERR_OK;
}

bool probe_may_abort(struct probe *p)
{
    S3_ANSWER(a);
    return abort_upload(p, NO_UPLOAD, &a) != ERR_ACCESS && p->broken == ERR_OK;
}

/* ---- the end */

static void remove_versions_of(struct probe *p, const struct xml_node *root, const char *element)
{
    int n = 0;
    for (const struct xml_node *v = xml_child(root, element); v != NULL && n < VERSIONS_MAX; v = xml_next(v, element)) {
        const char *key = xml_child_text(v, "Key");
        const char *own = str_ends(key, p->a) ? p->a : str_ends(key, p->b) ? p->b : NULL;
        S3_ANSWER(a);
        if (own != NULL && probe_remove(p, own, NULL, xml_child_text(v, "VersionId"), &a) == ERR_OK)
            n++;
    }
}

/* Of a listing of the bucket (`what`, asked for by the parameter `param`) what concerns the scratch keys. */
static struct xml_doc *list_own(struct probe *p, const char *what, const char *param)
{
    PARAMS(query);
    S3_ANSWER(a);
    params_add(&query, param, NULL);
    params_addf(&query, "prefix", "%s%.*s", p->s->prefix, (int)strlen(p->a) - 1, p->a);
    struct s3_request r = {.method = HTTP_GET, .what = what, .query = params_list(&query)};
    return probe_ask(p, &r, &a) == ERR_OK ? xml_parse(buf_str(&a.body), a.body.len, NULL) : NULL;
}

static void remove_versions(struct probe *p)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = list_own(p, "ListObjectVersions", "versions");
    if (doc == NULL)
        return;
    remove_versions_of(p, xml_root(doc), "Version");
    remove_versions_of(p, xml_root(doc), "DeleteMarker");
}

bool probe_drop_upload(struct probe *p)
{
    S3_ANSWER(a);
    enum err_code code = p->upload[0] != 0 ? abort_upload(p, p->upload, &a) : ERR_OK;
    bool gone = code == ERR_OK || code == ERR_NOT_FOUND;
    p->upload[0] = 0;
    p->uploads_left |= !gone;
    return gone;
}

/* Those whose ids only the server knows. */
static bool drop_left_uploads(struct probe *p)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = list_own(p, "ListMultipartUploads", "uploads");
    CLEANUP(free) char *key = s3_full_key(p->s, p->a);
    bool all = true;
    int n = 0;
    if (doc == NULL || key == NULL)
        return false;
    const struct xml_node *one = xml_child(xml_root(doc), "Upload");
    for (; one != NULL && n < LEFT_UPLOADS_MAX; one = xml_next(one, "Upload"), n++) {
        S3_ANSWER(a);
        if (strcmp(xml_child_text(one, "Key"), key) != 0)
            continue;
        enum err_code code = abort_upload(p, xml_child_text(one, "UploadId"), &a);
        all = all && (code == ERR_OK || code == ERR_NOT_FOUND);
    }
    return all;
}

/* Not interrupted, and whatever went wrong before. False: something may be left. */
static bool remove_keys(struct probe *p)
{
    S3_ANSWER(a);
    const char *const keys[] = {p->a, p->b};
    p->call = NULL;
    p->broken = ERR_OK;
    (void)probe_drop_upload(p);
    bool all = !p->uploads_left || drop_left_uploads(p);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        enum err_code code = probe_remove(p, keys[i], NULL, NULL, &a);
        if (code == ERR_OK || code == ERR_NOT_FOUND)
            continue;
        all = false;
        LOG_WARN("s3", "%s%s could not be removed: %s", p->s->prefix, keys[i], err_name(code));
    }
    if (p->versions)
        remove_versions(p);
    return all;
}

/* The record stays where the next mount has to try again. */
static void end_record(struct probe *p, bool is_clean)
{
    char path[PATH_MAX];
    if (p->record < 0)
        return;
    if (is_clean && record_path(p->s, p->a + strlen(SCRATCH), path))
        (void)unlink(path);
    (void)close(p->record);
    p->record = -1;
}

void probe_end(struct probe *p, bool nothing_put)
{
    end_record(p, (nothing_put && !p->versions) || remove_keys(p));
}

/* ---- what others left */

static void remove_left(struct s3_store *s, const char *random)
{
    struct probe p = {.s = s, .why = ERR_INIT, .uploads_left = true};
    char path[PATH_MAX];
    if (!record_path(s, random, path) || (p.record = lock_record(path, 0)) < 0)
        return;
    set_names(&p, random);
    bool all = remove_keys(&p);
    if (all)
        LOG_INFO("s3", "%s%s: removed, left by a daemon that was killed", s->prefix, p.a);
    end_record(&p, all);
}

void s3_sweep_scratch(struct s3_store *s)
{
    char start[sizeof(RECORD) + sizeof(s->scratch_of) + 1];
    if (s->read_only || s->servers_dir == NULL || atomic_exchange(&s->swept, true))
        return;
    DIR *dir = opendir(s->servers_dir);
    (void)snprintf(start, sizeof(start), RECORD "%s-", s->scratch_of);
    const struct dirent *d;
    for (int n = 0; dir != NULL && n < SWEEP_MAX && (d = readdir(dir)) != NULL;) {
        if (!str_starts(d->d_name, start))
            continue;
        const char *random = d->d_name + strlen(start);
        if (strlen(random) == 31 && strspn(random, "0123456789abcdef") == 31) {
            remove_left(s, random);
            n++;
        }
    }
    if (dir != NULL)
        (void)closedir(dir);
}
