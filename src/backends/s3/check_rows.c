/* From the answers to the rows that people see. */
#include "backends/s3/check.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

static void add_detail(struct check_row *row, const char *text)
{
    size_t len = strlen(row->detail);
    if (len + strlen(text) + 3 < sizeof(row->detail))
        (void)snprintf(row->detail + len, sizeof(row->detail) - len, "%s%s", len > 0 ? "; " : "", text);
}

/* Messages name the request and the scratch key, which nobody needs; without a reply the reason is the only news. */
static const char *reason(const struct s3_outcome *o)
{
    if (!o->tried)
        return "not tried";
    if (o->code == ERR_CANCELED || o->code == ERR_TIMEOUT)
        return "no answer in time";
    if (o->status == 501 || o->status == 405)
        return "the server does not have it";
    return o->msg;
}

/* One permission; `same` is the answer that other rows have told about already (NULL: none). */
static struct check_row *permission(struct check_report *out, const char *what, const char *action, enum s3_try try,
                                    const struct s3_outcome *o, bool may_list)
{
    enum check_verdict v = s3_allowed(try, o, may_list);
    bool other = v == CHECK_NO && o->action[0] != 0;
    struct check_row *row = check_add_permission(out, what, v, other ? o->action : action, CHECK_ON_OBJECTS);
    if (str_starts(row->action, "kms:"))
        row->on = CHECK_ON_KEY;
    else if (strcmp(row->action, "s3:ListBucket") == 0)
        row->on = CHECK_ON_BUCKET;
    if (other)
        memcpy(row->resource, o->resource, sizeof(row->resource));
    if (v == CHECK_NO && o->status != 403) {
        row->action[0] = 0; /* no policy helps */
        add_detail(row, reason(o));
    }
    if (v == CHECK_NO && o->express)
        add_detail(row, "a policy forbids it expressly: no other can grant it");
    if (v == CHECK_UNKNOWN && o->status == 403)
        add_detail(row, "who may not list is told the same for what is not there");
    else if (v == CHECK_UNKNOWN)
        add_detail(row, reason(o));
    return row;
}

static void bucket_row(const struct s3_store *s, const struct s3_outcome *list, struct check_report *out)
{
    bool silent =
        list->code == ERR_NET || list->code == ERR_TIMEOUT || list->code == ERR_CANCELED || list->code == ERR_THROTTLED;
    enum check_verdict v = list->code == ERR_OK                                          ? CHECK_YES
                           : silent || (list->code == ERR_ACCESS && list->status == 403) ? CHECK_UNKNOWN
                                                                                         : CHECK_NO;
    const char *why = v == CHECK_YES                              ? "it answers"
                      : list->status == 403 && v == CHECK_UNKNOWN ? "who may not list is not told whether it is there"
                      : list->code == ERR_CANCELED                ? "no answer in time"
                                                                  : list->msg;
    struct check_row *row = check_add(out, CHECK_FACT, "bucket", v, "%s: %s", s->bucket, why);
    row->need = silent ? CHECK_REQUIRED : CHECK_NOT_DENIED;
}

static void read_row(const struct s3_outcome *o, bool may_list, struct check_report *out)
{
    enum check_verdict there = s3_allowed(S3_TRY_THERE, &o[S3_TRY_THERE], may_list);
    enum s3_try try = there != CHECK_UNKNOWN ? S3_TRY_THERE : S3_TRY_READ;
    permission(out, "read", "s3:GetObject", try, &o[try], may_list)->need = CHECK_NOT_DENIED;
}

static void write_row(const struct s3_outcome *o, bool may_list, enum check_need need, struct check_report *out)
{
    const struct s3_outcome *put = &o[S3_TRY_PUT];
    bool by_create = s3_allowed(S3_TRY_PUT, put, may_list) == CHECK_UNKNOWN || put->status == 501;
    enum s3_try try = by_create && o[S3_TRY_CREATE].tried ? S3_TRY_CREATE : S3_TRY_PUT;
    permission(out, "write", "s3:PutObject", try, &o[try], may_list)->need = need;
}

static void multipart_row(const struct s3_outcome *o, bool may_list, enum check_need need, struct check_report *out)
{
    bool begun = s3_allowed(S3_TRY_ABORT, &o[S3_TRY_ABORT], may_list) == CHECK_YES;
    enum s3_try try = begun ? S3_TRY_CREATE : S3_TRY_ABORT;
    const char *action = begun ? "s3:PutObject" : "s3:AbortMultipartUpload";
    struct check_row *row = permission(out, "multipart", action, try, &o[try], may_list);
    row->need = begun ? need : CHECK_OPTIONAL;
    if (!begun && row->verdict == CHECK_NO)
        add_detail(row, "uploads that fail leave their parts, which are paid for");
}

static void condition_row(const struct s3_outcome *put, const char *left, struct check_report *out)
{
    enum check_verdict v = put->status == 404 || put->status == 412    ? CHECK_YES
                           : put->code == ERR_OK || put->status == 501 ? CHECK_NO
                                                                       : CHECK_UNKNOWN;
    if (!put->tried)
        v = CHECK_UNKNOWN;
    struct check_row *row = check_add(out, CHECK_FEATURE, "conditional requests", v, "%s", "");
    if (v == CHECK_NO && put->status == 501)
        add_detail(row, "the server refuses If-Match");
    else if (v == CHECK_NO)
        add_detail(
            row,
            "the server ignores If-Match: changes made elsewhere can be lost; what was made to find out is removed");
    if (left[0] != 0)
        add_detail(row, left);
    out->unclean |= left[0] != 0;
}

static void checksum_row(const struct s3_outcome *create, struct check_report *out)
{
    enum check_verdict v = create->echoes_checksum ? CHECK_YES : create->refused_checksum ? CHECK_NO : CHECK_UNKNOWN;
    check_add(out, CHECK_FEATURE, "checksums", v, "%s",
              v == CHECK_YES  ? "the server takes them and checks what it gets"
              : v == CHECK_NO ? "the server refuses them: only TLS guards what is sent"
                              : "");
}

void s3_check_rows(const struct s3_store *s, const struct s3_outcome o[S3_TRIES], const char *left, bool read_only,
                   struct check_report *out)
{
    const struct s3_outcome *list = &o[S3_TRY_LIST];
    enum check_need writes = read_only ? CHECK_OPTIONAL : CHECK_NOT_DENIED;
    bool may_list = list->code == ERR_OK;

    bucket_row(s, list, out);
    struct check_row *row = permission(out, "list", "s3:ListBucket", S3_TRY_LIST, list, may_list);
    row->on = str_starts(row->action, "s3:") ? CHECK_ON_BUCKET : row->on;
    row->need = CHECK_REQUIRED;
    if (s->directory_bucket && list->code == ERR_ACCESS) {
        /* All requests there go with keys of CreateSession, which is the only permission. */
        row->verdict = CHECK_NO;
        (void)snprintf(row->action, sizeof(row->action), "s3express:CreateSession");
    }
    if (row->verdict == CHECK_UNKNOWN)
        row->detail[0] = 0; /* the bucket's row says it */
    read_row(o, may_list, out);
    write_row(o, may_list, writes, out);
    permission(out, "delete", "s3:DeleteObject", S3_TRY_DELETE, &o[S3_TRY_DELETE], may_list)->need = writes;
    multipart_row(o, may_list, writes, out);
    permission(out, "parts of uploads", "s3:ListMultipartUploadParts", S3_TRY_PARTS, &o[S3_TRY_PARTS], may_list);
    permission(out, "read tags", "s3:GetObjectTagging", S3_TRY_GET_TAGS, &o[S3_TRY_GET_TAGS], may_list);
    permission(out, "write tags", "s3:PutObjectTagging", S3_TRY_PUT_TAGS, &o[S3_TRY_PUT_TAGS], may_list);
    condition_row(&o[S3_TRY_PUT], left, out);
    checksum_row(&o[S3_TRY_CREATE], out);
}
