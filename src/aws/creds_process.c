#include "aws/creds_process.h"

#include "util/child.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/shlex.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

enum { OUTPUT_MAX = 65536, COMMAND_MAX = 32768, WORDS_MAX = 256, TIMEOUT_MS = 60000 };

/* Fills argv with pointers into `text`, which takes the words with a NUL behind each. */
static enum err_code split(const char *command, struct buf *text, char *argv[WORDS_MAX + 1], struct err *e)
{
    size_t offsets[WORDS_MAX], n = 0;

    for (;;) {
        size_t begin = text->len;
        enum shlex result = shlex_next(&command, text);

        if (result == SHLEX_END)
            break;
        if (result != SHLEX_WORD)
            return err_set(e, ERR_INVAL, "the command %s",
                           result == SHLEX_OPEN_QUOTE ? "has a quote that is not closed" : "ends with a backslash");
        if (n == WORDS_MAX)
            return err_set(e, ERR_INVAL, "the command has more than %d words", WORDS_MAX);
        buf_add_char(text, '\0');
        offsets[n++] = begin;
    }
    enum err_code code = buf_check(text, "the command", e);
    if (code)
        return code;
    if (!n || !text->data[0])
        return err_set(e, ERR_INVAL, "the command is empty");
    for (size_t i = 0; i < n; i++)
        argv[i] = text->data + offsets[i];
    argv[n] = NULL;
    return ERR_OK;
}

static enum err_code decode(const struct buf *printed, const char *program, const char *label, struct creds **out,
                            struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(printed), printed->len, NULL);
    const struct json *root = doc ? json_root(doc) : NULL, *expiration = json_get(root, "Expiration");
    const char *id = json_get_str(root, "AccessKeyId"), *secret = json_get_str(root, "SecretAccessKey");
    struct timespec expires = {0};
    struct err local = ERR_INIT;
    int64_t version;

    if (!doc)
        return err_set(e, ERR_PROTO, "'%s' prints something that is no JSON", program);
    if (!json_int(json_get(root, "Version"), &version) || version != 1)
        return err_set(e, ERR_PROTO, "'%s' prints no \"Version\": 1, the only one that is known", program);
    if (!id || !secret)
        return err_set(e, ERR_PROTO, "'%s' prints no %s", program, id ? "SecretAccessKey" : "AccessKeyId");
    if (expiration && (!json_str(expiration, NULL) || !time_parse_iso8601(json_str(expiration, NULL), &expires)))
        return err_set(e, ERR_PROTO, "'%s' prints an Expiration that is no ISO 8601 time", program);
    *out = creds_new(id, secret, json_get_str(root, "SessionToken"), expires.tv_sec, label, &local);
    return *out ? ERR_OK : err_copy(e, &local);
}

enum err_code creds_process_run(const char *command, unsigned timeout_ms, const char *label, struct cancel *cancel,
                                struct creds **out, struct err *e)
{
    char *argv[WORDS_MAX + 1];
    BUF(text, COMMAND_MAX);
    BUF_SECRET(printed, OUTPUT_MAX);
    enum err_code code = split(command, &text, argv, e);

    if (code)
        return code;
    code = child_run(argv, timeout_ms, &printed, cancel, e);
    if (code == ERR_IO)
        return err_set(e, ERR_AUTH, "%s (what it says is not kept; run it by hand to see)", e ? e->msg : "");
    if (code)
        return code == ERR_NOT_FOUND ? err_set(e, ERR_AUTH, "there is no program '%s'", argv[0]) : code;
    return decode(&printed, argv[0], label, out, e);
}

enum err_code creds_process_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *command = creds_setting(ctx, "credential_process");
    struct err local = ERR_INIT;
    char label[96];

    if (!command)
        return err_set(e, ERR_NOT_FOUND, "profile %s has no credential_process", ctx->profile);
    snprintf(label, sizeof(label), "credential_process of profile %.60s", ctx->profile);
    enum err_code code = creds_process_run(command, TIMEOUT_MS, label, ctx->cancel, out, &local);
    return code ? err_copy(e, &local) : ERR_OK;
}
