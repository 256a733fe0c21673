/* What `awsfs check` tries where all buckets are mounted: whether they can be listed. What is allowed in each is its
 * own affair. */
#include "backends/buckets/impl.h"

#include "awsfs/check.h"
#include "store/trials.h"

#include <stdio.h>
#include <string.h>

struct listed {
    struct buckets *s;
    enum err_code code;
    struct err e;
    size_t n;
    bool more;
};

static void list(void *item, const struct store_call *call)
{
    struct listed *l = item;
    const struct store_list what = {.prefix = "", .delimiter = true};
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    l->code = account_list(l->s, &what, call, &page, &l->e);
    l->n = page.n;
    l->more = page.next != NULL;
}

/* A mount serves without the list: buckets can be used by name. */
static void add_rows(const struct listed *l, struct check_report *out)
{
    bool denied = l->code == ERR_ACCESS,
         silent = l->code == ERR_NET || l->code == ERR_TIMEOUT || l->code == ERR_CANCELED;
    enum check_verdict v = l->code == ERR_OK || denied ? CHECK_YES : silent ? CHECK_UNKNOWN : CHECK_NO;
    struct check_row *row;
    if (l->code == ERR_OK)
        row = check_add(out, CHECK_FACT, "buckets", v, "%zu%s; awsfs check s3://BUCKET tells what is allowed in one",
                        l->n, l->more ? " or more" : "");
    else
        row = check_add(out, CHECK_FACT, "buckets", v, "%s",
                        denied                    ? "they can be used by name only"
                        : l->code == ERR_CANCELED ? "no answer in time"
                                                  : l->e.msg);
    row->need = CHECK_REQUIRED;
    check_add_permission(out, "list buckets",
                         l->code == ERR_OK ? CHECK_YES
                         : denied          ? CHECK_NO
                                           : CHECK_UNKNOWN,
                         l->s->options.anonymous ? "" : "s3:ListAllMyBuckets", CHECK_ON_ALL);
}

enum err_code buckets_try(void *impl, const struct check_limits *limits, struct check_report *out, struct err *e)
{
    CLEANUP(trials_free) struct trials *t = trials_new(e);
    struct listed l = {.s = impl, .code = ERR_CANCELED};
    if (t == NULL)
        return ERR_NOMEM;
    trials_run(t, limits->first_ms, &l, 1, sizeof(l), list);
    add_rows(&l, out);
    return ERR_OK;
}
