#include "support.h"

#include "util/clock.h"
#include "util/str.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

void expect_code_(struct rig *r, enum err_code expected, enum err_code got, const char *file, int line)
{
    if (expected == got)
        return;
    print_error("%s instead of %s: %s\n", err_name(got), err_name(expected), r->err.msg);
    _fail(file, line);
}

/* ---- The store and the mount */

static enum err_code hook(void *arg, const struct mem_event *ev, struct err *e)
{
    struct rig *r = arg;
    unsigned delay_ms = 0;
    enum err_code code = ERR_OK;
    pthread_mutex_lock(&r->mutex);
    for (int i = 0; i < RULES_MAX; i++) {
        struct rule *rule = &r->rules[i];
        if (!rule->times || rule->op != ev->op || rule->phase != ev->phase)
            continue;
        if (!rule->any_key && strcmp(rule->key, ev->key) != 0)
            continue;
        rule->times--;
        code = rule->code;
        delay_ms = rule->delay_ms;
        break;
    }
    pthread_mutex_unlock(&r->mutex);
    if (delay_ms)
        usleep(delay_ms * 1000);
    return code ? err_set(e, code, "made to fail") : ERR_OK;
}

static void add_rule(struct rig *r, struct rule rule, const char *key)
{
    snprintf(rule.key, sizeof(rule.key), "%s", key ? key : "");
    rule.any_key = !key;
    pthread_mutex_lock(&r->mutex);
    int i = 0;
    while (i < RULES_MAX && r->rules[i].times)
        i++;
    assert_true(i < RULES_MAX);
    r->rules[i] = rule;
    pthread_mutex_unlock(&r->mutex);
}

void rig_fail(struct rig *r, enum mem_op op, const char *key, enum err_code code, unsigned times)
{
    add_rule(r, (struct rule){.op = op, .phase = MEM_BEFORE, .code = code, .times = times}, key);
}

void rig_fail_after(struct rig *r, enum mem_op op, const char *key, enum err_code code, unsigned times)
{
    add_rule(r, (struct rule){.op = op, .phase = MEM_AFTER, .code = code, .times = times}, key);
}

void rig_slow(struct rig *r, enum mem_op op, unsigned delay_ms)
{
    add_rule(r, (struct rule){.op = op, .phase = MEM_BEFORE, .times = UINT32_MAX, .delay_ms = delay_ms}, NULL);
}

void rig_heal(struct rig *r)
{
    pthread_mutex_lock(&r->mutex);
    memset(r->rules, 0, sizeof(r->rules));
    pthread_mutex_unlock(&r->mutex);
}

static void on_entry(void *arg, uint64_t parent, const char *name)
{
    struct rig *r = arg;
    pthread_mutex_lock(&r->mutex);
    if (r->notes < NOTES_MAX)
        snprintf(r->noted[r->notes], sizeof(r->noted[0]), "%s", name);
    r->notes++;
    pthread_mutex_unlock(&r->mutex);
}

static void on_inode(void *arg, uint64_t ino)
{
}

void rig_store(struct rig *r, const struct rig_kind *kind)
{
    static const struct rig_kind plain;
    kind = kind ? kind : &plain;
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->mutex, NULL);
    struct store_caps caps;
    mem_default_caps(&caps);
    caps.flags = (caps.flags | kind->caps_on) & ~kind->caps_off;
    if (kind->put_target)
        caps.put_target = kind->put_target;
    if (kind->max_object)
        caps.max_object = caps.put_max = caps.put_target = kind->max_object;
    struct mem_options o = {.caps = &caps, .page_size = kind->page_size, .async = kind->async,
                            .meta_in_get = kind->meta_in_get, .stays_local = kind->stays_local};
    r->store = mem_store_new(&o, &r->mem, &r->err);
    assert_non_null(r->store);
    mem_store_set_hook(r->mem, (struct mem_hook){hook, r});
    snprintf(r->state, sizeof(r->state), "/tmp/awsfs-vfs-test-XXXXXX");
    assert_non_null(mkdtemp(r->state));
    r->who = (struct vfs_caller){.uid = 1000, .gid = 1000, .umask = 022, .pid = getpid()};
    r->cfg = (struct vfs_config){
        .ttl_ms = kind->ttl_zero ? 0 : kind->ttl_ms ? kind->ttl_ms : 60000,
        .read_only = kind->read_only,
        .uid = 500,
        .gid = 500,
        .file_mode = 0644,
        .dir_mode = 0755,
        .attrs = kind->attrs,
        .excl_open = kind->excl_open,
        .memory = 16 << 20,
        .rename_limit = kind->rename_limit ? kind->rename_limit : 100000,
        .notify = {.inode = on_inode, .entry = on_entry, .arg = r},
    };
}

void rig_mount(struct rig *r)
{
    r->cfg.state_dir = r->state;
    r->v = vfs_new(r->store, &r->cfg, &r->err);
    if (!r->v)
        fail_msg("%s", r->err.msg);
    rig_mark(r);
}

void rig_start(struct rig *r, const struct rig_kind *kind)
{
    rig_store(r, kind);
    rig_mount(r);
}

void rig_unmount(struct rig *r)
{
    vfs_free(r->v);
    r->v = NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    return remove(path);
}

void rig_stop(struct rig *r)
{
    rig_unmount(r);
    store_free(r->store);
    nftw(r->state, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    pthread_mutex_destroy(&r->mutex);
}

void rig_mark(struct rig *r)
{
    for (int op = 0; op < MEM_OPS; op++)
        r->before[op] = mem_store_count(r->mem, op);
}

unsigned rig_count(struct rig *r, enum mem_op op)
{
    return mem_store_count(r->mem, op) - r->before[op];
}

unsigned rig_requests(struct rig *r)
{
    unsigned n = 0;
    for (int op = 0; op < MEM_OPS; op++)
        n += rig_count(r, op);
    return n;
}

void drain(struct rig *r)
{
    expect_ok(r, vfs_drain(r->v, NULL, NULL, &r->err));
}

bool within(unsigned ms, bool (*is)(void *arg), void *arg)
{
    uint64_t end = clock_mono_ms() + ms;
    while (!is(arg)) {
        if (clock_mono_ms() > end)
            return false;
        usleep(2000);
    }
    return true;
}

/* ---- The state directory */

static bool next_state_file(DIR *d, const char *ending, char name[256])
{
    for (struct dirent *x; (x = readdir(d));) {
        if (x->d_name[0] != '.' && str_ends(x->d_name, ending)) {
            snprintf(name, 256, "%s", x->d_name);
            return true;
        }
    }
    return false;
}

unsigned state_files(struct rig *r, const char *folder, const char *ending)
{
    char path[400], name[256];
    snprintf(path, sizeof(path), "%s/%s", r->state, folder);
    DIR *d = opendir(path);
    unsigned n = 0;
    while (d && next_state_file(d, ending, name))
        n++;
    if (d)
        closedir(d);
    return n;
}

void state_text(struct rig *r, const char *folder, const char *ending, struct buf *out)
{
    char path[400], name[256], text[4096];
    snprintf(path, sizeof(path), "%s/%s", r->state, folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    assert_true(next_state_file(d, ending, name));
    closedir(d);
    snprintf(path, sizeof(path), "%s/%s/%s", r->state, folder, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    buf_add(out, text, fread(text, 1, sizeof(text), f));
    fclose(f);
}

/* ---- Names */

enum err_code look(struct rig *r, const char *path, struct vfs_entry *out)
{
    uint64_t parent;
    const char *slash = strrchr(path, '/');
    CLEANUP(free) char *dir = slash ? str_ndup(path, (size_t)(slash - path)) : strdup("");
    enum err_code code = try_walk(r, dir, &parent);
    memset(out, 0, sizeof(*out));
    if (code)
        return code;
    return vfs_lookup(r->v, parent, slash ? slash + 1 : path, &r->who, out, &r->err);
}

enum err_code try_walk(struct rig *r, const char *path, uint64_t *ino)
{
    CLEANUP(free) char *copy = strdup(path);
    char *rest = copy;
    *ino = VFS_ROOT;
    for (char *name; (name = strsep(&rest, "/"));) {
        if (!*name)
            continue;
        struct vfs_entry entry = {0};
        enum err_code code = vfs_lookup(r->v, *ino, name, &r->who, &entry, &r->err);
        if (code)
            return code;
        if (!entry.ino)
            return err_set(&r->err, ERR_NOT_FOUND, "no \"%s\" in \"%s\"", name, path);
        *ino = entry.ino;
    }
    return ERR_OK;
}

uint64_t walk(struct rig *r, const char *path)
{
    uint64_t ino = 0;
    expect_ok(r, try_walk(r, path, &ino));
    return ino;
}

void expect_absent(struct rig *r, const char *path)
{
    struct vfs_entry entry;
    expect_ok(r, look(r, path, &entry));
    assert_int_equal(entry.ino, 0);
}

struct stat stat_of(struct rig *r, const char *path)
{
    struct vfs_attr attr;
    expect_ok(r, vfs_getattr(r->v, walk(r, path), NULL, &r->who, &attr, &r->err));
    return attr.st;
}

struct collected {
    struct buf *out;
    uint64_t next;
};

static bool collect(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next)
{
    struct collected *c = arg;
    c->next = next;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        buf_addf(c->out, "%s\n", name);
    return true;
}

enum err_code names_in(struct rig *r, const char *path, bool plus, struct buf *out)
{
    uint64_t ino;
    enum err_code code = try_walk(r, path, &ino);
    struct vfs_dir_handle *d = NULL;
    if (!code)
        code = vfs_opendir(r->v, ino, &r->who, &d, &r->err);
    if (code)
        return code;
    struct collected c = {.out = out};
    uint64_t from;
    do {
        from = c.next;
        code = vfs_readdir(r->v, d, from, plus, &r->who, collect, &c, &r->err);
    } while (!code && c.next > from);
    vfs_releasedir(r->v, d);
    return code;
}

void expect_names(struct rig *r, const char *path, const char *expected)
{
    BUF(out, 1 << 20);
    expect_ok(r, names_in(r, path, false, &out));
    assert_string_equal(buf_str(&out), expected);
}

/* The directory of a path and the name in it. */
static enum err_code split(struct rig *r, const char *path, uint64_t *parent, const char **name)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(free) char *dir = slash ? str_ndup(path, (size_t)(slash - path)) : strdup("");
    *name = slash ? slash + 1 : path;
    return try_walk(r, dir, parent);
}

enum err_code try_mkdir(struct rig *r, const char *path)
{
    uint64_t parent;
    const char *name;
    struct vfs_entry entry;
    enum err_code code = split(r, path, &parent, &name);
    return code ? code : vfs_mkdir(r->v, parent, name, 0755, &r->who, &entry, &r->err);
}

enum err_code try_unlink(struct rig *r, const char *path)
{
    uint64_t parent;
    const char *name;
    enum err_code code = split(r, path, &parent, &name);
    return code ? code : vfs_unlink(r->v, parent, name, &r->who, &r->err);
}

enum err_code try_rmdir(struct rig *r, const char *path)
{
    uint64_t parent;
    const char *name;
    enum err_code code = split(r, path, &parent, &name);
    return code ? code : vfs_rmdir(r->v, parent, name, &r->who, &r->err);
}

enum err_code try_rename(struct rig *r, const char *from, const char *to, unsigned flags)
{
    uint64_t parent, new_parent;
    const char *name, *new_name;
    enum err_code code = split(r, from, &parent, &name);
    if (!code)
        code = split(r, to, &new_parent, &new_name);
    return code ? code : vfs_rename(r->v, parent, name, new_parent, new_name, flags, &r->who, &r->err);
}

enum err_code try_chmod(struct rig *r, const char *path, mode_t mode)
{
    struct vfs_setattr s = {.set = VFS_SET_MODE, .mode = mode};
    struct vfs_attr attr;
    uint64_t ino;
    enum err_code code = try_walk(r, path, &ino);
    return code ? code : vfs_setattr(r->v, ino, NULL, &s, &r->who, &attr, &r->err);
}

enum err_code try_truncate(struct rig *r, const char *path, uint64_t size)
{
    struct vfs_setattr s = {.set = VFS_SET_SIZE, .size = size};
    struct vfs_attr attr;
    uint64_t ino;
    enum err_code code = try_walk(r, path, &ino);
    return code ? code : vfs_setattr(r->v, ino, NULL, &s, &r->who, &attr, &r->err);
}
