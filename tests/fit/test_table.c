// SPDX-License-Identifier: GPL-3.0-or-later
// Tables from outside: what is read, what is refused and with which words; mutated files never
// do worse than a refusal.
#include "core/rng.h"
#include "fit/table.h"
#include "tests/test.h"
#include <sys/mman.h>
#include <unistd.h>

static char path[64]; // a file in memory

static void write_bytes(const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        exit(1);
}

static enum err read_text(const char *text, struct table *t)
{
    write_bytes(text, strlen(text));
    return table_read(path, t);
}

static void refused(const char *text, const char *says)
{
    struct table t;
    CHECK(read_text(text, &t) == ERR_INPUT);
    if (!strstr(err_message(), says)) {
        fprintf(stderr, "    message '%s'\n    lacks   '%s'\n", err_message(), says);
        test_failures++;
    }
}

static void test_csv(void)
{
    struct table t;
    CHECK(read_text("\xef\xbb\xbfN, \"D, tokens\" ,name\r\n"
                    "# a comment\r\n"
                    "1e6,2.5e7,\"a \"\"b\"\"\nc\"\r\n"
                    "\r\n"
                    "  3 ,,plain \"text\"\r\n"
                    "-4,NaN,NA",
                    &t) == OK);
    CHECK(t.n == 3 && t.n_cols == 3);
    CHECK_STR(t.col[1].name, "D, tokens");
    CHECK(table_find(&t, "name") == 2 && table_find(&t, "nam") == -1);
    CHECK(t.col[0].number[0] == 1e6 && t.col[0].number[1] == 3 && t.col[0].number[2] == -4);
    CHECK_STR(table_text(&t, 2, 0), "a \"b\"\nc");
    CHECK_STR(table_text(&t, 2, 1), "plain \"text\"");
    CHECK(table_cell(&t, 0, 0) == CELL_NUMBER && table_cell(&t, 1, 1) == CELL_MISSING);
    CHECK(table_cell(&t, 1, 2) == CELL_NONFINITE && table_cell(&t, 2, 0) == CELL_TEXT);
    CHECK(table_cell(&t, 2, 2) == CELL_MISSING);
    // The quoted end of a line counts.
    CHECK(t.line[0] == 3 && t.line[1] == 6 && t.line[2] == 7);
    table_free(&t);
    CHECK(read_text("N\tloss\n1\t2\n", &t) == OK && t.n_cols == 2);
    table_free(&t);
    CHECK(read_text("N;loss\r1;2\r3;4\r", &t) == OK && t.n_cols == 2 && t.n == 2);
    table_free(&t);
    CHECK(read_text(",N\n0,1\n", &t) == OK && table_find(&t, "column1") == 0);
    table_free(&t);
    // A quote inside a field that did not open with one is a quote, and opens nothing.
    CHECK(read_text("pipe,N\n5\" bore,1\nb,2\n", &t) == OK && t.n == 2);
    CHECK_STR(table_text(&t, 0, 0), "5\" bore");
    table_free(&t);
    CHECK(read_text("s\n\"\"\n\"\"\"\"\n", &t) == OK && t.n == 2);
    CHECK_STR(table_text(&t, 0, 1), "\"");
    table_free(&t);
}

static void test_json(void)
{
    struct table t;
    CHECK(read_text("{\"N\": 1000, \"run\": \"a\"}\n\n"
                    "{\"run\": \"3\", \"loss\": 2.5, \"ok\": true, \"N\": null, \"v\": [1]}\n"
                    "{\"N\": 123456789012345678901234567890}\n",
                    &t) == OK);
    CHECK(t.n == 3 && t.n_cols == 5);
    int loss = table_find(&t, "loss"), run = table_find(&t, "run"), v = table_find(&t, "v");
    CHECK(table_cell(&t, loss, 0) == CELL_MISSING && t.col[loss].number[1] == 2.5);
    CHECK(table_cell(&t, loss, 2) == CELL_MISSING && table_cell(&t, v, 1) == CELL_TEXT);
    CHECK(t.col[run].number[1] == 3 && table_cell(&t, 0, 1) == CELL_MISSING);
    CHECK(t.col[0].number[2] == 123456789012345678901234567890.);
    CHECK_STR(table_text(&t, table_find(&t, "ok"), 1), "true");
    CHECK(t.line[1] == 3);
    table_free(&t);
}

static void test_refused(void)
{
    refused("", "expected a table, found nothing");
    refused("N,D\n", "expected rows below the header, found none");
    refused("1,2\n3,4\n", "line 1: expected a header with the columns' names, found numbers");
    refused("N,D,N\n1,2,3\n", "line 1: expected each column's name once, found 'N' twice");
    refused("N,D\n1,2\n3\n", "line 3: expected 2 columns as in the header, found 1");
    refused("N,D\n1,2\n3,4,5\n", "line 3: expected 2 columns as in the header, found 3");
    refused("N,D\n1,\"2\" x,3\n", "line 2, column 2: expected the separator ','");
    refused("N,D\n1,\"2\n3,4\n", "line 2: expected every quote closed");
    refused("In the beginning God created\nthe heaven, and the earth. And\n",
            "line 2: expected 1 column as in the header, found 2 (is this a table?)");
    refused("{\"N\": 1}\nN,D\n", "line 2, column 1: expected one JSON object a line");
    refused("{\"N\": 1, \"N\": 2}\n", "expected one JSON object a line");
    refused("{\"N\": 1}\n[1]\n", "line 2, column 1: expected one JSON object a line");
    refused("[{\"N\": 1}]\n", "found a JSON array");
    refused("\xff\xfeN\n", "UTF-16");
    struct table t;
    write_bytes("N,D\n1,\0002\n", 9);
    CHECK(table_read(path, &t) == ERR_INPUT && strstr(err_message(), "line 2, byte 3"));
    CHECK(table_read("/tmp", &t) == ERR_INPUT && table_read("/nowhere/x", &t) == ERR_INPUT);
}

static void test_bounds(void)
{
    struct table t;
    size_t n = TABLE_MAX_RECORD + 10;
    char *text = malloc(n + 1);
    if (!text)
        exit(1);
    memset(text, 'a', n);
    text[n] = '\0';
    refused(text, "line 1: expected a row of a table, found more than 1048576 bytes");
    memcpy(text, "N\n1\n\"", 5);
    refused(text, "line 3: expected a row of a table, found more than 1048576 bytes");
    memset(text, ',', n);
    text[TABLE_MAX_RECORD - 1] = '\n';
    refused(text, "expected at most 1024 columns");
    // Rows and cells are as they were after several growths.
    size_t used = (size_t)sprintf(text, "i,half,word\n");
    for (int i = 0; i < 5000; i++)
        used += (size_t)sprintf(text + used, "%d,%g,w%d\n", i, i / 2., i);
    CHECK(read_text(text, &t) == OK && t.n == 5000);
    int wrong = 0;
    for (int i = 0; i < 5000; i++) {
        char word[16];
        snprintf(word, sizeof word, "w%d", i);
        wrong += !(t.col[0].number[i] == i && t.col[1].number[i] == i / 2. &&
                   t.line[i] == i + 2 && strcmp(table_text(&t, 2, i), word) == 0);
    }
    CHECK(wrong == 0);
    table_free(&t);
    free(text);
}

// A few random edits of good files: read or refused with words, and nothing worse (this runs
// under sanitizers too).
static void test_mutated(void)
{
    static const char *const good[] = {
        "N,D,loss,\"a, b\"\n1e6,2e7,3.5,\"x \"\"y\"\"\"\n# c\n2e6,,NaN,z\r\n",
        "{\"N\":1,\"D\":2.5,\"s\":\"t\",\"b\":true,\"n\":null,\"v\":[1,{\"a\":2}]}\n{\"N\":2}"
        "\n"};
    static const char spice[] = ",\"\n\r;\t{}[]:#\\e+-0\xff\xef";
    struct rng r;
    rng_seed(&r, 1, 0);
    int taken = 0, refusals = 0;
    for (int i = 0; i < 3000; i++) {
        char text[200];
        size_t n = strlen(good[i % 2]);
        memcpy(text, good[i % 2], n);
        for (int k = (int)rng_below(&r, 6); k >= 0; k--) {
            size_t at = rng_below(&r, n);
            if (rng_below(&r, 3) == 0) {
                n = at + 1;
            } else if (rng_below(&r, 2)) {
                text[at] = spice[rng_below(&r, sizeof spice - 1)];
            } else {
                memmove(text + at, text + at + 1, n - at - 1);
                n -= n > 1;
            }
        }
        write_bytes(text, n);
        struct table t;
        enum err e = table_read(path, &t);
        taken += e == OK;
        refusals += e == ERR_INPUT && err_message()[0];
        if (e == OK)
            for (int c = 0; c < t.n_cols; c++)
                for (int64_t row = 0; row < t.n; row++)
                    CHECK(table_cell(&t, c, row) != CELL_NUMBER ||
                          isfinite(t.col[c].number[row]));
        table_free(&t);
    }
    CHECK(taken + refusals == 3000 && taken > 100 && refusals > 100);
}

int main(void)
{
    int fd = memfd_create("table", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0)
        return 1;
    test_csv();
    test_json();
    test_refused();
    test_bounds();
    test_mutated();
    close(fd);
    return test_summary();
}
