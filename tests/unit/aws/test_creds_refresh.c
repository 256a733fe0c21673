#include "creds_fixture.h"

#include "util/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void refreshes_are_early_spread_out_and_never_before_half_of_a_short_life(void **state)
{
    const time_t now = 1000000;

    assert_int_equal(creds_refresh_time(now, now + 3600, 0), now + 3600 - CREDS_ADVISORY_S);
    assert_in_range(creds_refresh_time(now, now + 3600, UINT32_MAX), now + 3600 - CREDS_MANDATORY_S - 1,
                    now + 3600 - CREDS_MANDATORY_S);
    assert_int_equal(creds_refresh_time(now, now + 900, 0), now + 450);
    assert_int_equal(creds_refresh_time(now, now + 2, 0), now + 1);
}

static bool wait_for_key(struct creds_provider *p, const char *key, unsigned ms)
{
    uint64_t end = clock_mono_ms() + ms;

    while (clock_mono_ms() < end) {
        struct creds *c = NULL;
        bool found = !creds_get(p, &c, NULL) && !strcmp(c->access_key_id, key);

        creds_unref(c);
        if (found)
            return true;
        usleep(10000);
    }
    return false;
}

static struct creds_provider *role_provider(void)
{
    struct err e = ERR_INIT;

    sandbox_write(".aws/config", "[profile r]\nrole_arn = arn:R\nsource_profile = base\n"
                                 "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = MARKER\n");
    struct creds_provider *p = provider("r", &e);
    if (!p)
        fail_msg("%s", e.msg);
    return p;
}

static void credentials_are_refreshed_before_they_expire(void **state)
{
    struct sts_script sts = {.expires_s = 4};
    struct script *s = use_sts(&sts);
    struct creds_provider *p = role_provider();

    atomic_store(&sts.expires_s, 3600);
    assert_true(wait_for_key(p, "ROLE1", 3500));
    creds_provider_free(p);
    script_stop(s);
}

static void a_refresh_that_fails_leaves_the_old_ones_until_they_expire(void **state)
{
    struct sts_script sts = {.expires_s = 8};
    struct script *s = use_sts(&sts);
    struct creds_provider *p = role_provider();
    struct creds *c = NULL;
    struct err e = ERR_INIT;

    atomic_store(&sts.refuse, true);
    for (int i = 0; i < 200 && atomic_load(&sts.calls) < 2; i++)
        usleep(50000);
    assert_true(atomic_load(&sts.calls) > 1);
    assert_int_equal(creds_get(p, &c, &e), ERR_OK);
    creds_unref(c);
    enum err_code code = ERR_OK;
    for (int i = 0; i < 200 && code == ERR_OK; i++) {
        usleep(50000);
        c = NULL;
        code = creds_get(p, &c, &e);
        creds_unref(c);
    }
    assert_int_equal(code, ERR_AUTH);
    assert_non_null(strstr(e.msg, "have expired"));
    assert_null(strstr(e.msg, "MARKER"));
    atomic_store(&sts.refuse, false);
    creds_provider_free(p);
    script_stop(s);
}

/* Gives a set once, then `status`. */
static void answer_container(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    const int *status = arg;
    char expiration[40];
    BUF(body, 1024);

    format_expiry(expiration, 2);
    buf_addf(&body, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"MARKER\",\"Token\":\"t\",\"Expiration\":\"%s\"}",
             expiration);
    reply_add(out, number == 1 ? 200 : *status, "", number == 1 ? buf_str(&body) : "");
}

static void requests_wait_for_a_source_that_may_answer_later_and_not_for_one_that_refuses(void **state)
{
    static const struct {
        int status;
        enum err_code code;
    } cases[] = {{503, ERR_AGAIN}, {429, ERR_AGAIN}, {403, ERR_AUTH}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script *s = script_start(answer_container, (void *)&cases[i].status);
        struct err e = ERR_INIT;

        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", script_url(s), 1);
        struct creds_provider *p = provider(NULL, &e);
        if (!p)
            fail_msg("%s", e.msg);
        /* Until the failure of a refresh is told. */
        for (int n = 0; n < 400 && !strstr(e.msg, "status"); n++) {
            struct creds *c = NULL;
            usleep(25000);
            creds_unref(creds_get(p, &c, &e) ? NULL : c);
        }
        if (e.code != cases[i].code || !strstr(e.msg, "have expired: ") || !strstr(e.msg, "status"))
            fail_msg("%d: %s: %s", cases[i].status, err_name(e.code), e.msg);
        creds_provider_free(p);
        script_stop(s);
    }
}

struct storm {
    struct creds_provider *p;
    struct creds *bad;
};

static void *refuse_once(void *arg)
{
    struct storm *s = arg;

    creds_refused(s->p, s->bad, NULL);
    return NULL;
}

static void any_number_of_refusals_make_one_refresh(void **state)
{
    struct sts_script sts = {0};
    struct script *s = use_sts(&sts);
    struct storm storm = {.p = role_provider()};
    pthread_t threads[100];

    assert_int_equal(creds_get(storm.p, &storm.bad, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, refuse_once, &storm), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(wait_for_key(storm.p, "ROLE1", 60000));
    creds_refused(storm.p, storm.bad, NULL);
    usleep(200000);
    assert_int_equal(atomic_load(&sts.calls), 2);
    creds_unref(storm.bad);
    creds_provider_free(storm.p);
    script_stop(s);
}

static void refused_keys_of_a_file_are_read_again(void **state)
{
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = OLD\naws_secret_access_key = MARKER\n");
    CLEANUP(creds_provider_free) struct creds_provider *p = provider(NULL, NULL);
    CLEANUP(creds_unref) struct creds *old = NULL;
    struct creds *c = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(creds_get(p, &old, NULL), ERR_OK);
    creds_refused(p, old, "InvalidAccessKeyId");
    while (creds_get(p, &c, &e) == ERR_AGAIN)
        usleep(1000);
    assert_int_equal(e.code, ERR_AUTH);
    assert_non_null(strstr(e.msg, "were refused as InvalidAccessKeyId, and there are no newer ones"));
    assert_null(strstr(e.msg, "MARKER"));
    CLEANUP(creds_provider_free) struct creds_provider *q = provider(NULL, NULL);
    CLEANUP(creds_unref) struct creds *first = NULL;
    assert_int_equal(creds_get(q, &first, NULL), ERR_OK);
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n");
    creds_refused(q, first, NULL);
    assert_true(wait_for_key(q, "NEW", 60000));
}

static void freeing_a_provider_ends_a_refresh_that_hangs(void **state)
{
    struct sts_script sts = {.expires_s = 2};
    struct script *s = use_sts(&sts);
    struct creds_provider *p = role_provider();

    script_stop(s); /* nobody listens any more: the refresh goes on trying */
    usleep(1500000);
    uint64_t begin = clock_mono_ms();
    creds_provider_free(p);
    assert_true(clock_mono_ms() - begin < 20000);
}

static void *ask(void *arg)
{
    struct storm *s = arg;
    struct creds *c = NULL;

    creds_unref(creds_get(s->p, &c, NULL) ? NULL : c);
    return NULL;
}

/* Its second call takes so long that the hundred all come while it is under way. */
static const char slow_helper[] =
    "[profile p]\n"
    "credential_process = sh -c 'echo call >>$HOME/calls; n=$(wc -l <$HOME/calls); life=3; "
    "if [ $n -gt 1 ]; then sleep 4; life=3600; fi; "
    "printf \"{\\\"Version\\\":1,\\\"AccessKeyId\\\":\\\"KEY$n\\\",\\\"SecretAccessKey\\\":\\\"s\\\","
    "\\\"Expiration\\\":\\\"$(date -u -d +${life}seconds +%Y-%m-%dT%H:%M:%SZ)\\\"}\"'\n";

static size_t count_calls(void)
{
    char path[256];
    size_t n = 0;

    snprintf(path, sizeof(path), "%s/calls", sandbox_dir());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

static void a_hundred_threads_at_an_expiry_make_one_refresh(void **state)
{
    struct storm storm;
    struct err e = ERR_INIT;
    pthread_t threads[100];

    sandbox_write(".aws/config", slow_helper);
    storm.p = provider("p", &e);
    if (!storm.p)
        fail_msg("%s", e.msg);
    usleep(3100000);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &storm), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(wait_for_key(storm.p, "KEY2", 20000));
    assert_int_equal(count_calls(), 2);
    creds_provider_free(storm.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_hundred_threads_at_an_expiry_make_one_refresh),
        T(refreshes_are_early_spread_out_and_never_before_half_of_a_short_life),
        T(credentials_are_refreshed_before_they_expire),
        T(a_refresh_that_fails_leaves_the_old_ones_until_they_expire),
        T(requests_wait_for_a_source_that_may_answer_later_and_not_for_one_that_refuses),
        T(any_number_of_refusals_make_one_refresh),
        T(refused_keys_of_a_file_are_read_again),
        T(freeing_a_provider_ends_a_refresh_that_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
