#include "fault.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

void faults_init(struct faults *f)
{
    f->rules = json_array();
}

void faults_release(struct faults *f)
{
    json_decref(f->rules);
    f->rules = NULL;
}

void faults_clear(struct faults *f)
{
    json_array_clear(f->rules);
}

static void fill_flags(struct fault_plan *plan, const json_t *action)
{
    plan->hang = json_is_true(json_object_get(action, "hang"));
    plan->reset = json_is_true(json_object_get(action, "reset"));
    plan->execute_then_reset = json_is_true(json_object_get(action, "execute_then_reset"));
    plan->loop_listing = json_is_true(json_object_get(action, "loop_listing"));
    plan->malformed_xml = json_is_true(json_object_get(action, "malformed_xml"));
    plan->entity_xml = json_is_true(json_object_get(action, "entity_xml"));
    plan->error_in_200 = json_is_true(json_object_get(action, "error_in_200"));
    plan->empty_200 = json_is_true(json_object_get(action, "empty_200"));
}

static uint64_t number(const json_t *action, const char *name, bool *has)
{
    const json_t *v = json_object_get(action, name);

    if (has)
        *has = v != NULL;
    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

static char *text(const json_t *action, const char *name)
{
    const char *s = json_string_value(json_object_get(action, name));

    return s ? x_strdup(s) : NULL;
}

static enum wrong_range range_mode(const json_t *v)
{
    const char *s = json_string_value(v);

    if (s && strcmp(s, "whole") == 0)
        return RANGE_WHOLE;
    return json_is_true(v) || s ? RANGE_SHIFTED : RANGE_RIGHT;
}

static void fill_plan(struct fault_plan *plan, const json_t *action)
{
    const json_t *execute = json_object_get(action, "execute");

    plan->active = true;
    fill_flags(plan, action);
    plan->delay_ms = number(action, "delay_ms", NULL);
    plan->status = (int)number(action, "status", NULL);
    plan->code = text(action, "code");
    plan->retry_after_s = number(action, "retry_after", &plan->has_retry_after);
    plan->reset_after = number(action, "reset_after", &plan->has_reset_after);
    plan->cut_after = number(action, "cut_after", &plan->has_cut_after);
    plan->corrupt_at = number(action, "corrupt_at", &plan->has_corrupt_at);
    plan->stall_after = number(action, "stall_after", &plan->has_stall_after);
    plan->trickle_bps = number(action, "trickle_bps", NULL);
    plan->huge_xml = number(action, "huge_xml", NULL);
    plan->redirect = text(action, "redirect");
    plan->lie_etag = text(action, "lie_etag");
    plan->lie_length = json_integer_value(json_object_get(action, "lie_length"));
    plan->skew_s = json_integer_value(json_object_get(action, "skew_s"));
    plan->wrong_range = range_mode(json_object_get(action, "wrong_range"));
    plan->execute = execute ? json_is_true(execute) : -1;
}

void fault_plan_release(struct fault_plan *plan)
{
    free(plan->code);
    free(plan->redirect);
    free(plan->lie_etag);
    memset(plan, 0, sizeof(*plan));
}

static const char *check_action(const json_t *action)
{
    static const struct {
        const char *name;
        json_type type;
    } known[] = {
        {"delay_ms", JSON_INTEGER},    {"hang", JSON_TRUE},           {"status", JSON_INTEGER},
        {"code", JSON_STRING},         {"retry_after", JSON_INTEGER}, {"reset", JSON_TRUE},
        {"reset_after", JSON_INTEGER}, {"cut_after", JSON_INTEGER},   {"execute_then_reset", JSON_TRUE},
        {"corrupt_at", JSON_INTEGER},  {"redirect", JSON_STRING},     {"lie_length", JSON_INTEGER},
        {"lie_etag", JSON_STRING},     {"loop_listing", JSON_TRUE},   {"malformed_xml", JSON_TRUE},
        {"huge_xml", JSON_INTEGER},    {"entity_xml", JSON_TRUE},     {"error_in_200", JSON_TRUE},
        {"skew_s", JSON_INTEGER},      {"stall_after", JSON_INTEGER}, {"trickle_bps", JSON_INTEGER},
        {"wrong_range", JSON_NULL},    {"empty_200", JSON_TRUE},      {"execute", JSON_NULL},
    };
    const char *name;
    json_t *value;

    if (json_object_size(action) == 0)
        return "action: a name, or an object with at least one member";
    json_object_foreach((json_t *)action, name, value)
    {
        size_t i = 0;

        while (i < sizeof(known) / sizeof(known[0]) && strcmp(name, known[i].name) != 0)
            i++;
        if (i == sizeof(known) / sizeof(known[0]))
            return "action: unknown member";
        if (known[i].type != JSON_NULL && json_typeof(value) != known[i].type)
            return "action: member of the wrong type";
    }
    return NULL;
}

static bool is_integer_or_absent(const json_t *v)
{
    return !v || json_is_integer(v);
}

static bool is_string_or_absent(const json_t *v)
{
    return !v || json_is_string(v);
}

static void set_default(json_t *rule, const char *name, json_t *value)
{
    if (json_object_get(rule, name))
        json_decref(value);
    else
        json_object_set_new(rule, name, value);
}

const char *faults_add(struct faults *f, const json_t *given)
{
    json_t *rule;
    json_t *action = json_object_get(given, "action");
    const char *wrong;

    if (!json_is_object(given))
        return "a rule is an object";
    if (!is_string_or_absent(json_object_get(given, "kind")) || !is_string_or_absent(json_object_get(given, "key")))
        return "kind and key are strings";
    if (!is_integer_or_absent(json_object_get(given, "count")) || !is_integer_or_absent(json_object_get(given, "skip")))
        return "count and skip are integers";
    rule = json_deep_copy(given);
    if (json_is_string(action)) {
        json_t *object = json_object();

        json_object_set_new(object, json_string_value(action), json_true());
        json_object_set_new(rule, "action", object);
    }
    wrong = check_action(json_object_get(rule, "action"));
    if (wrong) {
        json_decref(rule);
        return wrong;
    }
    set_default(rule, "kind", json_string("*"));
    set_default(rule, "key", json_string("*"));
    set_default(rule, "count", json_integer(1));
    set_default(rule, "skip", json_integer(0));
    json_object_set_new(rule, "hits", json_integer(0));
    json_array_append_new(f->rules, rule);
    return NULL;
}

static bool rule_matches(const json_t *rule, const struct fault_target *t)
{
    const char *kind = json_string_value(json_object_get(rule, "kind"));
    const char *key = json_string_value(json_object_get(rule, "key"));
    const char *region = json_string_value(json_object_get(json_object_get(rule, "action"), "redirect"));

    if (strcmp(kind, "*") != 0 && strcmp(kind, t->kind) != 0)
        return false;
    if (region && strcmp(region, t->region) == 0)
        return false;
    return fnmatch(key, t->target, 0) == 0;
}

/* Counts a matching request against skip and count; true when the rule fires. */
static bool rule_fires(json_t *rule)
{
    json_int_t skip = json_integer_value(json_object_get(rule, "skip"));
    json_int_t count = json_integer_value(json_object_get(rule, "count"));
    json_int_t hits = json_integer_value(json_object_get(rule, "hits"));

    if (skip > 0) {
        json_object_set_new(rule, "skip", json_integer(skip - 1));
        return false;
    }
    if (count >= 0 && hits >= count)
        return false;
    json_object_set_new(rule, "hits", json_integer(hits + 1));
    return true;
}

void faults_select(struct faults *f, const struct fault_target *target, struct fault_plan *plan)
{
    json_t *rule;
    size_t i;

    json_array_foreach(f->rules, i, rule)
    {
        if (rule_matches(rule, target) && rule_fires(rule)) {
            fill_plan(plan, json_object_get(rule, "action"));
            return;
        }
    }
}
