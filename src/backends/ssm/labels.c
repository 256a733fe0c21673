/*
 * Labels as extended attributes. "labels" of a version are all that it has, "label.NAME" of a parameter is the version that NAME
 * stands for. A label belongs to one version: giving it to another moves it.
 */
#include "backends/ssm/labels.h"

#include "backends/ssm/call.h"
#include "backends/ssm/derived.h"
#include "backends/ssm/history.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/requests.h"
#include "util/buf.h"
#include "util/json.h"
#include "util/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ONE "label."
#define MOVED_MAX 4

bool labels_known(const char *name)
{
    return strcmp(name, "labels") == 0 || str_starts(name, ONE);
}

/* A set of labels. */
struct labels {
    char text[SSM_LABELS_MAX][SSM_LABEL_MAX + 1];
    size_t n;
};

static bool has(const struct labels *l, const char *label)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->text[i], label) == 0)
            return true;
    return false;
}

/* As the service takes it (reference of LabelParameterVersion). */
static bool legal(const char *label)
{
    return ssm_selector_legal(label) && !(label[0] >= '0' && label[0] <= '9') && strncasecmp(label, "aws", 3) != 0 &&
           strncasecmp(label, "ssm", 3) != 0;
}

/* Between commas or white space. */
static enum err_code parse(const char *value, size_t len, struct labels *out, struct err *e)
{
    static const char separators[] = ", \t\n";
    for (size_t at = 0; at < len;) {
        size_t n = 0;
        while (at + n < len && (value[at + n] == '\0' || strchr(separators, value[at + n]) == NULL))
            n++;
        char label[SSM_LABEL_MAX + 1] = "";
        snprintf(label, sizeof(label), "%.*s", (int)n, value + at);
        at += n + 1;
        if (n == 0)
            continue;
        if (n > SSM_LABEL_MAX || strlen(label) != n || !legal(label))
            return err_set(e, ERR_INVAL,
                           "\"%s\" is no label: at most %d of a-z, A-Z, 0-9, '.', '-', '_', not beginning with a digit, aws or ssm",
                           label, SSM_LABEL_MAX);
        if (has(out, label))
            continue;
        if (out->n == SSM_LABELS_MAX)
            return err_set(e, ERR_INVAL, "more than %d labels of one version", SSM_LABELS_MAX);
        memcpy(out->text[out->n++], label, sizeof(label));
    }
    return ERR_OK;
}

/* `invalid` gets how many of the labels the service did not take. */
static enum err_code send(struct ssm *s, const char *op, const char *name, int64_t number, const struct labels *l,
                          const struct store_call *call, size_t *invalid, struct err *e)
{
    *invalid = 0;
    if (l->n == 0)
        return ERR_OK;
    const char *texts[SSM_LABELS_MAX];
    for (size_t i = 0; i < l->n; i++)
        texts[i] = l->text[i];
    BUF(request, SSM_BODY_MAX);
    ssm_request_labels(&request, name, number, texts, l->n);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, op, name, &request, call, &reply, e);
    if (code != ERR_OK)
        return code;
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(&reply.body), reply.body.len, e);
    if (doc == NULL)
        return err_set(e, ERR_PROTO, "%s %s: the reply is no JSON (request %s)", op, name, reply.request_id);
    *invalid = json_len(json_get(json_root(doc), "InvalidLabels"));
    return ERR_OK;
}

static enum err_code put_on(struct ssm *s, const char *name, int64_t number, const struct labels *l, const struct store_call *call,
                            struct err *e)
{
    size_t invalid;
    enum err_code code = send(s, "LabelParameterVersion", name, number, l, call, &invalid, e);
    if (code == ERR_OK && invalid > 0)
        return err_set(e, ERR_INVAL, "LabelParameterVersion %s: the service refuses one of the labels", name);
    return code;
}

/* *gone: what was not on that version, which is also what a request says that is sent again because its first answer was lost. */
static enum err_code take_off(struct ssm *s, const char *name, int64_t number, const struct labels *l, const struct store_call *call,
                              size_t *gone, struct err *e)
{
    return send(s, "UnlabelParameterVersion", name, number, l, call, gone, e);
}

/* The parameter that a key is about, and its version unless *number has it: the one that is there now, or what the key says. */
static enum err_code find(struct ssm *s, const char *key, const struct store_call *call, struct ssm_name *name, int64_t *number,
                          struct err *e)
{
    enum err_code code = ssm_name_for_read(s->path, key, name, e);
    if (code != ERR_OK)
        return code;
    if (ssm_is_public(key))
        return err_set(e, ERR_PERM, "%s is not of this account", key);
    char *colon = strchr(name->text, ':');
    bool said = *number > 0 || (colon != NULL && str_parse_i64(colon + 1, number));
    if (said) {
        name->text[strcspn(name->text, ":")] = '\0';
        return ERR_OK;
    }
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
    code = ssm_read_sealed(s, name, call, &p, e);
    if (code != ERR_OK)
        return code;
    *number = p.version;
    name->text[strcspn(name->text, ":")] = '\0';
    return ERR_OK;
}

/* What of `a` is not in `b`. */
static void without(const struct labels *a, const struct labels *b, struct labels *out)
{
    out->n = 0;
    for (size_t i = 0; i < a->n; i++)
        if (!has(b, a->text[i]))
            memcpy(out->text[out->n++], a->text[i], sizeof(a->text[i]));
}

static enum err_code set_all(struct ssm *s, const char *key, const struct labels *wanted, const struct store_call *call,
                             struct err *e)
{
    struct ssm_name name;
    int64_t number = 0;
    CLEANUP_RELEASE(ssm_version_release) struct ssm_version version = {0};
    enum err_code code = find(s, key, call, &name, &number, e);
    if (code == ERR_OK)
        code = ssm_history_find(s, name.text, number, call, &version, e);
    struct labels now = {.n = 0}, more, less;
    if (code == ERR_OK && version.labels != NULL)
        code = parse(version.labels, strlen(version.labels), &now, e);
    if (code != ERR_OK)
        return code;
    without(wanted, &now, &more);
    without(&now, wanted, &less);
    /* New ones first, so that a failure leaves too many and not too few, unless there is no room. */
    bool first = now.n + more.n <= SSM_LABELS_MAX;
    size_t gone;
    if (first)
        code = put_on(s, name.text, number, &more, call, e);
    if (code == ERR_OK)
        code = take_off(s, name.text, number, &less, call, &gone, e);
    if (code == ERR_OK && !first)
        code = put_on(s, name.text, number, &more, call, e);
    return code;
}

/* The version that a label stands for. ERR_NO_ATTR: there is no such label. */
static enum err_code version_of(struct ssm *s, const char *key, const char *label, const struct store_call *call,
                                struct ssm_name *name, int64_t *number, struct err *e)
{
    if (strchr(strrchr(key, '/') ? strrchr(key, '/') : key, '@') != NULL)
        return err_set(e, ERR_NO_ATTR, "%s: only the parameter itself has %s%s", key, ONE, label);
    BUF(labelled, SSM_NAME_SIZE);
    buf_addf(&labelled, "%s@%s", key, label);
    enum err_code code = buf_check(&labelled, key, e);
    struct err why = ERR_INIT;
    if (code == ERR_OK && legal(label))
        code = find(s, buf_str(&labelled), call, name, number, &why);
    else if (code == ERR_OK)
        code = ERR_NOT_FOUND;
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_NO_ATTR, "%s has no label %s", key, label);
    return code == ERR_OK || why.code == ERR_OK ? code : err_copy(e, &why);
}

/* From whatever version it is on: it may be moved between the two requests. */
static enum err_code remove_one(struct ssm *s, const char *key, const struct labels *one, const struct store_call *call,
                                struct err *e)
{
    struct err why = ERR_INIT;
    for (int times = 0; times < MOVED_MAX; times++) {
        struct ssm_name name;
        int64_t number = 0;
        size_t gone;
        enum err_code code = version_of(s, key, one->text[0], call, &name, &number, &why);
        if (code == ERR_NO_ATTR && times > 0)
            return ERR_OK;
        if (code == ERR_OK)
            code = take_off(s, name.text, number, one, call, &gone, &why);
        if (code != ERR_OK)
            return err_copy(e, &why);
        if (gone == 0)
            return ERR_OK;
    }
    return err_set(e, ERR_CONFLICT, "%s: others move the label %s", key, one->text[0]);
}

static enum err_code set_one(struct ssm *s, const char *key, const char *label, const char *value, size_t len,
                             const struct store_call *call, struct err *e)
{
    struct ssm_name name;
    int64_t number = 0;
    struct labels one = {.n = 0};
    enum err_code code = parse(label, strlen(label), &one, e);
    if (code == ERR_OK && one.n != 1)
        code = err_set(e, ERR_INVAL, "\"%s\" is no label", label);
    if (code != ERR_OK)
        return code;
    if (value == NULL)
        return remove_one(s, key, &one, call, e);
    char digits[24];
    snprintf(digits, sizeof(digits), "%.*s", (int)(len < sizeof(digits) ? len : 0), value);
    if (!str_parse_i64(digits, &number) || number < 1)
        return err_set(e, ERR_INVAL, "%s of %s: must be the number of a version", label, key);
    code = ssm_name_for_read(s->path, key, &name, e);
    if (code == ERR_OK && (name.selector || ssm_is_public(key)))
        return err_set(e, ERR_PERM, "%s: only the parameter itself has %s%s", key, ONE, label);
    return code == ERR_OK ? put_on(s, name.text, number, &one, call, e) : code;
}

enum err_code labels_set(struct ssm *s, const char *key, const char *property, const char *value, size_t len,
                         const struct store_call *call, struct err *e)
{
    if (str_starts(property, ONE))
        return set_one(s, key, property + strlen(ONE), value, len, call, e);
    struct labels wanted = {.n = 0};
    enum err_code code = value ? parse(value, len, &wanted, e) : ERR_OK;
    return code == ERR_OK ? set_all(s, key, &wanted, call, e) : code;
}

enum err_code labels_get(struct ssm *s, const char *key, const char *property, int64_t number, const struct store_call *call,
                         struct buf *out, struct err *e)
{
    if (str_starts(property, ONE)) {
        struct ssm_name name;
        number = 0;
        enum err_code code = version_of(s, key, property + strlen(ONE), call, &name, &number, e);
        if (code == ERR_OK)
            buf_addf(out, "%" PRId64, number);
        return code == ERR_OK ? buf_check(out, property, e) : code;
    }
    return version_told(s, key, property, number, call, out, e);
}

enum err_code version_told(struct ssm *s, const char *key, const char *property, int64_t number, const struct store_call *call,
                           struct buf *out, struct err *e)
{
    struct ssm_name name;
    CLEANUP_RELEASE(ssm_version_release) struct ssm_version version = {0};
    enum err_code code = find(s, key, call, &name, &number, e);
    if (code == ERR_OK)
        code = ssm_history_find(s, name.text, number, call, &version, e);
    const char *text = code == ERR_OK ? ssm_version_told(&version, property) : NULL;
    if (code == ERR_OK && text == NULL)
        return err_set(e, ERR_NO_ATTR, "%s has no %s", key, property);
    if (code == ERR_OK)
        buf_add_str(out, text);
    return code == ERR_OK ? buf_check(out, property, e) : code;
}
