/* Parameter policies: a JSON array in a string. */
#include <stdlib.h>
#include <string.h>

#include "s3.h"
#include "ssm.h"
#include "ssm_rules.h"

enum { POLICIES_MAX = 10, POLICIES_TEXT_MAX = 4096 };

static const struct {
    const char *type;
    const char *attributes[3];
} kinds[] = {{"Expiration", {"Timestamp"}},
             {"ExpirationNotification", {"Before", "Unit"}},
             {"NoChangeNotification", {"After", "Unit"}}};

/* "" for a policy without fault, else the code of the error. */
static const char *fault_of(const json_t *policy)
{
    const char *type = json_string_value(json_object_get(policy, "Type"));
    const json_t *attributes = json_object_get(policy, "Attributes");

    for (size_t i = 0; type && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        for (int a = 0; kinds[i].attributes[a]; a++)
            if (!json_is_string(json_object_get(attributes, kinds[i].attributes[a])))
                return "InvalidPolicyAttributeException";
        return "";
    }
    return "InvalidPolicyTypeException";
}

static bool all_right(const json_t *given, const struct request *r, struct reply *p)
{
    unsigned expirations = 0;
    json_t *policy;
    size_t i;

    if (json_array_size(given) > POLICIES_MAX) {
        ssm_fail(p, r, "PoliciesLimitExceededException", "You specified more than %d policies.", POLICIES_MAX);
        return false;
    }
    json_array_foreach(given, i, policy)
    {
        const char *type = json_string_value(json_object_get(policy, "Type")), *code = fault_of(policy);

        if (*code) {
            ssm_fail(p, r, code, "The policy %s or one of its attributes is invalid.", type ? type : "without type");
            return false;
        }
        expirations += strcmp(type, "Expiration") == 0;
    }
    if (expirations < 2)
        return true;
    ssm_fail(p, r, "IncompatiblePolicyException", "There is a conflict in the policies: two of type Expiration.");
    return false;
}

static bool clears(const json_t *given)
{
    return json_array_size(given) == 0 ||
           (json_array_size(given) == 1 && json_object_size(json_array_get(given, 0)) == 0);
}

json_t *ssm_policies_of(const struct request *r, const struct ssm_change *change, struct reply *p)
{
    const char *text = ssm_text(r, "Policies");
    json_t *given, *out = NULL, *policy;
    size_t i;

    if (!text)
        return change->before ? json_incref(json_object_get(change->before, "Policies")) : json_array();
    given = strlen(text) <= POLICIES_TEXT_MAX ? json_loads(text, 0, NULL) : NULL;
    if (!json_is_array(given)) {
        ssm_fail(p, r, "ValidationException", "Invalid policies input: not a JSON array of at most 4096 characters.");
    } else if (clears(given)) {
        out = json_array();
    } else if (all_right(given, r, p)) {
        out = json_array();
        json_array_foreach(given, i, policy)
        {
            char *one = json_dumps(policy, JSON_COMPACT | JSON_PRESERVE_ORDER);

            json_array_append_new(out, json_pack("{s:s, s:O, s:s}", "PolicyText", one, "PolicyType",
                                                 json_object_get(policy, "Type"), "PolicyStatus", "Pending"));
            free(one);
        }
    }
    json_decref(given);
    return out;
}
