/* From the answers to the rows that people see. */
#include "backends/ssm/check.h"

#include <stdio.h>
#include <string.h>

#define LATE "no answer in time"

enum check_verdict ssm_verdict(const struct ssm_outcome *o)
{
    if (!o->tried)
        return CHECK_UNKNOWN;
    switch (o->code) {
    case ERR_OK:
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
    case ERR_QUOTA:
    case ERR_KEY_REJECTED:
        return CHECK_YES;
    case ERR_ACCESS:
        return CHECK_NO;
    default:
        return CHECK_UNKNOWN;
    }
}

enum check_verdict ssm_decrypt_verdict(const struct ssm_outcome o[SSM_TRIES])
{
    const struct ssm_outcome *page = &o[SSM_TRY_PAGE], *plain = &o[SSM_TRY_PAGE_PLAIN], *secret = &o[SSM_TRY_SECRET];

    if (secret->code == ERR_KEY_REJECTED || page->code == ERR_KEY_REJECTED)
        return CHECK_NO;
    if (page->tried && page->code == ERR_OK && page->secrets)
        return CHECK_YES;
    if (secret->tried && secret->code == ERR_OK)
        return CHECK_YES;
    if (page->code == ERR_ACCESS && plain->tried && plain->code == ERR_OK && plain->secrets)
        return CHECK_NO;
    return CHECK_UNKNOWN;
}

enum check_verdict ssm_encrypt_verdict(const struct ssm_outcome o[SSM_TRIES])
{
    const struct ssm_outcome *put = &o[SSM_TRY_PUT], *secret = &o[SSM_TRY_ENCRYPT];

    if (!secret->tried || ssm_verdict(put) != CHECK_YES)
        return CHECK_UNKNOWN;
    if (secret->code == ERR_ACCESS || secret->code == ERR_KEY_REJECTED)
        return CHECK_NO;
    return secret->code == ERR_OK ? CHECK_YES : CHECK_UNKNOWN;
}

static const char *reason(const struct ssm_outcome *o)
{
    if (!o->tried)
        return "not tried";
    bool late = o->code == ERR_CANCELED || o->code == ERR_TIMEOUT;
    return late && strncmp(o->msg, LATE, strlen(LATE)) != 0 ? LATE : o->msg;
}

static struct check_row *permission(struct check_report *out, const char *what, const char *action, enum check_on on,
                                    const struct ssm_outcome *o)
{
    enum check_verdict v = ssm_verdict(o);
    struct check_row *row = check_add_permission(out, what, v, action, on);

    if (v == CHECK_UNKNOWN)
        (void)snprintf(row->detail, sizeof(row->detail), "%s", reason(o));
    return row;
}

/* What a mount asks at its start: a listing without decryption, or where that is refused, the name of the path itself. */
static void store_row(const struct ssm_outcome o[SSM_TRIES], const char *path, struct check_report *out)
{
    const struct ssm_outcome *plain = &o[SSM_TRY_PAGE_PLAIN], *root = &o[SSM_TRY_ROOT];
    const struct ssm_outcome *page = plain->tried && plain->code == ERR_OK ? plain : &o[SSM_TRY_PAGE];
    bool refused = page->code == ERR_ACCESS,
         may_read = root->tried && (root->code == ERR_OK || root->code == ERR_NOT_FOUND);
    enum check_verdict v = page->tried && page->code == ERR_OK ? CHECK_YES
                           : refused                           ? (path[0] && may_read ? CHECK_YES : CHECK_NO)
                           : page->status == 0                 ? CHECK_UNKNOWN
                                                               : CHECK_NO;
    check_add(out, CHECK_FACT, "store", v, "%s",
              page->code == ERR_OK ? "it answers"
              : !refused           ? reason(page)
              : v == CHECK_YES     ? "nothing may be listed: names that are known can be read"
                                   : "neither listing nor reading is allowed")
        ->need = CHECK_REQUIRED;
}

static void decrypt_row(const struct ssm_outcome o[SSM_TRIES], struct check_report *out)
{
    enum check_verdict v = ssm_decrypt_verdict(o);
    struct check_row *row = check_add_permission(out, "decryption", v, "kms:Decrypt", CHECK_ON_KEY);
    const struct ssm_outcome *secret = &o[SSM_TRY_SECRET];

    row->need = CHECK_NOT_DENIED;
    if (v == CHECK_UNKNOWN && o[SSM_TRY_PAGE].code == ERR_OK)
        (void)snprintf(row->detail, sizeof(row->detail), "no SecureString was found to try it on");
    if (v == CHECK_NO && secret->code == ERR_KEY_REJECTED) {
        (void)snprintf(row->detail, sizeof(row->detail), "%s", secret->msg);
        row->action[0] = 0; /* no policy makes a key usable that is disabled or gone */
    }
}

/* The listing by itself: a refusal of decryption refuses it as a whole. */
static void list_row(const struct ssm_outcome o[SSM_TRIES], struct check_report *out)
{
    bool plain = o[SSM_TRY_PAGE_PLAIN].tried && ssm_verdict(&o[SSM_TRY_PAGE_PLAIN]) == CHECK_YES;
    struct check_row *row = permission(out, "list", "ssm:GetParametersByPath", CHECK_ON_PARAMETERS,
                                       &o[plain ? SSM_TRY_PAGE_PLAIN : SSM_TRY_PAGE]);
    row->need = CHECK_NOT_DENIED;
    if (row->verdict == CHECK_UNKNOWN)
        row->detail[0] = 0; /* the store's row says it */
}

static void encrypt_row(const struct ssm_outcome o[SSM_TRIES], enum check_need writes, struct check_report *out)
{
    const struct ssm_outcome *secret = &o[SSM_TRY_ENCRYPT];
    enum check_verdict v = ssm_encrypt_verdict(o);
    if (!secret->tried)
        return;
    struct check_row *row = check_add_permission(out, "encryption", v, "kms:Encrypt", CHECK_ON_KEY);

    row->need = writes;
    if (v == CHECK_NO && secret->code == ERR_KEY_REJECTED) {
        (void)snprintf(row->detail, sizeof(row->detail), "%s", secret->msg);
        row->action[0] = 0;
    } else if (v == CHECK_UNKNOWN)
        (void)snprintf(row->detail, sizeof(row->detail), "%s",
                       secret->code == ERR_EXISTS ? "only a SecureString that is really written would tell" : reason(secret));
}

/* What is beside values and their listing: each an action of its own, and a mount is useful without. */
static void other_rows(const struct ssm_outcome o[SSM_TRIES], struct check_report *out)
{
    static const struct {
        const char *what, *action;
        enum ssm_try try;
    } rows[] = {
        {"read many", "ssm:GetParameters", SSM_TRY_GET_MANY},
        {"history", "ssm:GetParameterHistory", SSM_TRY_HISTORY},
        {"set labels", "ssm:LabelParameterVersion", SSM_TRY_LABEL},
        {"remove labels", "ssm:UnlabelParameterVersion", SSM_TRY_UNLABEL},
        {"read tags", "ssm:ListTagsForResource", SSM_TRY_TAGS},
        {"set tags", "ssm:AddTagsToResource", SSM_TRY_TAG},
        {"remove tags", "ssm:RemoveTagsFromResource", SSM_TRY_UNTAG},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct check_row *row = permission(out, rows[i].what, rows[i].action, CHECK_ON_PARAMETERS, &o[rows[i].try]);
        if (!o[rows[i].try].tried && o[SSM_TRY_PAGE].status != 0)
            (void)snprintf(row->detail, sizeof(row->detail), "no parameter is known to try it on");
    }
}

/* "https://sqs.eu-west-1.amazonaws.com/123456789012/name" -> "arn:aws:sqs:eu-west-1:123456789012:name"; another server's URL tells
 * no region. */
static void queue_arn(const char *url, char *out, size_t size)
{
    const char *host = strstr(url, "://"), *region = host ? strstr(host, "://sqs.") : NULL;
    const char *path = host ? strchr(host + 3, '/') : NULL, *name = path ? strchr(path + 1, '/') : NULL;
    size_t region_len = region && strstr(region, ".amazonaws.") ? strcspn(region + 7, ".") : 0;

    if (name == NULL)
        return;
    const char *partition = strstr(url, ".amazonaws.com.cn/") ? "aws-cn" : strstr(url, "://sqs.us-gov-") ? "aws-us-gov" : "aws";
    (void)snprintf(out, size, "arn:%s:sqs:%.*s:%.*s:%s", partition, region_len ? (int)region_len : 1,
                   region_len ? region + 7 : "*", (int)(name - path - 1), path + 1, name + 1);
}

static void queue_rows(const struct ssm_outcome o[SSM_TRIES], const char *queue, struct check_report *out)
{
    struct check_row *row = permission(out, "take events", "sqs:ReceiveMessage", CHECK_ON_QUEUE, &o[SSM_TRY_RECEIVE]);
    queue_arn(queue, row->resource, sizeof(row->resource));
    row = permission(out, "delete events", "sqs:DeleteMessage", CHECK_ON_QUEUE, &o[SSM_TRY_FORGET]);
    queue_arn(queue, row->resource, sizeof(row->resource));
}

void ssm_check_rows(const struct ssm_outcome o[SSM_TRIES], const struct ssm_check_mount *m, struct check_report *out)
{
    const struct ssm_outcome *put = &o[SSM_TRY_PUT];
    enum check_need writes = m->writes, describe = m->describe;

    store_row(o, m->path, out);
    list_row(o, out);
    permission(out, "read", "ssm:GetParameter", CHECK_ON_PARAMETERS, &o[SSM_TRY_GET])->need = CHECK_NOT_DENIED;
    decrypt_row(o, out);
    struct check_row *row = permission(out, "write", "ssm:PutParameter", CHECK_ON_PARAMETERS, put);
    row->need = writes;
    if (!put->tried && o[SSM_TRY_PAGE].status != 0)
        (void)snprintf(row->detail, sizeof(row->detail), "no parameter is known whose overwriting could be refused");
    if (put->tried && put->code == ERR_OK)
        (void)snprintf(row->detail, sizeof(row->detail), "%s", put->msg);
    permission(out, "delete", "ssm:DeleteParameter", CHECK_ON_PARAMETERS, &o[SSM_TRY_DELETE])->need = writes;
    permission(out, "delete many", "ssm:DeleteParameters", CHECK_ON_PARAMETERS, &o[SSM_TRY_DELETE_MANY]);
    row = permission(out, "describe", "ssm:DescribeParameters", CHECK_ON_ALL, &o[SSM_TRY_DESCRIBE]);
    row->need = describe;
    if (row->verdict == CHECK_NO && describe != CHECK_OPTIONAL)
        (void)snprintf(row->detail, sizeof(row->detail),
                       "without it a SecureString can be overwritten only with ssm_key=");
    encrypt_row(o, writes, out);
    other_rows(o, out);
    if (m->queue != NULL)
        queue_rows(o, m->queue, out);
}
