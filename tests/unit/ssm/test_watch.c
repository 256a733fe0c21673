#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/ssm/watch.h"
#include "util/json.h"

#include <stdio.h>
#include <string.h>

#define EVENT(operation, name)                                                                                         \
    "{\"source\":\"aws.ssm\",\"detail-type\":\"Parameter Store Change\",\"detail\":{\"operation\":\"" operation        \
    "\",\"name\":\"" name "\"}}"

static void an_event_says_which_name_has_changed_and_how(void **state)
{
    static const struct {
        const char *body, *name;
        bool listed;
    } cases[] = {
        {EVENT("Update", "/a/b"), "/a/b", false},
        {EVENT("Create", "/a/b"), "/a/b", true},
        {EVENT("Delete", "root"), "/root", true},
        {EVENT("LabelParameterVersion", "/a"), "/a", true},
        {"{\"Type\":\"Notification\",\"Message\":\"{\\\"source\\\":\\\"aws.ssm\\\",\\\"detail-type\\\":\\\"Parameter "
         "Store "
         "Change\\\",\\\"detail\\\":{\\\"operation\\\":\\\"Update\\\",\\\"name\\\":\\\"/w\\\"}}\"}",
         "/w", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct watch_event event;
        assert_true(watch_parse(cases[i].body, strlen(cases[i].body), &event));
        assert_string_equal(event.name, cases[i].name);
        assert_int_equal(event.listed, cases[i].listed);
    }
}

static void what_is_no_event_is_none(void **state)
{
    static const char *const none[] = {
        "",
        "[]",
        "null",
        "{",
        "{}",
        "{\"source\":\"aws.ssm\"}",
        "{\"source\":\"aws.s3\",\"detail-type\":\"Parameter Store Change\"}",
        "{\"source\":\"aws.ssm\",\"detail-type\":\"Parameter Store Change\",\"detail\":{\"name\":7}}",
        "{\"source\":\"aws.ssm\",\"detail-type\":\"EC2 Command\",\"detail\":{\"name\":\"/a\"}}",
        "{\"Message\":\"{}\"}",
        "{\"Message\":{}}"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct watch_event event;
        assert_false(watch_parse(none[i], strlen(none[i]), &event));
    }
    char name[1100], body[1400];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    int n = snprintf(body, sizeof(body), EVENT("Update", "%s"), name);
    struct watch_event event;
    assert_false(watch_parse(body, (size_t)n, &event));
}

static void the_pause_is_random_below_a_bound_that_doubles_up_to_a_minute(void **state)
{
    static const unsigned most[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (unsigned failures = 0; failures < sizeof(most) / sizeof(most[0]); failures++) {
        assert_int_equal(watch_pause_ms(failures, 0), 0);
        assert_in_range(watch_pause_ms(failures, UINT32_MAX / 2), most[failures] / 2 - 1, most[failures] / 2);
        assert_in_range(watch_pause_ms(failures, UINT32_MAX), most[failures] - 1, most[failures]);
    }
    assert_in_range(watch_pause_ms(UINT32_MAX, UINT32_MAX), 59999, 60000);
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_says_which_name_has_changed_and_how),
        cmocka_unit_test(what_is_no_event_is_none),
        cmocka_unit_test(the_pause_is_random_below_a_bound_that_doubles_up_to_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
