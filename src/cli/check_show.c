/* The findings as a table for people and as JSON for programs. */
#include "cli/check_impl.h"

#include "util/json.h"
#include "util/str.h"

#include <string.h>

enum { JSON_MAX = 1 << 18 };

static const char *const kinds[] = {
    [CHECK_FACT] = "fact", [CHECK_PERMISSION] = "permission", [CHECK_FEATURE] = "feature"};

static const char *const verdicts[][3] = {
    [CHECK_FACT] = {[CHECK_YES] = "ok", [CHECK_NO] = "failed", [CHECK_UNKNOWN] = "unknown"},
    [CHECK_PERMISSION] = {[CHECK_YES] = "allowed", [CHECK_NO] = "denied", [CHECK_UNKNOWN] = "unknown"},
    [CHECK_FEATURE] = {[CHECK_YES] = "yes", [CHECK_NO] = "no", [CHECK_UNKNOWN] = "unknown"},
};

/* Of the facts; whatever else there is follows in its own order. */
static const char *const order[] = {"identity", "credentials", "region",      "endpoint",
                                    "clock",    "FUSE",        "allow_other", "passthrough"};

static bool is_ordered(const char *what)
{
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (strcmp(order[i], what) == 0)
            return true;
    return false;
}

static void each_row(const struct check_report *r, void (*fn)(void *arg, const struct check_row *row), void *arg)
{
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        const struct check_row *row = check_find(r, order[i]);
        if (row)
            fn(arg, row);
    }
    for (size_t i = 0; i < r->n; i++)
        if (!is_ordered(r->rows[i].what))
            fn(arg, &r->rows[i]);
}

static const char *verdict_of(const struct check_row *row)
{
    return verdicts[row->kind][row->verdict];
}

/* Whether all that stands in the way is about writing. */
static bool works_read_only(const struct check_findings *f)
{
    static const char *const writing[] = {"write", "delete", "multipart", "describe"};
    struct check_report rest = f->report;

    for (size_t i = 0; i < rest.n; i++)
        for (size_t k = 0; k < ARRAY_LEN(writing); k++)
            if (strcmp(rest.rows[i].what, writing[k]) == 0)
                rest.rows[i].need = CHECK_OPTIONAL;
    return !f->read_only && check_works(&rest, NULL);
}

/* "A mount would not work: write denied", without its full stop. */
static bool conclude(const struct check_findings *f, struct buf *out)
{
    const struct check_row *why = NULL;

    if (check_works(&f->report, &why)) {
        buf_add_str(out, "A mount would work");
        return true;
    }
    buf_addf(out, "A mount would not work: %s %s%s", why->what, verdict_of(why),
             works_read_only(f) ? "; with -o ro it would" : "");
    return false;
}

/* ---- Table */

struct table {
    FILE *out;
    int width; /* of the first column */
};

static bool is_shown(const struct check_row *row)
{
    return !row->quiet || row->verdict != CHECK_YES;
}

static void table_measure(void *arg, const struct check_row *row)
{
    struct table *t = arg;
    int len = (int)strlen(row->what);

    if (is_shown(row) && len > t->width)
        t->width = len;
}

static void table_row(void *arg, const struct check_row *row)
{
    const struct table *t = arg;
    bool denied = row->kind == CHECK_PERMISSION && row->verdict == CHECK_NO && row->action[0];

    if (!is_shown(row))
        return;
    if (!denied && !row->detail[0])
        fprintf(t->out, "  %-*s %s\n", t->width, row->what, verdict_of(row));
    else
        fprintf(t->out, "  %-*s %-8s %s%s%s\n", t->width, row->what, verdict_of(row), denied ? row->action : "",
                denied && row->detail[0] ? "; " : "", row->detail);
}

void check_show_table(const struct check_findings *f, FILE *out)
{
    BUF(policy, JSON_MAX);
    BUF(end, 256);
    struct table t = {.out = out};

    fprintf(out, "%s\n", f->source->text);
    each_row(&f->report, table_measure, &t);
    each_row(&f->report, table_row, &t);
    (void)conclude(f, &end);
    fprintf(out, "%s.\n", buf_str(&end));
    if (check_policy(f, &policy))
        fprintf(out, "This policy would grant what is denied:\n%s\n", buf_str(&policy));
}

/* ---- JSON */

/* What is no UTF-8 (a message that was cut inside of a character) loses its bytes that are no ASCII. */
static void quote(struct buf *out, const char *text)
{
    BUF(ascii, ERR_MSG_SIZE * 4);

    if (utf8_valid(text, strlen(text))) {
        json_quote(out, text, strlen(text));
        return;
    }
    for (const char *p = text; *p; p++)
        buf_add_char(&ascii, (unsigned char)*p < 0x80 ? *p : '?');
    json_quote(out, buf_str(&ascii), ascii.len);
}

static void member(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "\"%s\":", name);
    quote(out, value);
    buf_add_char(out, ',');
}

static void json_row(void *arg, const struct check_row *row)
{
    struct buf *out = arg;

    buf_add_str(out, out->data[out->len - 1] == '[' ? "{" : ",{");
    member(out, "what", row->what);
    member(out, "kind", kinds[row->kind]);
    member(out, "verdict", verdict_of(row));
    if (row->action[0])
        member(out, "action", row->action);
    member(out, "detail", row->detail);
    buf_addf(out, "\"needed\":%s}", row->need == CHECK_OPTIONAL ? "false" : "true");
}

enum err_code check_show_json(const struct check_findings *f, FILE *to, struct err *e)
{
    BUF(out, JSON_MAX);
    BUF(policy, JSON_MAX);
    BUF(end, 256);
    bool works = conclude(f, &end);

    buf_add_char(&out, '{');
    member(&out, "source", f->source->text);
    buf_addf(&out, "\"works\":%s,", works ? "true" : "false");
    member(&out, "conclusion", buf_str(&end));
    member(&out, "account", f->who.account);
    member(&out, "arn", f->who.arn);
    member(&out, "region", f->region);
    buf_add_str(&out, "\"rows\":[");
    each_row(&f->report, json_row, &out);
    buf_add_str(&out, "],\"policy\":");
    buf_add_str(&out, check_policy(f, &policy) ? buf_str(&policy) : "null");
    buf_add_char(&out, '}');
    enum err_code code = buf_check(&policy, "policy", e);
    if (code == ERR_OK)
        code = buf_check(&out, "findings", e);
    if (code == ERR_OK)
        fprintf(to, "%s\n", buf_str(&out));
    return code;
}
