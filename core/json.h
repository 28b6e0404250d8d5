// SPDX-License-Identifier: Apache-2.0
// Typed, range-checked reading on top of jansson. ctx names the place in errors ("job.json:
// train"). Every getter returns ERR_INPUT with place, key, what was expected and what was
// found. A missing key leaves *out alone when required is false.
#ifndef CORE_JSON_H
#define CORE_JSON_H
#include "core/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Parses a whole file; errors carry file, line and column.
enum err json_read_file(const char *path, json_t **out);
// Atomic replacement (core/file.h). Indented, keys in insertion order, doubles with 17 digits,
// final newline.
enum err json_write_file(const char *path, const json_t *j);
enum err json_get_i64(json_t *obj, const char *ctx, const char *key, bool required, int64_t lo,
                      int64_t hi, int64_t *out);
// Any JSON number; NaN and infinities never come out.
enum err json_get_num(json_t *obj, const char *ctx, const char *key, bool required, double lo,
                      double hi, double *out);
enum err json_get_bool(json_t *obj, const char *ctx, const char *key, bool required, bool *out);
// Copies into buf[size]; too long is an error.
enum err json_get_str(json_t *obj, const char *ctx, const char *key, bool required, char *buf,
                      size_t size);
enum err json_get_obj(json_t *obj, const char *ctx, const char *key, bool required,
                      json_t **out);
// Refuses keys that are not in the NULL-terminated list.
enum err json_known_keys(json_t *obj, const char *ctx, const char *const *keys);

// A finite number as JSON real, null otherwise (JSON has no NaN).
json_t *json_num(double v);
// [a, b] and {"value":..,"lo":..,"hi":..} of such numbers.
json_t *json_pair(double a, double b);
json_t *json_interval(double value, double lo, double hi);

// Readers that forgive, for documents of our own making: NaN, "" and false for what is absent
// or of another type.
double jnum(const json_t *o, const char *key);
double jnum_at(const json_t *array, size_t i);
const char *jstr(const json_t *o, const char *key);
bool jtrue(const json_t *o, const char *key);
#endif
