/* The suite on one bucket of the store of all buckets, whose own stores are in memory. */
#include "suite.h"

#include "../unit/buckets/fake.h"

#include <string.h>

static const struct limitation limits[] = {
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY | NEED_S3, NULL},
    {0, NULL},
};

int main(void)
{
    struct store *s = fake_buckets(NULL, NULL, false);
    struct suite suite = {.store = s, .again = s, .root = "suite/", .max_key = strlen("suite/") + 1024};
    int status = run_suite(&suite, "a bucket of all", limits);
    store_free(s);
    return status;
}
