/* A resolver that does not answer delays nobody but who asked it. */
#include "client.h"
#include "server.h"

#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define RESOLVER_MS 6000

static _Atomic unsigned asked, answered;

/* libcurl's resolver thread comes here instead of into the C library. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    if (strcmp(name, "slow.test") == 0) {
        asked++;
        test_sleep_ms(RESOLVER_MS);
        answered++;
        return EAI_AGAIN;
    }
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, out);
}

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    server_reply(c, 200, "fine");
    return true;
}

static void fetch_quickly(struct http_engine *h, struct server *s)
{
    struct call c = {0};
    uint64_t start = test_now_ms();
    call_run(&c, h, server_url(s), "/x", (struct http_request){0});
    assert_int_equal(c.code, ERR_OK);
    assert_in_range(test_now_ms() - start, 0, 500);
    call_release(&c);
}

static void a_name_that_is_not_resolved_delays_neither_others_nor_its_own_end(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = answer});
    struct http_engine *h = test_engine((struct http_config){.connect_ms = 300});
    struct call late = {0}, canceled = {0}, cut_off = {0};
    uint64_t start = test_now_ms();
    call_start(&late, h, "http://slow.test", "/", (struct http_request){0});
    call_start(&canceled, h, "http://slow.test", "/", (struct http_request){0});
    test_sleep_ms(50);
    fetch_quickly(h, s);
    http_cancel(canceled.t);
    fetch_quickly(h, s);
    call_wait(&canceled);
    assert_int_equal(canceled.code, ERR_CANCELED);
    call_wait(&late);
    assert_int_equal(late.code, ERR_TIMEOUT);
    assert_false(late.sent);
    fetch_quickly(h, s);
    call_start(&cut_off, h, "http://slow.test", "/", (struct http_request){0});
    test_sleep_ms(50);
    http_engine_free(h);
    assert_int_equal(cut_off.code, ERR_CANCELED);
    assert_in_range(test_now_ms() - start, 300, RESOLVER_MS - 500);
    assert_int_equal(asked, 3);
    while (answered < asked) /* its thread still has libcurl's code to return to */
        test_sleep_ms(20);
    test_sleep_ms(100);
    call_release(&late);
    call_release(&canceled);
    call_release(&cut_off);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_is_not_resolved_delays_neither_others_nor_its_own_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
