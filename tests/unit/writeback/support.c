#include "support.h"

#include "util/cleanup.h"
#include "util/buf.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void shell(const char *command)
{
    assert_int_equal(system(command), 0);
}

void fixture_open(struct fixture *f)
{
    struct err e = ERR_INIT;
    const struct writeback_config c = {.inner = f->inner, .dir = f->dir, .identity = "test", .dirty_limit = f->dirty_limit, .max_operations = f->max_operations,
                                       .patience_ms = f->patience_ms, .linger_ms = f->linger_ms, .hold_ms = f->hold_ms};
    f->s = writeback_store_new(&c, &f->w, &e);
    if (!f->s)
        fail_msg("%s", e.msg);
}

void fixture_make(struct fixture *f)
{
    struct err e = ERR_INIT;
    const char *tmp = getenv("TMPDIR");
    struct store_caps caps;
    mem_default_caps(&caps);
    caps.put_target = f->put_target ? f->put_target : caps.put_target;
    const struct mem_options o = {.meta_in_get = true, .caps = &caps};
    (void)snprintf(f->dir, sizeof(f->dir), "%s/awsfs-wb-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    f->inner = mem_store_new(&o, &f->mem, &e);
    assert_non_null(f->inner);
    f->linger_ms = f->linger_ms ? f->linger_ms : 1;
    fixture_open(f);
}

void fixture_close(struct fixture *f)
{
    store_free(TAKE(f->s));
}

void fixture_remove(struct fixture *f)
{
    fixture_close(f);
    store_free(TAKE(f->inner));
    char command[512];
    (void)snprintf(command, sizeof(command), "rm -rf %s %s.saved", f->dir, f->dir);
    shell(command);
}

void journal_save(struct fixture *f)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "rm -rf %s.saved && mkdir %s.saved && cd %s && cp -r bodies uploads %s.saved && cp *.wal %s.saved", f->dir, f->dir, f->dir, f->dir, f->dir);
    shell(command);
}

void journal_restore(struct fixture *f)
{
    char command[512];
    (void)snprintf(command, sizeof(command), "rm -rf %s && cp -r %s.saved %s", f->dir, f->dir, f->dir);
    shell(command);
}

/* ---- Calls */

static ssize_t text_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *text = arg;
    size_t size = strlen(text);
    size_t n = offset >= size ? 0 : size - (size_t)offset < len ? size - (size_t)offset : len;
    memcpy(buf, text + offset, n);
    return (ssize_t)n;
}

static struct store_cond cond_of(const char *etag)
{
    if (!etag)
        return (struct store_cond){.kind = STORE_ALWAYS};
    return *etag ? (struct store_cond){.kind = STORE_IF_MATCH, .etag = etag} : (struct store_cond){.kind = STORE_IF_ABSENT};
}

enum err_code put(struct store *s, const char *key, const char *text, const char *etag, struct store_version *out)
{
    struct err e = ERR_INIT;
    const struct store_body body = {.size = strlen(text), .read = text_read, .arg = (void *)text};
    const struct store_cond cond = cond_of(etag);
    return store_put(s, key, &body, NULL, &cond, NULL, out, &e);
}

struct store_version put_ok(struct store *s, const char *key, const char *text, const char *etag)
{
    struct store_version v;
    assert_int_equal(put(s, key, text, etag, &v), ERR_OK);
    return v;
}

static uint64_t size_of(struct store *s, const char *key)
{
    struct err e = ERR_INIT;
    struct store_object o = {0};
    if (store_stat(s, key, NULL, &o, &e))
        return 1;
    uint64_t size = o.version.size;
    store_object_release(&o);
    return size;
}

enum err_code copy(struct store *s, const char *from, const char *from_etag, const char *to, const char *to_etag,
                   struct store_version *out)
{
    struct err e = ERR_INIT;
    const struct store_copy c = {.from = from, .from_etag = from_etag, .size = size_of(s, from), .to = to, .cond = cond_of(to_etag)};
    return store_copy(s, &c, NULL, out, &e);
}

enum err_code unlink_object(struct store *s, const char *key, const char *etag)
{
    struct err e = ERR_INIT;
    return store_remove(s, key, etag, NULL, &e);
}

enum err_code rename_object(struct store *s, const char *from, const char *from_etag, const char *to, const char *to_etag,
                            struct store_version *out)
{
    enum err_code code = copy(s, from, from_etag, to, to_etag, out);
    return code ? code : unlink_object(s, from, from_etag);
}

enum err_code change_mode(struct store *s, const char *key, const char *etag, mode_t mode, struct store_version *out)
{
    struct err e = ERR_INIT;
    struct store_meta *m = store_meta_new();
    m->has = STORE_HAS_MODE;
    m->mode = mode;
    const struct store_copy c = {.from = key, .from_etag = etag, .size = size_of(s, key), .to = key, .meta = m, .cond = cond_of(etag)};
    enum err_code code = store_copy(s, &c, NULL, out, &e);
    store_meta_unref(m);
    return code;
}

/* ---- What is there */

struct reading {
    struct buf bytes;
    enum err_code code;
    atomic_bool ended;
};

static bool on_data(void *arg, const void *p, size_t len)
{
    struct reading *r = arg;
    buf_add(&r->bytes, p, len);
    return true;
}

static void on_done(void *arg, enum err_code code, const struct store_object *object, const struct err *e)
{
    struct reading *r = arg;
    r->code = code;
    atomic_store(&r->ended, true);
}

void assert_text(struct store *s, const char *key, const char *text)
{
    struct err e = ERR_INIT;
    struct store_object o = {0};
    enum err_code code = store_stat(s, key, NULL, &o, &e);
    uint64_t size = o.version.size;
    store_object_release(&o);
    if (!text) {
        assert_int_equal(code, ERR_NOT_FOUND);
        return;
    }
    if (code)
        fail_msg("%s: %s", key, e.msg);
    assert_int_equal(size, strlen(text));
    struct reading r = {.bytes = {.max = 1 << 20}};
    const struct store_get g = {.key = key, .length = strlen(text), .data = on_data, .done = on_done, .arg = &r};
    if (*text) {
        assert_int_equal(store_get(s, &g, &e), ERR_OK);
        while (!atomic_load(&r.ended))
            usleep(1000);
        assert_int_equal(r.code, ERR_OK);
        assert_string_equal(buf_str(&r.bytes), text);
    }
    buf_release(&r.bytes);
}

void assert_listing(struct store *s, const char *prefix, bool delimiter, const char *expected)
{
    struct err e = ERR_INIT;
    BUF(names, 1 << 20);
    char *token = NULL;
    do {
        struct store_page page = {0};
        const struct store_list l = {.prefix = prefix, .delimiter = delimiter, .token = token};
        if (store_list(s, &l, NULL, &page, &e))
            fail_msg("%s", e.msg);
        for (size_t k = 0; k < page.n; k++) {
            buf_add_str(&names, names.len ? " " : "");
            buf_add_str(&names, page.entries[k].key);
        }
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
    } while (token);
    assert_string_equal(buf_str(&names), expected);
}

void drain_ok(struct fixture *f)
{
    struct err e = ERR_INIT;
    if (writeback_drain(f->w, false, NULL, NULL, NULL, &e))
        fail_msg("%s", e.msg);
}

unsigned sent(struct fixture *f, enum mem_op op)
{
    return mem_store_count(f->mem, op);
}

/* ---- Failures */

static struct {
    enum mem_op op;
    enum err_code code;
    enum mem_phase phase;
} fault;
static atomic_uint failed;

static bool changes(enum mem_op op)
{
    return op == MEM_PUT || op == MEM_COPY || op == MEM_REMOVE || op == MEM_REMOVE_MANY || op == MEM_UPLOAD_FINISH;
}

static enum err_code hook(void *arg, const struct mem_event *ev, struct err *e)
{
    if ((fault.op != MEM_OPS && fault.op != ev->op) || !changes(ev->op) || ev->phase != fault.phase)
        return ERR_OK;
    atomic_fetch_add(&failed, 1);
    return err_set(e, fault.code, "a fault of the test");
}

void break_calls(struct fixture *f, enum mem_op op, enum err_code code, bool after)
{
    fault.op = op;
    fault.code = code;
    fault.phase = after ? MEM_AFTER : MEM_BEFORE;
    atomic_store(&failed, 0);
    mem_store_set_hook(f->mem, (struct mem_hook){hook, NULL});
}

void mend_calls(struct fixture *f)
{
    mem_store_set_hook(f->mem, (struct mem_hook){NULL, NULL});
}

unsigned failed_calls(void)
{
    return atomic_load(&failed);
}
