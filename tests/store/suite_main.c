/* Runs the cases of all groups as one cmocka group and sums up. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct suite_case *const groups[] = {read_cases, write_cases,     list_cases, name_cases,
                                                  meta_cases, multipart_cases, copy_cases, property_cases,
                                                  lost_cases, unanswered_cases, try_cases};

/* cmocka's tests take one pointer: this is what it points to. */
struct bound_case {
    struct suite *suite;
    const struct suite_case *c;
    unsigned number;
    const struct limitation *limits;
    unsigned *passed, *skipped;
};

static void run_case(void **state)
{
    struct bound_case *b = *state;
    for (const struct limitation *l = b->limits; l != NULL && l->need != 0; l++) {
        if (b->c->needs & l->need) {
            print_message("SKIPPED: %s: %s\n", b->c->name, l->reason);
            (*b->skipped)++;
            skip();
        }
    }
    (void)snprintf(b->suite->base, sizeof(b->suite->base), "%sc%u/", b->suite->root != NULL ? b->suite->root : "",
                   b->number);
    b->c->run(b->suite);
    (*b->passed)++;
}

/* Needs what only a server could have. */
static bool is_beside_the_point(const struct suite_case *c, const struct limitation *limits)
{
    for (const struct limitation *l = limits; l != NULL && l->need != 0; l++)
        if ((c->needs & l->need) && l->reason == NULL)
            return true;
    return false;
}

int run_suite(struct suite *s, const char *store_name, const struct limitation *limits)
{
    unsigned n = 0, passed = 0, skipped = 0;
    for (const struct limitation *l = limits; l != NULL && l->need != 0; l++)
        s->lacks |= l->need;
    static struct CMUnitTest tests[256];
    static struct bound_case bound[256];
    const char *only = getenv("AWSFS_STORE_CASE");
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        for (const struct suite_case *c = groups[g]; c->name != NULL && n < 256; c++) {
            if ((only != NULL && strstr(c->name, only) == NULL) || is_beside_the_point(c, limits))
                continue;
            bound[n] = (struct bound_case){s, c, n, limits, &passed, &skipped};
            tests[n] = (struct CMUnitTest){.name = c->name, .test_func = run_case, .initial_state = &bound[n]};
            n++;
        }
    }
    int failed = _cmocka_run_group_tests(store_name, tests, n, NULL, NULL);
    printf("%u passed, %u failed, %u skipped\n", passed, n - passed - skipped, skipped);
    return failed != 0 || passed + skipped != n;
}
