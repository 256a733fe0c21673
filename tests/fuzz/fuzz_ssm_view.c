/* Views of parameters, from generated names and values, and names of what is made of parameters. */
#include "fuzz.h"

#include "backends/ssm/derived.h"
#include "backends/ssm/history.h"
#include "backends/ssm/names.h"
#include "backends/ssm/view.h"
#include "util/json.h"
#include "util/str.h"

#include <string.h>

#define ITEMS_MAX 16

static const char *const views[] = {"@env",  "@export",    "@dotenv", "@docker",    "@tfvars",     "@json",
                                    "@yaml", "@tree.json", "@csv",    "@tree.yaml", "@properties", "@tsv"};

struct input {
    const char *p;
    size_t left;
};

static unsigned char next_byte(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return (unsigned char)*in->p++;
}

/* A name as parameters have it, without a slash unless the view is a tree. */
static void make_name(struct input *in, bool tree, char *out, size_t size)
{
    static const char letters[] = "abcXYZ019_.-/";
    size_t choices = sizeof(letters) - 1 - !tree, len = 1 + next_byte(in) % (size - 2);
    for (size_t i = 0; i < len; i++)
        out[i] = letters[next_byte(in) % choices];
    out[len] = '\0';
    for (size_t i = 0; i < len; i++)
        if (out[i] == '/' && (i == 0 || i == len - 1 || out[i - 1] == '/'))
            out[i] = 's';
}

static bool is_there(const struct view_item *items, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i].name, name) == 0)
            return true;
    return false;
}

/* What is JSON for one reader has every value; no other form is checked but for its bounds. */
static void check_json(const struct view_item *items, size_t n, const struct buf *out)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(out), out->len, NULL);
    FUZZ_CHECK(doc != NULL);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *value = json_str(json_get(json_root(doc), items[i].name), &len);
        FUZZ_CHECK(value != NULL && len == items[i].len && memcmp(value, items[i].value, len) == 0);
    }
}

static void render(struct input *in)
{
    struct view v;
    FUZZ_CHECK(view_parse(views[next_byte(in) % ARRAY_LEN(views)], &v));
    char names[ITEMS_MAX][24];
    struct view_item items[ITEMS_MAX];
    size_t n = 0, wanted = next_byte(in) % (ITEMS_MAX + 1);
    for (size_t i = 0; i < wanted; i++) {
        make_name(in, v.tree, names[n], sizeof(names[n]));
        size_t len = next_byte(in);
        len = len < in->left ? len : in->left;
        const char *value = in->p;
        in->p += len;
        in->left -= len;
        if (is_there(items, n, names[n]) || !utf8_valid(value, len))
            continue;
        items[n] = (struct view_item){.name = names[n], .value = value, .len = len, .list = next_byte(in) & 1};
        n++;
    }
    struct err e = ERR_INIT;
    BUF_SECRET(out, VIEW_MAX);
    enum err_code code = view_render(&v, items, n, &out, &e);
    FUZZ_CHECK(code == ERR_OK || code == ERR_INVAL);
    FUZZ_CHECK((code == ERR_OK) == (e.msg[0] == '\0'));
    if (code != ERR_OK)
        return;
    FUZZ_CHECK(out.len == 0 || (buf_str(&out)[out.len - 1] == '\n' && utf8_valid(buf_str(&out), out.len)));
    if (v.format == VIEW_JSON && !v.tree)
        check_json(items, n, &out);
}

static void read_key(const char *key)
{
    size_t len;
    const char *version;
    struct ssm_name name;
    struct view v;
    if (ssm_history_parse(key, &len, &version))
        FUZZ_CHECK(len > 0 && len < strlen(key) && (version == NULL || version > key + len));
    if (ssm_name_for_read("/p", key, &name, NULL) == ERR_OK)
        FUZZ_CHECK(name.text[0] == '/' && strlen(name.text) < sizeof(name.text));
    if (view_parse(key, &v))
        FUZZ_CHECK(key[0] == '@');
    (void)ssm_selector_legal(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        json_init();
    ready = true;
    struct input in = {(const char *)data, size};
    render(&in);
    CLEANUP(free) char *text = str_ndup((const char *)data, size);
    read_key(text);
    struct ssm_history h = {0};
    if (ssm_parse_history((const char *)data, size, &h, NULL) == ERR_OK)
        for (size_t i = 0; i < h.n; i++)
            FUZZ_CHECK(h.versions[i].param.name[0] && h.versions[i].param.version >= 0);
    ssm_history_release(&h);
    return 0;
}
