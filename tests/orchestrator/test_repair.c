// SPDX-License-Identifier: GPL-3.0-or-later
// Every record of a journal damaged in turn, in several ways: what is repaired resumes, loses
// nothing that did not depend on what was lost, and ends with the same law.
#include "orchestrator/journal.h"
#include "orchestrator/records.h"
#include "orchestrator/repair.h"
#include "tests/orchestrator/sweep_sample.h"
#include "tests/test.h"
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/moesweep-test-XXXXXX", path[64], aside[80];
static struct sweep cfg;

static char *get(const char *name, size_t *size)
{
    FILE *f = fopen(name, "r");
    *size = 0;
    if (!f)
        return NULL;
    char *text = NULL;
    size_t cap = 0;
    ssize_t n = getdelim(&text, &cap, EOF, f);
    fclose(f);
    *size = n > 0 ? (size_t)n : 0;
    return text;
}

static void put(const char *text, size_t size)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fwrite(text, 1, size, f) == size);
    fclose(f);
}

static enum err collect(void *ctx, json_t *rec)
{
    return json_array_append(ctx, rec) == 0 ? OK : ERR_FAILED;
}

static int count(const json_t *records, const char *type)
{
    size_t i;
    json_t *rec;
    int n = 0;
    json_array_foreach(records, i, rec) n +=
        strcmp(json_string_value(json_object_get(rec, "t")), type) == 0;
    return n;
}

static json_t *read_journal(void)
{
    json_t *records = json_array();
    CHECK(journal_read(path, collect, records, NULL) == OK);
    return records;
}

// Repairs what is there; what it said is the caller's.
static char *repair(bool dry, enum err want)
{
    char *said = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&said, &n);
    enum err e = repair_journal(dir, dry, f);
    fclose(f);
    CHECK(e == want);
    if (e != want)
        fprintf(stderr, "%s\n%s\n", err_message(), said);
    return said;
}

enum way { FLIPPED, ZEROED, NO_NEWLINE, WAYS };

// Damages the line from .. to (its newline included) and returns the bytes that changed.
static void damage(char *text, size_t from, size_t to, enum way way)
{
    if (way == FLIPPED)
        text[(from + to) / 2] ^= 4;
    else if (way == ZEROED)
        memset(text + from, 0, to - from);
    else
        text[to - 1] = 'x';
}

static void unchanged(const char *name, const char *text, size_t size)
{
    size_t n;
    char *now = get(name, &n);
    CHECK(now && n == size && memcmp(now, text, size) == 0);
    free(now);
}

// text: the damaged journal; kind: of the record that was hit. Returns the results that are
// lost.
static int check_repair(const char *text, size_t size, const char *kind, enum way way,
                        const json_t *law, const json_t *before)
{
    put(text, size);
    // (Where no intact line follows, a run takes it for a record that was cut short.)
    CHECK(way != FLIPPED || journal_read(path, NULL, NULL, NULL) == ERR_INPUT);
    free(repair(true, OK));
    unchanged(path, text, size);
    CHECK(access(aside, F_OK) != 0);
    char *said = repair(false, OK);
    unchanged(aside, text, size);
    unlink(aside);
    json_t *records = read_journal(), *ends = sample_law(&cfg, records);
    CHECK(json_equal(ends, law));
    // A newline alone costs nothing; a record that is no result, itself alone.
    int lost = count(before, "result") - count(records, "result");
    size_t gone = json_array_size(before) - json_array_size(records);
    if (way == NO_NEWLINE)
        CHECK(gone == 0);
    else if (strcmp(kind, "result") != 0)
        CHECK(lost == 0 && gone == (strcmp(kind, "sweep") != 0));
    else
        CHECK(lost >= 1 && strstr(said, "trained again") && count(records, "stop") == 0);
    free(said);
    json_decref(records);
    json_decref(ends);
    return lost;
}

static void damage_each(const char *whole, size_t size, const json_t *law, const json_t *before)
{
    int more = 0;
    size_t from = 0;
    for (size_t line = 0; from < size; line++) {
        size_t to = (size_t)((const char *)memchr(whole + from, '\n', size - from) - whole) + 1;
        const char *kind =
            json_string_value(json_object_get(json_array_get(before, line), "t"));
        for (enum way way = 0; way < WAYS && to < size; way++) {
            char *text = malloc(size);
            memcpy(text, whole, size);
            damage(text, from, to, way);
            more += check_repair(text, size, kind, way, law, before) > 1;
            free(text);
        }
        from = to;
    }
    // A result of the first phase takes those of the second with it: 12 of them, two ways.
    CHECK(more == 24);
}

static void test_said(const char *whole, size_t size)
{
    char *text = malloc(size), *said;
    memcpy(text, whole, size);
    char *at = memmem(text, size, "{\"t\":\"result\",\"id\":\"", 20), id[13] = "";
    CHECK(at != NULL);
    memcpy(id, at + 20, 12);
    at[60] ^= 1;
    put(text, size);
    char want[80];
    said = repair(false, OK);
    snprintf(want, sizeof want, "result %s: damaged", id);
    CHECK(strstr(said, want) != NULL);
    snprintf(want, sizeof want, "trained again: %s", id);
    CHECK(strstr(said, want) != NULL);
    CHECK(strstr(said, "journal.damaged-1") != NULL);
    free(said);
    put(text, size); // a second time: the first damaged one stays
    said = repair(false, OK);
    CHECK(strstr(said, "journal.damaged-2") != NULL);
    unchanged(aside, text, size);
    free(said);
    free(text);
    unlink(aside);
    aside[strlen(aside) - 1] = '2';
    unlink(aside);
    aside[strlen(aside) - 1] = '1';
}

static void test_left_alone(const char *whole, size_t size)
{
    size_t cuts[] = {size, size - 1, size - 30};
    for (int i = 0; i < 3; i++) { // whole, or cut short at the end
        put(whole, cuts[i]);
        char *said = repair(false, OK);
        CHECK(strstr(said, "nothing to repair") != NULL && access(aside, F_OK) != 0);
        free(said);
    }
    put("my diary\n", 9);
    free(repair(false, ERR_INPUT));
    // Another build's: nothing is damaged, yet decisions do not follow.
    char *text = strndup(whole, size), *loss = strstr(text, "\"t\":\"result\"");
    loss = strstr(loss, "\"loss\":2.");
    loss[8] = '3';
    char *start = loss, *end = strchr(loss, '\n');
    while (start > text && start[-1] != '\n')
        start--;
    char crc[9];
    snprintf(crc, sizeof crc, "%08x", journal_crc32c(start + 9, (size_t)(end - start) - 9));
    memcpy(start, crc, 8);
    put(text, size);
    free(repair(false, ERR_INPUT));
    CHECK(strstr(err_message(), "another build") != NULL && access(aside, F_OK) != 0);
    free(text);
}

static void test_locked(const char *whole, size_t size)
{
    put(whole, size);
    struct journal *j = NULL;
    CHECK(journal_open(path, NULL, NULL, NULL, &j) == OK);
    pid_t child = fork();
    if (child == 0) {
        char holder[32];
        snprintf(holder, sizeof holder, "process %ld", (long)getppid());
        enum err e = repair_journal(dir, false, stderr);
        _exit(e == ERR_INPUT && strstr(err_message(), holder) ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(!journal_locked(j) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    journal_close(j);
}

int main(void)
{
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/journal", dir);
    snprintf(aside, sizeof aside, "%s/journal.damaged-1", dir);
    sample_sweep(dir, -1, &cfg);
    size_t size;
    char *whole = get(path, &size);
    json_t *records = read_journal(), *law = sample_law(&cfg, records);
    damage_each(whole, size, law, records);
    test_said(whole, size);
    test_left_alone(whole, size);
    test_locked(whole, size);
    char name[64];
    static const char *const left[] = {"journal", "config.resolved.cfg"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, left[i]);
        unlink(name);
    }
    CHECK(rmdir(dir) == 0);
    json_decref(records);
    json_decref(law);
    free(whole);
    config_free(&cfg);
    return test_summary();
}
