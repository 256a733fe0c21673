/* Retry tokens, pace and delays. Source: botocore's standard and adaptive modes (quota, backoff, throttling). */
#include "net/retry.h"

#include "util/clock.h"
#include "util/lock.h"
#include "util/str.h"

#include <math.h>

#define TOKENS_MAX   500
#define COST         5
#define COST_TIMEOUT 10

#define CUBIC_SCALE 0.4
#define CUBIC_BETA  0.7
#define RATE_MIN    0.5
#define SMOOTH      0.8
#define BUCKET_MS   500
#define FORGET_MS   30000 /* without a refusal for so long, the pace ends: a mount is idle and then in a hurry */

struct retry_budget {
    struct lock lock; /* holds everything below */
    unsigned tokens;

    /* The pace. Rates are in attempts a second. */
    bool paced; /* a throttle was seen */
    double rate, rate_at_throttle, recover_s;
    uint64_t throttled_ms; /* when */
    double next_ms;        /* the first free start */

    /* What was started, measured in buckets of half a second. */
    uint64_t bucket_ms;
    unsigned bucket_n;
    double measured;
};

struct retry_budget *retry_budget_new(void)
{
    struct retry_budget *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    lock_init(&b->lock, "retry budget", LOCK_NET_RETRY);
    b->tokens = TOKENS_MAX;
    return b;
}

void retry_budget_free(struct retry_budget *b)
{
    if (!b)
        return;
    lock_release(&b->lock);
    free(b);
}

unsigned retry_take(struct retry_budget *b, bool timed_out)
{
    unsigned cost = timed_out ? COST_TIMEOUT : COST;
    if (!b)
        return cost;
    LOCK_SCOPE(&b->lock);
    if (b->tokens < cost)
        return 0;
    b->tokens -= cost;
    return cost;
}

unsigned retry_tokens(struct retry_budget *b)
{
    LOCK_SCOPE(&b->lock);
    return b->tokens;
}

/* The rate that the cubic function allows now: back at the refused one after recover_s, then faster and faster. */
static void grow_locked(struct retry_budget *b, uint64_t now_ms)
{
    lock_assert_held(&b->lock);
    double s = (double)(now_ms - b->throttled_ms) / 1000 - b->recover_s;
    double rate = CUBIC_SCALE * s * s * s + b->rate_at_throttle;
    b->rate = rate < RATE_MIN ? RATE_MIN : rate;
}

void retry_succeeded(struct retry_budget *b, unsigned taken, uint64_t now_ms)
{
    if (!b)
        return;
    LOCK_SCOPE(&b->lock);
    b->tokens += taken > 0 ? taken : 1;
    if (b->tokens > TOKENS_MAX)
        b->tokens = TOKENS_MAX;
    if (b->paced)
        grow_locked(b, now_ms);
}

static void measure_locked(struct retry_budget *b, uint64_t now_ms)
{
    lock_assert_held(&b->lock);
    if (b->bucket_ms == 0)
        b->bucket_ms = now_ms;
    b->bucket_n++;
    uint64_t passed = now_ms - b->bucket_ms;
    if (passed < BUCKET_MS)
        return;
    double rate = b->bucket_n * 1000.0 / (double)passed;
    b->measured = b->measured > 0 ? SMOOTH * rate + (1 - SMOOTH) * b->measured : rate;
    b->bucket_ms = now_ms;
    b->bucket_n = 0;
}

/* A burst of refusals is one message: those of the same half second change nothing more. */
void retry_throttled(struct retry_budget *b, uint64_t now_ms)
{
    if (!b)
        return;
    LOCK_SCOPE(&b->lock);
    if (b->paced && now_ms - b->throttled_ms < BUCKET_MS)
        return;
    double used = b->measured;
    if (used <= 0 && b->bucket_ms > 0)
        used = b->bucket_n * 1000.0 / (double)(now_ms - b->bucket_ms > BUCKET_MS ? now_ms - b->bucket_ms : BUCKET_MS);
    if (b->paced && b->rate < used)
        used = b->rate;
    b->rate_at_throttle = used;
    b->recover_s = cbrt(used * (1 - CUBIC_BETA) / CUBIC_SCALE);
    b->rate = used * CUBIC_BETA < RATE_MIN ? RATE_MIN : used * CUBIC_BETA;
    b->throttled_ms = now_ms;
    b->paced = true;
}

unsigned retry_pace_ms(struct retry_budget *b, uint64_t now_ms)
{
    if (!b)
        return 0;
    LOCK_SCOPE(&b->lock);
    measure_locked(b, now_ms);
    if (b->paced && now_ms - b->throttled_ms > FORGET_MS)
        b->paced = false;
    if (!b->paced) {
        b->next_ms = 0;
        return 0;
    }
    double now = (double)now_ms, at = b->next_ms > now ? b->next_ms : now;
    /* Starts that were given up must not push the others ever further away. */
    if (at > now + RETRY_MAX_MS)
        at = now + RETRY_MAX_MS;
    b->next_ms = at + 1000 / b->rate;
    return (unsigned)(at - now);
}

unsigned retry_delay_ms(unsigned attempt, uint32_t random)
{
    unsigned shift = attempt < 2 ? 0 : attempt - 2;
    uint64_t most = shift < 5 ? (uint64_t)1000 << shift : RETRY_MAX_MS;
    return (unsigned)(most * random >> 32);
}

static bool seconds(const char *s, const char *date, int64_t now_s, uint64_t *out)
{
    struct timespec until, from = {.tv_sec = now_s};
    if (str_parse_u64(s, out))
        return true;
    if (!time_parse_http(s, &until))
        return false;
    struct timespec told;
    if (date && time_parse_http(date, &told))
        from = told;
    *out = until.tv_sec > from.tv_sec ? (uint64_t)(until.tv_sec - from.tv_sec) : 0;
    return true;
}

unsigned retry_hint_ms(unsigned own_ms, const char *retry_after, const char *amz_retry_after, const char *date,
                       int64_t now_s)
{
    uint64_t hint = own_ms, v;
    if (amz_retry_after && str_parse_u64(amz_retry_after, &v) && v > hint)
        hint = v < (uint64_t)own_ms + 5000 ? v : (uint64_t)own_ms + 5000;
    if (retry_after && seconds(retry_after, date, now_s, &v)) {
        uint64_t ms = v < 86400 ? v * 1000 : 86400000;
        if (ms > hint)
            hint = ms;
    }
    return (unsigned)hint;
}
