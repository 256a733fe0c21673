#include "backends/ssm/trouble.h"

#include "util/clock.h"
#include "util/log.h"

#include <string.h>

#define AGAIN_MS 3600000

void trouble_init(struct trouble *t)
{
    lock_init(&t->lock, "ssm trouble", LOCK_STORE);
}

void trouble_release(struct trouble *t)
{
    lock_release(&t->lock);
}

/* FNV-1a over several texts. */
static uint64_t mix(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3U;
    return (h ^ 0xff) * 0x100000001b3U;
}

static bool is_new(struct trouble *t, uint64_t what)
{
    uint64_t now = clock_mono_ms();
    LOCK_SCOPE(&t->lock);
    for (unsigned i = 0; i < TROUBLES_MAX; i++)
        if (t->told[i].what == what && t->told[i].until_ms > now)
            return false;
    t->told[t->next].what = what;
    t->told[t->next].until_ms = now + AGAIN_MS;
    t->next = (t->next + 1) % TROUBLES_MAX;
    return true;
}

void trouble_tell(struct trouble *t, const char *op, const char *subject, const struct err *e, bool throttled)
{
    char code[16] = {(char)('a' + e->code)};
    uint64_t what = mix(mix(0xcbf29ce484222325U, op), code);
    bool put = strcmp(op, "PutParameter") == 0;

    if (throttled && is_new(t, mix(what, "throttled")))
        LOG_WARN("ssm", "%s: throttled: the account's clients together ask for more than its quota; this mount slows down", op);
    if (e->code == ERR_ACCESS && is_new(t, what))
        LOG_WARN("ssm", "%s (other names for which this is refused are not told)", e->msg);
    else if (e->code == ERR_KEY_REJECTED && is_new(t, mix(what, subject)))
        LOG_WARN("ssm", "%s: its KMS key is disabled, about to be deleted, or not there", e->msg);
    else if (put && (e->code == ERR_INVAL || e->code == ERR_QUOTA) && is_new(t, mix(what, subject)))
        LOG_WARN("ssm", "%s", e->msg);
}
