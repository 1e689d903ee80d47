/* Lets writing or flushing the ledger fail while a file says so. Loaded into the child with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_ledger(int fd) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return 0;
    name[length] = 0;
    return strstr(name, "/ledger.db") != NULL;
}

static int fails(const char *fault, int fd) {
    char path[4096];
    const char *folder = getenv("BATON_LEDGER_FAULTS");
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, fault);
    return access(path, F_OK) == 0 && is_ledger(fd);
}

#define REAL(name, ...) ((__VA_ARGS__)dlsym(RTLD_NEXT, name))

/* A full disk takes the first half of what it is given, and then nothing. */
static int full(int fd, size_t *count) {
    static __thread int halved;
    if (!fails("full", fd)) { halved = 0; return 0; }
    if (halved || *count < 2) { errno = ENOSPC; return 1; }
    halved = 1;
    *count /= 2;
    return 0;
}

ssize_t write(int fd, const void *from, size_t count) {
    if (full(fd, &count)) return -1;
    return REAL("write", ssize_t (*)(int, const void *, size_t))(fd, from, count);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    if (full(fd, &count)) return -1;
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    if (full(fd, &count)) return -1;
    return REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, from, count, at);
}

int fsync(int fd) {
    if (fails("flush", fd)) { errno = EIO; return -1; }
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd) {
    if (fails("flush", fd)) { errno = EIO; return -1; }
    return REAL("fdatasync", int (*)(int))(fd);
}
