/* What awsfs check tries leaves everything as it was. */
#include "suite.h"

#include "awsfs/check.h"
#include "util/clock.h"

#include <string.h>

/* Scratch names at the root. A directory bucket lists no prefix that is no directory, so all is looked through. */
static size_t count_scratch(struct suite *s)
{
    char token[4096] = "";
    size_t n = 0;
    do {
        const struct store_list l = {.prefix = "", .delimiter = true, .token = token[0] != 0 ? token : NULL};
        struct store_page page;
        struct err e = ERR_INIT;
        assert_int_equal(store_list(s->store, &l, NULL, &page, &e), ERR_OK);
        for (size_t i = 0; i < page.n; i++)
            n += strncmp(page.entries[i].key, ".awsfs-check-", 13) == 0;
        assert_true(page.next == NULL || strlen(page.next) < sizeof(token));
        strcpy(token, page.next != NULL ? page.next : "");
        store_page_release(&page);
    } while (token[0] != 0);
    return n;
}

static void trials_find_all_allowed_and_leave_nothing(struct suite *s)
{
    const uint64_t now = clock_mono_ms();
    const struct check_limits limits = {now + 20000, now + 40000, now + 60000};
    struct check_report r = {0};
    struct err e = ERR_INIT;
    if (s->root != NULL)
        return; /* containers are listed, nothing is tried in them */
    (void)put_str(s, key_of(s, "f"), "bytes");
    enum err_code code = store_try(s->store, &limits, &r, &e);
    if (code == ERR_UNSUPPORTED)
        return;
    assert_int_equal(code, ERR_OK);
    const struct check_row *why = NULL;
    if (!check_works(&r, &why))
        fail_msg("%s: %s", why->what, why->detail);
    assert_true(r.n > 5);
    for (size_t i = 0; i < r.n; i++)
        if (r.rows[i].need != CHECK_OPTIONAL && r.rows[i].verdict != CHECK_YES)
            fail_msg("%s is not allowed: %s", r.rows[i].what, r.rows[i].detail);
    assert_int_equal(count_scratch(s), 0);
    assert_content(s, key_of(s, "f"), "bytes");
}

const struct suite_case try_cases[] = {
    {"trials find all allowed and leave nothing", trials_find_all_allowed_and_leave_nothing, 0},
    {NULL, NULL, 0},
};
