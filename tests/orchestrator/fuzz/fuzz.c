// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/orchestrator/fuzz/fuzz.h"
#include "core/rng.h"
#include "tests/core/support.h"
#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

const char *fuzz_file(const void *data, size_t size)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    MUST(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    return path;
}

json_t *fuzz_json(const uint8_t *in, size_t size)
{
    json_error_t e;
    return json_loadb((const char *)in, size, JSON_REJECT_DUPLICATES, &e);
}

#ifdef FUZZ_LIBFUZZER
#include <sanitizer/asan_interface.h>

// JSON is made of thousands of small pieces, and the sanitizer's malloc is most of an execution
// then: they come from one block that is taken back after each, poisoned around and after the
// life of every piece. (Leaks among them are left to the test.)
enum { ARENA = 64 << 20, GAP = 16 };
static char *arena;
static size_t arena_used;

// Before each piece lies a gap with its size.
__attribute__((no_sanitize("address"))) static void *arena_malloc(size_t n)
{
    size_t room = GAP + (n + GAP - 1) / GAP * GAP;
    MUST(n < ARENA && room <= ARENA - arena_used);
    char *p = arena + arena_used + GAP;
    arena_used += room;
    *(size_t *)(void *)(p - GAP) = n;
    __asan_unpoison_memory_region(p, n);
    return p;
}

__attribute__((no_sanitize("address"))) static void arena_free(void *p)
{
    if (p)
        __asan_poison_memory_region(p, *(size_t *)(void *)((char *)p - GAP));
}

// The linker puts it in json_dumps's place: callers give the text to free.
char *__real_json_dumps(const json_t *j, size_t flags);
char *__wrap_json_dumps(const json_t *j, size_t flags);
char *__wrap_json_dumps(const json_t *j, size_t flags)
{
    char *text = __real_json_dumps(j, flags), *copy = text ? strdup(text) : NULL;
    arena_free(text);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
    static size_t kept_for_ever;
    if (!arena) {
        arena = malloc(ARENA);
        MUST(arena);
        __asan_poison_memory_region(arena, ARENA);
        json_set_alloc_funcs(arena_malloc, arena_free);
        if (fuzz_prepare)
            fuzz_prepare();
        kept_for_ever = arena_used;
    }
    fuzz_one(in, size);
    __asan_poison_memory_region(arena + kept_for_ever, arena_used - kept_for_ever);
    arena_used = kept_for_ever;
    return 0;
}
#else

enum { MAX_INPUTS = 400, MAX_BYTES = 8192 };

struct input {
    size_t n;
    uint8_t p[MAX_BYTES];
};
static struct input *kept;
static int n_kept;

static void read_kept(const char *folder)
{
    char path[4400];
    DIR *list = opendir(folder);
    kept = calloc(MAX_INPUTS, sizeof *kept);
    CHECK(list && kept);
    for (struct dirent *e; list && kept && n_kept < MAX_INPUTS && (e = readdir(list));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!f)
            continue;
        kept[n_kept].n = fread(kept[n_kept].p, 1, MAX_BYTES, f);
        n_kept++;
        fclose(f);
    }
    if (list)
        closedir(list);
}

static bool try_one(const uint8_t *p, size_t n)
{
    uint8_t *exact = malloc(n + (n == 0)); // its end is the sanitizer's
    MUST(exact);
    memcpy(exact, p, n);
    bool accepted = fuzz_one(exact, n);
    free(exact);
    return accepted;
}

static void put(struct input *in, size_t at, size_t over, const void *with, size_t n)
{
    at = at < in->n ? at : in->n;
    over = over < in->n - at ? over : in->n - at;
    if (in->n - over + n > MAX_BYTES)
        return;
    memmove(in->p + at + n, in->p + at + over, in->n - at - over);
    memcpy(in->p + at, with, n);
    in->n += n - over;
}

static void change(struct input *in, struct rng *r)
{
    static const char *const words[] = {"0",
                                        "-1",
                                        "1e999",
                                        "2147483648",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "null",
                                        "true",
                                        "1e-320",
                                        "NaN",
                                        "\"\"",
                                        "[]",
                                        "{}",
                                        "\n",
                                        "\\u0000",
                                        "\xff",
                                        "\"",
                                        ",",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        ";",
                                        "(",
                                        ")",
                                        ":",
                                        "=",
                                        "\\",
                                        "@include \"3\"\n",
                                        "/*"};
    const struct input *other = &kept[rng_below(r, (uint64_t)n_kept)];
    size_t at = rng_below(r, in->n + 1), k = rng_below(r, 24);
    switch (rng_below(r, 5)) {
    case 0:
        if (at < in->n)
            in->p[at] ^= (uint8_t)(1U << rng_below(r, 8));
        break;
    case 1: {
        const char *word = words[rng_below(r, sizeof words / sizeof *words)];
        put(in, at, rng_below(r, 8), word, strlen(word));
        break;
    }
    case 2:
        put(in, at, k, "", 0);
        break;
    case 3: // a piece of another one
        if (other->n > 0) {
            size_t from = rng_below(r, other->n), left = other->n - from;
            size_t n = 1 + rng_below(r, 200);
            put(in, at, k, other->p + from, n < left ? n : left);
        }
        break;
    default: // the rest of another one
        put(in, at, in->n, other->p + (at < other->n ? at : other->n),
            at < other->n ? other->n - at : 0);
    }
}

int main(void)
{
    static struct input in;
    struct rng r;
    char folder[4096];
    source_path(folder, sizeof folder, "tests/orchestrator/fuzz/fuzz_" FUZZ_NAME);
    if (fuzz_prepare)
        fuzz_prepare();
    read_kept(folder);
    CHECK(n_kept > 4 && n_kept < MAX_INPUTS);
    long accepted = 0, tried = FUZZ_CHANGED;
    for (int i = 0; i < n_kept; i++)
        accepted += try_one(kept[i].p, kept[i].n);
    CHECK(accepted > 0 && accepted < n_kept); // the test sees both sides
    printf("%d kept inputs, %ld accepted\n", n_kept, accepted);
    rng_seed(&r, 17, 0);
    accepted = 0;
    for (long i = 0; i < tried && n_kept > 0; i++) {
        in = kept[i % n_kept];
        for (uint64_t n = 1 + rng_below(&r, 4); n > 0; n--)
            change(&in, &r);
        accepted += try_one(in.p, in.n);
    }
    printf("%ld changed inputs, %ld accepted\n", tried, accepted);
    free(kept);
    return test_summary();
}
#endif
