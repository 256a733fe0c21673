#include "cli/meter.h"

#include "util/clock.h"

#include <stdio.h>
#include <unistd.h>

#define SHOW_MS 200
#define WIDTH   30

static void show(struct meter *p)
{
    uint64_t part = p->all_bytes ? p->bytes * WIDTH / p->all_bytes : WIDTH;
    int done = part > WIDTH ? WIDTH : (int)part;
    fprintf(stderr, "\r[%.*s%*s] %llu of %llu files, %llu of %llu MiB\033[K", done, "##############################", WIDTH - done, "",
            (unsigned long long)p->files, (unsigned long long)p->all_files, (unsigned long long)(p->bytes >> 20),
            (unsigned long long)(p->all_bytes >> 20));
    p->open = true;
}

void meter_show(struct meter *p)
{
    uint64_t now = clock_mono_ms();
    if (p->quiet || now < p->shown_ms + SHOW_MS || !isatty(STDERR_FILENO))
        return;
    p->shown_ms = now;
    show(p);
}

void meter_pause(struct meter *p)
{
    if (p->open)
        fputc('\n', stderr);
    p->open = false;
}

void meter_end(struct meter *p)
{
    if (!p->quiet && isatty(STDERR_FILENO))
        show(p);
    meter_pause(p);
}
