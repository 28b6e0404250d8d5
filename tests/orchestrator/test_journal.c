// SPDX-License-Identifier: GPL-3.0-or-later
#include "orchestrator/journal.h"
#include "tests/test.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_RECORDS = 6 };

static char folder[] = "/tmp/moesweep-test-XXXXXX", path[64];

static json_t *record(int i)
{
    return json_pack("{s:s, s:i, s:f, s:s}", "t", i == 0 ? "sweep" : "result", "i", i, "loss",
                     1.0 / (i + 3), "text", "line\nbreak \"quoted\" \xc3\xa9");
}

static enum err collect(void *ctx, json_t *rec)
{
    json_t *list = ctx;
    json_array_append(list, rec);
    return OK;
}

static size_t file_size(void)
{
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void put(const char *data, size_t size)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(data, 1, size, f) == size);
    if (f)
        fclose(f);
}

static char *get(size_t *size)
{
    *size = file_size();
    char *data = malloc(*size + 1);
    FILE *f = fopen(path, "r");
    CHECK(data && f && fread(data, 1, *size, f) == *size);
    if (f)
        fclose(f);
    return data;
}

static void write_all(int n)
{
    struct journal *j = NULL;
    unlink(path);
    CHECK(journal_open(path, NULL, NULL, NULL, &j) == OK);
    for (int i = 0; i < n; i++) {
        json_t *rec = record(i);
        CHECK(journal_append(j, rec) == OK);
        json_decref(rec);
        if (i % 2)
            CHECK(journal_sync(j) == OK);
    }
    CHECK(journal_sync(j) == OK);
    journal_close(j);
}

// The file holds records 0 .. n - 1 and nothing else.
static void check_content(int n)
{
    json_t *list = json_array();
    int64_t valid = -1;
    CHECK(journal_read(path, collect, list, &valid) == OK);
    CHECK(json_array_size(list) == (size_t)n);
    CHECK(valid == (int64_t)file_size());
    for (int i = 0; i < n; i++) {
        json_t *want = record(i);
        CHECK(json_equal(json_array_get(list, (size_t)i), want));
        json_decref(want);
    }
    json_decref(list);
}

static void test_crc(void)
{
    CHECK(journal_crc32c("123456789", 9) == 0xe3069283u); // RFC 3720's polynomial, check value
    CHECK(journal_crc32c("", 0) == 0);
}

static int lines_before(const char *data, size_t cut)
{
    int n = 0;
    for (size_t i = 0; i < cut; i++)
        n += data[i] == '\n';
    return n;
}

// Cut at every byte: the intact records are there, and writing goes on as if nothing had
// happened.
static void test_cut_anywhere(void)
{
    write_all(N_RECORDS);
    size_t size;
    char *data = get(&size);
    for (size_t cut = 0; cut <= size; cut++) {
        put(data, cut);
        int intact = lines_before(data, cut);
        json_t *list = json_array();
        int64_t torn = -1;
        struct journal *j = NULL;
        CHECK(journal_open(path, collect, list, &torn, &j) == OK);
        CHECK(json_array_size(list) == (size_t)intact);
        CHECK(torn == (int64_t)cut - (int64_t)file_size());
        for (int i = intact; i < N_RECORDS; i++) {
            json_t *rec = record(i);
            CHECK(journal_append(j, rec) == OK);
            json_decref(rec);
        }
        CHECK(journal_sync(j) == OK);
        journal_close(j);
        json_decref(list);
        check_content(N_RECORDS);
    }
    free(data);
}

// A flipped bit before the last record is told with its line and place, and nothing is written.
static void test_flip_anywhere(void)
{
    write_all(N_RECORDS);
    size_t size, last;
    char *data = get(&size);
    for (last = size - 1; last > 0 && data[last - 1] != '\n'; last--)
        ;
    // Without the newline before it, the last record is one with its neighbour: a torn tail.
    for (size_t at = 0; at < last - 1; at++) {
        data[at] ^= (char)(1 << (at % 7));
        put(data, size);
        struct journal *j = NULL;
        CHECK(journal_open(path, NULL, NULL, NULL, &j) == ERR_INPUT);
        char want[64];
        // A newline that appears or vanishes moves the bad line by at most the line it touches.
        size_t start = at;
        while (start > 0 && data[start - 1] != '\n')
            start--;
        snprintf(want, sizeof want, "line %d, byte %zu:", lines_before(data, start) + 1, start);
        if (data[at] != '\n')
            CHECK(strstr(err_message(), want) != NULL);
        CHECK(strstr(err_message(), "line ") != NULL);
        CHECK(journal_read(path, NULL, NULL, NULL) == ERR_INPUT);
        size_t now;
        char *after = get(&now);
        CHECK(now == size && memcmp(after, data, size) == 0);
        free(after);
        data[at] ^= (char)(1 << (at % 7));
    }
    free(data);
}

static void test_zero_tail(void)
{
    write_all(N_RECORDS);
    size_t size;
    char *data = get(&size), *more = calloc(1, size + 5000);
    memcpy(more, data, size);
    put(more, size + 5000);
    struct journal *j = NULL;
    int64_t torn = 0;
    CHECK(journal_open(path, NULL, NULL, &torn, &j) == OK);
    CHECK(torn == 5000);
    journal_close(j);
    check_content(N_RECORDS);
    free(data);
    free(more);
}

static void test_foreign_file(void)
{
    const char *foreign[] = {"my diary", "my diary\nof two lines\n", "0123456x",
                             "12345678 [1]"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        put(foreign[i], strlen(foreign[i]));
        struct journal *j = NULL;
        CHECK(journal_open(path, NULL, NULL, NULL, &j) == ERR_INPUT);
        CHECK(file_size() == strlen(foreign[i]));
    }
    struct journal *j = NULL;
    CHECK(journal_open(folder, NULL, NULL, NULL, &j) == ERR_INPUT);
    CHECK(journal_read("/nonexistent/journal", NULL, NULL, NULL) == ERR_INPUT);
    CHECK(strstr(err_message(), "/nonexistent/journal") != NULL);
}

static void test_second_writer(void)
{
    unlink(path);
    struct journal *j = NULL;
    CHECK(journal_open(path, NULL, NULL, NULL, &j) == OK);
    if (!journal_locked(j))
        fprintf(stderr, "no locks on this file system\n");
    pid_t child = fork();
    if (child == 0) {
        struct journal *k = NULL;
        char holder[32];
        snprintf(holder, sizeof holder, "process %ld", (long)getppid());
        enum err e = journal_open(path, NULL, NULL, NULL, &k);
        bool told = journal_writer(path) == (long)getppid();
        _exit(e == ERR_INPUT && strstr(err_message(), holder) && told ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(!journal_locked(j) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    journal_close(j);
    CHECK(journal_writer(path) == 0);
    CHECK(journal_writer("/nonexistent/journal") == 0);
}

// A record given as text is the record; what is read once more through the writer is what is on
// disk, and the lock stays.
static void test_text(void)
{
    struct journal *j = NULL;
    json_t *list = json_array();
    write_all(2);
    json_t *rec = record(2);
    char *text = json_dumps(rec, JSON_COMPACT);
    CHECK(journal_open(path, NULL, NULL, NULL, &j) == OK);
    CHECK(journal_append_text(j, text, strlen(text)) == OK);
    CHECK(journal_again(j, collect, list) == OK && json_array_size(list) == 2);
    CHECK(journal_sync(j) == OK);
    json_array_clear(list);
    CHECK(journal_again(j, collect, list) == OK && json_array_size(list) == 3);
    CHECK(json_equal(json_array_get(list, 2), rec));
    journal_close(j);
    check_content(3);
    free(text);
    json_decref(rec);
    json_decref(list);
}

// Room for one byte more each time, from one record to all: whatever a write that runs out of
// space got onto the disk, the journal stays valid and a later run goes on.
static void run_out_of_space(size_t room)
{
    signal(SIGXFSZ, SIG_IGN);
    struct journal *j = NULL;
    CHECK(journal_open(path, NULL, NULL, NULL, &j) == OK);
    json_t *rec = record(0);
    CHECK(journal_append(j, rec) == OK && journal_sync(j) == OK);
    struct rlimit limit = {.rlim_cur = room, .rlim_max = RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (int i = 1; i < N_RECORDS; i++) {
        json_decref(rec);
        rec = record(i);
        CHECK(journal_append(j, rec) == OK);
    }
    CHECK(journal_sync(j) == ERR_FAILED);
    CHECK(strstr(err_message(), "bytes, which are valid") != NULL);
    CHECK(journal_append(j, rec) == ERR_FAILED);
    CHECK(journal_sync(j) == ERR_FAILED);
    json_decref(rec);
    journal_close(j);
}

static void test_disk_full(void)
{
    write_all(1);
    size_t one = file_size();
    write_all(N_RECORDS);
    size_t all = file_size();
    for (size_t room = one; room < all; room += 7) {
        unlink(path);
        pid_t child = fork();
        if (child == 0) {
            test_failures = 0;
            run_out_of_space(room);
            _exit(test_failures != 0);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == 0);
        check_content(1);
    }
}

static enum err refuse(void *ctx, json_t *rec)
{
    (void)rec;
    ++*(int *)ctx;
    return err_set(ERR_INPUT, "not this one");
}

static void test_callback_error(void)
{
    write_all(N_RECORDS);
    int calls = 0;
    CHECK(journal_read(path, refuse, &calls, NULL) == ERR_INPUT);
    CHECK(calls == 1);
    CHECK_STR(err_message(), "not this one");
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/journal", folder);
    test_crc();
    write_all(N_RECORDS);
    check_content(N_RECORDS);
    test_cut_anywhere();
    test_flip_anywhere();
    test_zero_tail();
    test_foreign_file();
    test_second_writer();
    test_text();
    test_disk_full();
    test_callback_error();
    unlink(path);
    rmdir(folder);
    return test_summary();
}
