#include "store/walk.h"

#include "util/log.h"

enum err_code store_walk_on(struct store_walk *w, const char *prefix, bool brought, struct err *e)
{
    w->pages++;
    w->idle = brought ? 0 : w->idle + 1;
    if (w->idle < STORE_WALK_IDLE_MAX && w->pages < STORE_WALK_MAX)
        return ERR_OK;
    LOG_WARN("store", "the server's listing of \"%s\" does not end: given up after %u pages, the last %u of them with nothing new",
             prefix, w->pages, w->idle);
    return err_set(e, ERR_PROTO, "the listing of \"%s\" does not end", prefix);
}
