/*
 * Changes as EventBridge tells them: "Parameter Store Change" events in an SQS queue, taken by long polls on a thread of their own, told
 * one by one and then deleted. A queue belongs to one mount: what one takes no other sees. Where the queue does not answer, names
 * get as old as their ttl allows, as without it.
 */
#ifndef SSM_WATCH_H
#define SSM_WATCH_H

#include "awsfs/store.h"
#include "util/cleanup.h"

#include <stdint.h>

struct aws_client;
struct store_call;
struct watch;

/* What one message says. `name` is the parameter's, with its leading slash; "" where the message says nothing about one. */
struct watch_event {
    char name[1024];
    bool listed; /* it was made or deleted: what listings said is outdated too */
};

/* Of a message's body: EventBridge's event, also as SNS wraps it. False: it is none. Pure. */
bool watch_parse(const char *body, size_t len, struct watch_event *out);

/* How long nothing is asked for, in ms, `failures` in a row before: random below 1 s at the beginning, so that mounts that begin together
 * do not ask together, below 2 s, 4 s, ... 60 s after failures. `random` is uniform in [0, 2^32). Pure. */
unsigned watch_pause_ms(unsigned failures, uint32_t random);

/* Begins to take messages of the queue with that URL, through `client`, which is for service "sqs" and outlives it. Keys are those
 * below `path`. NULL with the error. */
struct watch *watch_start(struct aws_client *client, const char *queue, const char *path, void (*changed)(void *arg, const char *key, bool listed),
                          void *arg, struct err *e);

/* For `awsfs check`: whether messages of that queue may be taken (`removal` false), or deleted. Takes and deletes none: what it is
 * shown stays visible to others. ERR_ACCESS. Blocks. */
enum err_code watch_try(struct aws_client *client, const char *queue, bool removal, const struct store_call *call,
                        struct err *e) MUST_CHECK;

/* Returns when `changed` is not called any more. NULL is fine. */
void watch_stop(struct watch *w);
CLEANUP_DEFINE(struct watch, watch_stop)

#endif
