#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "server.h"

static int usage(void)
{
    fprintf(stderr, "usage: awsfs-origin [--port N] [--port-file FILE]\n");
    return 2;
}

/* The file appears complete or not at all, since its reader polls for it. */
static bool write_port_file(const char *path, unsigned port)
{
    char *temporary = NULL;
    FILE *f;
    bool ok;

    if (asprintf(&temporary, "%s.new", path) < 0)
        return false;
    f = fopen(temporary, "w");
    ok = f && fprintf(f, "%u\n", port) > 0;
    ok = f && fclose(f) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    free(temporary);
    return ok;
}

/* Memory that a reply took is kept for the next one: the first touch of fresh pages costs more than rendering a page of keys. */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
    mallopt(M_TOP_PAD, 16 << 20);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'}, {"port-file", required_argument, NULL, 'f'}, {0}};
    static struct server server;
    const char *port_file = NULL;
    uint64_t port = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'f')
            port_file = optarg;
        else if (option != 'p' || !parse_u64(optarg, &port) || port > UINT16_MAX)
            return usage();
    }
    if (optind != argc)
        return usage();
    keep_memory();
    if (!server_open(&server, (uint16_t)port)) {
        fprintf(stderr, "awsfs-origin: cannot listen on 127.0.0.1:%u: %s\n", (unsigned)port, strerror(errno));
        return 1;
    }
    if (port_file && !write_port_file(port_file, server.port)) {
        fprintf(stderr, "awsfs-origin: %s: %s\n", port_file, strerror(errno));
        return 1;
    }
    printf("listening on 127.0.0.1:%u\n", server.port);
    fflush(stdout);
    server_run(&server);
    server_close(&server);
    return 0;
}
