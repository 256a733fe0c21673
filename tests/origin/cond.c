/* Conditions, evaluated as S3 documents their combinations (RFC 9110 with ETag before dates). */
#include <string.h>

#include "s3.h"

bool etag_listed(const char *list, const char *etag)
{
    size_t len = strlen(etag) - 2; /* without quotes */

    while (*list) {
        const char *end;

        list += strspn(list, " \t,");
        if (*list == '*')
            return true;
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        if (*list == '"')
            list++;
        end = list + strcspn(list, "\", \t");
        if ((size_t)(end - list) == len && strncmp(list, etag + 1, len) == 0)
            return true;
        list = *end == '"' ? end + 1 : end;
    }
    return false;
}

struct conditions {
    const char *match;
    const char *none_match;
    const char *modified_since;
    const char *unmodified_since;
};

static bool newer(const struct object *o, const char *date, bool otherwise)
{
    time_t t = http_date_parse(date);

    return t < 0 ? otherwise : o->mtime > t;
}

static enum cond evaluate(const struct conditions *c, const struct object *o)
{
    if (c->match) {
        if (!etag_listed(c->match, o->etag))
            return COND_FAILED;
    } else if (c->unmodified_since && newer(o, c->unmodified_since, false)) {
        return COND_FAILED;
    }
    if (c->none_match)
        return etag_listed(c->none_match, o->etag) ? COND_NOT_MODIFIED : COND_TRUE;
    if (c->modified_since && !newer(o, c->modified_since, true))
        return COND_NOT_MODIFIED;
    return COND_TRUE;
}

enum cond cond_read(const struct request *r, const struct object *o)
{
    struct conditions c = {
        .match = request_header(r, "if-match"),
        .none_match = request_header(r, "if-none-match"),
        .modified_since = request_header(r, "if-modified-since"),
        .unmodified_since = request_header(r, "if-unmodified-since"),
    };

    return evaluate(&c, o);
}

enum cond cond_copy_source(const struct request *r, const struct object *o)
{
    struct conditions c = {
        .match = request_header(r, "x-amz-copy-source-if-match"),
        .none_match = request_header(r, "x-amz-copy-source-if-none-match"),
        .modified_since = request_header(r, "x-amz-copy-source-if-modified-since"),
        .unmodified_since = request_header(r, "x-amz-copy-source-if-unmodified-since"),
    };

    return evaluate(&c, o) == COND_TRUE ? COND_TRUE : COND_FAILED;
}

const char *cond_write(const struct request *r, const struct object *present)
{
    const char *match = request_header(r, "if-match");
    const char *none_match = request_header(r, "if-none-match");

    if (none_match && strcmp(none_match, "*") != 0)
        return "NotImplemented";
    if (none_match && present)
        return "PreconditionFailed";
    if (match && !present)
        return "NoSuchKey";
    if (match && !etag_listed(match, present->etag))
        return "PreconditionFailed";
    return NULL;
}
