/* What was sent and never answered, newest first: a few of each key, a few hundred in all. An entry explains only a
 * call on the condition that it had itself: whoever knows another version by now has seen what came of it. */
#include "backends/s3/impl.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 256 };

struct s3_lost {
    TAILQ_ENTRY(s3_lost) link;
    char *key;
    int kind; /* of the condition, */
    char etag[STORE_ETAG_SIZE];
    struct s3_sent sent;
};

static void drop_locked(struct s3_store *s, struct s3_lost *l)
{
    TAILQ_REMOVE(&s->lost, l, link);
    s->lost_n--;
    free(l->key);
    free(l);
}

static struct s3_lost *next_of_locked(struct s3_lost *l, const char *key)
{
    while (l != NULL && strcmp(l->key, key) != 0)
        l = TAILQ_NEXT(l, link);
    return l;
}

static bool has_cond(const struct s3_lost *l, const struct store_cond *cond)
{
    return l->kind == (int)cond->kind && (cond->kind != STORE_IF_MATCH || strcmp(l->etag, cond->etag) == 0);
}

/* Makes room: those of the key are kept to as many as are ever asked for. */
static void thin_locked(struct s3_store *s, const char *key)
{
    size_t n = 0;
    for (struct s3_lost *l = TAILQ_FIRST(&s->lost), *next; (l = next_of_locked(l, key)) != NULL; l = next) {
        next = TAILQ_NEXT(l, link);
        if (++n >= S3_LOST_OF_KEY)
            drop_locked(s, l);
    }
    if (s->lost_n >= TABLE_MAX)
        drop_locked(s, TAILQ_LAST(&s->lost, s3_lost_list));
}

void s3_lost_add(struct s3_store *s, const char *key, const struct store_cond *cond, const struct s3_sent *sent)
{
    struct s3_lost *l = calloc(1, sizeof(*l));
    char *own = strdup(key);
    if (l == NULL || own == NULL) {
        free(l);
        free(own);
        return;
    }
    *l = (struct s3_lost){.key = own, .kind = (int)cond->kind, .sent = *sent};
    if (cond->kind == STORE_IF_MATCH)
        memccpy(l->etag, cond->etag, 0, sizeof(l->etag));
    LOCK_SCOPE(&s->lock);
    thin_locked(s, key);
    TAILQ_INSERT_HEAD(&s->lost, l, link);
    s->lost_n++;
}

size_t s3_lost_find(struct s3_store *s, const char *key, const struct store_cond *cond,
                    struct s3_sent out[S3_LOST_OF_KEY])
{
    size_t n = 0;
    LOCK_SCOPE(&s->lock);
    for (struct s3_lost *l = TAILQ_FIRST(&s->lost); n < S3_LOST_OF_KEY && (l = next_of_locked(l, key)) != NULL;
         l = TAILQ_NEXT(l, link))
        if (has_cond(l, cond))
            out[n++] = l->sent;
    return n;
}

void s3_lost_forget(struct s3_store *s, const char *key)
{
    LOCK_SCOPE(&s->lock);
    for (struct s3_lost *l = TAILQ_FIRST(&s->lost), *next; (l = next_of_locked(l, key)) != NULL; l = next) {
        next = TAILQ_NEXT(l, link);
        drop_locked(s, l);
    }
}

void s3_lost_free(struct s3_store *s)
{
    LOCK_SCOPE(&s->lock);
    for (struct s3_lost *l; (l = TAILQ_FIRST(&s->lost)) != NULL;)
        drop_locked(s, l);
}
