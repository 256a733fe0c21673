#include "backends/ssm/rate.h"

#include <math.h>

#define PACE_LEAST        0.5     /* requests a second */
#define RECOVERY_MS       30000.0 /* from a standstill back to the full pace */
#define ONE_THROTTLING_MS 1000

void rate_init(struct rate *r, unsigned per_second, unsigned burst, uint64_t now_ms)
{
    *r = (struct rate){.full = per_second, .pace = per_second, .burst = burst, .tokens = burst, .at_ms = now_ms};
}

/* Brings tokens and pace up to `now_ms`. */
static void advance(struct rate *r, uint64_t now_ms)
{
    if (now_ms <= r->at_ms)
        return;
    double ms = (double)(now_ms - r->at_ms);
    r->tokens = fmin(r->burst, r->tokens + r->pace * ms / 1000.0);
    r->pace = fmin(r->full, r->pace + r->full * ms / RECOVERY_MS);
    r->at_ms = now_ms;
}

uint64_t rate_take(struct rate *r, uint64_t now_ms)
{
    advance(r, now_ms);
    r->tokens -= 1.0;
    if (r->tokens >= 0.0)
        return 0;
    return (uint64_t)ceil(-r->tokens * 1000.0 / r->pace);
}

uint64_t rate_take_spare(struct rate *r, uint64_t now_ms)
{
    advance(r, now_ms);
    double lacking = r->burst / 2.0 - (r->tokens - 1.0);
    if (lacking > 0.0)
        return 1 + (uint64_t)ceil(lacking * 1000.0 / r->pace);
    r->tokens -= 1.0;
    return 0;
}

void rate_give_back(struct rate *r, uint64_t now_ms)
{
    advance(r, now_ms);
    r->tokens = fmin(r->burst, r->tokens + 1.0);
}

void rate_throttled(struct rate *r, uint64_t now_ms)
{
    advance(r, now_ms);
    if (r->slowed_ms != 0 && now_ms - r->slowed_ms < ONE_THROTTLING_MS)
        return;
    r->slowed_ms = now_ms;
    r->pace = fmax(fmin(PACE_LEAST, r->full), r->pace / 2.0);
    r->tokens = fmin(r->tokens, 0.0);
}
