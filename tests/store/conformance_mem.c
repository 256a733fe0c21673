/* The suite against the in-memory store, which is the reference: it leaves out only what needs a network or S3. */
#include "suite.h"

#include "store/mem.h"

static const struct limitation limits[] = {
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY | NEED_S3, NULL},
    {0, NULL},
};

int main(void)
{
    struct err e = ERR_INIT;
    struct mem_options options = {.async = true, .meta_in_get = true, .chunk = 4096};
    struct store *s = mem_store_new(&options, NULL, &e);
    if (s == NULL)
        return 1;
    struct suite suite = {.store = s, .again = s};
    int status = run_suite(&suite, "the in-memory store", limits);
    store_free(s);
    return status;
}
