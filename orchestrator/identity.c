// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/identity.h"
#include "core/crc.h"
#include "orchestrator/command.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

void identity_isa(char *buf, size_t size)
{
    struct utsname u;
    snprintf(buf, size, "%s", uname(&u) == 0 ? u.machine : "unknown");
#if defined(__x86_64__) || defined(__i386__)
#define FLAG(name)                                                                             \
    if (__builtin_cpu_supports(name)) {                                                        \
        size_t n = strlen(buf);                                                                \
        snprintf(buf + n, size - n, " " name);                                                 \
    }
    __builtin_cpu_init();
    FLAG("sse4.2")
    FLAG("avx")
    FLAG("avx2")
    FLAG("fma")
    FLAG("avx512f")
    FLAG("avx512vnni")
#undef FLAG
#endif
}

static enum err file_crc(const char *path, uint32_t *crc)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    ENSURE(fd >= 0, ERR_INPUT, "trainer: %s: %s", path, strerror(errno));
    void *map = MAP_FAILED;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    ENSURE(map != MAP_FAILED, ERR_INPUT, "trainer: %s cannot be read", path);
    *crc = crc32c(map, (size_t)st.st_size);
    munmap(map, (size_t)st.st_size);
    return OK;
}

enum err identity_trainer(const char *command, char *buf, size_t size)
{
    char **argv = NULL, path[PATH_MAX];
    uint32_t crc = 0;
    TRY(command_split(command, "JOB", 1, &argv));
    enum err e = command_find(argv[0], path, sizeof path);
    if (e == OK)
        e = file_crc(path, &crc);
    free(argv);
    TRY(e);
    const char *slash = strrchr(path, '/');
    snprintf(buf, size, "%s %08" PRIx32, slash ? slash + 1 : path, crc);
    return OK;
}
