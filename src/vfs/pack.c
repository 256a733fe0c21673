#include "vfs/pack.h"

#include "store/meta.h"
#include "util/buf.h"
#include "util/str.h"
#include "vfs/names.h"

#include <stdlib.h>
#include <string.h>

/* What one page becomes: names borrow from its entries and from those held back. */
struct packing {
    struct pack *pack;
    struct chunk_name *names;
    size_t n;
    struct store_entry *used; /* objects that came off `held`: their bytes are in `names` */
    size_t n_used;
    struct packed *out;
};

static void entry_release(struct store_entry *entry)
{
    free(entry->key);
    store_object_release(&entry->object);
    *entry = (struct store_entry){0};
}

void pack_release(struct pack *p)
{
    for (size_t k = 0; k < p->n; k++)
        entry_release(&p->held[k]);
    free(p->held);
    *p = (struct pack){0};
}

void packed_release(struct packed *p)
{
    chunk_free(p->names);
    store_page_release(&p->apart);
    store_page_release(&p->after);
    *p = (struct packed){0};
}

/* `to` has room for it (add_room). */
static void move_entry(struct store_page *to, struct store_entry *entry)
{
    to->entries[to->n++] = *entry;
    *entry = (struct store_entry){0};
}

/* A component that is its own name, whatever stands beside it. */
static bool is_plain(const char *s, size_t len)
{
    if (len == 0 || len > CHUNK_NAME_MAX || (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.'))))
        return false;
    if (!memchr(s, '%', len))
        return true;
    BUF(name, 1024);
    name_of_component(&name, s, len, false);
    return !name.failed && name.len == len && memcmp(buf_str(&name), s, len) == 0 && !name_may_be_taken(s, len);
}

static const char *below(const struct pack *p, const struct store_entry *entry)
{
    return entry->key + strlen(p->prefix);
}

static void add_name(struct packing *w, const char *name, size_t len, const struct store_version *version)
{
    w->names[w->n++] = (struct chunk_name){name, len, version};
}

/* <0 while the place of a held object is before the key: nothing beside it comes any more; 0 where the key is its directory. */
static int place_to_key(const char *held, const char *key)
{
    size_t len = strlen(held);
    int c = strncmp(held, key, len);
    if (c)
        return c;
    if (key[len] == '/')
        return key[len + 1] ? -1 : 0;
    return '/' < (unsigned char)key[len] ? -1 : 1;
}

static struct store_entry *top_of(const struct pack *p)
{
    return p->n ? &p->held[p->n - 1] : NULL;
}

/* What is held and stands before the key is decided. */
static void settle(struct packing *w, const char *key)
{
    struct pack *p = w->pack;
    for (struct store_entry *top; (top = top_of(p)) && (!key || place_to_key(below(p, top), key) < 0); p->n--) {
        struct store_entry *kept = &w->used[w->n_used++];
        *kept = *top;
        const char *name = below(p, kept);
        add_name(w, name, strlen(name), &kept->object.version);
    }
}

static enum err_code hold(struct pack *p, struct store_entry *entry, struct err *e)
{
    if (p->n == p->room) {
        size_t room = p->room ? 2 * p->room : 4;
        struct store_entry *more = realloc(p->held, room * sizeof(*more));
        if (!more)
            return err_set(e, ERR_NOMEM, "out of memory for a listing");
        p->held = more;
        p->room = room;
    }
    p->held[p->n++] = *entry;
    *entry = (struct store_entry){0};
    return ERR_OK;
}

static enum err_code pack_object(struct packing *w, struct store_entry *entry, struct err *e)
{
    const char *name = below(w->pack, entry);
    /* A page's only store_meta or bytes are those of stores that tell more than S3. */
    if (!is_plain(name, strlen(name)) || strchr(name, '/') || entry->object.meta || entry->object.content) {
        move_entry(&w->out->apart, entry);
        return ERR_OK;
    }
    return hold(w->pack, entry, e);
}

static void pack_prefix(struct packing *w, struct store_entry *entry)
{
    struct pack *p = w->pack;
    const char *name = below(p, entry);
    struct store_entry *top = top_of(p);
    size_t len = strlen(name);
    if (len > 0 && top && place_to_key(below(p, top), name) == 0) {
        move_entry(&w->out->apart, top);
        p->n--;
        move_entry(&w->out->apart, entry);
    } else if (len > 1 && name[len - 1] == '/' && is_plain(name, len - 1)) {
        add_name(w, name, len - 1, NULL);
    } else {
        move_entry(&w->out->apart, entry);
    }
}

/* The last page of a range: what is held cannot get a directory beside it inside of the range any more. */
static void settle_end(struct packing *w, enum pack_end how, const char *end)
{
    struct pack *p = w->pack;
    if (how == PACK_GOES_ON)
        return;
    settle(w, how == PACK_AT_LAST ? NULL : end);
    for (size_t k = 0; k < p->n; k++)
        move_entry(&w->out->after, &p->held[k]);
    p->n = 0;
}

static enum err_code pack_entries(struct packing *w, struct store_page *page, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t k = 0; k < page->n && !code; k++) {
        struct store_entry *entry = &page->entries[k];
        if (!str_starts(entry->key, w->pack->prefix))
            return err_set(e, ERR_PROTO, "a listing of \"%s\" has a key outside it", w->pack->prefix);
        settle(w, below(w->pack, entry));
        if (entry->is_prefix)
            pack_prefix(w, entry);
        else
            code = pack_object(w, entry, e);
    }
    return code;
}

static enum err_code make_chunk(struct packing *w, uint64_t seq, uint64_t start_ms, struct err *e)
{
    for (size_t k = 1; k < w->n; k++)
        if (place_compare(w->names[k - 1].name, w->names[k - 1].len, w->names[k].name, w->names[k].len) >= 0)
            return err_set(e, ERR_PROTO, "a listing of \"%s\" is out of order", w->pack->prefix);
    w->out->names = w->n ? chunk_new(w->names, w->n, seq, start_ms) : NULL;
    return w->n && !w->out->names ? err_set(e, ERR_NOMEM, "out of memory for a listing") : ERR_OK;
}

enum err_code pack_page(struct pack *p, struct store_page *page, enum pack_end how, const char *end, uint64_t seq,
                        uint64_t start_ms, struct packed *out, struct err *e)
{
    struct packed made = {0};
    struct packing w = {.pack = p, .out = &made};
    size_t most = page->n + p->n + 1;
    w.names = reallocarray(NULL, most, sizeof(*w.names));
    w.used = reallocarray(NULL, most, sizeof(*w.used));
    made.apart.entries = reallocarray(NULL, most, sizeof(*made.apart.entries));
    made.after.entries = reallocarray(NULL, most, sizeof(*made.after.entries));
    enum err_code code = w.names && w.used && made.apart.entries && made.after.entries
                             ? pack_entries(&w, page, e)
                             : err_set(e, ERR_NOMEM, "out of memory for a listing");
    if (!code) {
        settle_end(&w, how, end);
        code = make_chunk(&w, seq, start_ms, e);
    }
    for (size_t k = 0; k < w.n_used; k++)
        entry_release(&w.used[k]);
    free(w.used);
    free(w.names);
    store_page_release(page);
    if (code)
        packed_release(&made);
    else
        *out = made;
    return code;
}
