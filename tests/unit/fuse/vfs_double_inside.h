/* What the two files of the double share. */
#ifndef TESTS_VFS_DOUBLE_INSIDE_H
#define TESTS_VFS_DOUBLE_INSIDE_H

#include "vfs_double.h"

#include <pthread.h>

#define NODES 600

struct vfs_handle {
    struct node *node;
    bool backed;
};

struct node {
    uint64_t ino; /* 0: free */
    char name[64];
    struct stat st;
    char *data;
    char target[64], xattr[64];
    uint64_t lookups;
    bool gone;
    struct vfs_handle handle; /* of all who have it open */
    struct vfs_handle backed; /* of those of them who are backed */
    int fd;                   /* 0: none */
    unsigned opens, backed_opens;
};


struct vfs_dir_handle {
    int unused;
};

/* One double at a time: what the tests look at is simply here. `big` guards all of it. */
extern pthread_mutex_t big;
extern pthread_cond_t wake;
extern unsigned n_parked;
extern bool let_go, ended;

#define BIG                                                                                                                \
    __attribute__((cleanup(unlock), unused)) int locked = pthread_mutex_lock(&big)

static inline void unlock(int *locked)
{
    pthread_mutex_unlock(&big);
}

void count(int kind);

/* The one in the same place of the table: for vfs_double_backing.c. */
struct node *node_of(uint64_t ino);
struct node *node_find(const char *name);
struct node *node_make(const char *name, mode_t mode, uid_t uid);

/* Whether it is open backed: then its name has a fresh node from now on. `big` is held. */
bool double_parts(struct node *n);

/* Completes parked reads on a thread of its own, as the engine does, until `ended`. */
void *complete_reads(void *arg);

#endif
