/* The state machine of how an inode's handles are served, as its table says. */
#include "vfs/open_mode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

struct row {
    const char *events; /* c: opened to be copied, p: by passthrough, x: one closed, r: refused */
    enum open_state state;
    unsigned handles;
    bool may_copy, may_pass;
};

static const struct row rows[] = {
    {"", OPEN_CLOSED, 0, true, true},
    {"c", OPEN_COPIED, 1, true, false},
    {"cc", OPEN_COPIED, 2, true, false},
    {"ccx", OPEN_COPIED, 1, true, false},
    {"ccxx", OPEN_CLOSED, 0, true, true},
    {"cxp", OPEN_PASSTHROUGH, 1, false, true},
    {"p", OPEN_PASSTHROUGH, 1, false, true},
    {"ppx", OPEN_PASSTHROUGH, 1, false, true},
    {"ppxx", OPEN_CLOSED, 0, true, true},
    {"pxc", OPEN_COPIED, 1, true, false},
    {"ppr", OPEN_COPIED, 2, true, false},
    {"pprc", OPEN_COPIED, 3, true, false},
    {"pprxx", OPEN_CLOSED, 0, true, true},
    {"pprxxp", OPEN_PASSTHROUGH, 1, false, true},
    {"cr", OPEN_COPIED, 1, true, false},
    {"r", OPEN_CLOSED, 0, true, true},
};

static void each_sequence_ends_where_the_table_says(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct open_mode m = {0};
        uint64_t id = 100;
        for (const char *event = rows[i].events; *event; event++) {
            if (*event == 'c' || *event == 'p') {
                enum open_state way = *event == 'c' ? OPEN_COPIED : OPEN_PASSTHROUGH;
                assert_true(open_mode_allows(&m, way));
                open_mode_enter(&m, way, ++id);
            } else if (*event == 'x') {
                open_mode_leave(&m);
            } else {
                open_mode_refuse(&m);
            }
        }
        assert_int_equal(m.state, rows[i].state);
        assert_int_equal(m.handles, rows[i].handles);
        assert_int_equal(open_mode_allows(&m, OPEN_COPIED), rows[i].may_copy);
        assert_int_equal(open_mode_allows(&m, OPEN_PASSTHROUGH), rows[i].may_pass);
        assert_int_equal(m.id != 0, m.state == OPEN_PASSTHROUGH);
    }
}

static void handles_that_are_open_together_share_an_id_and_later_ones_have_another(void **state)
{
    struct open_mode m = {0};

    open_mode_enter(&m, OPEN_PASSTHROUGH, 7);
    open_mode_enter(&m, OPEN_PASSTHROUGH, 8);
    assert_int_equal(m.id, 7);
    open_mode_leave(&m);
    assert_int_equal(m.id, 7);
    open_mode_leave(&m);
    open_mode_enter(&m, OPEN_PASSTHROUGH, 9);
    assert_int_equal(m.id, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sequence_ends_where_the_table_says),
        cmocka_unit_test(handles_that_are_open_together_share_an_id_and_later_ones_have_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
