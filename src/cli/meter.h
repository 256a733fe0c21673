/* One line on stderr, written over as the work goes on: on a terminal only. One thread. */
#ifndef CLI_METER_H
#define CLI_METER_H

#include <stdbool.h>
#include <stdint.h>

struct meter {
    bool quiet; /* nothing is shown */
    uint64_t files, bytes, all_files, all_bytes;
    uint64_t shown_ms; /* private */
    bool open;         /* private: the line has no end yet */
};

/* Shows the line, at most five times a second: as often as there is something new. */
void meter_show(struct meter *p);

/* What is printed next begins a line of its own. */
void meter_pause(struct meter *p);

/* Shows it once more, and ends the line. */
void meter_end(struct meter *p);

#endif
