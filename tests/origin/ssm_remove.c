/* DeleteParameter and DeleteParameters. */
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "s3.h"
#include "ssm.h"

static bool remove_one(struct server *s, const char *name)
{
    char *key = ssm_key_of(name);
    int removed = map_del(s->parameters.by_name, key);

    free(key);
    return removed == 1;
}

void ssm_DeleteParameter(struct server *s, const struct request *r, struct reply *p)
{
    const char *name = ssm_text(r, "Name");

    if (name && remove_one(s, name))
        ssm_answer(p, json_object());
    else
        ssm_fail(p, r, "ParameterNotFound", "Parameter %s not found.", name ? name : "without name");
}

void ssm_DeleteParameters(struct server *s, const struct request *r, struct reply *p)
{
    const json_t *names = json_object_get(r->json, "Names");
    size_t n = json_array_size(names), i;
    json_t *gone, *invalid, *name;
    bool legal = n >= 1 && n <= 10;

    json_array_foreach(names, i, name) legal = legal && json_is_string(name);
    if (!legal) {
        ssm_fail(p, r, "ValidationException",
                 "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length "
                 "less than or equal to 10 and greater than or equal to 1");
        return;
    }
    gone = json_array();
    invalid = json_array();
    json_array_foreach(names, i, name) json_array_append(remove_one(s, json_string_value(name)) ? gone : invalid, name);
    ssm_answer(p, json_pack("{s:o, s:o}", "DeletedParameters", gone, "InvalidParameters", invalid));
}
