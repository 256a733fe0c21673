/* The suite on write=back over the in-memory store. */
#include "suite.h"

#include "store/mem.h"
#include "writeback/writeback.h"

#include <stdio.h>
#include <stdlib.h>

static const struct limitation limits[] = {
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY | NEED_S3, NULL},
    {NEED_AT_ONCE, "conditions are decided when what is journaled is sent"},
    {NEED_PARTS, "files go to the journal as a whole"},
    {0, NULL},
};

int main(void)
{
    struct err e = ERR_INIT;
    char dir[] = "/tmp/awsfs-conformance-XXXXXX", command[64];
    struct mem_options options = {.async = true, .meta_in_get = true, .chunk = 4096};
    struct store *inner = mem_store_new(&options, NULL, &e);
    if (inner == NULL || mkdtemp(dir) == NULL)
        return 1;
    struct writeback_config config = {.inner = inner, .dir = dir, .identity = "suite"};
    struct store *s = writeback_store_new(&config, NULL, &e);
    if (s == NULL) {
        printf("%s\n", e.msg);
        return 1;
    }
    struct suite suite = {.store = s, .again = s};
    int status = run_suite(&suite, "write=back over the in-memory store", limits);
    store_free(s);
    store_free(inner);
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command) != 0 || status;
}
