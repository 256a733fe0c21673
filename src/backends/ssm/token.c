#include "backends/ssm/token.h"

#include "util/str.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* An account and region has at most 110,000 parameters; a page may have fewer than ten. */
#define PAGES_MAX 1000000

struct token {
    uint32_t pages;
    uint64_t mark; /* of one of the tokens before */
    const char *raw;
};

/* FNV-1a: two different tokens of a listing that meet by chance cost an error once in 10^19. */
static uint64_t mark_of(const char *s)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3U;
    return h;
}

static bool split(const char *token, struct token *out)
{
    int used = 0;
    struct token t = {0};
    if (sscanf(token, "%8" SCNx32 ":%16" SCNx64 ":%n", &t.pages, &t.mark, &used) != 2 || used == 0 || !token[used])
        return false;
    t.raw = token + used;
    *out = t;
    return true;
}

const char *ssm_token_raw(const char *token)
{
    struct token t;
    return split(token, &t) ? t.raw : NULL;
}

enum err_code ssm_token_make(const char *before, const char *raw, char **out, struct err *e)
{
    struct token t = {0};
    if (before != NULL && !split(before, &t))
        return err_set(e, ERR_INVAL, "not a token of this store");
    uint64_t mark = mark_of(raw);
    if (t.pages > 0 && (mark == t.mark || strcmp(raw, t.raw) == 0))
        return err_set(e, ERR_PROTO, "NextToken goes round in a circle");
    if (t.pages >= PAGES_MAX)
        return err_set(e, ERR_PROTO, "the listing has no end");
    t.pages++;
    if ((t.pages & (t.pages - 1)) == 0)
        t.mark = mark;
    *out = str_printf("%08" PRIx32 ":%016" PRIx64 ":%s", t.pages, t.mark, raw);
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}
