// SPDX-License-Identifier: Apache-2.0
// Typed reading, and files that are replaced whole.
#include "core/json.h"
#include "tests/core/support.h"

static json_t *parse(const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    CHECK(j != NULL);
    return j;
}

static void test_integers(void)
{
    int64_t v = 77;
    json_t *o =
        parse("{\"i\": 5, \"r\": 5.0, \"f\": 2.7, \"s\": \"5\", \"n\": null, \"b\": true,"
              "\"big\": 9223372036854775807, \"low\": -9223372036854775808}");
    CHECK(json_get_i64(o, "c", "i", true, 1, 9, &v) == OK && v == 5);
    CHECK(json_get_i64(o, "c", "none", false, 1, 9, &v) == OK && v == 5);
    CHECK(json_get_i64(o, "c", "none", true, 1, 9, &v) == ERR_INPUT);
    CHECK_STR(err_message(), "c: none: expected an integer from 1 to 9, found nothing");
    CHECK(json_get_i64(o, "c", "f", true, 1, 9, &v) == ERR_INPUT);
    CHECK_STR(err_message(), "c: f: expected an integer from 1 to 9, found 2.7000000000000002");
    const char *bad[] = {"r", "s", "n", "b", "big", "low"};
    for (int i = 0; i < 6; i++)
        CHECK(json_get_i64(o, "c", bad[i], false, 1, 9, &v) == ERR_INPUT && v == 5);
    CHECK(json_get_i64(o, "c", "i", true, 6, INT64_MAX, &v) == ERR_INPUT);
    CHECK_STR(err_message(), "c: i: expected an integer, at least 6, found 5");
    CHECK(json_get_i64(o, "c", "big", true, 0, INT64_MAX, &v) == OK && v == INT64_MAX);
    CHECK(json_get_i64(o, "c", "low", true, INT64_MIN, 0, &v) == OK && v == INT64_MIN);
    json_decref(o);
}

static void test_numbers(void)
{
    double v = 77;
    json_t *o = parse("{\"i\": 5, \"f\": 0.1, \"s\": \"x\", \"a\": [1], \"o\": {}}");
    CHECK(json_get_num(o, "c", "i", true, 0, 9, &v) == OK && v == 5);
    CHECK(json_get_num(o, "c", "f", true, 0, 9, &v) == OK && v == 0.1);
    CHECK(json_get_num(o, "c", "f", true, 0.2, 9, &v) == ERR_INPUT);
    CHECK_STR(err_message(),
              "c: f: expected a number from 0.2 to 9, found 0.10000000000000001");
    CHECK(json_get_num(o, "c", "s", true, 0, 9, &v) == ERR_INPUT);
    CHECK_STR(err_message(), "c: s: expected a number from 0 to 9, found the string \"x\"");
    CHECK(json_get_num(o, "c", "a", true, 0, 9, &v) == ERR_INPUT);
    CHECK(json_get_num(o, "c", "o", true, 0, 9, &v) == ERR_INPUT && v == 0.1);
    CHECK(json_is_null(json_num(NAN)) && json_is_null(json_num(INFINITY)));
    json_t *list = parse("[1]");
    CHECK(json_get_num(list, "c", "f", false, 0, 9, &v) == ERR_INPUT);
    CHECK_STR(err_message(), "c: expected an object, found an array");
    CHECK(json_get_num(NULL, "c", "f", false, 0, 9, &v) == ERR_INPUT);
    json_decref(list);
    json_decref(o);
}

static void test_others(void)
{
    bool b = false;
    char buf[4] = "old";
    json_t *o =
        parse("{\"b\": true, \"s\": \"abc\", \"long\": \"abcd\", \"z\": 1, \"o\": {\"k\": 1}}");
    json_t *child = NULL;
    CHECK(json_get_bool(o, "c", "b", true, &b) == OK && b);
    CHECK(json_get_bool(o, "c", "z", true, &b) == ERR_INPUT);
    CHECK(json_get_str(o, "c", "long", true, buf, sizeof buf) == ERR_INPUT);
    CHECK_STR(err_message(), "c: long: expected at most 3 bytes, found 4");
    CHECK_STR(buf, "old");
    CHECK(json_get_str(o, "c", "s", true, buf, sizeof buf) == OK);
    CHECK_STR(buf, "abc");
    json_object_set_new(o, "nul", json_stringn("a\0b", 3));
    CHECK(json_get_str(o, "c", "nul", true, buf, sizeof buf) == ERR_INPUT);
    CHECK(json_get_obj(o, "c", "o", true, &child) == OK && json_object_size(child) == 1);
    CHECK(json_get_obj(o, "c", "s", true, &child) == ERR_INPUT);
    static const char *const keys[] = {"b", "s", "long", "z", "o", "nul", NULL};
    CHECK(json_known_keys(o, "c", keys) == OK);
    CHECK(json_known_keys(o, "c", keys + 1) == ERR_INPUT);
    CHECK_STR(err_message(), "c: unknown key \"b\"");
    json_decref(o);
}

static void test_files(const char *dir)
{
    char path[4200], below[4300];
    json_t *back;
    snprintf(path, sizeof path, "%s/a.json", dir);
    CHECK(json_read_file(path, &back) == ERR_INPUT && back == NULL);
    // Doubles survive exactly; keys keep their order; the old file is replaced.
    json_t *o = json_object();
    struct rng r;
    rng_seed(&r, 5, 0);
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", 299 - i);
        json_object_set_new(o, key,
                            json_num(rng_normal(&r) * pow(10, (double)pick(&r, -300, 300))));
    }
    write_file(path, "old", 3);
    CHECK(json_write_file(path, o) == OK);
    CHECK(json_read_file(path, &back) == OK);
    CHECK(json_equal(o, back));
    CHECK_STR(json_object_iter_key(json_object_iter(back)), "k299");
    json_decref(back);
    snprintf(below, sizeof below, "%s/a.json.tmp", dir);
    CHECK(access(below, F_OK) != 0);
    snprintf(below, sizeof below, "%s/b.json", path); // below a regular file
    CHECK(json_write_file(below, o) == ERR_INPUT);
    snprintf(below, sizeof below, "%s/none/b.json", dir);
    CHECK(json_write_file(below, o) == ERR_INPUT);
    CHECK(json_write_file(dir, o) != OK); // a folder is not replaced
    json_decref(o);
    const char *bad[] = {"",      "{",    "{\"a\": 1, \"a\": 2}",         "{\"a\": NaN}",
                         "[1, 2", "{} x", "{\"a\": 99999999999999999999}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(path, bad[i], strlen(bad[i]));
        CHECK(json_read_file(path, &back) == ERR_INPUT && back == NULL);
        CHECK(strstr(err_message(), "a.json:1:") != NULL);
    }
    write_file(path, "{\n\n  oops}", 10);
    CHECK(json_read_file(path, &back) == ERR_INPUT);
    CHECK(strstr(err_message(), "a.json:3:") != NULL);
    CHECK(json_read_file(dir, &back) == ERR_INPUT);
    CHECK(strstr(err_message(), "directory") != NULL);
}

int main(void)
{
    char dir[4096];
    scratch_make(dir, sizeof dir);
    test_integers();
    test_numbers();
    test_others();
    test_files(dir);
    scratch_remove(dir);
    return test_summary();
}
