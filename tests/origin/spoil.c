/* Replies that a fault makes up or changes. What it does to the bytes on the wire is in conn.c. */
#include <string.h>

#include "server.h"

static void answer_redirect(const struct request *r, struct reply *p)
{
    bool temporary = r->plan.status == 307;
    const char *host = request_header(r, "host");

    reply_error(p, r, temporary ? "TemporaryRedirect" : "PermanentRedirect");
    p->text.len -= strlen("</Error>");
    buf_add_element(&p->text, "Endpoint", host);
    buf_add_element(&p->text, "Bucket", r->bucket);
    buf_adds(&p->text, "</Error>");
    reply_header(p, "x-amz-bucket-region", "%s", r->plan.redirect);
    reply_header(p, "Location", "http://%s%s%s%s", host ? host : "", r->path, *r->query ? "?" : "", r->query);
}

/* The Parameter Store's errors are 400 nearly all, so that a status alone says little. */
static const char *ssm_code_of_status(int status)
{
    return status == 403                    ? "AccessDeniedException"
           : status == 404                  ? "ParameterNotFound"
           : status == 429 || status == 503 ? "ThrottlingException"
           : status == 400                  ? "ValidationException"
                                            : "InternalServerError";
}

static const char *code_of_status(int status)
{
    static const struct {
        int status;
        const char *code;
    } codes[] = {{400, "BadRequest"},         {403, "AccessDenied"},
                 {404, "NoSuchKey"},          {409, "ConditionalRequestConflict"},
                 {412, "PreconditionFailed"}, {429, "TooManyRequests"},
                 {500, "InternalError"},      {503, "SlowDown"}};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].status == status)
            return codes[i].code;
    return "InternalError";
}

static void answer_status(const struct request *r, struct reply *p)
{
    const struct fault_plan *plan = &r->plan;

    const char *code = r->ssm ? ssm_code_of_status(plan->status) : code_of_status(plan->status);

    reply_error(p, r, plan->code ? plan->code : code);
    p->status = plan->status;
    if (plan->status == 304 || plan->status == 204) {
        p->no_length = true;
        buf_release(&p->text);
    }
    if (plan->has_retry_after)
        reply_header(p, "Retry-After", "%llu", (unsigned long long)plan->retry_after_s);
}

bool fault_answers(const struct request *r, struct reply *p)
{
    const struct fault_plan *plan = &r->plan;

    if (!plan->active || plan->execute == 1)
        return false;
    if (plan->redirect) {
        answer_redirect(r, p);
    } else if (plan->status) {
        answer_status(r, p);
    } else if (plan->skew_s) {
        reply_error(p, r, "RequestTimeTooSkewed");
    } else if (plan->error_in_200) {
        reply_error(p, r, plan->code ? plan->code : "InternalError");
        p->status = 200;
    } else if (plan->empty_200 || plan->execute == 0) {
        p->status = 200;
    } else {
        return false;
    }
    return true;
}

static void replace_text(struct reply *p, struct buf text)
{
    int status = p->status;
    const char *type = p->content_type ? p->content_type : "application/xml";

    reply_release(p);
    p->status = status;
    p->content_type = type;
    p->text = text;
}

/* Cuts the XML in the middle; a reply without XML gets something that is not XML. */
static void spoil_malformed(struct reply *p)
{
    struct buf text = {0};

    if (p->text.len > 80)
        buf_add(&text, p->text.data, p->text.len / 2);
    else
        buf_adds(&text, "<?xml version=\"1.0\"?><Result><Key>a</Result>");
    replace_text(p, text);
}

static const char *root_of(enum op op)
{
    switch (op) {
    case OP_ListBuckets:
        return "ListAllMyBucketsResult";
    case OP_DeleteObjects:
        return "DeleteResult";
    case OP_CopyObject:
        return "CopyObjectResult";
    case OP_UploadPartCopy:
        return "CopyPartResult";
    case OP_CreateMultipartUpload:
        return "InitiateMultipartUploadResult";
    case OP_CompleteMultipartUpload:
        return "CompleteMultipartUploadResult";
    case OP_ListParts:
        return "ListPartsResult";
    case OP_ListMultipartUploads:
        return "ListMultipartUploadsResult";
    default:
        return "ListBucketResult";
    }
}

/* A page of the Parameter Store with that many bytes of parameters. */
static void spoil_huge_json(const struct request *r, struct reply *p)
{
    static const char unit[] = "{\"Name\":\"/huge\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1},";
    struct buf text = {0};

    buf_adds(&text, "{\"Parameters\":[");
    while (text.len < r->plan.huge_xml)
        buf_adds(&text, unit);
    text.len--;
    buf_adds(&text, "]}");
    replace_text(p, text);
}

/* Well-formed XML of at least that many bytes: one <Contents> after the other under the operation's root. */
static void spoil_huge(const struct request *r, struct reply *p)
{
    if (r->ssm) {
        spoil_huge_json(r, p);
        return;
    }
    static const char unit[] = "<Contents><Key>huge</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified>"
                               "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>0</Size>"
                               "<StorageClass>STANDARD</StorageClass></Contents>";
    uint64_t units = r->plan.huge_xml / (sizeof(unit) - 1) + 1;
    struct buf head = {0}, tail = {0};
    struct body *parts[3];
    size_t head_len, tail_len;

    buf_addf(&head, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s>", root_of(r->op));
    buf_addf(&tail, "</%s>", root_of(r->op));
    head_len = head.len;
    tail_len = tail.len;
    parts[0] = body_new_bytes(buf_take(&head), head_len);
    parts[1] = body_new_repeated(unit, units * (sizeof(unit) - 1));
    parts[2] = body_new_bytes(buf_take(&tail), tail_len);
    replace_text(p, (struct buf){0});
    p->body = body_join(parts, 3);
    p->length = p->body->size;
    reply_header(p, "Content-Type", "application/xml");
    for (int i = 0; i < 3; i++)
        body_unref(parts[i]);
}

/* Ten entities, each ten times the one before: 10^10 bytes if a parser expands them. */
static void spoil_entities(const struct request *r, struct reply *p)
{
    struct buf text = {0};

    buf_addf(&text, "<?xml version=\"1.0\"?>\n<!DOCTYPE %s [<!ENTITY e0 \"0123456789\">", root_of(r->op));
    for (int i = 1; i < 10; i++) {
        buf_addf(&text, "<!ENTITY e%d \"", i);
        for (int n = 0; n < 10; n++)
            buf_addf(&text, "&e%d;", i - 1);
        buf_adds(&text, "\">");
    }
    buf_addf(&text, "]>\n<%s><Name>&e9;</Name><Contents><Key>&e9;</Key></Contents></%s>", root_of(r->op),
             root_of(r->op));
    replace_text(p, text);
}

void fault_spoils(const struct request *r, struct reply *p)
{
    if (r->plan.malformed_xml)
        spoil_malformed(p);
    else if (r->plan.huge_xml)
        spoil_huge(r, p);
    else if (r->plan.entity_xml)
        spoil_entities(r, p);
}
