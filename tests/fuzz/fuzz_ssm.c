/* Replies of the Parameter Store, and names and values by its rules. */
#include "fuzz.h"

#include "backends/ssm/names.h"
#include "backends/ssm/replies.h"
#include "backends/ssm/token.h"
#include "util/json.h"
#include "util/str.h"

#include <string.h>

static void check_param(const struct ssm_param *p)
{
    FUZZ_CHECK(p->name[0] && p->type[0] && p->arn && p->data_type && p->selector);
    FUZZ_CHECK(p->version >= 0 && p->modified_ms >= 0);
    FUZZ_CHECK(p->value[p->len] == '\0');
    (void)ssm_arn_prefix_of_arn(p->arn);
    const char *key = ssm_key_of("/p", p->name);
    FUZZ_CHECK(key == NULL || key[0]);
}

static void read_replies(const char *reply, size_t len)
{
    struct err e = ERR_INIT;
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
    if (ssm_parse_param(reply, len, &p, &e) == ERR_OK)
        check_param(&p);
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    if (ssm_parse_page(reply, len, &page, &e) == ERR_OK)
        for (size_t i = 0; i < page.n; i++)
            check_param(&page.params[i]);
    CLEANUP(ssm_described_free) struct ssm_described *d = NULL;
    CLEANUP(free) char *next = NULL;
    if (ssm_parse_described(reply, len, "/p/x", &d, &next, &e) == ERR_OK && d) {
        CLEANUP(ssm_described_free) struct ssm_described *copy = ssm_described_copy(d);
        FUZZ_CHECK(copy && d->type[0] && strcmp(copy->tier, d->tier) == 0);
    }
    int64_t version = 0;
    if (ssm_parse_put(reply, len, &version, &e) == ERR_OK)
        FUZZ_CHECK(version >= 0);
    const char *const names[] = {"/p/x", "/y"};
    bool gone[2] = {0};
    (void)!ssm_parse_deleted(reply, len, names, 2, gone, &e);
}

static void check_name(const char *key)
{
    struct ssm_name name, again;
    struct err e = ERR_INIT;
    if (ssm_name_for_write("/p", key, false, 44, &name, &e) == ERR_OK) {
        FUZZ_CHECK(strcmp(ssm_key_of("/p", name.text), key) == 0);
        FUZZ_CHECK(ssm_name_for_read("/p", key, &again, &e) == ERR_OK && !again.selector);
        FUZZ_CHECK(strcmp(again.text, name.text) == 0 && strlen(name.text) + 44 <= SSM_ARN_MAX);
    }
    if (ssm_name_for_read("/p", key, &again, &e) == ERR_OK)
        FUZZ_CHECK(again.selector == (strchr(again.text, ':') != NULL));
    char path[SSM_ARN_MAX];
    if (ssm_path_make(key, path, sizeof(path), &e) == ERR_OK)
        FUZZ_CHECK(path[0] == '\0' || (path[0] == '/' && path[strlen(path) - 1] != '/'));
    CLEANUP(free) char *token = NULL;
    if (key[0] && ssm_token_make(NULL, key, &token, &e) == ERR_OK)
        FUZZ_CHECK(strcmp(ssm_token_raw(token), key) == 0);
    (void)ssm_token_raw(key);
    (void)ssm_name_stays_local(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        json_init();
    ready = true;
    read_replies((const char *)data, size);
    struct err e = ERR_INIT;
    if (size > 0 && ssm_value_check("/p/x", data, size, SSM_VALUE_STANDARD, &e) == ERR_OK)
        FUZZ_CHECK(size <= SSM_VALUE_STANDARD && utf8_valid((const char *)data, size));
    CLEANUP(free) char *text = str_ndup((const char *)data, size);
    check_name(text);
    return 0;
}
