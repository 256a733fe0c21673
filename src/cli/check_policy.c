/* One IAM policy that grants what is missing. */
#include "cli/check_impl.h"

#include "aws/endpoint.h"
#include "util/json.h"
#include "util/str.h"

#include <string.h>

enum { KINDS_OF_RESOURCE = CHECK_ON_QUEUE + 1 };

static void quote(struct buf *out, const char *text)
{
    json_quote(out, text, strlen(text));
}

/* "aws", from the user's own ARN where it is known. */
static void partition(const struct check_findings *f, struct buf *out)
{
    size_t n = str_starts(f->who.arn, "arn:") ? strcspn(f->who.arn + 4, ":") : 0;

    if (n)
        buf_add(out, f->who.arn + 4, n);
    else
        buf_add_str(out, region_partition(f->region));
}

/* A directory bucket is a resource of its own kind; it has no parts. An access point's ARN stands for the bucket, and
 * its objects are below "/object/". */
static void bucket_arn(const struct check_findings *f, bool objects, struct buf *out)
{
    const char *bucket = f->source->bucket ? f->source->bucket : "*";
    bool is_arn = str_starts(bucket, "arn:");

    if (bucket_is_directory(bucket)) {
        buf_add_str(out, "arn:");
        partition(f, out);
        buf_addf(out, ":s3express:%s:%s:bucket/%s", f->region[0] ? f->region : "*",
                 f->who.account[0] ? f->who.account : "*", bucket);
        return;
    }
    if (!is_arn) {
        buf_add_str(out, "arn:");
        partition(f, out);
        buf_add_str(out, ":s3:::");
    }
    buf_add_str(out, bucket);
    if (objects)
        buf_addf(out, "%s/%s*", is_arn ? "/object" : "", f->source->prefix ? f->source->prefix : "");
}

static void parameter_arn(const struct check_findings *f, bool below, struct buf *out)
{
    const char *path = f->source->path && f->source->path[1] ? f->source->path : "";

    buf_add_str(out, "arn:");
    partition(f, out);
    buf_addf(out, ":ssm:%s:%s:parameter%s%s", f->region[0] ? f->region : "*", f->who.account[0] ? f->who.account : "*",
             path, below ? "/*" : "");
}

static void resources(const struct check_findings *f, enum check_on on, const char *named, struct buf *out)
{
    BUF(one, 4096);
    BUF(two, 4096);

    if (on == CHECK_ON_BUCKET)
        bucket_arn(f, false, &one);
    else if (on == CHECK_ON_OBJECTS)
        bucket_arn(f, true, &one);
    else if (on == CHECK_ON_QUEUE)
        buf_add_str(&one, *named ? named : "*");
    else if (on == CHECK_ON_KEY)
        buf_add_str(&one, *named ? named : f->sse_key[0] ? f->sse_key : "*");
    else if (on == CHECK_ON_PARAMETERS)
        parameter_arn(f, true, &one);
    else
        buf_add_char(&one, '*');
    if (on == CHECK_ON_PARAMETERS && f->source->path && f->source->path[1])
        parameter_arn(f, false, &two);
    buf_add_str(out, two.len ? "[" : "");
    quote(out, buf_str(&one));
    if (two.len) {
        buf_add_str(out, ", ");
        quote(out, buf_str(&two));
        buf_add_char(out, ']');
    }
}

static bool is_missing(const struct check_row *row, enum check_on on)
{
    return row->verdict == CHECK_NO && row->action[0] && row->on == on;
}

/* Whether an earlier row names the same action. */
static bool is_told(const struct check_report *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (is_missing(&r->rows[k], r->rows[i].on) && strcmp(r->rows[k].action, r->rows[i].action) == 0)
            return true;
    return false;
}

/* What may be listed is bounded by a condition: a bucket has no parts for IAM. */
static void condition(const struct check_findings *f, struct buf *out)
{
    BUF(pattern, 2048);

    if (!f->source->prefix || !f->source->prefix[0] || bucket_is_directory(f->source->bucket))
        return;
    buf_addf(&pattern, "%s*", f->source->prefix);
    buf_add_str(out, ",\n      \"Condition\": {\"StringLike\": {\"s3:prefix\": ");
    quote(out, buf_str(&pattern));
    buf_add_str(out, "}}");
}

/* The statement for one kind of resource; nothing where nothing of that kind is missing. */
static bool statement(const struct check_findings *f, enum check_on on, bool first, struct buf *out)
{
    const struct check_report *r = &f->report;
    const char *named = "";
    unsigned n = 0;

    for (size_t i = 0; i < r->n; i++) {
        if (!is_missing(&r->rows[i], on) || is_told(r, i))
            continue;
        if (!n)
            buf_addf(out, "%s    {\n      \"Effect\": \"Allow\",\n      \"Action\": [\n", first ? "" : ",\n");
        buf_add_str(out, n++ ? ",\n        " : "        ");
        quote(out, r->rows[i].action);
        named = (on == CHECK_ON_KEY || on == CHECK_ON_QUEUE) && r->rows[i].resource[0] ? r->rows[i].resource : named;
    }
    if (!n)
        return false;
    buf_add_str(out, "\n      ],\n      \"Resource\": ");
    resources(f, on, named, out);
    if (on == CHECK_ON_BUCKET)
        condition(f, out);
    buf_add_str(out, "\n    }");
    return true;
}

bool check_policy(const struct check_findings *f, struct buf *out)
{
    bool any = false;

    for (size_t i = 0; i < f->report.n; i++)
        any |= f->report.rows[i].verdict == CHECK_NO && f->report.rows[i].action[0];
    if (!any)
        return false;
    bool first = true;
    buf_add_str(out, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n");
    for (int on = 0; on < KINDS_OF_RESOURCE; on++)
        if (statement(f, (enum check_on)on, first, out))
            first = false;
    buf_add_str(out, "\n  ]\n}");
    return true;
}
