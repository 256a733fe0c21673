/* The Parameter Store's requests: parsing, rates and permissions, errors, dispatch. */
#include "ssm.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "s3.h"

static const char target_prefix[] = "AmazonSSM.";

#define SSM_ROW(name) {#name, OP_##name, ssm_##name},
static const struct {
    const char *name;
    enum op op;
    void (*perform)(struct server *s, const struct request *r, struct reply *p);
} operations[] = {SSM_OPERATIONS(SSM_ROW)};

enum op ssm_op_of_target(const char *target)
{
    size_t prefix = sizeof(target_prefix) - 1;

    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (strncmp(target, target_prefix, prefix) == 0 && strcmp(target + prefix, operations[i].name) == 0)
            return operations[i].op;
    return OP_Unknown;
}

const char *ssm_text(const struct request *r, const char *name)
{
    return json_string_value(json_object_get(r->json, name));
}

bool ssm_flag(const struct request *r, const char *name)
{
    return json_is_true(json_object_get(r->json, name));
}

static char *subject_of(const struct request *r)
{
    static const char *const members[] = {"Name", "Path", "ResourceId"};
    struct buf names = {0};
    json_t *name;
    size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (ssm_text(r, members[i]))
            return x_strdup(ssm_text(r, members[i]));
    buf_adds(&names, "");
    json_array_foreach(json_object_get(r->json, "Names"), i, name)
        buf_addf(&names, "%s%s", i ? "," : "", json_is_string(name) ? json_string_value(name) : "");
    return buf_take(&names);
}

void ssm_prepare(struct request *r)
{
    char *text = payload_text(r);

    r->json = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (!json_is_object(r->json)) {
        json_decref(r->json);
        r->json = NULL;
    }
    r->subject = subject_of(r);
}

void ssm_fail(struct reply *p, const struct request *r, const char *code, const char *format, ...)
{
    char message[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    reply_error_text(p, r, code, message);
}

void ssm_answer(struct reply *p, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(14));

    p->status = 200;
    p->content_type = "application/x-amz-json-1.1";
    buf_adds(&p->text, text ? text : "{}");
    free(text);
    json_decref(json);
}

static bool take_token(struct ssm_tokens *t, uint64_t rate, uint64_t burst)
{
    uint64_t now = now_ns();
    double most = burst ? (double)burst : (double)rate;

    if (!rate)
        return true;
    t->left = t->at_ns ? t->left + (double)(now - t->at_ns) * (double)rate / 1e9 : most;
    t->left = t->left < most ? t->left : most;
    t->at_ns = now;
    if (t->left < 1)
        return false;
    t->left -= 1;
    return true;
}

/* The three operations that read values share one quota. */
static bool within_rate(struct parameters *ps, enum op op)
{
    if (op == OP_GetParameter || op == OP_GetParameters || op == OP_GetParametersByPath)
        return take_token(&ps->gets, ps->gets_per_s, ps->burst);
    return take_token(&ps->others, ps->others_per_s, ps->burst);
}

bool ssm_allowed(struct server *s, const struct request *r, const char *name, struct reply *p)
{
    char *key = ssm_key_of(name);
    bool allowed = true;
    json_t *rule;
    size_t i;

    json_array_foreach(s->parameters.deny, i, rule)
    {
        const char *kind = json_string_value(json_object_get(rule, "kind"));
        const char *pattern = json_string_value(json_object_get(rule, "name"));

        if ((!kind || fnmatch(kind, op_name(r->op), 0) == 0) && (!pattern || fnmatch(pattern, key, 0) == 0))
            allowed = false;
    }
    if (!allowed)
        ssm_fail(p, r, "AccessDeniedException",
                 "User: arn:aws:iam::123456789012:user/test is not authorized to perform: ssm:%s on resource: "
                 "arn:aws:ssm:%s:123456789012:parameter%s because no identity-based policy allows the ssm:%s action",
                 op_name(r->op), s->region, key, op_name(r->op));
    free(key);
    return allowed;
}

static bool all_allowed(struct server *s, const struct request *r, struct reply *p)
{
    const json_t *names = json_object_get(r->json, "Names");
    json_t *name;
    size_t i;

    if (!json_is_array(names))
        return ssm_allowed(s, r, r->subject, p);
    json_array_foreach(names, i,
                       name) if (json_is_string(name) && !ssm_allowed(s, r, json_string_value(name), p)) return false;
    return true;
}

void ssm_perform(struct server *s, struct request *r, struct reply *p)
{
    if (!within_rate(&s->parameters, r->op)) {
        s->counts.throttled++;
        ssm_fail(p, r, "ThrottlingException", "Rate exceeded");
        return;
    }
    if (r->op == OP_Unknown) {
        ssm_fail(p, r, "UnknownOperationException", "no such operation");
        return;
    }
    if (!r->json) {
        ssm_fail(p, r, "SerializationException", "the body is not a JSON object");
        return;
    }
    if (!all_allowed(s, r, p))
        return;
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (operations[i].op == r->op)
            operations[i].perform(s, r, p);
}
