#include "network.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "map.h"

/* A sender that is late by up to the slack catches up; one that had nothing to send for longer begins anew. */
static const uint64_t SECOND_NS = 1000000000, MS_NS = 1000000, SLACK_NS = 5000000, SOON_NS = 50000;

enum { PIECE_MAX = 256 << 10, PIECES_PER_S = 1000 };

/* The requests that a prefix still bears, as of a time. */
struct tokens {
    double left;
    uint64_t at_ns;
};

void network_init(struct network *n)
{
    memset(n, 0, sizeof(*n));
    n->given = json_object();
    n->prefixes = map_new(free);
}

void network_release(struct network *n)
{
    for (size_t i = 0; i < n->rule_count; i++) {
        free(n->rules[i].kind);
        free(n->rules[i].key);
    }
    free(n->rules);
    map_free(n->prefixes);
    json_decref(n->given);
    memset(n, 0, sizeof(*n));
}

void network_clear(struct network *n)
{
    network_release(n);
    network_init(n);
}

static const struct setting {
    const char *name;
    size_t offset;
    uint64_t unit;
    bool in_rule;
} settings[] = {
    {"latency_ms", offsetof(struct network, latency_ns), MS_NS, true},
    {"connect_ms", offsetof(struct network, connect_ns), MS_NS, false},
    {"connection_bps", offsetof(struct network, connection_bps), 1, true},
    {"total_bps", offsetof(struct network, total_bps), 1, false},
    {"gets_per_s", offsetof(struct network, gets_per_s), 1, false},
    {"puts_per_s", offsetof(struct network, puts_per_s), 1, false},
    {"burst", offsetof(struct network, burst), 1, false},
};

static const struct setting *find_setting(const char *name)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

static const char *check(const json_t *in, bool rule)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)in, name, value)
    {
        const struct setting *s = find_setting(name);

        if (strcmp(name, "key") == 0 || strcmp(name, "kind") == 0) {
            if (!json_is_string(value))
                return "network: key and kind are strings";
        } else if (!s) {
            return "network: unknown member";
        } else if (rule && !s->in_rule) {
            return "network: by key or kind there are latency_ms and connection_bps";
        } else if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) > 1e12) {
            return "network: a member is a number from 0 to 10^12";
        }
    }
    return NULL;
}

static uint64_t number(const json_t *in, const char *name, uint64_t unit, uint64_t otherwise)
{
    const json_t *v = json_object_get(in, name);

    return v ? (uint64_t)(json_number_value(v) * (double)unit) : otherwise;
}

static void add_rule(struct network *n, const json_t *in)
{
    const char *kind = json_string_value(json_object_get(in, "kind"));
    const char *key = json_string_value(json_object_get(in, "key"));
    json_t *rules = json_object_get(n->given, "rules");

    n->rules = x_realloc(n->rules, (n->rule_count + 1) * sizeof(*n->rules));
    n->rules[n->rule_count++] = (struct network_rule){
        .kind = x_strdup(kind ? kind : "*"),
        .key = x_strdup(key ? key : "*"),
        .latency_ns = number(in, "latency_ms", MS_NS, n->latency_ns),
        .connection_bps = number(in, "connection_bps", 1, n->connection_bps),
    };
    if (!rules) {
        rules = json_array();
        json_object_set_new(n->given, "rules", rules);
    }
    json_array_append_new(rules, json_deep_copy(in));
}

const char *network_set(struct network *n, const json_t *in)
{
    bool rule = json_object_get(in, "key") || json_object_get(in, "kind");
    const char *wrong = check(in, rule);

    if (wrong)
        return wrong;
    if (rule) {
        add_rule(n, in);
        return NULL;
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        uint64_t *value = (uint64_t *)((char *)n + settings[i].offset);

        *value = number(in, settings[i].name, settings[i].unit, *value);
    }
    json_object_update(n->given, (json_t *)in);
    map_free(n->prefixes);
    n->prefixes = map_new(free);
    return NULL;
}

json_t *network_json(const struct network *n)
{
    return json_deep_copy(n->given);
}

/* Takes one request from what the prefix (all up to the last '/') bears; false when there is nothing left. */
static bool take_token(struct network *n, const char *target, bool reads, uint64_t now_ns)
{
    uint64_t rate = reads ? n->gets_per_s : n->puts_per_s;
    const char *slash = strrchr(target, '/');
    double most = n->burst ? (double)n->burst : rate < 10 ? 1 : (double)rate / 10;
    struct tokens *t;
    struct buf name = {0};

    if (!rate || !slash)
        return true;
    buf_adds(&name, reads ? "r" : "w");
    buf_add(&name, target, (size_t)(slash - target));
    t = map_get(n->prefixes, name.data);
    if (!t) {
        t = x_alloc(sizeof(*t));
        *t = (struct tokens){most, now_ns};
        map_put(n->prefixes, name.data, t);
    }
    buf_release(&name);
    t->left += (double)(now_ns - t->at_ns) * (double)rate / (double)SECOND_NS;
    t->left = t->left < most ? t->left : most;
    t->at_ns = now_ns;
    if (t->left < 1)
        return false;
    t->left -= 1;
    return true;
}

void network_select(struct network *n, const struct fault_target *about, bool reads, uint64_t now_ns,
                    struct network_plan *plan)
{
    *plan = (struct network_plan){.latency_ns = n->latency_ns, .bps = n->connection_bps};
    for (size_t i = 0; i < n->rule_count; i++) {
        const struct network_rule *rule = &n->rules[i];

        if ((strcmp(rule->kind, "*") != 0 && strcmp(rule->kind, about->kind) != 0) ||
            fnmatch(rule->key, about->target, 0) != 0)
            continue;
        plan->latency_ns = rule->latency_ns;
        plan->bps = rule->connection_bps;
        break;
    }
    plan->throttled = !take_token(n, about->target, reads, now_ns);
}

bool network_paces(const struct network *n, uint64_t bps)
{
    return bps || n->total_bps;
}

static uint64_t book(struct pace *p, uint64_t bytes, uint64_t bps, uint64_t now_ns)
{
    if (p->booked_ns + SLACK_NS < now_ns)
        p->booked_ns = now_ns;
    p->booked_ns += (uint64_t)((double)bytes * (double)SECOND_NS / (double)bps);
    return p->booked_ns;
}

uint64_t network_grant(struct network *n, struct pace *own, uint64_t bps, uint64_t left, uint64_t now_ns,
                       uint64_t *at_ns)
{
    uint64_t least = bps && (!n->total_bps || bps < n->total_bps) ? bps : n->total_bps;
    uint64_t piece = least / PIECES_PER_S;
    uint64_t at = now_ns;

    piece = piece < 1 ? 1 : piece < PIECE_MAX ? piece : PIECE_MAX;
    piece = piece < left ? piece : left;
    if (bps)
        at = book(own, piece, bps, now_ns);
    if (n->total_bps) {
        uint64_t all = book(&n->total, piece, n->total_bps, now_ns);

        at = all > at ? all : at;
    }
    *at_ns = at > now_ns + SOON_NS ? at : now_ns;
    return piece;
}
