#include "cli/changes.h"

#include "aws/creds.h"
#include "cache/listings.h"
#include "cli/cache_dir.h"
#include "util/str.h"
#include "writeback/writeback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
    struct cache *cache;
    char origin[512], prefix[2048];
};

static void note(const struct told *t, const char *key, void (*fn)(struct cache *c, const char *origin, const char *key))
{
    char full[sizeof(t->prefix) + 2048];
    snprintf(full, sizeof(full), "%s%s", t->prefix, key); /* keys have 1,024 bytes at most */
    fn(t->cache, t->origin, full);
}

static void begin(void *arg, const char *key)
{
    note(arg, key, cache_change_begin);
}

static void end(void *arg, const char *key)
{
    note(arg, key, cache_change_end);
}

static void note_unsent(void *arg, const struct writeback_item *item)
{
    begin(arg, item->key);
    end(arg, item->key);
}

enum err_code changes_tell(struct stack *s, struct err *e)
{
    if (!s->cache)
        return ERR_OK;
    if (!s->told) {
        struct told *t = calloc(1, sizeof(*t));
        if (!t)
            return err_set(e, ERR_NOMEM, "no memory");
        t->cache = s->cache;
        cache_names(s, t->origin, sizeof(t->origin), t->prefix, sizeof(t->prefix));
        s->told = t;
    }
    store_tell_changes(s->store, &(struct store_changes){begin, end, s->told});
    if (s->writeback)
        writeback_each(s->writeback, SIZE_MAX, note_unsent, s->told);
    return ERR_OK;
}

/* Temporary credentials come and go; who gives them out, and to whom, is in their source. Those that somebody has given once are known
 * by their key. */
void changes_view(const struct stack *s, char *out, size_t size)
{
    const struct options *o = s->options;
    struct creds *c = NULL;
    struct err none = ERR_INIT;
    const char *who = "nobody", *key = "";
    if (!creds_provider_anonymous(s->creds) && creds_get(s->creds, &c, &none) == ERR_OK) {
        who = c->source;
        key = c->expires ? "" : c->access_key_id;
    } else if (!creds_provider_anonymous(s->creds)) {
        who = "unknown";
    }
    snprintf(out, size, "1\n%s\n%s\n%s\n%s\n%d\n%s\n%d", who, key, o->profile ? o->profile : "", o->endpoint ? o->endpoint : "", o->sse,
             o->sse_c_key_file ? o->sse_c_key_file : "", o->requester_pays);
    creds_unref(c);
}
