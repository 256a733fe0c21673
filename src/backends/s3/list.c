#include "backends/s3/impl.h"
#include "backends/s3/xml_list.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_BYTES = 8 << 20, MAX_KEYS = 1000 };

enum err_code s3_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                      struct err *e)
{
    struct s3_store *s = impl;
    PARAMS(query);
    params_add(&query, "list-type", "2");
    /* Keys may hold characters that XML cannot. */
    params_add(&query, "encoding-type", "url");
    params_addf(&query, "prefix", "%s%s", s->prefix, l->prefix);
    if (l->delimiter)
        params_add(&query, "delimiter", "/");
    if (l->max_keys > 0 && l->max_keys < MAX_KEYS)
        params_addf(&query, "max-keys", "%u", l->max_keys);
    if (l->token != NULL)
        params_add(&query, "continuation-token", l->token);
    else if (l->start_after != NULL)
        params_addf(&query, "start-after", "%s%s", s->prefix, l->start_after);
    enum err_code code = params_check(&query, "ListObjectsV2", e);
    if (code != ERR_OK)
        return code;
    S3_ANSWER(a);
    const struct s3_request r = {.method = HTTP_GET,
                                 .what = "ListObjectsV2",
                                 .query = params_list(&query),
                                 .call = call,
                                 .reply_max = PAGE_BYTES};
    code = s3_call(s, &r, &a, e);
    /* A listing of nothing is an empty one: a 404 here says something else. */
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_IO, "ListObjectsV2: HTTP %d %s: no such bucket?", a.status, a.code);
    if (code == ERR_OK)
        code = s3_list_parse(buf_str(&a.body), a.body.len, s->prefix, out, e);
    return code;
}
